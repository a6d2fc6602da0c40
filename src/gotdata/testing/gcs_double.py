"""A bucket of Google Cloud Storage on loopback, which answers as the JSON API (version 1) documents it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from gotdata.testing.double import Double, reply
from gotdata.testing.server import Reply, Request

MANY = 1_000_000


@dataclass(frozen=True)
class Stored:
    """One generation of an object. ``composed``: of other objects, and so without an md5."""

    name: str
    generation: int
    body: bytes
    gzip: bool = False
    composed: bool = False


class CloudStorage(Double):
    """One bucket, called ``lab``.

    Attributes:
        versions: old generations are kept.
        lists: nobody may list; then a missing object is 403, too.
        payer: the project that has to pay; empty: reading is free.
        busy: requests that are refused by a 403 whose reason is the rate.
    """

    bucket = "lab"
    page = 1000

    def __init__(self) -> None:
        super().__init__()
        self.versions = False
        self.lists = True
        self.payer = ""
        self.busy = 0
        self._objects: dict[str, list[Stored]] = {}
        self._generation = 1_519_931_085_896_733

    def put(self, name: str, body: bytes, **how: Any) -> str:
        """Returns its generation."""
        self._generation += 1
        kept = self._objects.get(name, []) if self.versions else []
        self._objects[name] = [*kept, Stored(name, self._generation, body, **how)]
        return str(self._generation)

    def remove(self, name: str) -> None:
        if self.versions:
            self._objects[f"\0{name}"] = self._objects.pop(name)
        else:
            del self._objects[name]

    def refusal(self, request: Request) -> Reply:
        return _error(401, "Anonymous caller does not have storage.objects.list access to the bucket.", "required")

    def too_many(self) -> Reply:
        return _error(429, "The rate of requests to the bucket is too high.", "rateLimitExceeded")

    def answer(self, request: Request, path: str) -> Reply | None:
        asked = dict(parse_qsl(urlsplit(request.path).query))
        match = re.fullmatch(r"/(?:download/)?storage/v1/b/([^/]+)(?:/o(?:/(.+))?)?", path, re.DOTALL)
        if not match:
            return None
        if self.busy > 0:
            self.busy -= 1
            return _error(403, "The rate of requests exceeds the limit.", "rateLimitExceeded")
        if match[1] != self.bucket:
            return _error(404, "The specified bucket does not exist.", "notFound")
        if self.payer and asked.get("userProject") != self.payer:
            return _error(400, "Bucket is a requester pays bucket but no user project provided.", "required")
        return self._object(request, match[2], asked) if match[2] else self._listing(asked)

    def _object(self, request: Request, name: str, asked: dict[str, str]) -> Reply:
        kept = self._objects.get(name) or []
        wanted = asked.get("generation")
        if wanted:
            kept = [one for one in chain(kept, self._objects.get(f"\0{name}", ())) if str(one.generation) == wanted]
        if not kept and not self.lists:
            return _error(403, "Anonymous caller does not have storage.objects.get access.", "forbidden")
        if not kept:
            return _error(404, f"No such object: {self.bucket}/{name}", "notFound", asked.get("alt") == "media")
        return _media(request, kept[-1]) if asked.get("alt") == "media" else reply(200, self._told(kept[-1]))

    def _listing(self, asked: dict[str, str]) -> Reply:
        if not self.lists:
            return _error(403, "Anonymous caller does not have storage.objects.list access.", "forbidden")
        start, count = int(asked.get("pageToken", "0")), min(self.page, int(asked.get("maxResults", "1000")))
        found = [self._told(one) for one in islice(self._shown(asked.get("prefix", "")), start, start + count + 1)]
        answer: dict[str, Any] = {"kind": "storage#objects"} | ({"items": found[:count]} if found else {})
        if self.hostile == "loop":
            answer["nextPageToken"] = "0"
        elif len(found) > count:
            answer["nextPageToken"] = str(start + count)
        return reply(200, answer)

    def _shown(self, prefix: str) -> Iterator[Stored]:
        found = [self._objects[name][-1] for name in sorted(self._objects) if name.startswith(prefix)]
        if self.hostile == "many":
            return (Stored(f"{prefix}many/{number:07}", 1, b"1") for number in range(MANY))
        if self.hostile == "twins":
            return chain(found[:1], found)
        if self.hostile == "names":
            return chain([Stored(f"{prefix}../../etc/passwd", 1, b"root")], found)
        return iter(found)

    def _told(self, one: Stored) -> dict[str, Any]:
        return {
            "kind": "storage#object",
            "id": f"{self.bucket}/{one.name}/{one.generation}",
            "name": one.name,
            "bucket": self.bucket,
            "generation": str(one.generation),
            "metageneration": "1",
            "contentType": "application/octet-stream",
            "storageClass": "STANDARD",
            "size": str(len(one.body) + (self.hostile == "sizes")),
            "crc32c": _crc32c(one.body),
            "etag": "CJ3+opaque/=",
            **({} if one.composed else {"md5Hash": _md5(one.body)}),
            **({"contentEncoding": "gzip"} if one.gzip else {}),
        }


def _media(request: Request, one: Stored) -> Reply:
    """Bytes. What was stored compressed is unpacked for who does not say that he takes it so, and then whole."""
    size = len(one.body)
    headers = {
        "Content-Type": "application/octet-stream",
        "x-goog-generation": str(one.generation),
        "x-goog-hash": f"crc32c={_crc32c(one.body)}" + ("" if one.composed else f",md5={_md5(one.body)}"),
        "x-goog-stored-content-encoding": "gzip" if one.gzip else "identity",
        "x-goog-stored-content-length": str(size),
    }
    if one.gzip and "gzip" not in request.headers.get("accept-encoding", ""):
        return Reply(200, headers | {"Warning": "214 UploadServer gunzipped"}, gzip.decompress(one.body))
    if one.gzip:
        headers["Content-Encoding"] = "gzip"
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if not match:
        return Reply(200, headers, one.body)
    start, stop = int(match[1]), min(int(match[2] or size), size - 1) + 1
    if start >= size:
        return Reply(416, headers | {"Content-Range": f"bytes */{size}"}, b"")
    return Reply(206, headers | {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}, one.body[start:stop])


def _error(status: int, message: str, reason: str, plain: bool = False) -> Reply:
    if plain:
        return Reply(status, {"Content-Type": "text/html; charset=UTF-8"}, message.encode())
    errors = [{"message": message, "domain": "global", "reason": reason}]
    return reply(status, {"error": {"code": status, "message": message, "errors": errors}})


def _md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def _crc32c(body: bytes) -> str:
    """Bit by bit (RFC 3720, appendix B.4), so that it owes nothing to what it checks."""
    value = 0xFFFFFFFF
    for byte in body:
        value = _TABLE[(value ^ byte) & 0xFF] ^ value >> 8
    return base64.b64encode((value ^ 0xFFFFFFFF).to_bytes(4, "big")).decode()


def _row(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value


_TABLE = [_row(byte) for byte in range(256)]

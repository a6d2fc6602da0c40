"""A GA4GH DRS server on loopback, and the part of identifiers.org that finds it."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from gotdata.testing.double import Double, reply
from gotdata.testing.server import Reply, Request

API = "/ga4gh/drs/v1"
HEADER = "X-Access-Grant"


@dataclass
class _Object:
    id: str
    body: bytes | None
    name: str = ""
    contents: dict[str, str] = field(default_factory=dict)
    """Of a bundle: names and ids."""


class Drs(Double):
    """Objects and bundles by id.

    Attributes:
        way: how bytes are had: ``url``: the object tells the address; ``access``: an access id is exchanged for a
            signed one; ``headers``: and for a header that must be sent there; ``s3``: an access id of that type;
            anything else: a type that nobody here reads.
        expands: ``expand=true`` is understood.
        empty_contents: every object has a list of contents, as some servers send it.
        staging: answers of 202 before an object.
        archived: nothing is available.
        forms: how types of checksums are written: ``sha-256``, ``sha256``, ``crc32c``, ``etag``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.way, self.expands, self.empty_contents, self.archived = "access", True, False, False
        self.staging = 0
        self.forms: tuple[str, ...] = ("md5", "sha-256")
        self._objects: dict[str, _Object] = {}
        self._cuts: dict[str, int] = {}

    def put(self, id: str, body: bytes, name: str = "") -> str:
        self._objects[id] = _Object(id, body, name)
        self.signed(f"data/{id}", body)
        return id

    def bundle(self, id: str, contents: dict[str, str], name: str = "") -> str:
        """A bundle of objects that are there: names and their ids."""
        self._objects[id] = _Object(id, None, name, dict(contents))
        return id

    def cut_object(self, id: str, after: int) -> None:
        """The next body of an object breaks off."""
        self._cuts[id] = after

    def url_of(self, id: str) -> str:
        return f"{self.root}{API}/objects/{quote(id, safe='')}"

    def uri(self, id: str) -> str:
        return f"drs://{urlsplit(self.root).netloc}/{quote(id, safe='')}"

    def answer(self, request: Request, path: str) -> Reply | None:
        raw = urlsplit(request.path).path
        if match := re.fullmatch(r"/(?:[a-z0-9._]+/)?(dg\.test):(.+)", path):
            official = {"compactIdentifierResolvedUrl": f"{self.root}/go/{match[2]}", "official": True}
            other = {"compactIdentifierResolvedUrl": f"{self.root}/nowhere", "official": False}
            return reply(200, {"errorMessage": None, "payload": {"resolvedResources": [other, official]}})
        if path.startswith("/go/"):
            return Reply(302, {"Location": self.url_of(path.removeprefix("/go/"))}, b"")
        if match := re.fullmatch(rf"{API}/objects/([^/]+)(?:/access/([^/]+))?", raw):
            found = self._objects.get(unquote(match[1]))
            if found is None:
                return reply(404, {"status_code": 404, "msg": "The requested DrsObject wasn't found."})
            if self.staging > 0:
                self.staging -= 1
                return Reply(202, {"Retry-After": "1"}, b"")
            return self._access(found) if match[2] else reply(200, self._about(found, "expand=true" in request.path))
        return None

    def refusal(self, request: Request) -> Reply:
        return reply(401, {"status_code": 401, "msg": "The request is unauthorized."})

    def _access(self, found: _Object) -> Reply:
        access: dict[str, Any] = {"url": self.signed(f"data/{found.id}", found.body or b"")}
        if found.id in self._cuts:
            self.cut(f"data/{found.id}", self._cuts.pop(found.id))
        if self.way == "headers":
            self.store.change(f"data/{found.id}", auth="Bearer grant-for-this")
            access["headers"] = ["Authorization: Bearer grant-for-this"]
        return reply(200, access)

    def _about(self, found: _Object, expand: bool) -> dict[str, Any]:
        about: dict[str, Any] = {
            "id": found.id,
            "self_uri": self.uri(found.id),
            "created_time": "2020-01-01T00:00:00Z",
            "description": "Cells, sequenced",
        }
        if found.name:
            about["name"] = found.name
        if found.body is None:
            sums = "".join(sorted(_md5(self._objects[id].body or b"") for id in found.contents.values()))
            contents = [self._content(name, id, expand) for name, id in found.contents.items()]
            return about | {
                "size": sum(len(self._objects[id].body or b"") for id in found.contents.values()),
                "checksums": [{"type": "md5", "checksum": _md5(sums.encode())}],
                "contents": self._lied(contents, found),
            }
        about |= {
            "size": len(found.body) + (self.hostile == "sizes"),
            "checksums": [{"type": form, "checksum": _sum(form, found.body)} for form in self.forms],
            "access_methods": self._methods(found),
        }
        return about | ({"contents": []} if self.empty_contents else {})

    def _content(self, name: str, id: str, expand: bool) -> dict[str, Any]:
        content: dict[str, Any] = {"name": name, "id": id, "drs_uri": [self.uri(id)]}
        child = self._objects[id]
        if expand and self.expands and child.body is None:
            content["contents"] = [self._content(below, one, True) for below, one in child.contents.items()]
        return content

    def _lied(self, contents: list[dict[str, Any]], found: _Object) -> list[dict[str, Any]]:
        if self.hostile == "loop":
            return [{"name": "again", "id": found.id}]
        if self.hostile == "names":
            return [{**contents[0], "name": "../../etc/passwd"}]
        return contents + contents[:1] if self.hostile == "twins" else contents

    def _methods(self, found: _Object) -> list[dict[str, Any]]:
        far = {"type": "ftp", "access_url": {"url": f"ftp://ftp.example.org/{found.id}"}}
        if self.way == "url":
            method = {"type": "https", "access_url": {"url": self.store.at(f"data/{found.id}")}}
        elif self.way in ("access", "headers"):
            method = {"type": "https", "access_id": "web/1"}
        else:
            method = {"type": self.way, "access_id": "cloud"}
        return [far, method | ({"available": False} if self.archived else {})]


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def _sum(form: str, body: bytes) -> str:
    if form == "etag":
        return "d41d8cd98f00b204e9800998ecf8427e-2"
    if form == "crc32c":
        return base64.b64encode(b"\0\1\2\3").decode()
    return hashlib.new(form.replace("-", ""), body, usedforsecurity=False).hexdigest()

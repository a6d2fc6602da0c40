"""A container of Azure Blob Storage on loopback, which answers as the REST API documents it. Its account stands in the
path, as an address has none in its host."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from urllib.parse import parse_qsl, quote, urlsplit
from xml.sax.saxutils import escape

from gotdata.testing.double import Double
from gotdata.testing.server import Reply, Request

MANY = 1_000_000


@dataclass(frozen=True)
class Stored:
    """One version of a blob.

    Attributes:
        md5: whether who put it there sent its MD5; of uploads in blocks many don't.
        marker: an empty blob that means a folder, as Hadoop writes them.
        directory: of a data lake, which knows folders.
        archived: it lies in the archive tier.
    """

    name: str
    body: bytes
    number: int
    md5: bool = True
    marker: bool = False
    directory: bool = False
    archived: bool = False

    @property
    def etag(self) -> str:
        return f"0x8D{self.number:012X}"

    @property
    def version(self) -> str:
        return f"2025-07-15T09:45:00.{self.number:07}Z"


class BlobStorage(Double):
    """One account, ``acct``, with one container, ``lab``.

    Attributes:
        versions: the account keeps versions.
        lists: the container is public, not only its blobs.
        reads_versions: nobody may read a blob by its version.
        hidden: the code with which what is not public is refused.
    """

    account, container = "acct", "lab"
    page = 5000

    def __init__(self) -> None:
        super().__init__()
        self.versions = False
        self.lists = True
        self.reads_versions = True
        self.hidden = "ResourceNotFound"
        self._blobs: dict[str, list[Stored]] = {}
        self._snapshots: dict[str, Stored] = {}
        self._gone: list[Stored] = []
        self._number = 0

    @property
    def home(self) -> str:
        return f"{self.root}/{self.account}/{self.container}"

    def put(self, name: str, body: bytes, **how: bool) -> str:
        """Returns its version."""
        self._number += 1
        one = Stored(name, body, self._number, **how)
        self._blobs[name] = [*(self._blobs.get(name, []) if self.versions else []), one]
        return one.version

    def touch(self, name: str) -> None:
        """A new ETag for the same bytes, as a change of metadata or tier gives."""
        self._number += 1
        self._blobs[name] = [*self._blobs[name][:-1], replace(self._blobs[name][-1], number=self._number)]

    def snapshot(self, name: str) -> str:
        one = self._blobs[name][-1]
        taken = f"2026-01-01T00:00:00.{len(self._snapshots):07}Z"
        self._snapshots[taken] = one
        return taken

    def remove(self, name: str) -> None:
        self._gone += self._blobs.pop(name)

    def allowed(self, request: Request) -> bool:
        asked = dict(parse_qsl(urlsplit(request.path).query))
        return super().allowed(request) or asked.get("sig") == self.token

    def refusal(self, request: Request) -> Reply:
        return _error({"ResourceNotFound": 404, "PublicAccessNotPermitted": 409}.get(self.hidden, 403), self.hidden)

    def too_many(self) -> Reply:
        return _error(503, "ServerBusy")

    def answer(self, request: Request, path: str) -> Reply | None:
        asked = dict(parse_qsl(urlsplit(request.path).query, keep_blank_values=True))
        match = re.fullmatch(r"/([^/]+)/([^/]+)(?:/(.*))?", path, re.DOTALL)
        if not match or match[1] != self.account:
            return None
        if match[2] != self.container:
            return _error(404, "ContainerNotFound")
        if asked.get("comp") == "list":
            return self._listing(asked) if self.lists else _error(404, self.hidden)
        return self._blob(request, match[3] or "", asked)

    def _blob(self, request: Request, name: str, asked: dict[str, str]) -> Reply:
        if "versionid" in asked:
            if not self.reads_versions:
                return _error(403, "AuthorizationPermissionMismatch")
            known = [one for one in (*self._blobs.get(name, ()), *self._gone) if one.version == asked["versionid"]]
        elif "snapshot" in asked:
            known = [one for taken, one in self._snapshots.items() if (taken, one.name) == (asked["snapshot"], name)]
        else:
            known = self._blobs.get(name, [])
        if not known:
            return _error(404, "BlobNotFound")
        one = known[-1]
        if one.archived:
            return _error(409, "BlobArchived")
        if request.headers.get("if-match", f'"{one.etag}"') != f'"{one.etag}"':
            return _error(412, "ConditionNotMet")
        return self._content(request, one)

    def _content(self, request: Request, one: Stored) -> Reply:
        size = len(one.body)
        headers = {
            "Content-Type": "application/octet-stream",
            "ETag": f'"{one.etag}"',
            "Accept-Ranges": "bytes",
            "x-ms-blob-type": "BlockBlob",
            "x-ms-version-id": one.version if self.versions else "",
            "x-ms-meta-hdi_isfolder": "true" if one.marker or one.directory else "",
            "x-ms-resource-type": "directory" if one.directory else "",
        }
        asked = request.headers.get("x-ms-range") or request.headers.get("range", "")
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", asked)
        if not match:
            return Reply(200, headers | {"Content-MD5": _md5(one.body) if one.md5 else ""}, one.body)
        start, stop = int(match[1]), min(int(match[2] or size), size - 1) + 1
        if start >= size:
            return _error(416, "InvalidRange")
        part = {
            "Content-Range": f"bytes {start}-{stop - 1}/{size}",
            "x-ms-blob-content-md5": _md5(one.body) if one.md5 else "",
        }
        return Reply(206, headers | part, one.body[start:stop])

    def _listing(self, asked: dict[str, str]) -> Reply:
        start, count = int(asked.get("marker") or "0"), min(self.page, int(asked.get("maxresults", "5000")))
        found = list(islice(self._shown(asked.get("prefix", "")), start, start + count + 1))
        mark = str(start + count) if len(found) > count else ""
        mark = "0" if self.hostile == "loop" else mark
        blobs = "".join(self._told(one) for one in found[:count])
        text = (
            f'\ufeff<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="{self.root}/" '
            f'ContainerName="{self.container}"><Prefix>{escape(asked.get("prefix", ""))}</Prefix>'
            f"<MaxResults>{count}</MaxResults><Blobs>{blobs}</Blobs><NextMarker>{mark}</NextMarker></EnumerationResults>"
        )
        return Reply(200, {"Content-Type": "application/xml"}, text.encode())

    def _shown(self, prefix: str) -> Iterator[Stored]:
        found = [self._blobs[name][-1] for name in sorted(self._blobs) if name.startswith(prefix)]
        if self.hostile == "many":
            return (Stored(f"{prefix}many/{number:07}", b"1", 1) for number in range(MANY))
        if self.hostile == "twins":
            return chain(found[:1], found)
        if self.hostile == "names":
            return chain([Stored(f"{prefix}../../etc/passwd", b"root", 1)], found)
        return iter(found)

    def _told(self, one: Stored) -> str:
        """ETags without quotes; names that XML can't hold percent-encoded, and marked so."""
        plain = re.fullmatch(r"[^\x00-\x08\x0b-\x1f\ufffe\uffff]*", one.name) is not None
        name = f"<Name>{escape(one.name)}</Name>" if plain else f'<Name Encoded="true">{quote(one.name)}</Name>'
        version = f"<VersionId>{one.version}</VersionId><IsCurrentVersion>true</IsCurrentVersion>"
        size = len(one.body) + (self.hostile == "sizes")
        md5 = f"<Content-MD5>{_md5(one.body)}</Content-MD5>" if one.md5 else "<Content-MD5 />"
        return (
            f"<Blob>{name}{version if self.versions else ''}<Properties><Last-Modified>Tue, 15 Jul 2025 09:45:00 GMT"
            f"</Last-Modified><Etag>{one.etag}</Etag><Content-Length>{size}</Content-Length>{md5}"
            f"<BlobType>BlockBlob</BlobType><AccessTier>{'Archive' if one.archived else 'Hot'}</AccessTier>"
            f"{'<ResourceType>directory</ResourceType>' if one.directory else ''}</Properties>"
            f"{'<Metadata><hdi_isfolder>true</hdi_isfolder></Metadata>' if one.marker else '<Metadata />'}</Blob>"
        )


def _error(status: int, code: str) -> Reply:
    text = f'\ufeff<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{code}.</Message></Error>'
    return Reply(status, {"Content-Type": "application/xml", "x-ms-error-code": code}, text.encode())


def _md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()

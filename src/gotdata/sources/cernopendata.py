"""The CERN Open Data portal: the files of a record, which lie in EOS and are read by its web address."""

from __future__ import annotations

import hashlib
import io
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from gotdata.context import Context
from gotdata.errors import NotFound, ResolveError, SourceError, UpstreamChanged
from gotdata.model import Checksum, Citation, Pin, Ref, RemoteFile, Span
from gotdata.paths import redact, shown
from gotdata.sources.api import Hosted, naming, rows, table, words
from gotdata.sources.base import Powers
from gotdata.sources.http_answer import checks

HOSTS = ("opendata.cern.ch", "www.opendata.cern.ch")
ROOT = "https://opendata.cern.ch"
_RECORD = re.compile(r"(?P<site>.*?)/(?:api/)?records?/(?P<id>\d+)(?:/(?:files/(?P<file>.+))?)?")
_LENGTHS = {"adler32": 8, "md5": 32, "sha1": 40, "sha256": 64}


@dataclass(frozen=True, slots=True)
class _Place:
    """A record, and maybe one file of it. ``root`` has no slash at its end."""

    root: str
    id: str
    file: str = ""

    @property
    def page(self) -> str:
        return f"{self.root}/record/{self.id}"


class CernOpenData(Hosted):
    """The portal keeps no versions: a pin holds a digest of the list of a record's files, with their checksums."""

    name = "cernopendata"
    schemes = ("cernopendata",)
    powers = Powers()

    def claims(self, ref: Ref) -> bool:
        if ref.url.lower().startswith("cernopendata:"):
            return True
        return _place(ref.url) is not None and urlsplit(ref.url).hostname in HOSTS

    def resolve(self, ref: Ref, ctx: Context) -> Pin:
        place = _place(ref.url)
        if place is None:
            raise ResolveError(f"{redact(ref.url)} names no record: https://opendata.cern.ch/record/N is due")
        if version := ref.option("version"):
            raise ResolveError(f"{redact(place.page)} keeps no versions, so {shown(version)} can't be asked for")
        with naming("cernopendata"):
            record = _record(place, ctx)
            found = _files(place, record)
            said = {"record": place.id, "files": _digest(found)}
            if place.file:
                said["file"] = _only(place, found).path
            citation = _citation(record)
            namespace = f"doi:{citation.doi}" if citation.doi else place.page
            return Pin(self.name, Ref(f"cernopendata:{place.page}"), namespace, said, citation)

    def homes(self, pin: Pin) -> tuple[str, ...]:
        return (f"{_pinned(pin).root}/",)

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        place = _pinned(pin)
        with naming("cernopendata"):
            found = _files(place, _record(place, ctx))
        if _digest(found) != pin.version.get("files"):
            raise UpstreamChanged(f"{redact(place.page)} lists other files now; `gotdata lock --update` takes them up")
        only = pin.version.get("file", "")
        for file in found:
            if not only:
                yield file
            elif file.path == only:
                name = posixpath.basename(file.path)
                yield RemoteFile(name, file.size, at=file.at, version=file.version, checks=file.checks)

    def read(self, pin: Pin, file: RemoteFile, span: Span, ctx: Context) -> io.RawIOBase:
        """XRootD's HTTP tells the checksum of the whole to who asks, with a range too."""
        with naming("cernopendata"):
            try:
                response = ctx.http.get(self.url(pin, file), span, size=file.size, headers={"Want-Digest": "adler32"})
            except UpstreamChanged as error:
                raise UpstreamChanged(
                    f"{error}; or the portal sent a page about an error, which it calls 200"
                ) from error
            said = [check for check in checks(response.headers, whole=False) if check.algorithm == "adler32"]
            if said and file.version.startswith("adler32:") and str(said[0]) != file.version:
                response.close()
                raise UpstreamChanged(f"{redact(file.at)} has the checksum {said[0]}, and had {file.version}")
            return response


def recognise(url: str, ctx: Context) -> Ref | None:
    """The record that a landing page is of, by its address."""
    place = _place(url)
    return Ref(f"cernopendata:{url}") if place is not None and urlsplit(url).hostname in HOSTS else None


def _place(url: str) -> _Place | None:
    text = re.sub(r"(?i)^cernopendata:", "", url)
    if text.isascii() and text.isdigit():
        return _Place(ROOT, text)
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    match = _RECORD.fullmatch(unquote(parts.path))
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname or "@" in parts.netloc or not match:
        return None
    known = parts.hostname in HOSTS
    root = ROOT if known else f"{parts.scheme.lower()}://{parts.netloc.lower()}"
    return _Place(f"{root}{match['site']}", match["id"], match["file"] or "")


def _pinned(pin: Pin) -> _Place:
    place = _place(pin.ref.url)
    if place is None:
        raise SourceError(f"{redact(pin.ref.url)} is no record of the portal: the lock was edited")
    return place


def _record(place: _Place, ctx: Context) -> Mapping[str, Any]:
    url = f"{place.root}/api/records/{place.id}"
    try:
        found = table(ctx.http.json(url), "metadata")
    except NotFound as error:
        raise ResolveError(f"{error}; the portal has no such record") from error
    if not found:
        raise SourceError(f"{redact(url)} is not what the portal answers")
    return found


def _files(place: _Place, record: Mapping[str, Any]) -> list[RemoteFile]:
    """Those of the record and those of its indices, which hold most of a big one. They have the names that the portal
    shows; where two have one name, all have their paths below the folder that they share."""
    listed = rows(record, "files") + [file for index in rows(record, "_file_indices") for file in rows(index, "files")]
    known = sorted({(_path(place, one), words(one, "size"), words(one, "checksum").lower()) for one in listed})
    if not known:
        raise ResolveError(f"{redact(place.page)} has no files, only a description")
    paths = {path for path, _, _ in known}
    flat = len({posixpath.basename(path) for path in paths}) == len(known)
    top = posixpath.commonpath([posixpath.dirname(path) for path in paths])
    return [
        _file(place, path, posixpath.basename(path) if flat else path[len(top) :].lstrip("/"), size, checksum)
        for path, size, checksum in known
    ]


def _path(place: _Place, entry: Mapping[str, Any]) -> str:
    """Where a file lies in EOS: ``root://eospublic.cern.ch//eos/opendata/…`` is the same path at the web address."""
    uri = words(entry, "uri")
    match = re.fullmatch(r"(?:root|https?)://[^/]+/*(/eos/.+)", uri, re.S)
    if not match or {".", ".."} & set(match[1].split("/")):
        raise SourceError(
            f"{redact(place.page)}: a file lies at {redact(uri) or 'no address'}, which is no path in EOS"
        )
    return match[1]


def _file(place: _Place, path: str, name: str, size: str, checksum: str) -> RemoteFile:
    if not size.isascii() or not size.isdigit():
        raise SourceError(f"{redact(place.page)}: {shown(path)} is listed without a size")
    algorithm, _, digest = checksum.partition(":")
    length = _LENGTHS.get(algorithm, 0)
    digest = digest.zfill(length)  # adler32 was written without its leading zeros
    check = (Checksum(algorithm, digest),) if length and re.fullmatch(rf"[0-9a-f]{{{length}}}", digest) else ()
    at = f"{place.root}{quote(path, safe='/', errors='surrogateescape')}"
    return RemoteFile(name, int(size), at=at, version=str(check[0]) if check else "", checks=check)


def _digest(files: list[RemoteFile]) -> str:
    lines = (f"{file.at}\0{file.size}\0{file.version}\n" for file in files)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _only(place: _Place, files: list[RemoteFile]) -> RemoteFile:
    """The file that a reference names, by its path or, as the portal does, by its last name alone."""
    found = [file for file in files if file.path == place.file]
    found = found or [file for file in files if posixpath.basename(file.path) == place.file]
    if len(found) != 1:
        raise ResolveError(f"{redact(place.page)} has {len(found) or 'no'} files called {shown(place.file)}")
    return found[0]


def _citation(record: Mapping[str, Any]) -> Citation:
    authors = [words(author, "name") for author in rows(record, "authors")]
    group = words(table(record, "collaboration"), "name")
    creators = tuple(filter(None, authors)) or ((group,) if group else ())
    doi = words(record, "doi").lower()
    return Citation(words(record, "title"), creators, doi, words(table(record, "license"), "attribution"))

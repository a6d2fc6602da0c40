"""Zenodo and every other InvenioRDM repository: a record is a version, its files are listed with md5 sums."""

from __future__ import annotations

import io
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from gotdata.context import Context
from gotdata.credentials import parse
from gotdata.errors import (
    AccessDenied,
    AuthRequired,
    IntegrityError,
    NotFound,
    ResolveError,
    SourceError,
    SourceUnavailable,
    UpstreamChanged,
)
from gotdata.model import Checksum, Citation, Pin, Ref, RemoteFile, Span
from gotdata.paths import redact, shown
from gotdata.sources.base import Powers
from gotdata.sources.http_page import HTML

HOSTS = ("zenodo.org", "www.zenodo.org", "sandbox.zenodo.org")
"""Known by their names. Others are found behind a DOI, or named ``invenio:https://host/records/ID``."""
VERSIONS = 1000
"""Versions of one record that are looked through."""
_ACCEPT = {"Accept": "application/vnd.inveniordm.v1+json, application/json;q=0.5"}
_RECORD = re.compile(
    r"(?P<site>.*?)/(?:api/)?(?:records?|doi/10\.[\d.]+)/(?:zenodo\.)?(?P<id>[\w-]+)(?:/(?P<rest>.*))?"
)


@dataclass(frozen=True, slots=True)
class _Place:
    """A record, and maybe one file of it. ``root`` is the repository's address, without a slash at its end."""

    root: str
    id: str
    key: str = ""

    @property
    def page(self) -> str:
        return f"{self.root}/records/{self.id}"

    @property
    def api(self) -> str:
        return f"{self.root}/api/records/{self.id}"


class Invenio:
    """Pins name the id of a record, which is that of one version; the id of all versions together (Zenodo's "concept")
    means the newest. The option ``version`` picks one by its own words, its number or its id."""

    name = "invenio"
    schemes = ("invenio",)
    powers = Powers()

    def claims(self, ref: Ref) -> bool:
        if ref.url.lower().startswith("invenio:"):
            return True
        return urlsplit(ref.url).hostname in HOSTS and _place(ref.url) is not None

    def resolve(self, ref: Ref, ctx: Context) -> Pin:
        place = _place(ref.url.removeprefix("invenio:"))
        if place is None:
            raise ResolveError(f"{redact(ref.url)} names no record: invenio:https://HOST/records/ID is due")
        record = _record(place, ctx)
        if wanted := ref.option("version"):
            record = _versioned(place, record, wanted, ctx)
        place = _Place(place.root, str(record["id"]), place.key)
        _check_access(place, record, ctx)
        if place.key:
            _listed(place, place.key, ctx)
        citation = _citation(record)
        version = {"record": place.id} | ({"file": place.key} if place.key else {})
        namespace = f"doi:{citation.doi}" if citation.doi else place.page
        return Pin(self.name, Ref(f"invenio:{place.page}"), namespace, version, citation)

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        place, key = _pinned(pin), pin.version.get("file", "")
        found = _listed(place, key, ctx)
        by_page = _sends_ranges_by_page(place, found, ctx)
        for file in found:
            at = _page_of(place, file.path) if by_page or not _is_ours(place, file.at) else file.at
            path = posixpath.basename(file.path) if key else file.path
            yield RemoteFile(path, file.size, at=at, version=file.version, checks=file.checks)

    def read(self, pin: Pin, file: RemoteFile, span: Span, ctx: Context) -> io.RawIOBase:
        """The ETag of the repository's own store is ``md5:…``; where its files lie in S3, only the size is compared."""
        place = _pinned(pin)
        try:
            response = ctx.http.get(self.url(pin, file), span, size=file.size)
        except NotFound:
            # Of the two addresses that a file has, one or the other was broken at times.
            page = _page_of(place, pin.version.get("file", file.path))
            other = f"{place.api}{page.removeprefix(place.page)}/content" if file.at == page else page
            response = ctx.http.get(other, span, size=file.size)
        said = response.headers.get("ETag", "").removeprefix("W/").strip('"')
        if said.startswith("md5:") and said != file.version:
            response.close()
            raise UpstreamChanged(f"{redact(file.at)} has the checksum {redact(said)}, and had {file.version}")
        return response

    def url(self, pin: Pin, file: RemoteFile) -> str:
        # A forged locator could have the bytes behind somebody's key kept as anybody's.
        if not _is_ours(_pinned(pin), file.at):
            raise IntegrityError(f"{redact(file.at)} is no address in {redact(pin.ref.url)}: the lock was edited")
        return file.at

    def realm(self, pin: Pin, ctx: Context) -> str:
        return ctx.credentials.realm(_pinned(pin).root + "/")

    def local(self, pin: Pin, file: RemoteFile) -> str:
        return ""


def _is_ours(place: _Place, url: str) -> bool:
    """Compared as it will be sent: ``..`` would lead elsewhere on that host, maybe behind somebody's key."""
    return parse(url).url.startswith(f"{parse(place.root).url}/")


def recognise(url: str, ctx: Context) -> Ref | None:
    """The record that a landing page is of, if an InvenioRDM repository answers there."""
    place = _place(url)
    if place is None:
        return None
    if urlsplit(url).hostname not in HOSTS:
        try:
            record = _record(place, ctx)
        except SourceUnavailable:
            raise
        except (SourceError, ResolveError):
            return None
        if "/records/" not in str(_table(record, "links").get("self")):
            return None
    return Ref(f"invenio:{place.page}" + (f"/files/{quote(place.key)}" if place.key else ""))


def _place(url: str) -> _Place | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    match = _RECORD.fullmatch(unquote(parts.path).rstrip("/"))
    if parts.scheme not in ("http", "https") or not parts.netloc or not match:
        return None
    rest = match["rest"] or ""
    key = rest.removeprefix("files/").removesuffix("/content") if rest.startswith("files/") else ""
    return _Place(f"{parts.scheme}://{parts.netloc}{match['site']}", match["id"], key)


def _pinned(pin: Pin) -> _Place:
    place = _place(pin.ref.url.removeprefix("invenio:"))
    if place is None:
        raise SourceError(f"{redact(pin.ref.url)} is no record of a repository: the lock was edited")
    return place


def _page_of(place: _Place, key: str) -> str:
    """Where people download a file. Zenodo sends ranges there, and not by its API."""
    return f"{place.page}/files/{quote(key, safe='/')}"


def _json(url: str, place: _Place, ctx: Context) -> dict[str, Any]:
    try:
        found = ctx.http.json(url, _ACCEPT)
    except (AccessDenied, AuthRequired) as error:
        raise type(error)(f"{error}. {_remedy(place)}") from error
    if not isinstance(found, dict):
        raise SourceError(f"{redact(url)} is not what a repository answers")
    return found


def _remedy(place: _Place) -> str:
    return f'If you may read this record, put a token for ["{redact(place.root)}/"] into credentials.toml'


def _record(place: _Place, ctx: Context) -> dict[str, Any]:
    try:
        record = _json(place.api, place, ctx)
    except NotFound as error:
        newest = _newest(place, ctx)
        if newest is None:
            raise ResolveError(f"{error}; there is no such record, or it was withdrawn") from error
        record = _json(newest.api, newest, ctx)
    if not re.fullmatch(r"[\w-]+", str(record.get("id", ""))):
        raise ResolveError(f"{redact(place.api)} answered something that is no record")
    return record


def _newest(place: _Place, ctx: Context) -> _Place | None:
    """Where the page of a concept leads: to its newest version. The API knows nothing of concepts at times."""
    try:
        found = _place(ctx.http.probe(place.page).url)
    except NotFound:
        return None
    return found if found is not None and found.root == place.root and found.id != place.id else None


def _versioned(place: _Place, record: Mapping[str, Any], wanted: str, ctx: Context) -> dict[str, Any]:
    """The version that people mean by their own word for it; else by number, else by id."""
    here = _Place(place.root, str(record["id"]))
    known = list(_versions(here, ctx))
    for words in (_own_word, _number, lambda one: str(one["id"])):
        if match := [one for one in known if words(one) == wanted]:
            if len(match) > 1:
                ids = ", ".join(str(one["id"]) for one in match)
                raise ResolveError(f"{redact(place.page)}: version {shown(wanted)} may be {ids}; name one of these")
            return match[0]
    there = ", ".join(_own_word(one) or str(one["id"]) for one in known)
    raise ResolveError(f"{redact(place.page)} has no version {shown(wanted)}; there are {shown(there)}")


def _versions(place: _Place, ctx: Context) -> Iterator[dict[str, Any]]:
    url, seen = f"{place.api}/versions?size=25", 0
    while url and seen < VERSIONS:
        page = _json(url, place, ctx)
        hits = _list(_table(page, "hits").get("hits"))
        yield from (hit for hit in hits if "id" in hit)
        seen += len(hits)
        following = _table(page, "links").get("next")
        # A page that leads elsewhere, or to nothing, ends it.
        url = str(following) if following and hits and str(following).startswith(place.root + "/") else ""


def _own_word(record: Mapping[str, Any]) -> str:
    return str(_table(record, "metadata").get("version", ""))


def _number(record: Mapping[str, Any]) -> str:
    return str(_table(record, "versions").get("index", ""))


def _check_access(place: _Place, record: Mapping[str, Any], ctx: Context) -> None:
    access = _table(record, "access")
    if access.get("files") == "restricted" and ctx.credentials.find(place.api) is None:
        until = _table(access, "embargo").get("until")
        when = f", under embargo until {shown(str(until))}" if until else ""
        raise AuthRequired(f"the files of {redact(place.page)} are restricted{when}. {_remedy(place)}")
    if _table(record, "files").get("enabled") is False:
        raise ResolveError(_no_files(place))


def _listed(place: _Place, key: str, ctx: Context) -> list[RemoteFile]:
    """The files of a record, or only that with a key."""
    entries = _list(_json(f"{place.api}/files", place, ctx).get("entries"))
    found = [_file(entry) for entry in entries if not key or entry.get("key") == key]
    if not found:
        raise ResolveError(f"{redact(place.page)} has no file {shown(key)}" if key else _no_files(place))
    return found


def _no_files(place: _Place) -> str:
    return f"{redact(place.page)} has no files, only a description"


def _citation(record: Mapping[str, Any]) -> Citation:
    """From either shape: InvenioRDM's own, or the older one that Zenodo still sends."""
    metadata = _table(record, "metadata")
    names = []
    for creator in _list(metadata.get("creators")):
        names.append(str(_table(creator, "person_or_org").get("name") or creator.get("name") or ""))
    rights = [str(right.get("id") or _table(right, "title").get("en") or "") for right in _list(metadata.get("rights"))]
    doi = _table(_table(record, "pids"), "doi").get("identifier") or record.get("doi") or ""
    licence = ", ".join(filter(None, rights)) or str(_table(metadata, "license").get("id", ""))
    return Citation(str(metadata.get("title", "")), tuple(filter(None, names)), str(doi).lower(), licence)


def _file(entry: Mapping[str, Any]) -> RemoteFile:
    key, size = entry.get("key"), entry.get("size")
    if not isinstance(key, str) or type(size) is not int or size < 0:
        raise SourceError(f"a file is listed without a name or size: {shown(str(key))}")
    checksum = str(entry.get("checksum", "")).lower()
    algorithm, _, digest = checksum.partition(":")
    checks = (Checksum(algorithm, digest),) if re.fullmatch(r"(md5|sha256|sha512):[0-9a-f]+", checksum) else ()
    at = str(_table(entry, "links").get("content") or "")
    return RemoteFile(
        key, size, at=at if at.startswith(("http://", "https://")) else "", version=checksum, checks=checks
    )


def _sends_ranges_by_page(place: _Place, files: list[RemoteFile], ctx: Context) -> bool:
    """Whether to read where people download rather than by the API. One question for all: files of a record lie in one
    store."""
    some = next((file for file in files if file.size), None)
    if some is None or not some.at:
        return True
    try:
        facts = ctx.http.probe(_page_of(place, some.path))
    except (SourceError, NotFound):
        return False
    return facts.ranges and (facts.kind not in HTML or some.path.lower().endswith((".html", ".htm")))


def _table(of: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = of.get(name)
    return found if isinstance(found, dict) else {}


def _list(found: object) -> list[dict[str, Any]]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []

"""DANDI, the archive of neurophysiology: a dandiset's published versions never change, its draft does; an asset is a
file, or a Zarr of many."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from gotdata.context import Context
from gotdata.errors import (
    AccessDenied,
    AuthRequired,
    GotdataError,
    NotFound,
    ResolveError,
    SourceError,
    UpstreamChanged,
)
from gotdata.model import Checksum, Citation, Kind, Pin, Ref, RemoteFile
from gotdata.paths import redact, shown
from gotdata.report import Event
from gotdata.sources.api import Hosted, naming, pages, rows, table, whole, words
from gotdata.sources.base import Powers
from gotdata.sources.http_answer import Refusal, login

APIS = {
    "dandiarchive.org": "https://api.dandiarchive.org/api",
    "gui.dandiarchive.org": "https://api.dandiarchive.org/api",
    "api.dandiarchive.org": "https://api.dandiarchive.org/api",
    "sandbox.dandiarchive.org": "https://api.sandbox.dandiarchive.org/api",
    "api.sandbox.dandiarchive.org": "https://api.sandbox.dandiarchive.org/api",
    "dandi.emberarchive.org": "https://api-dandi.emberarchive.org/api",
    "api-dandi.emberarchive.org": "https://api-dandi.emberarchive.org/api",
}
"""Where the API of each site is, by the names of its hosts. Others: ``dandi:https://HOST/api/dandisets/NNNNNN``."""
NAMED = {"dandi": "dandiarchive.org", "dandi-sandbox": "sandbox.dandiarchive.org", "ember": "dandi.emberarchive.org"}
"""Sites by the names that ``dandi://NAME/…`` has for them."""
DRAFT = "draft"
ASSETS = 500
"""Assets of one page, with what is known of each."""
_ID = r"(?P<id>\d{6})"
_VERSION = r"(?P<version>0\.\d{6}\.\d{4}|draft)"
_SHORT = re.compile(rf"(?i)dandi:{_ID}(?:[@/]{_VERSION})?/?")
_NAMED = re.compile(rf"(?i)dandi://(?P<site>[\w-]+)/{_ID}(?:@{_VERSION})?(?:/(?P<path>.*))?")
_PAGE = re.compile(rf"(?:/dandisets?/|/DANDI:){_ID}(?:/(?:versions/)?{_VERSION})?(?:/(?!.*assets/).*)?", re.I)
_ETAG = re.compile(r"([0-9a-f]{32})-\d{1,5}")


@dataclass(frozen=True, slots=True)
class _Place:
    """A dandiset, in one version or none, and maybe a part of it. ``api`` has no slash at its end."""

    api: str
    id: str
    version: str = ""
    path: str = ""

    @property
    def root(self) -> str:
        """Of the dandiset."""
        return f"{self.api}/dandisets/{self.id}/"

    @property
    def url(self) -> str:
        """Of the version."""
        return f"{self.root}versions/{self.version}/" if self.version else self.root

    @property
    def ref(self) -> Ref:
        return Ref(f"dandi:{self.url}" + (f"?location={quote(self.path)}" if self.path else ""))


class Dandi(Hosted):
    """Pins name a version; of a draft, also the time at which it was last changed. An asset keeps its bytes under its
    id, also when a draft holds another in its place."""

    name = "dandi"
    schemes = ("dandi",)
    powers = Powers(versions=True)

    def claims(self, ref: Ref) -> bool:
        return ref.url.lower().startswith("dandi:") or _place(ref.url) is not None

    def resolve(self, ref: Ref, ctx: Context) -> Pin:
        place = _place(ref.url)
        if place is None:
            raise ResolveError(f"{redact(ref.url)} names no dandiset: dandi:000027 or dandi:000027/VERSION is due")
        wanted = ref.option("version")
        if wanted and place.version not in ("", wanted):
            raise ResolveError(f"{redact(ref.url)} is version {place.version}, and {shown(wanted)} was asked for")
        dandiset = _asked(place.root, ctx)
        version, modified = _chosen(place, dandiset, wanted, ctx)
        place = _Place(place.api, place.id, version, place.path)
        pinned = {"version": version} | ({"modified": modified} if version == DRAFT else {})
        if place.path and next(self._assets(place, ctx), None) is None:
            raise ResolveError(f"DANDI: {redact(place.url)} has nothing at {shown(place.path)}")
        return Pin(self.name, place.ref, place.url, pinned, _citation(_asked(place.url, ctx)))

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        place = _pinned(pin)
        if place.version == DRAFT:
            now = _modified(table(_asked(place.root, ctx), "draft_version"))
            if now != pin.version.get("modified"):
                raise UpstreamChanged(
                    f"{redact(place.url)} was changed at {shown(now)}; pinned was "
                    f"{shown(pin.version.get('modified', ''))}; `gotdata lock --update` takes it up"
                )
        for path, asset in self._assets(place, ctx):
            if zarr := words(asset, "zarr"):
                yield from _zarr(place, path, zarr, ctx)
            else:
                yield _file(place, path or posixpath.basename(place.path), asset)

    def homes(self, pin: Pin) -> tuple[str, ...]:
        return (f"{_pinned(pin).api}/",)

    def explain(self, refusal: Refusal) -> GotdataError | None:
        return _explain(refusal)

    def _assets(self, place: _Place, ctx: Context) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The assets at or below the place's path, each with its path below that."""
        query = {"metadata": "true", "order": "path", "page_size": str(ASSETS)}
        if place.path:
            query["path"] = place.path
        first = f"{place.url}assets/?{urlencode(query)}"
        with naming("DANDI"):
            for page in pages(first, partial(_asked, ctx=ctx), _following, f"{place.api}/"):
                for asset in rows(page, "results"):
                    path = words(asset, "path")
                    if place.path in ("", path):
                        yield path if not place.path else "", asset
                    elif path.startswith(f"{place.path}/"):
                        yield path.removeprefix(f"{place.path}/"), asset


def recognise(url: str, ctx: Context) -> Ref | None:
    """The dandiset that a page of a known site is about."""
    place = _place(url) if url.lower().startswith("http") else None
    return place.ref if place else None


def _place(url: str) -> _Place | None:
    if match := _SHORT.fullmatch(url):
        return _Place(APIS["dandiarchive.org"], match["id"], (match["version"] or "").lower())
    if match := _NAMED.fullmatch(url):
        site = NAMED.get(match["site"].lower(), match["site"].lower())
        path = unquote(match["path"] or "").strip("/")
        return _Place(APIS[site], match["id"], (match["version"] or "").lower(), path) if site in APIS else None
    explicit, url = url.lower().startswith("dandi:"), re.sub("(?i)^dandi:", "", url)
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    host = (parts.hostname or "").removeprefix("www.")
    if parts.scheme.lower() not in ("http", "https") or "@" in parts.netloc or not host:
        return None
    if host == "identifiers.org":
        host = "dandiarchive.org"
    elif host not in APIS and not explicit:
        return None
    # Its pages were at #/dandiset/… once.
    inner = urlsplit(parts.fragment) if parts.fragment.startswith("/") else parts
    match = _PAGE.fullmatch(inner.path) or _PAGE.fullmatch(inner.path.removeprefix("/api"))
    api = APIS.get(host)
    if api is None and (above := re.match(r"(.*?/api)/dandisets/", parts.path)):
        api = f"{parts.scheme.lower()}://{parts.netloc.lower()}{above[1]}"
        match = _PAGE.fullmatch(parts.path.removeprefix(above[1]))
    if not match or not api:
        return None
    path = parse_qs(inner.query).get("location", [""])[0].strip("/")
    return _Place(api, match["id"], (match["version"] or "").lower(), path)


def _pinned(pin: Pin) -> _Place:
    place = _place(pin.ref.url)
    if place is None or not place.version:
        raise SourceError(f"{redact(pin.ref.url)} is no version of a dandiset: the lock was edited")
    return place


def _asked(url: str, ctx: Context) -> Mapping[str, Any]:
    try:
        with naming("DANDI"):
            found = ctx.http.json(url, explain=_explain)
    except NotFound as error:
        raise ResolveError(f"{error}; there is no such dandiset or version") from error
    if not table(found):
        raise SourceError(f"DANDI: {redact(url)} answered something that is no object")
    return table(found)


def _chosen(place: _Place, dandiset: Mapping[str, Any], wanted: str, ctx: Context) -> tuple[str, str]:
    """The version that is meant, and of a draft when it was changed."""
    if words(dandiset, "identifier") != place.id:
        raise SourceError(f"DANDI: {redact(place.root)} answered something that is not this dandiset")
    published, draft = table(dandiset, "most_recent_published_version"), table(dandiset, "draft_version")
    version = wanted or place.version or words(published, "version") or DRAFT
    if not re.fullmatch(_VERSION, version):
        raise ResolveError(f"DANDI: {redact(place.root)} has no version {shown(version)}; one is like 0.210831.2033")
    if version != DRAFT:
        return version, ""
    text = f"{redact(place.root)}: its draft is taken, which its authors still change"
    ctx.reporter(Event("warning", text=text if published else f"{text}; none is published yet"))
    return DRAFT, _modified(draft)


def _modified(draft: Mapping[str, Any]) -> str:
    return words(draft, "modified")


def _following(page: Mapping[str, Any]) -> tuple[int, str]:
    return len(rows(page, "results")), words(page, "next")


def _file(place: _Place, path: str, asset: Mapping[str, Any]) -> RemoteFile:
    id, size = words(asset, "asset_id"), whole(asset, "size")
    if not re.fullmatch(r"[0-9a-fA-F-]{36}", id) or size is None:
        raise SourceError(f"DANDI: {redact(place.url)}: '{shown(path)}' is listed without an id or a size")
    digest = table(table(asset, "metadata"), "digest")
    checks = []
    if re.fullmatch("[0-9a-f]{64}", sha256 := words(digest, "dandi:sha2-256")):
        checks.append(Checksum("sha256", sha256))
    if match := _ETAG.fullmatch(words(digest, "dandi:dandi-etag")):
        checks.append(Checksum("dandi-etag", match[1]))
    return RemoteFile(path, size, at=f"{place.api}/assets/{id}/download/", version=f"id:{id}", checks=tuple(checks))


def _zarr(place: _Place, path: str, id: str, ctx: Context) -> Iterator[RemoteFile]:
    """The files of a Zarr, below the path of its asset. They may change while a draft has it: each is bound to its
    ETag, which is its md5."""
    if not re.fullmatch(r"[0-9a-fA-F-]{36}", id):
        raise SourceError(f"DANDI: {redact(place.url)}: the Zarr '{shown(path)}' is listed without an id")
    home, empty = f"{place.api}/zarr/{id}/files/", True
    for page in pages(f"{home}?limit=1000", partial(_asked, ctx=ctx), _following, f"{place.api}/"):
        for entry in rows(page, "results"):
            key, size, etag = words(entry, "Key"), whole(entry, "Size"), words(entry, "ETag").strip('"')
            if not key or size is None:
                raise SourceError(f"DANDI: {redact(home)} lists a file without a name or a size")
            empty = False
            checks = (Checksum("md5", etag),) if re.fullmatch("[0-9a-f]{32}", etag) else ()
            at = f"{home}?{urlencode({'prefix': key, 'download': 'true'})}"
            version = f'etag:"{etag}"' if etag else ""
            yield RemoteFile(posixpath.join(path, key), size, at=at, version=version, checks=checks)
    if empty and path:
        yield RemoteFile(path, 0, Kind.DIR)


def _explain(refusal: Refusal) -> GotdataError | None:
    if refusal.status not in (401, 403) or "/api/" not in refusal.url:
        return None
    if refusal.credential:
        return AccessDenied(f"DANDI: {redact(refusal.url)} is under embargo, and your token does not open it")
    return AuthRequired(
        f"DANDI: {redact(refusal.url)} is under embargo, or closed: {login(refusal.url, 'dandi')} stores an API key"
    )


def _citation(metadata: Mapping[str, Any]) -> Citation:
    names = tuple(words(one, "name") for one in rows(metadata, "contributor") if one.get("includeInCitation"))
    found = metadata.get("license")
    licences = [str(one).removeprefix("spdx:") for one in found] if isinstance(found, list) else []
    return Citation(words(metadata, "name"), names, words(metadata, "doi").lower(), ", ".join(licences))

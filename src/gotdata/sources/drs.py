"""GA4GH DRS 1.x: objects and bundles of genomics repositories, read where their access methods say.

https://ga4gh.github.io/data-repository-service-schemas/"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from gotdata.context import Context
from gotdata.credentials import parse
from gotdata.errors import GotdataError, NotFound, ResolveError, SourceError, SourceUnavailable, UpstreamChanged
from gotdata.model import Citation, Kind, Pin, Ref, RemoteFile, Span
from gotdata.paths import redact, shown
from gotdata.sources.api import Hosted, naming, rows, table, whole, words
from gotdata.sources.base import Powers
from gotdata.sources.drs_access import asked_for, checks, way
from gotdata.sources.http import ahead
from gotdata.sources.http_answer import Refusal
from gotdata.sources.http_page import parsed

RESOLVER = "https://resolver.api.identifiers.org"
DEPTH = 32
"""Bundles within bundles."""
_OBJECT = re.compile(
    r"(?P<base>(?P<site>(?i:https?)://[^/?#@\[\]]+)(?P<api>(?:/[^?#]*)?/ga4gh/drs/v1))/objects/(?P<id>[^/?#]+)/?"
)
_GUID = re.compile(r"(?i)dg\.\w+")
"""A prefix of Data GUIDs, which some repositories write where a host's name is due."""
_COMPACT = re.compile(r"(?:(?P<provider>[a-z0-9._]+)/)?(?P<namespace>[a-z0-9._]+):(?P<accession>.+)", re.I)


@dataclass(frozen=True, slots=True)
class _Place:
    """An object of a server. ``base`` ends in ``/ga4gh/drs/v1``; ``id`` is decoded."""

    base: str
    id: str

    @property
    def url(self) -> str:
        return f"{self.base}/objects/{quote(self.id, safe='')}"

    @property
    def host(self) -> str:
        return urlsplit(self.base).netloc


class Drs(Hosted):
    """A DRS id means the same bytes for ever, so it is the pin; of a bundle the checksum over its contents is kept too.
    The option ``resolver`` names another server of identifiers.org's API."""

    name = "drs"
    schemes = ("drs",)
    powers = Powers(versions=True)

    def claims(self, ref: Ref) -> bool:
        return ref.url.lower().startswith("drs:") or _OBJECT.fullmatch(ref.url) is not None

    def resolve(self, ref: Ref, ctx: Context) -> Pin | Ref:
        with naming("DRS"):
            place = _place(ref.url)
            if place is None:
                return _compact(ref, ctx)
            if version := ref.option("version"):
                raise ResolveError(f"{redact(ref.url)}: DRS knows no versions, so {shown(version)} can't be asked for")
            try:
                found = _object(place, ctx)
            except NotFound as error:
                raise ResolveError(f"{error}; the server has no such object") from error
            said = {"object": place.id} | ({"checksum": _sum(found)} if _sum(found) else {})
            citation = Citation(words(found, "name") or words(found, "description"))
            return Pin(
                self.name, Ref(f"drs:{place.url}"), f"drs://{place.host}/{quote(place.id, safe='')}", said, citation
            )

    def homes(self, pin: Pin) -> tuple[str, ...]:
        return (f"{_pinned(pin).base}/objects/",)

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        place = _pinned(pin)
        with naming("DRS"):
            found = _object(place, ctx)
            if _sum(found) != pin.version.get("checksum", ""):
                raise UpstreamChanged(f"{redact(place.url)} has another checksum now, against the rules of DRS")
            if _is_bundle(found):
                yield from _children("", place, found, (place.id,), ctx)
            else:
                yield _file(_called(found, place), place, found)

    def read(self, pin: Pin, file: RemoteFile, span: Span, ctx: Context) -> io.RawIOBase:
        """The signed URL, and the headers that go with it, are asked for each time, and never kept."""
        home = self.url(pin, file)
        with naming("DRS"):
            url, headers = asked_for(table(ctx.http.json(home, explain=_staged)), home)
            # What it names on other hosts gets no credential of ours.
            return ctx.http.get(url, span, size=file.size, headers=headers, home=home)


def _place(url: str) -> _Place | None:
    """The object that a reference names; None where it is a compact identifier, which another server must resolve.

    Raises:
        ResolveError: it is neither.
    """
    text = re.sub(r"(?i)^drs:(?=https?://)", "", url)
    if match := _OBJECT.fullmatch(text):
        return _Place(f"{match['site'].lower()}{match['api']}", unquote(match["id"]))
    body = re.sub(r"(?i)^drs://", "", text)
    if body == text or not body:
        raise ResolveError(f"{redact(url)} names no object: drs://HOST/ID is due")
    host, _, id = body.partition("/")
    if ":" in body or _GUID.fullmatch(host):  # no host of a DRS URI has a port
        return None
    if not re.fullmatch(r"[\w.-]+", host) or not id:
        raise ResolveError(f"{redact(url)} names no object: drs://HOST/ID is due")
    return _Place(f"https://{host.lower()}/ga4gh/drs/v1", unquote(id))


def _pinned(pin: Pin) -> _Place:
    match = _OBJECT.fullmatch(pin.ref.url.removeprefix("drs:"))
    if match is None:
        raise SourceError(f"{redact(pin.ref.url)} is no object of a DRS server: the lock was edited")
    return _Place(match["base"], unquote(match["id"]))


def _compact(ref: Ref, ctx: Context) -> Ref:
    """Where identifiers.org sends a compact identifier (``drs://dg.4503:…``), redirects followed."""
    compact = re.sub(r"(?i)^drs://", "", ref.url)
    compact = re.sub(r"(?i)^(dg\.\w+)/", r"\1:", compact)
    if not _COMPACT.fullmatch(compact):
        raise ResolveError(f"{redact(ref.url)} is no DRS URI: drs://HOST/ID or drs://PREFIX:ACCESSION is due")
    resolver = ref.option("resolver", RESOLVER).rstrip("/")
    try:
        answer = table(ctx.http.json(f"{resolver}/{quote(compact, safe=':/')}"), "payload")
    except NotFound as error:
        raise ResolveError(f"{error}; no such prefix is registered") from error
    known = [one for one in rows(answer, "resolvedResources") if words(one, "compactIdentifierResolvedUrl")]
    known.sort(key=lambda one: one.get("official") is not True)
    for one in known:
        url = words(one, "compactIdentifierResolvedUrl")
        if _web_address(url):
            return Ref(f"drs:{_leads_to(url, ctx).url}", tuple(o for o in ref.options if o[0] != "resolver"))
    raise ResolveError(f"{redact(ref.url)}: identifiers.org knows no server of that prefix")


def _web_address(url: str) -> bool:
    return parse(url).scheme in ("http", "https")


def _leads_to(url: str, ctx: Context) -> _Place:
    """The object behind a resolver's URL: by the address where it ends, else by what the object says of itself."""
    if match := _OBJECT.fullmatch(url):
        return _Place(match["base"], unquote(match["id"]))
    page = ctx.http.text(url, {"Accept": "application/json"})
    if match := _OBJECT.fullmatch(page.url):
        return _Place(match["base"], unquote(match["id"]))
    place = _place(words(parsed(page), "self_uri"))
    if place is None:
        raise SourceError(f"{redact(url)} leads to no object of a DRS server")
    return place


def _object(place: _Place, ctx: Context) -> Mapping[str, Any]:
    found = ctx.http.json(f"{place.url}?expand=true", explain=_staged)
    if not words(found, "id"):
        raise SourceError(f"{redact(place.url)} is not what a DRS server answers")
    return table(found)


def _staged(refusal: Refusal) -> GotdataError | None:
    """An object that is being brought from tape is 202, with a time to wait."""
    if refusal.status != 202:
        return None
    text = refusal.headers.get("Retry-After", "").strip()
    wait = float(text) if re.fullmatch(r"\d{1,6}", text) else None
    return SourceUnavailable(f"{redact(refusal.url)} is being staged; try again later", wait)


def _is_bundle(found: Mapping[str, Any]) -> bool:
    """Some servers send an empty list of contents with every object."""
    return isinstance(found.get("contents"), list) and not rows(found, "access_methods")


def _sum(found: Mapping[str, Any]) -> str:
    return ",".join(sorted(f"{words(one, 'type')}:{words(one, 'checksum')}" for one in rows(found, "checksums")))


def _called(found: Mapping[str, Any], place: _Place) -> str:
    """The name of an object that no bundle names: its own, else that at its web address, else its id's end."""
    addresses = (words(table(one, "access_url"), "url") for one in rows(found, "access_methods"))
    paths = (unquote(urlsplit(url).path) for url in addresses)
    name = words(found, "name") or next(filter(None, paths), "") or place.id
    return name.rstrip("/").rpartition("/")[2]


def _children(
    above: str, place: _Place, bundle: Mapping[str, Any], trail: tuple[str, ...], ctx: Context
) -> Iterator[RemoteFile]:
    """What is in a bundle, and in the bundles in it. Contents tell names and ids; each object is asked for the rest."""
    if len(trail) > DEPTH:
        raise SourceError(f"{redact(place.url)}: its bundles are nested deeper than {DEPTH}")
    contents = rows(bundle, "contents")
    if not contents and above:
        yield RemoteFile(above, 0, Kind.DIR)

    def ask(content: dict[str, Any]) -> tuple[str, _Place, Mapping[str, Any]]:
        path = f"{above}/{words(content, 'name')}" if above else words(content, "name")
        child = _child(content, place)
        if child.id in trail:
            raise SourceError(f"{redact(place.url)}: its bundle {shown(path)} contains itself")
        return path, child, content if rows(content, "contents") else _object(child, ctx)

    for path, child, found in ahead(contents, ask, ctx.settings.connections):
        if _is_bundle(found):
            yield from _children(path, child, found, (*trail, child.id), ctx)
        else:
            yield _file(path, child, found)


def _child(content: Mapping[str, Any], place: _Place) -> _Place:
    if id := words(content, "id"):
        return replace(place, id=id)
    uris = content.get("drs_uri")
    for uri in uris if isinstance(uris, list) else [uris]:
        if isinstance(uri, str) and uri.startswith(f"drs://{place.host}/"):
            return replace(place, id=unquote(uri.removeprefix(f"drs://{place.host}/")))
    raise SourceError(
        f"{redact(place.url)}: {shown(words(content, 'name'))} lies at another server: name {redact(str(uris))} itself"
    )


def _file(path: str, place: _Place, found: Mapping[str, Any]) -> RemoteFile:
    size = whole(found, "size")
    if size is None:
        raise SourceError(f"{redact(place.url)} has no size")
    # An id of an access is no secret; what it is exchanged for is.
    access = way(found)
    at = f"{place.url}/access/{quote(access, safe='')}" if access else place.url
    return RemoteFile(path, size, at=at, version=f"id:{place.id}", checks=checks(found))

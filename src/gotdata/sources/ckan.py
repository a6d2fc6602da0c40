"""CKAN, the software of open data portals: a dataset is a list of resources, which are files that the portal keeps or
links to elsewhere."""

from __future__ import annotations

import io
import json
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from gotdata.context import Context
from gotdata.errors import (
    AccessDenied,
    AuthRequired,
    GotdataError,
    NotFound,
    ResolveError,
    SourceError,
    SourceUnavailable,
    UpstreamChanged,
)
from gotdata.model import Citation, Pin, Ref, RemoteFile, Span
from gotdata.paths import redact, shown
from gotdata.report import Event
from gotdata.sources import elsewhere
from gotdata.sources.api import Hosted, below, naming, rows, table, words
from gotdata.sources.base import Powers
from gotdata.sources.http import ahead, settle
from gotdata.sources.http_answer import Refusal

HOSTS = frozenset(
    {
        "catalog.data.gov",
        "catalogue.data.govt.nz",
        "ckan.publishing.service.gov.uk",
        "data.gov.au",
        "data.gov.ie",
        "data.humdata.org",
        "data.nhm.ac.uk",
        "data.stadt-zuerich.ch",
        "demo.ckan.org",
        "energydata.info",
        "open.canada.ca",
    }
)
"""Portals known by their names. Others are asked what they are, or named ``ckan:https://host/dataset/NAME``."""
_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_PAGE = re.compile(
    r"(?P<root>.*?)/dataset/(?:(?:activity|groups|followers|edit)/)?(?P<dataset>[^/]+)"
    r"(?:/resource/(?P<resource>[\w-]+))?(?:/.*)?"
)
_ACTION = re.compile(r"(?P<root>.*?)/api/(?:\d/)?action/(?P<action>package_show|dataset_show|resource_show)/?")
_OURS = re.compile(rf"/dataset/[^/]+/resource/{_UUID}(?:/view/.*)?")
_ACTIVITY = "activity_id"
_SOME = 5
"""Resources that a message names of those that it speaks of."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A dataset of a portal, or one resource of it. ``root`` is the portal's address, without a slash at its end. A
    resource may be named without its dataset."""

    root: str
    dataset: str
    resource: str = ""

    @property
    def page(self) -> str:
        page = f"{self.root}/dataset/{quote(self.dataset, safe='')}"
        return f"{page}/resource/{self.resource}" if self.resource else page


class Ckan(Hosted):
    """Pins name a dataset's id and the time at which it was last changed. CKAN keeps no older bytes."""

    name = "ckan"
    schemes = ("ckan",)
    powers = Powers()

    def claims(self, ref: Ref) -> bool:
        if ref.url.lower().startswith("ckan:"):
            return True
        place = _place(ref.url)
        if place is None:
            return False
        path = urlsplit(ref.url).path
        return (
            _is_known(ref.url) or bool(_ACTION.fullmatch(path)) or bool(_OURS.search(path) and "/download" not in path)
        )

    def resolve(self, ref: Ref, ctx: Context) -> Pin:
        url = re.sub("(?i)^ckan:", "", ref.url)
        place = _place(url)
        if place is None:
            raise ResolveError(f"{redact(ref.url)} names no dataset: ckan:https://PORTAL/dataset/NAME is due")
        if _ACTIVITY in parse_qs(urlsplit(url).query):
            raise ResolveError(
                f"{redact(url)} is a dataset as it once was: CKAN keeps its words and not its files; "
                f"leave {_ACTIVITY} out to take it as it is"
            )
        if not place.dataset:
            found = _action(place, "resource_show", place.resource, ctx)
            place = _Place(place.root, words(found, "package_id"), place.resource)
        package = _package(place, ctx)
        place = _Place(place.root, words(package, "id"), place.resource)
        modified = _modified(place, package)
        wanted = ref.option("version")
        if wanted and wanted not in (modified, words(package, "version")):
            raise ResolveError(
                f"{redact(place.page)} is of {shown(modified)}, and CKAN keeps no older version: "
                f"{shown(wanted)} can't be had"
            )
        version = {"dataset": place.dataset, "modified": modified}
        version |= {"resource": place.resource} if place.resource else {}
        return Pin(self.name, Ref(f"ckan:{place.page}"), place.page, version, _citation(package))

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        place = _pinned(pin)
        package = _package(place, ctx)
        if (modified := _modified(place, package)) != pin.version.get("modified"):
            raise UpstreamChanged(
                f"{redact(place.page)} was changed at {shown(modified)}; pinned was "
                f"{shown(pin.version.get('modified', ''))}; `gotdata lock --update` takes it up"
            )
        found = list(_resources(place, package))
        paths = _paths(found)

        def ask(one: tuple[str, Mapping[str, Any]]) -> RemoteFile | _LeftOut:
            return _file(place, *one, ctx)

        left_out: list[str] = []
        for file in ahead(zip(paths, found, strict=True), ask, ctx.settings.connections):
            if isinstance(file, RemoteFile):
                yield file
                continue
            if place.resource:
                raise ResolveError(f"{redact(place.page)}: {file.why}")
            left_out.append(file.why)
            ctx.reporter(Event("warning", text=f"{redact(place.page)}: left out: {file.why}"))
        if len(left_out) == len(found):
            some = "; ".join(left_out[:_SOME]) + ("; …" if len(left_out) > _SOME else "")
            raise ResolveError(f"{redact(place.page)} has no file: {some or 'CKAN lists no resources there'}")

    def homes(self, pin: Pin) -> tuple[str, ...]:
        return (f"{_pinned(pin).root}/",)

    def explain(self, refusal: Refusal) -> GotdataError | None:
        return _explain(refusal)

    def read(self, pin: Pin, file: RemoteFile, span: Span, ctx: Context) -> io.RawIOBase:
        [home] = self.homes(pin)
        if _is_below(file.at, home):
            return super().read(pin, file, span, ctx)
        return elsewhere.read(file, span, home, ctx)

    def url(self, pin: Pin, file: RemoteFile) -> str:
        # What the portal links to may be anywhere: it is read as nobody, whatever a lock makes of its locator.
        [home] = self.homes(pin)
        return file.at if _is_below(file.at, home) else elsewhere.url(file)


@dataclass(frozen=True, slots=True)
class _LeftOut:
    """A resource that is no file, and why."""

    why: str


def _is_below(at: str, home: str) -> bool:
    return not at.startswith("{") and below(at, home)


def recognise(url: str, ctx: Context) -> Ref | None:
    """The dataset or resource that a page is about, if a CKAN portal answers there."""
    place = _place(url)
    if place is None:
        return None
    if not _is_known(url):
        try:
            said = ctx.http.json(f"{place.root}/api/3/action/status_show")
        except SourceUnavailable:
            raise
        except (SourceError, NotFound):
            return None
        if not words(table(said, "result"), "ckan_version"):
            return None
    return Ref(f"ckan:{place.page}")


def _is_known(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host.removeprefix("www.") in HOSTS


def _place(url: str) -> _Place | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        return None
    site = f"{parts.scheme.lower()}://{parts.netloc.lower()}"
    if match := _PAGE.fullmatch(parts.path.rstrip("/")):
        return _Place(site + match["root"], unquote(match["dataset"]), match["resource"] or "")
    match = _ACTION.fullmatch(parts.path)
    id = parse_qs(parts.query).get("id", [""])[0]
    if not match or not id:
        return None
    return _Place(site + match["root"], *(("", id) if match["action"] == "resource_show" else (id,)))


def _pinned(pin: Pin) -> _Place:
    place = _place(pin.ref.url.removeprefix("ckan:"))
    if place is None or not place.dataset:
        raise SourceError(f"{redact(pin.ref.url)} is no dataset of a portal: the lock was edited")
    return place


def _action(place: _Place, action: str, id: str, ctx: Context) -> Mapping[str, Any]:
    """What the API says of a dataset or resource."""
    url = f"{place.root}/api/3/action/{action}?id={quote(id, safe='')}"
    try:
        with naming("CKAN"):
            answer = ctx.http.json(url, explain=_explain)
            found = table(answer, "result")
            # The status may be 200 for a failure.
            if table(answer).get("success") is not True or not found:
                raise _told(table(answer, "error"), url, ctx.credentials.find(url) is not None) or SourceError(
                    f"{redact(url)} is not what CKAN answers"
                )
    except NotFound as error:
        raise ResolveError(f"{error}; there is no such dataset, it is private, or this is no CKAN portal") from error
    return found


def _package(place: _Place, ctx: Context) -> Mapping[str, Any]:
    package = _action(place, "package_show", place.dataset, ctx)
    if not re.fullmatch(r"[\w-]+", words(package, "id")):
        raise SourceError(f"CKAN: {redact(place.page)} is answered with something that is no dataset")
    if (state := words(package, "state")) not in ("active", ""):
        raise ResolveError(f"CKAN: {redact(place.page)} is {shown(state)}: only published datasets are read")
    return package


def _resources(place: _Place, package: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for resource in rows(package, "resources"):
        if words(resource, "state") in ("active", "") and place.resource in ("", words(resource, "id")):
            yield resource


def _modified(place: _Place, package: Mapping[str, Any]) -> str:
    """When what a pin means was last changed, as the portal writes it (UTC)."""
    if not place.resource:
        return words(package, "metadata_modified")
    for resource in _resources(place, package):
        times = ("last_modified", "metadata_modified", "created")
        return next(filter(None, (words(resource, name) for name in times)), "") or words(package, "metadata_modified")
    raise ResolveError(f"CKAN: {redact(place.root)} has no resource {shown(place.resource)} in {shown(place.dataset)}")


def _paths(resources: list[Mapping[str, Any]]) -> list[str]:
    """Where each resource appears. Those that share a name have the beginning of their id in it: the order in which a
    portal lists them may change."""
    names = [_name(resource) for resource in resources]
    shared = Counter(names)
    paths = []
    for name, resource in zip(names, resources, strict=True):
        stem, ending = posixpath.splitext(name)
        paths.append(f"{stem}-{words(resource, 'id')[:8]}{ending}" if shared[name] > 1 else name)
    return paths


def _name(resource: Mapping[str, Any]) -> str:
    """The file name in its address, or as it was before the portal simplified it, where people left it as the title.
    Where the address says nothing: the title, with the format as its ending."""
    last = unquote(_last(words(resource, "url")), errors="surrogateescape")
    called = words(resource, "name").strip().replace("/", "_") or words(resource, "id")
    if words(resource, "url_type") == "upload" and _letters(last):
        return called if _letters(called) == _letters(last) else last
    if _letters(last) and "." in last:
        return last
    ending = words(resource, "format").lower().strip(" .")
    if not re.fullmatch(r"[a-z0-9]{1,8}", ending) or called.lower().endswith(f".{ending}"):
        return called
    return f"{called}.{ending}"


def _letters(name: str) -> str:
    """What CKAN leaves of a file name, in both spellings."""
    plain = unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]", "", plain)


def _last(url: str) -> str:
    """The last component of a URL's path, as it is written."""
    try:
        return urlsplit(url).path.rpartition("/")[2]
    except ValueError:
        return ""


def _file(place: _Place, path: str, resource: Mapping[str, Any], ctx: Context) -> RemoteFile | _LeftOut:
    home, uploaded = f"{place.root}/", words(resource, "url_type") == "upload"
    try:
        url = _address(place, resource)
        if not below(url, home):
            return elsewhere.file(elsewhere.Link(url, path), home, ctx)
        if "/datastore/dump/" in url:
            text = f"{redact(url)} is written anew at each download: its bytes may change though the data does not"
            ctx.reporter(Event("warning", text=text))
        file = settle(url, path, ctx.http.probe(url, explain=_explain), ctx)
    except SourceUnavailable:
        raise
    except (SourceError, NotFound) as error:
        if uploaded and not isinstance(error, NotFound):
            raise
        return _LeftOut(f"'{shown(words(resource, 'name') or words(resource, 'id'))}': {error}")
    return RemoteFile(path, file.size, at=url, version=file.version, checks=file.checks)


def _address(place: _Place, resource: Mapping[str, Any]) -> str:
    url = words(resource, "url")
    if words(resource, "url_type") == "upload" and not below(url, f"{place.root}/"):
        # The portal knows itself by another name than people do.
        return f"{place.root}/dataset/{place.dataset}/resource/{words(resource, 'id')}/download/{_last(url)}"
    return url


def _explain(refusal: Refusal) -> GotdataError | None:
    try:
        answer = json.loads(refusal.text)
    except ValueError:
        return None
    return _told(table(answer, "error"), refusal.url, refusal.credential)


def _told(error: Mapping[str, Any], url: str, credential: bool) -> GotdataError | None:
    """What an error of the API means (https://docs.ckan.org/en/2.11/api/)."""
    kind, text = words(error, "__type"), shown(words(error, "message"))
    if kind == "Not Found Error":
        return NotFound(f"CKAN: {redact(url)}: {text or 'not found'}")
    if kind != "Authorization Error":
        return SourceError(f"CKAN: {redact(url)}: {shown(kind)}: {text}") if kind else None
    root = url.partition("/api/")[0]
    remedy = f"`gotdata login {redact(root)}/` stores an API token; CKAN wants it in the header Authorization, without "
    if credential:
        return AccessDenied(f"CKAN: {redact(url)}: your token does not give access: {text}; {remedy}the word Bearer")
    return AuthRequired(f"CKAN: {redact(url)}: {text or 'not authorized'}; if you may read it, {remedy}the word Bearer")


def _citation(package: Mapping[str, Any]) -> Citation:
    extras = {words(extra, "key").lower(): words(extra, "value") for extra in rows(package, "extras")}
    doi = re.sub(r"(?i)^(https?://(dx\.)?doi\.org/|doi:)", "", words(package, "doi") or extras.get("doi", "")).lower()
    creators = [name.strip() for name in words(package, "author").split(";")]
    return Citation(
        words(package, "title") or words(package, "name"),
        tuple(filter(None, creators)),
        doi if doi.startswith("10.") else "",
        words(package, "license_id") or words(package, "license_title"),
    )

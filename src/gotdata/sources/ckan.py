"""CKAN, the software of open data portals: a dataset is a list of resources, which are files that the portal keeps or
links to elsewhere."""

from __future__ import annotations

import io
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from gotdata.context import Context
from gotdata.errors import GotdataError, NotFound, ResolveError, SourceError, SourceUnavailable, UpstreamChanged
from gotdata.model import Pin, Ref, RemoteFile, Span
from gotdata.paths import redact, shown
from gotdata.report import Event
from gotdata.sources import elsewhere
from gotdata.sources.api import Hosted, below, rows, table, words
from gotdata.sources.base import Powers
from gotdata.sources.ckan_api import Place, ask, citation_of, explain, is_claimed, is_known, package_of, place_of
from gotdata.sources.http import ahead, settle
from gotdata.sources.http_answer import Refusal

_ACTIVITY = "activity_id"
_SOME = 5
"""Resources that a message names of those that it speaks of."""


class Ckan(Hosted):
    """Pins name a dataset's id and the time at which it was last changed. CKAN keeps no older bytes."""

    name = "ckan"
    schemes = ("ckan",)
    powers = Powers()

    def claims(self, ref: Ref) -> bool:
        return ref.url.lower().startswith("ckan:") or is_claimed(ref.url)

    def resolve(self, ref: Ref, ctx: Context) -> Pin:
        url = re.sub("(?i)^ckan:", "", ref.url)
        place = place_of(url)
        if place is None:
            raise ResolveError(f"{redact(ref.url)} names no dataset: ckan:https://PORTAL/dataset/NAME is due")
        if _ACTIVITY in parse_qs(urlsplit(url).query):
            raise ResolveError(
                f"{redact(url)} is a dataset as it once was: CKAN keeps its words and not its files; "
                f"leave {_ACTIVITY} out to take it as it is"
            )
        if not place.dataset:
            found = ask(place, "resource_show", place.resource, ctx)
            place = Place(place.root, words(found, "package_id"), place.resource)
        package = package_of(place, ctx)
        place = Place(place.root, words(package, "id"), place.resource)
        modified = _modified(place, package)
        wanted = ref.option("version")
        if wanted and wanted not in (modified, words(package, "version")):
            raise ResolveError(
                f"{redact(place.page)} is of {shown(modified)}, and CKAN keeps no older version: "
                f"{shown(wanted)} can't be had"
            )
        version = {"dataset": place.dataset, "modified": modified}
        version |= {"resource": place.resource} if place.resource else {}
        return Pin(self.name, Ref(f"ckan:{place.page}"), place.page, version, citation_of(package))

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        place = _pinned(pin)
        package = package_of(place, ctx)
        if (modified := _modified(place, package)) != pin.version.get("modified"):
            raise UpstreamChanged(
                f"{redact(place.page)} was changed at {shown(modified)}; pinned was "
                f"{shown(pin.version.get('modified', ''))}; `gotdata lock --update` takes it up"
            )
        found = list(_resources(place, package))
        paths = _paths(found)

        left_out: list[str] = []
        for file in ahead(
            zip(paths, found, strict=True), lambda one: _file(place, *one, ctx), ctx.settings.connections
        ):
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
        return explain(refusal)

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
    place = place_of(url)
    if place is None:
        return None
    if not is_known(url):
        try:
            said = ctx.http.json(f"{place.root}/api/3/action/status_show")
        except SourceUnavailable:
            raise
        except (SourceError, NotFound):
            return None
        if not words(table(said, "result"), "ckan_version"):
            return None
    return Ref(f"ckan:{place.page}")


def _pinned(pin: Pin) -> Place:
    place = place_of(pin.ref.url.removeprefix("ckan:"))
    if place is None or not place.dataset:
        raise SourceError(f"{redact(pin.ref.url)} is no dataset of a portal: the lock was edited")
    return place


def _resources(place: Place, package: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for resource in rows(package, "resources"):
        if words(resource, "state") in ("active", "") and place.resource in ("", words(resource, "id")):
            yield resource


def _modified(place: Place, package: Mapping[str, Any]) -> str:
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
    return re.sub(r"[^a-z0-9.]", "", plain).strip(".")


def _last(url: str) -> str:
    """The last component of a URL's path, as it is written."""
    try:
        return urlsplit(url).path.rpartition("/")[2]
    except ValueError:
        return ""


def _file(place: Place, path: str, resource: Mapping[str, Any], ctx: Context) -> RemoteFile | _LeftOut:
    home, uploaded = f"{place.root}/", words(resource, "url_type") == "upload"
    try:
        url = _address(place, resource)
        if not below(url, home):
            return elsewhere.file(elsewhere.Link(url, path), home, ctx)
        if "/datastore/dump/" in url:
            text = f"{redact(url)} is written anew at each download: its bytes may change though the data does not"
            ctx.reporter(Event("warning", text=text))
        file = settle(url, path, ctx.http.probe(url, explain=explain), ctx)
    except SourceUnavailable:
        raise
    except (SourceError, NotFound) as error:
        if uploaded and not isinstance(error, NotFound):
            raise
        return _LeftOut(f"'{shown(words(resource, 'name') or words(resource, 'id'))}': {error}")
    return RemoteFile(path, file.size, at=url, version=file.version, checks=file.checks)


def _address(place: Place, resource: Mapping[str, Any]) -> str:
    url = words(resource, "url")
    if words(resource, "url_type") == "upload" and not below(url, f"{place.root}/"):
        # The portal knows itself by another name than people do.
        return f"{place.root}/dataset/{place.dataset}/resource/{words(resource, 'id')}/download/{_last(url)}"
    return url

"""Zenodo and every other InvenioRDM repository: a record is a version, its files are listed with md5 sums."""

from __future__ import annotations

import io
import posixpath
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

from gotdata.context import Context
from gotdata.errors import NotFound, ResolveError, SourceError, SourceUnavailable, UpstreamChanged
from gotdata.model import Pin, Ref, RemoteFile, Span
from gotdata.paths import redact
from gotdata.sources.api import Hosted, below, naming, table, words
from gotdata.sources.base import Powers
from gotdata.sources.http_page import HTML
from gotdata.sources.invenio_record import (
    HOSTS,
    Place,
    check_access,
    citation,
    limited,
    listed,
    place_of,
    record_of,
    version_of,
)


class Invenio(Hosted):
    """Pins name the id of a record, which is that of one version; the id of all versions together (Zenodo's "concept")
    means the newest. The option ``version`` picks one by its own words, its number or its id."""

    name = "invenio"
    schemes = ("invenio",)
    powers = Powers()

    def claims(self, ref: Ref) -> bool:
        if ref.url.lower().startswith("invenio:"):
            return True
        return place_of(ref.url) is not None and urlsplit(ref.url).hostname in HOSTS

    def resolve(self, ref: Ref, ctx: Context) -> Pin:
        place = place_of(ref.url)
        if place is None:
            raise ResolveError(f"{redact(ref.url)} names no record: invenio:https://HOST/records/ID is due")
        with naming("InvenioRDM"):
            record = record_of(place, ctx)
            if wanted := ref.option("version"):
                record = version_of(place, record, wanted, ctx)
            place = Place(place.root, words(record, "id"), place.key)
            check_access(place, record, ctx)
            if place.key:
                listed(place, place.key, ctx)
        said = citation(record)
        version = {"record": place.id} | ({"file": place.key} if place.key else {})
        namespace = f"doi:{said.doi}" if said.doi else place.page
        return Pin(self.name, Ref(f"invenio:{place.page}"), namespace, version, said)

    def homes(self, pin: Pin) -> tuple[str, ...]:
        return (f"{_pinned(pin).root}/",)

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        place, key = _pinned(pin), pin.version.get("file", "")
        with naming("InvenioRDM"):
            found = listed(place, key, ctx)
            by_page = _sends_ranges_by_page(place, found, ctx)
        for file in found:
            ours = below(file.at, place.root) if file.at else False
            at = place.page_of(file.path) if by_page or not ours else file.at
            path = posixpath.basename(file.path) if key else file.path
            yield RemoteFile(path, file.size, at=at, version=file.version, checks=file.checks)

    def read(self, pin: Pin, file: RemoteFile, span: Span, ctx: Context) -> io.RawIOBase:
        """The ETag of the repository's own store is ``md5:…``; where its files lie in S3, only the size is compared."""
        place = _pinned(pin)
        with naming("InvenioRDM"):
            try:
                response = ctx.http.get(self.url(pin, file), span, size=file.size, explain=limited)
            except NotFound:
                # Of the two addresses that a file has, one or the other was broken at times.
                page = place.page_of(pin.version.get("file", file.path))
                other = f"{place.api}{page.removeprefix(place.page)}/content" if file.at == page else page
                response = ctx.http.get(other, span, size=file.size, explain=limited)
        said = response.headers.get("ETag", "").removeprefix("W/").strip('"')
        if said.startswith("md5:") and said != file.version:
            response.close()
            raise UpstreamChanged(f"{redact(file.at)} has the checksum {redact(said)}, and had {file.version}")
        return response


def recognise(url: str, ctx: Context) -> Ref | None:
    """The record that a landing page is of, if an InvenioRDM repository answers there."""
    place = place_of(url)
    if place is None:
        return None
    if urlsplit(url).hostname not in HOSTS:
        try:
            record = record_of(place, ctx)
        except SourceUnavailable:
            raise
        except (SourceError, ResolveError):
            return None
        if "/records/" not in words(table(record, "links"), "self"):
            return None
    return Ref(f"invenio:{place.page}" + (f"/files/{quote(place.key)}" if place.key else ""))


def _pinned(pin: Pin) -> Place:
    place = place_of(pin.ref.url)
    if place is None:
        raise SourceError(f"{redact(pin.ref.url)} is no record of a repository: the lock was edited")
    return place


def _sends_ranges_by_page(place: Place, files: list[RemoteFile], ctx: Context) -> bool:
    """Whether to read where people download rather than by the API. One question for all: files of a record lie in one
    store."""
    some = next((file for file in files if file.size), None)
    if some is None or not some.at:
        return True
    try:
        facts = ctx.http.probe(place.page_of(some.path), explain=limited)
    except (SourceError, NotFound):
        return False
    return facts.ranges and (facts.kind not in HTML or some.path.lower().endswith((".html", ".htm")))

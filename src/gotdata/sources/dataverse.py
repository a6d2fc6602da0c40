"""Dataverse, at any installation: published versions of datasets, tabular files as they were uploaded."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, unquote

from gotdata.context import Context
from gotdata.errors import AccessDenied, GotdataError, NotFound, ResolveError, SourceError
from gotdata.model import Citation, Pin, Ref, RemoteFile, Span
from gotdata.paths import redact, shown
from gotdata.report import Event
from gotdata.sources import landing
from gotdata.sources.api import Hosted, below, naming, rows, table, whole, words
from gotdata.sources.base import Powers
from gotdata.sources.dataverse_files import closed, described, entries
from gotdata.sources.dataverse_place import PID, Place, place_of
from gotdata.sources.http import ahead
from gotdata.sources.http_answer import Refusal

_LATEST = ":latest-published"
_HANDLE = re.compile(r"(?i)(?:hdl:|https?://hdl\.handle\.net/)([^/?#\s]+/[^?#\s]+)")
HANDLES = "https://hdl.handle.net"


class Dataverse(Hosted):
    """The pin is a published version, never a draft, even where a token may see one. The option ``version`` picks one
    (``1.2``; ``1`` is ``1.0``)."""

    name = "dataverse"
    schemes = ("dataverse", "hdl")
    powers = Powers(versions=True)

    def claims(self, ref: Ref) -> bool:
        return ref.url.lower().startswith("dataverse:") or bool(_HANDLE.fullmatch(ref.url)) or place_of(ref) is not None

    def resolve(self, ref: Ref, ctx: Context) -> Pin | Ref:
        if handle := _HANDLE.fullmatch(ref.url):
            return _behind(unquote(handle[1]), ref, ctx)
        place = place_of(ref)
        if place is None:
            raise ResolveError(
                f"{redact(ref.url)} names no dataset: dataverse:https://HOST/dataset.xhtml?persistentId=doi:… is due"
            )
        with naming("Dataverse"):
            dataset, file, version = _found(place, _wanted(ref.option("version") or place.version, place), ctx)
            citation = _citation(version)
            pid = words(version, "datasetPersistentId")
            dataset = replace(dataset, id=pid if PID.fullmatch(pid) else dataset.id)
            number = _number(version, dataset)
            said = {"version": number} | ({"file": file} if file else {})
            namespace = f"doi:{citation.doi}" if citation.doi else dataset.id if dataset.persistent else dataset.page
            pin = Pin(self.name, Ref(f"dataverse:{dataset.page}&version={number}"), namespace, said, citation)
            if file:
                only, _ = next(_listed(pin, ctx))
                pin = replace(pin, version={"version": number, "file": only.version.removeprefix("id:")})
            return pin

    def homes(self, pin: Pin) -> tuple[str, ...]:
        return (f"{_pinned(pin).root}/",)

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        def sized(one: tuple[RemoteFile, bool]) -> tuple[RemoteFile, bool]:
            file, closed = one
            return (file if file.size is not None else replace(file, size=_size(pin, file, ctx))), closed

        count, shut = 0, list[str]()
        with naming("Dataverse"):
            for file, is_shut in ahead(_listed(pin, ctx), sized, ctx.settings.connections):
                count += 1
                shut += [shown(file.path)] if is_shut else []
                yield replace(file, path=file.path.rpartition("/")[2]) if "file" in pin.version else file
        if shut:
            some = f"{', '.join(shut[:3])}{', …' * (len(shut) > 3)}"
            what = f"{redact(_pinned(pin).page)}: {len(shut)} of {count} files restricted or under embargo ({some})"
            held = ctx.credentials.find(f"{_pinned(pin).root}/") is not None
            ctx.reporter(Event("warning", text=f"{what}: {_remedy(pin, held)}"))

    def read(self, pin: Pin, file: RemoteFile, span: Span, ctx: Context) -> io.RawIOBase:
        """The id of a file is that of one content for ever, so nothing is compared but the size."""
        with naming("Dataverse"):
            url = self.url(pin, file)
            return ctx.http.get(url, span, size=file.size, explain=lambda said: _refused(said, pin, file))


def recognise(url: str, ctx: Context) -> Ref | None:
    """The dataset or file that a landing page is of, by its address."""
    return Ref(f"dataverse:{url}") if place_of(Ref(url)) is not None else None


def _behind(handle: str, ref: Ref, ctx: Context) -> Ref:
    """Where a handle leads, to whatever repository. The option ``resolver`` names another server of the handle API
    (https://www.handle.net/proxy_servlet.html)."""
    resolver = ref.option("resolver", HANDLES).rstrip("/")
    try:
        with naming("handle"):
            answer = ctx.http.json(f"{resolver}/api/handles/{quote(handle, safe='/')}?type=URL")
    except NotFound as error:
        raise ResolveError(f"there is no handle {shown(handle)}: check its spelling") from error
    url = next(filter(None, (words(table(value, "data"), "value") for value in rows(answer, "values"))), "")
    found = landing.recognise(url, ctx) if url.startswith(("http://", "https://")) else None
    if found is None:
        raise ResolveError(
            f"hdl:{shown(handle)} leads to {redact(url) or 'no address'}, a page that names no files for programs: "
            "give the URLs of its files instead"
        )
    options = {name: value for name, value in ref.options if name != "resolver"}
    return Ref(found.url, tuple(sorted({**dict(found.options), **options}.items())))


def _pinned(pin: Pin) -> Place:
    place = place_of(pin.ref)
    if place is None:
        raise SourceError(f"{redact(pin.ref.url)} is no dataset of a Dataverse: the lock was edited")
    return place


def _wanted(version: str, place: Place) -> str:
    """A version as the API takes it."""
    text = version.strip().removeprefix("V")
    if text in ("", _LATEST):
        return _LATEST
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return text if "." in text else f"{text}.0"
    raise ResolveError(
        f"{redact(place.page)}: version {shown(version)} can't be pinned: the number of a published one is due, "
        "such as 1.2 (drafts change)"
    )


def _json(url: str, ctx: Context) -> Mapping[str, Any]:
    found = ctx.http.json(url)
    if not isinstance(found, dict) or "data" not in found:
        raise SourceError(f"{redact(url)} is not what an installation answers")
    return found


def _version(dataset: Place, wanted: str, ctx: Context, query: str = "excludeFiles=true") -> Mapping[str, Any]:
    return table(_json(dataset.api("datasets", f"/versions/{wanted}", query), ctx), "data")


def _found(place: Place, wanted: str, ctx: Context) -> tuple[Place, str, Mapping[str, Any]]:
    """The dataset that a place is or is in, the id of the one file that it means (or empty), and the version.

    The page of a citation may be a dataset's or a file's: what is no dataset is asked for as a file.
    """
    dataset = _around(place, ctx) if place.file else place
    if dataset is not None:
        try:
            return dataset, place.id if place.file else "", _version(dataset, wanted, ctx)
        except NotFound as error:
            around = _around(place, ctx) if place.persistent and not place.file else None
            if around is None:
                raise _missing(dataset, wanted, ctx) from error
        return around, place.id, _version(around, wanted, ctx)
    raise ResolveError(f"{redact(place.page)} is no published file there")


def _around(place: Place, ctx: Context) -> Place | None:
    """The dataset that a file is in. Installations before 5.14 don't say it of a file; their search does."""
    try:
        found = _json(place.api("files", query="returnDatasetVersion=true"), ctx)
    except NotFound:
        found = {}
    id = words(table(table(found, "data"), "datasetVersion"), "datasetPersistentId")
    if not id:
        word = f"filePersistentId:{place.id.rpartition('/')[2]}" if place.persistent else f"entityId:{place.id}"
        hits = rows(table(_json(f"{place.root}/api/search?type=file&q={quote(word)}", ctx), "data"), "items")
        meant = [hit for hit in hits if _is(place.id, words(hit, "file_id"), words(hit, "file_persistent_id"))]
        id = words(meant[0], "dataset_persistent_id") if meant else ""
    return Place(place.root, id) if id else None


def _is(id: str, *ids: str) -> bool:
    return id.lower() in [one.lower() for one in ids]


def _missing(dataset: Place, wanted: str, ctx: Context) -> ResolveError:
    """Why there is no such version."""
    here = redact(dataset.page)
    try:
        version = _version(dataset, wanted, ctx, "excludeFiles=true&includeDeaccessioned=true")
    except (NotFound, SourceError):
        version = {}
    if words(version, "versionState") == "DEACCESSIONED":
        why = words(version, "deaccessionNote") or words(version, "versionNote")
        return ResolveError(
            f"{here} was deaccessioned{': ' * bool(why)}{shown(why)}: its files are not given out any more"
        )
    what = "published version" if wanted == _LATEST else f"published version {wanted}"
    return ResolveError(f"{here}: there is no {what}; a draft is never taken; check its id")


def _number(version: Mapping[str, Any], dataset: Place) -> str:
    major, minor = whole(version, "versionNumber"), whole(version, "versionMinorNumber")
    state = words(version, "versionState")
    if major is None or minor is None or state not in ("RELEASED", "ARCHIVED"):
        raise ResolveError(f"{redact(dataset.page)}: the version is {shown(state) or 'unknown'}, not a published one")
    return f"{major}.{minor}"


def _citation(version: Mapping[str, Any]) -> Citation:
    block = table(table(version, "metadataBlocks"), "citation")
    fields = {words(one, "typeName"): one.get("value") for one in rows(block, "fields")}
    creators = [words(table(author, "authorName"), "value").strip() for author in rows(fields.get("author"))]
    pid, licence = words(version, "datasetPersistentId"), version.get("license")
    named = words(licence, "rightsIdentifier") or words(licence, "name") or words(version, "license")
    return Citation(
        words(fields, "title"),
        tuple(filter(None, creators)),
        pid.lower().removeprefix("doi:") if pid.lower().startswith("doi:") else "",
        named if named != "NONE" else "",
    )


def _listed(pin: Pin, ctx: Context) -> Iterator[tuple[RemoteFile, bool]]:
    """Every file, or the one that is pinned, and whether it is closed."""
    dataset, number, only = _pinned(pin), pin.version.get("version", ""), pin.version.get("file", "")
    for entry in entries(dataset, number, lambda url: _json(url, ctx)):
        data = table(entry, "dataFile")
        if not only or _is(only, words(data, "id"), words(data, "persistentId")):
            yield described(entry, dataset), closed(entry)
            if only:
                return
    if only:
        raise ResolveError(f"{redact(dataset.page)}: its version {number} has no file {shown(only)}")


def _size(pin: Pin, file: RemoteFile, ctx: Context) -> int:
    """Old datasets don't tell it of originals."""
    size = ctx.http.probe(file.at, explain=lambda said: _refused(said, pin, file)).size
    if size is None:
        raise SourceError(f"{redact(file.at)} does not say how long {shown(file.path)} is")
    return size


def _refused(refusal: Refusal, pin: Pin, file: RemoteFile) -> GotdataError | None:
    """What a refusal to send a file means. Signed URLs of its store are another matter."""
    place = _pinned(pin)
    what = f"{redact(file.at)} ({shown(file.path)})"
    if not below(refusal.url, place.root):
        return None
    if refusal.status in (401, 403):
        return AccessDenied(f"{what} is restricted or under embargo: {_remedy(pin, refusal.credential)}")
    if refusal.status == 400 and "guestbook" in refusal.text.lower():
        return AccessDenied(
            f"{what} wants its guestbook filled in by who downloads it, which is for people: open {redact(place.page)}"
        )
    if refusal.status == 404:
        return NotFound(
            f"{what} is not there: removed, or its dataset was harvested from another repository, which has the files"
        )
    return None


def _remedy(pin: Pin, held: bool) -> str:
    place = _pinned(pin)
    token = "your token does not open it" if held else f"`gotdata login {place.root}/` puts in a token that may read it"
    return f"{token}; access is asked for at {redact(place.page)}; `files:` in gotdata.yml can leave it out"

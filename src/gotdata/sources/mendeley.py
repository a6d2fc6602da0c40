"""Mendeley Data: a dataset in a version, its folders and files (the public API of https://data.mendeley.com)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from gotdata.context import Context
from gotdata.credentials import parse
from gotdata.errors import NotFound, ResolveError, SourceError, SourceUnavailable
from gotdata.model import Checksum, Citation, Kind, Pin, Ref, RemoteFile
from gotdata.paths import redact, shown
from gotdata.sources.api import Hosted, below, naming, numbered, rows, table, whole, words
from gotdata.sources.base import Powers

_ROOT = "https://data.mendeley.com"
_HOSTS = ("data.mendeley.com", "www.data.mendeley.com")
_PAGE = 1000
_DEPTH = 100
"""Folders in each other."""
_PREFIX = "10.17632"
_ID = r"(?P<dataset>[a-z0-9]{10})"
_UUID = r"(?P<file>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
_FORMS = (
    rf"/datasets/{_ID}(?:/(?P<version>\d+|draft))?",
    rf"/datasets/{_ID}/(?P<version>\d+)/files/{_UUID}(?:/.*)?",
    rf"/public-files/datasets/{_ID}/files/{_UUID}/file_downloaded",
    rf"/public-api/datasets/{_ID}(?:/(?:snapshot|folders)/(?P<version>\d+)|/files|/versions)?",
    rf"/public-api/zip/{_ID}/download/(?P<version>\d+)",
)


@dataclass(frozen=True, slots=True)
class _Place:
    """``root`` is the address of the repository, without a slash at its end; ``file`` the id in a file's address."""

    root: str
    dataset: str
    version: str = ""
    file: str = ""

    @property
    def api(self) -> str:
        return f"{self.root}/public-api/datasets/{self.dataset}"

    @property
    def page(self) -> str:
        return f"{self.root}/datasets/{self.dataset}"


class Mendeley(Hosted):
    """Pins name a dataset and the number of a version. Every file has a sha256."""

    name = "mendeley"
    schemes = ("mendeley",)
    powers = Powers(versions=True)

    def claims(self, ref: Ref) -> bool:
        return ref.url.lower().startswith("mendeley:") or _place(ref.url) is not None

    def homes(self, pin: Pin) -> tuple[str, ...]:
        return (f"{_pinned(pin).root}/",)

    def resolve(self, ref: Ref, ctx: Context) -> Pin:
        there = _place(ref.url)
        if there is None:
            raise ResolveError(f"{redact(ref.url)} names nothing of Mendeley Data: mendeley:ID or a page is due")
        if there.version == "draft":
            raise ResolveError(f"{there.page} is named as a draft, which can change: publish it first")
        with naming("Mendeley"):
            version = _version(there, ref.option("version") or there.version, ctx)
            there = _Place(there.root, there.dataset, version, there.file)
            if there.file:
                next(_files(there, ctx))
            citation = _citation(there, ctx)
        pinned = {"dataset": there.dataset, "version": version} | ({"file": there.file} if there.file else {})
        page = Ref(f"mendeley:{there.page}/{version}")
        return Pin(self.name, page, f"doi:{_PREFIX}/{there.dataset}", pinned, citation)

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        there = _pinned(pin)
        with naming("Mendeley"):
            yield from _files(_Place(there.root, there.dataset, there.version, pin.version.get("file", "")), ctx)


def recognise(url: str, ctx: Context) -> Ref | None:
    """The dataset whose page it is. There is one Mendeley Data: it is known by its name."""
    return Ref(url) if _place(url) else None


def _place(url: str) -> _Place | None:
    text, explicit = url.removeprefix("mendeley:"), url.startswith("mendeley:")
    if explicit and "://" not in text:
        match = re.fullmatch(rf"(?:(?:doi:)?10\.17632/)?{_ID}(?:[/.](?P<version>\d+))?", unquote(text), re.IGNORECASE)
        return _Place(_ROOT, match["dataset"].lower(), match["version"] or "") if match else None
    try:
        parsed = parse(text)
    except SourceError:
        return None
    if parsed.scheme not in ("http", "https") or not (explicit or parsed.host in _HOSTS):
        return None
    root = _ROOT if parsed.host in _HOSTS else f"{parsed.scheme}://{parsed.netloc}"
    path = unquote(parsed.path or "").rstrip("/")
    for form in _FORMS:
        if match := re.fullmatch(form, path, re.IGNORECASE):
            found = {name: (value or "").lower() for name, value in match.groupdict().items()}
            return _Place(root, **found)
    return None


def _pinned(pin: Pin) -> _Place:
    there = _place(pin.ref.url)
    if there is None or not there.version:
        raise SourceError(f"{redact(pin.ref.url)} is no version of a dataset of Mendeley Data: the lock was edited")
    return there


def _rows(url: str, ctx: Context) -> list[dict[str, Any]]:
    found = ctx.http.json(url)
    if not isinstance(found, list):
        raise SourceError(f"{redact(url)} is no listing of Mendeley Data")
    return rows(found)


def _version(there: _Place, wanted: str, ctx: Context) -> str:
    """A version that there is; the newest where none is wanted."""
    try:
        found = [whole(one, "version") or 0 for one in _rows(f"{there.api}/versions", ctx)]
    except NotFound as error:
        raise ResolveError(f"{error}; there is no such dataset, or it is not published") from error
    known = sorted(number for number in found if number)
    if not known:
        raise ResolveError(f"{there.page} has no published version")
    if wanted and wanted not in map(str, known):
        told = ", ".join(map(str, known))
        raise ResolveError(f"{there.page} has no version {shown(wanted)}; there are {told}")
    return wanted or str(known[-1])


def _files(there: _Place, ctx: Context) -> Iterator[RemoteFile]:
    """All files, folder by folder, or the one whose address was named."""
    folders = _folders(there, ctx)
    holding = {path.rpartition("/")[0] for path in folders.values()}
    found = False
    for id, folder in folders.items():
        empty = True
        for one in _listed(there, id, ctx):
            empty, file = False, _file(there, one, f"{folder}/" if folder else "")
            if not there.file:
                found = True
                yield file
            elif f"/{there.file}/" in file.at.lower():
                yield RemoteFile(
                    words(one, "filename"), file.size, at=file.at, version=file.version, checks=file.checks
                )
                return
        if empty and folder and folder not in holding and not there.file:
            yield RemoteFile(folder, 0, Kind.DIR)
    if not found:
        what = f"no file {there.file} in version {there.version}" if there.file else "no files"
        raise ResolveError(f"{there.page} has {what}")


def _folders(there: _Place, ctx: Context) -> dict[str, str]:
    """The path of each folder by its id; that of the top, which has none, is empty."""
    try:
        listed = _rows(f"{there.api}/folders/{there.version}", ctx)
    except NotFound:
        listed = []
    known = {words(one, "id"): one for one in listed}
    paths = {"root": ""}
    for id, one in known.items():
        names, above = [words(one, "name")], words(one, "parent_id")
        while above in known:
            names.append(words(known[above], "name"))
            above = words(known[above], "parent_id")
            if len(names) > _DEPTH:
                raise SourceError(f"{there.page}: the folder {shown(names[0])} lies in itself: a loop, or too deep")
        paths[id] = "/".join(reversed(names))
    return paths


def _listed(there: _Place, folder: str, ctx: Context) -> Iterator[dict[str, Any]]:
    url = f"{there.api}/files?folder_id={quote(folder, safe='')}&version={there.version}"

    def ask(_: int, start: int) -> list[dict[str, Any]]:
        return _rows(f"{url}&$start={start}&$limit={_PAGE}", ctx)

    return numbered(ask, lambda one: words(one, "id"))


def _file(there: _Place, one: Mapping[str, Any], folder: str) -> RemoteFile:
    content = table(one, "content_details")
    name, size, at = words(one, "filename"), whole(one, "size"), words(content, "download_url")
    if not name or size is None or not at or not below(at, f"{there.root}/"):
        raise SourceError(f"{there.page}: {shown(name or '?')} is listed without a name, size or address on that host")
    sha256 = words(content, "sha256_hash").lower()
    checks = (Checksum("sha256", sha256),) if re.fullmatch(r"[0-9a-f]{64}", sha256) else ()
    return RemoteFile(folder + name, size, at=at.partition("?")[0], version=f"id:{words(one, 'id')}", checks=checks)


def _citation(there: _Place, ctx: Context) -> Citation:
    """Without a description the data is the same: one that there is not is no error."""
    try:
        about = table(ctx.http.json(f"{there.api}/snapshot/{there.version}"))
    except SourceUnavailable:
        raise
    except (NotFound, SourceError):
        about = {}
    names = (
        f"{words(one, 'last_name')}, {words(one, 'first_name')}".strip(", ") for one in rows(about, "contributors")
    )
    licence = words(table(about, "data_licence"), "short_name")
    doi = f"{_PREFIX}/{there.dataset}.{there.version}"
    return Citation(words(about, "name"), tuple(filter(None, names)), doi, licence)

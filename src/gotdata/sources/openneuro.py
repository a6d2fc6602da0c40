"""OpenNeuro, the archive of brain images: snapshots of a dataset are tags of a git repository, whose large files lie in
a bucket that keeps versions."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from gotdata.context import Context
from gotdata.errors import (
    AccessDenied,
    AuthRequired,
    GotdataError,
    ResolveError,
    SourceError,
    SourceUnavailable,
    UpstreamChanged,
)
from gotdata.model import Citation, Pin, Ref, RemoteFile, Span
from gotdata.paths import redact, secret, shown
from gotdata.sources import elsewhere
from gotdata.sources.api import Hosted, below, naming, rows, table, whole, words
from gotdata.sources.base import Powers
from gotdata.sources.http import ahead, settle
from gotdata.sources.http_answer import Refusal, login

SITE = "https://openneuro.org"
AT_ONCE = 4
"""Folders that are asked for at once: the archive names no limits, and is not large."""
TRIES = 3
"""How often a question is put whose answer is that another server of theirs did not answer."""
_PAGE = re.compile(
    r"(?P<root>.*?)/(?:crn/)?datasets/(?P<id>ds\d{6,})(?:/(?:versions|snapshots)/(?P<tag>[\w.+-]+)"
    r"(?:/(?:file-display|files)/(?P<path>[^/]+))?)?(?P<rest>/(?!objects/).*)?",
    re.I,
)
_SHORT = re.compile(r"(?i)openneuro:(?P<id>ds\d{6,})(?:[:@/]v?(?P<tag>\d[\w.+-]*))?")
_COMMIT = re.compile("[0-9a-f]{40}")
_DATASET = "query ($id: ID!) { dataset(id: $id) { id latestSnapshot { tag } snapshots { tag } } }"
_SNAPSHOT = (
    "query ($id: ID!, $tag: String!) { snapshot(datasetId: $id, tag: $tag) "
    "{ tag hexsha description { Name Authors DatasetDOI License } } }"
)
_FILES = (
    "query ($id: ID!, $tag: String!, $tree: String) { snapshot(datasetId: $id, tag: $tag) "
    "{ hexsha files(tree: $tree) { id filename size directory urls } } }"
)


@dataclass(frozen=True, slots=True)
class _Place:
    """A dataset, one snapshot of it, or a file or folder of that. ``root`` has no slash at its end."""

    root: str
    id: str
    tag: str = ""
    path: str = ""

    @property
    def page(self) -> str:
        page = f"{self.root}/datasets/{self.id}" + (f"/versions/{self.tag}" if self.tag else "")
        return f"{page}/file-display/{quote(self.path.replace('/', ':'), safe=':')}" if self.path else page

    @property
    def home(self) -> str:
        return f"{self.root}/crn/"


@dataclass(frozen=True, slots=True)
class _Folder:
    """One to be listed: its path, its git tree (empty: the snapshot's), and the trees above it."""

    path: str
    tree: str = ""
    above: tuple[str, ...] = ()


class OpenNeuro(Hosted):
    """Pins name a snapshot's tag and its commit. Drafts are never read."""

    name = "openneuro"
    schemes = ("openneuro",)
    powers = Powers(versions=True)

    def claims(self, ref: Ref) -> bool:
        return ref.url.lower().startswith("openneuro:") or _known(ref.url) is not None

    def resolve(self, ref: Ref, ctx: Context) -> Pin:
        place = _place(ref.url)
        if place is None:
            raise ResolveError(
                f"{redact(ref.url)} names no snapshot: openneuro:ds000001 or openneuro:ds000001:1.0.0 is due"
            )
        wanted = ref.option("version")
        if wanted and place.tag not in ("", wanted):
            raise ResolveError(f"{redact(ref.url)} is snapshot {place.tag}, and {shown(wanted)} was asked for")
        place = _Place(place.root, place.id, _tag(place, wanted, ctx), place.path)
        snapshot = _asked(place, _SNAPSHOT, "snapshot", ctx)
        commit = words(snapshot, "hexsha")
        if not _COMMIT.fullmatch(commit):
            raise SourceError(f"OpenNeuro: {redact(place.page)} is told without its commit")
        if place.path and next(self._walk(place, ctx), None) is None:
            raise ResolveError(f"OpenNeuro: {redact(place.page)} has nothing at {shown(place.path)}")
        namespace = _Place(place.root, place.id, place.tag).page
        return Pin(
            self.name,
            Ref(f"openneuro:{place.page}"),
            namespace,
            {"tag": place.tag, "commit": commit},
            _citation(table(snapshot, "description")),
        )

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        place = _pinned(pin)
        commit = words(_asked(place, _SNAPSHOT, "snapshot", ctx), "hexsha")
        if commit != pin.version.get("commit"):
            raise UpstreamChanged(
                f"{redact(place.page)} is commit {shown(commit)} now; pinned was {pin.version.get('commit', '')}"
            )
        for path, entry in self._walk(place, ctx):
            yield _file(place, path, entry, ctx)

    def homes(self, pin: Pin) -> tuple[str, ...]:
        return (_pinned(pin).home,)

    def read(self, pin: Pin, file: RemoteFile, span: Span, ctx: Context) -> io.RawIOBase:
        # The bucket's version stands in the address itself, and is no word that HTTP compares.
        plain = replace(file, version="") if file.version and file.version == _version(file.at) else file
        # Their bucket is on another host: on their word no credential is used but theirs.
        return elsewhere.read(plain, span, _pinned(pin).home, ctx)

    def url(self, pin: Pin, file: RemoteFile) -> str:
        return elsewhere.url(file)

    def _walk(self, place: _Place, ctx: Context) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The files at or below the place's path, by their paths in the snapshot. One question for each folder; those
        of one depth are asked beside each other."""
        level = [_Folder("")]
        while level:
            deeper = []
            for folder, entries in ahead(level, lambda one: (one, _listed(place, one, ctx)), AT_ONCE):
                for entry in entries:
                    path = f"{folder.path}/{words(entry, 'filename')}".removeprefix("/")
                    if not _is_wanted(place.path, path, bool(entry.get("directory"))):
                        continue
                    if entry.get("directory"):
                        deeper.append(_Folder(path, words(entry, "id"), (*folder.above, folder.tree)))
                    else:
                        yield path, entry
            level = deeper


def recognise(url: str, ctx: Context) -> Ref | None:
    """The dataset or snapshot that a page of OpenNeuro is about."""
    place = _known(url)
    return Ref(f"openneuro:{place.page}") if place else None


def _known(url: str) -> _Place | None:
    place = _place(url) if url.lower().startswith("http") else None
    return place if place is not None and place.root == SITE else None


def _place(url: str) -> _Place | None:
    if match := _SHORT.fullmatch(url):
        return _Place(SITE, match["id"].lower(), match["tag"] or "")
    try:
        parts = urlsplit(re.sub("(?i)^openneuro:", "", url))
    except ValueError:
        return None
    match = _PAGE.fullmatch(parts.path.rstrip("/"))
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname or "@" in parts.netloc or not match:
        return None
    root = f"{parts.scheme.lower()}://{parts.netloc.lower().removeprefix('www.')}{match['root']}"
    path = unquote(match["path"] or "").replace(":", "/")
    tag = "draft" if re.match(r"/draft\b", match["rest"] or "") else match["tag"] or ""
    return _Place(root, match["id"].lower(), tag, path)


def _pinned(pin: Pin) -> _Place:
    place = _place(pin.ref.url)
    if place is None or not place.tag:
        raise SourceError(f"{redact(pin.ref.url)} is no snapshot of a dataset: the lock was edited")
    return place


def _tag(place: _Place, wanted: str, ctx: Context) -> str:
    dataset = _asked(place, _DATASET, "dataset", ctx)
    tags = [words(one, "tag") for one in rows(dataset, "snapshots")]
    tag = wanted or place.tag or words(table(dataset, "latestSnapshot"), "tag")
    if tag in tags:
        return tag
    # Of a dataset without snapshots the newest is said to be the draft's commit.
    if not tags:
        raise ResolveError(f"OpenNeuro: {redact(place.page)} has no snapshot yet, only a draft, which still changes")
    raise ResolveError(
        f"OpenNeuro: {redact(place.page)} has no snapshot {shown(tag)}; there are {shown(', '.join(tags))}"
    )


def _asked(place: _Place, query: str, name: str, ctx: Context, **variables: str | None) -> Mapping[str, Any]:
    """What the API answers under a name."""
    url = f"{place.home}graphql"
    asked = {"query": query, "variables": {"id": place.id, "tag": place.tag, **variables}}
    with naming("OpenNeuro"):
        for _ in range(TRIES):
            answer = ctx.http.json(url, post=asked, explain=_explain)
            said = next((words(error, "message") for error in rows(answer, "errors")), "")
            # A gateway that gave up is told with status 200.
            if not said.startswith(("502", "503", "504")):
                break
        else:
            raise SourceUnavailable(f"{redact(url)}: {shown(said)}: try again later")
    found = table(table(answer, "data"), name)
    if said and re.search("access|permission|logged in", said):
        raise _refused(place, said, ctx)
    if said or not found:
        raise ResolveError(f"OpenNeuro: {redact(url)}: {shown(said) or f'there is no {place.id}'}")
    return found


def _refused(place: _Place, said: str, ctx: Context) -> SourceError:
    where = f"OpenNeuro: {redact(place.page)}: {shown(said)}"
    if ctx.credentials.find(place.home) is not None:
        return AccessDenied(f"{where} Your credential does not open it")
    return AuthRequired(f"{where} There is no such dataset, or it is not public: {login(place.home, 'openneuro')}")


def _explain(refusal: Refusal) -> GotdataError | None:
    """A query that its schema does not know any more is 400, and says which word of it."""
    if refusal.status != 400:
        return None
    try:
        said = next((words(error, "message") for error in rows(json.loads(refusal.text), "errors")), "")
    except ValueError:
        return None
    return SourceError(f"OpenNeuro: {redact(refusal.url)} did not understand what was asked: {shown(said)}")


def _listed(place: _Place, folder: _Folder, ctx: Context) -> list[dict[str, Any]]:
    if folder.tree and folder.tree in folder.above:
        raise SourceError(
            f"OpenNeuro: {redact(place.page)}: the folder '{shown(folder.path)}' holds itself: a loop on the server"
        )
    return rows(_asked(place, _FILES, "snapshot", ctx, tree=folder.tree or None), "files")


def _is_wanted(part: str, path: str, folder: bool) -> bool:
    """Whether a path is at or below a part of the snapshot, or a folder on the way to it."""
    return part in ("", path) or path.startswith(f"{part}/") or (folder and part.startswith(f"{path}/"))


def _file(place: _Place, path: str, entry: Mapping[str, Any], ctx: Context) -> RemoteFile:
    found = entry.get("urls")
    urls = [one for one in found if isinstance(one, str) and not secret(one)] if isinstance(found, list) else []
    versioned = [one for one in urls if parse_qs(urlsplit(one).query).get("versionId")]
    ours = [one for one in urls if below(one, place.home)]
    # Private datasets have signed URLs only, which are never kept; their own server sends on to them.
    asked = f"{place.home}datasets/{place.id}/snapshots/{place.tag}/files/{quote(path.replace('/', ':'), safe=':')}"
    at, size = [*versioned, *ours, asked][0], whole(entry, "size")
    if path == place.path:
        path = path.rpartition("/")[2]
    elif place.path:
        path = path.removeprefix(f"{place.path}/")
    if size is not None and at != asked:
        return RemoteFile(path, size, at=at, version=_version(at))
    with naming("OpenNeuro"):
        settled = settle(at, path, ctx.http.probe(at, home=place.home), ctx, place.home)
    return replace(settled, at=at)


def _version(at: str) -> str:
    """The version that an address of the bucket names, as ``RemoteFile.version``; empty where it names none."""
    found = parse_qs(urlsplit(at).query).get("versionId")
    return f"id:{found[0]}" if found else ""


def _citation(description: Mapping[str, Any]) -> Citation:
    authors = description.get("Authors")
    names = tuple(str(one) for one in authors) if isinstance(authors, list) else ()
    doi = re.sub(r"(?i)^(https?://(dx\.)?doi\.org/|doi:)", "", words(description, "DatasetDOI")).lower()
    return Citation(
        words(description, "Name"), names, doi if doi.startswith("10.") else "", words(description, "License")
    )

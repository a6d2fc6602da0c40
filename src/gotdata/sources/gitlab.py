"""GitLab: the files of a commit, on gitlab.com and any other installation. LFS is read by its API."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from gotdata.context import Context
from gotdata.errors import AuthRequired, GotdataError, IntegrityError, NotFound, ResolveError, SourceError
from gotdata.model import Checksum, Citation, Kind, Pin, Ref, RemoteFile
from gotdata.paths import redact, shown
from gotdata.sources.api import Hosted, naming, next_link, pages, rows, table, whole, words
from gotdata.sources.base import Powers
from gotdata.sources.http import ahead
from gotdata.sources.http_answer import Refusal, login
from gotdata.sources.http_page import Page, parsed

TITLE = "GitLab"
HOSTS = (
    "gitlab.com",
    "www.gitlab.com",
    "gitlab.cern.ch",
    "salsa.debian.org",
    "codebase.helmholtz.cloud",
    "framagit.org",
)
"""Known by their names; others by ``/-/tree/`` and its like in an address, or named ``gitlab:https://host/group/name``."""
_VERBS = re.compile(r"/-/(?:tree|blob|raw|blame|commit|commits)/")
_NAME = re.compile(r"(?!\.+$)[\w.-]+")
_PAGES = re.compile("explore|help|users|dashboard|api|admin|groups|search|snippets|public|oauth|-")
"""First words of addresses that no group is called."""
_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_WORDS = 8
"""Words of an address that may belong to the name of a branch."""
_LINK, _MODULE, _EXECUTABLE = "120000", "160000", "100755"
_QUERY = (
    "query($project: ID!, $ref: String!, $paths: [String!]!) { project(fullPath: $project) { repository {"
    " blobs(ref: $ref, paths: $paths, first: 100) { nodes { path oid mode rawSize lfsOid } } } } }"
)
"""Sizes stand in no listing of the REST API; this asks for a page of them at once (reference: ``RepositoryBlob``)."""


@dataclass(frozen=True, slots=True)
class _Place:
    """``names``: a revision and a path, whose border nobody marked. ``id``: the project's number, once it is known."""

    root: str
    project: str
    names: tuple[str, ...] = ()
    id: str = ""

    @property
    def page(self) -> str:
        return f"{self.root}/{self.project}"

    @property
    def api(self) -> str:
        return f"{self.root}/api/v4/projects/{self.id or quote(self.project, safe='')}"


class GitLab(Hosted):
    """Pins name a commit."""

    name = "gitlab"
    schemes = ("gitlab",)
    powers = Powers(versions=True)

    def claims(self, ref: Ref) -> bool:
        if ref.url.lower().startswith("gitlab:"):
            return True
        parts = urlsplit(ref.url)
        known = parts.hostname in HOSTS or bool(_VERBS.search(parts.path))
        return known and _place(ref.url) is not None

    def resolve(self, ref: Ref, ctx: Context) -> Pin:
        place = _place(ref.url)
        if place is None:
            raise ResolveError(f"{redact(ref.url)} names no project: gitlab:https://HOST/GROUP/NAME is due")
        try:
            with naming(TITLE):
                info = _project(place, ctx)
                project = words(info, "path_with_namespace") or place.project
                place = replace(place, project=project, id=words(info, "id"))
                version, names = ref.option("version"), place.names
                names = (version, *names[1:]) if version else names or (words(info, "default_branch") or "HEAD",)
                commit, path = _commit(place, names, ctx)
                pinned = {"commit": commit, "project": place.id}
                if path:
                    pinned |= {"path": path, "type": _type(place, commit, path, ctx)}
        except NotFound as error:
            raise ResolveError(str(error)) from error
        owner = project.rpartition("/")[0]
        licence = words(table(info, "license"), "key")
        cited = Citation(words(info, "description") or project, (owner,), licence=licence)
        return Pin(self.name, Ref(f"gitlab:{place.page}"), place.page, pinned, cited)

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        place, commit, path = _pinned(pin), pin.version["commit"], pin.version.get("path", "")
        with naming(TITLE):
            if pin.version.get("type") == "file":
                [found] = _blobs(place, commit, [path], ctx) or [{}]
                file = _file(place, commit, {**found, "path": path, "type": "blob"}, found, ctx)
                yield replace(file, path=posixpath.basename(path))
                return
            below = f"{path}/" if path else ""
            for entries in _tree(place, commit, path, ctx):
                for file in _files(place, commit, entries, ctx):
                    yield replace(file, path=file.path.removeprefix(below))

    def url(self, pin: Pin, file: RemoteFile) -> str:
        url = super().url(pin, file)
        if not url.endswith(f"/raw?ref={pin.version.get('commit')}&lfs=true"):
            raise IntegrityError(f"{redact(url)} is not of the commit in {redact(pin.ref.url)}: the lock was edited")
        return url

    def homes(self, pin: Pin) -> tuple[str, ...]:
        return (f"{_pinned(pin).api}/repository/files/",)

    def explain(self, refusal: Refusal) -> GotdataError | None:
        """Of a file: who may not know that a project is there is told that it is not."""
        # What it sends on to a store of objects is that one's affair.
        if refusal.status not in (401, 404) or refusal.credential or "/api/v4/" not in refusal.url:
            return None
        return AuthRequired(f"{redact(refusal.url)} is private, or not there any more: {login(refusal.url, self.name)}")


def _place(url: str) -> _Place | None:
    if url.lower().startswith("gitlab:"):
        url = url[7:]
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return None
    root = f"{parts.scheme}://{parts.netloc.lower()}".replace("//www.gitlab.com", "//gitlab.com")
    front, verb, rest = parts.path, "", ""
    if match := _VERBS.search(parts.path):
        front, verb, rest = parts.path[: match.start()], match[0], parts.path[match.end() :]
    elif "/-/" in parts.path:
        front = parts.path.partition("/-/")[0]
    project = [unquote(name) for name in front.removesuffix(".git").split("/") if name]
    if len(project) < 2 or not all(map(_NAME.fullmatch, project)) or _PAGES.fullmatch(project[0]):
        return None
    names = tuple(unquote(name, errors="surrogateescape") for name in rest.split("/") if name)
    return _Place(root, "/".join(project), names if verb else ())


def _pinned(pin: Pin) -> _Place:
    place, said = _place(pin.ref.url), pin.version
    if place is None or not _SHA.fullmatch(said.get("commit", "")) or not said.get("project", "").isdigit():
        raise SourceError(f"{redact(pin.ref.url)} is no commit of a project at {TITLE}: the lock was edited")
    return replace(place, id=said["project"])


def _project(place: _Place, ctx: Context) -> Mapping[str, Any]:
    try:
        info = table(ctx.http.json(f"{place.api}?license=true"))
    except NotFound as error:
        if ctx.credentials.find(place.api) is None:
            raise AuthRequired(
                f"{redact(place.page)} is private, or there is no such project at {TITLE}: check its spelling, or "
                f"{login(place.root, 'gitlab')}"
            ) from error
        raise NotFound(f"{redact(place.page)}: no such project, or your token does not open it") from error
    if not words(info, "id").isdigit():
        raise SourceError(f"{redact(place.api)} answered something that is no project")
    return info


def _commit(place: _Place, names: tuple[str, ...], ctx: Context) -> tuple[str, str]:
    """A commit, and the path that is left. Where the name of a branch holds slashes, the shortest that exists."""
    for count in range(1, min(len(names), _WORDS) + 1):
        revision = quote("/".join(names[:count]), safe="")
        try:
            found = words(ctx.http.json(f"{place.api}/repository/commits/{revision}"), "id")
        except NotFound as error:
            last = error
            continue
        if not _SHA.fullmatch(found):
            raise SourceError(f"{redact(place.api)} answered {shown(found[:60])} where a commit was due")
        return found, "/".join(names[count:])
    raise NotFound(f"{redact(place.page)} has no revision {shown('/'.join(names))}, or a part of it") from last


def _type(place: _Place, commit: str, path: str, ctx: Context) -> str:
    if _blobs(place, commit, [path], ctx):
        return "file"
    if any(_tree(place, commit, path, ctx)):
        return "folder"
    raise NotFound(f"{redact(place.page)} has no {shown(path)} at {commit[:12]}")


def _tree(place: _Place, commit: str, path: str, ctx: Context) -> Iterator[list[dict[str, Any]]]:
    """Page by page."""
    home = f"{place.api}/repository/"
    first = f"{home}tree?ref={commit}&path={quote(path, safe='')}&recursive=true&per_page=100&pagination=keyset"

    def ask(url: str) -> tuple[Page, list[dict[str, Any]]]:
        page = ctx.http.text(url, {"Accept": "application/json"})
        found = parsed(page)
        if not isinstance(found, list):
            raise SourceError(f"{redact(url)} is not what {TITLE} answers")
        return page, rows(found)

    for _, entries in pages(first, ask, lambda asked: (len(asked[1]), next_link(asked[0])), home):
        yield entries


def _blobs(place: _Place, commit: str, paths: Sequence[str], ctx: Context) -> list[dict[str, Any]]:
    asked = {"project": place.project, "ref": commit, "paths": paths}
    url = f"{place.root}/api/graphql"
    answer = ctx.http.json(url, post={"query": _QUERY, "variables": asked})
    if errors := rows(answer, "errors"):
        raise SourceError(f"{redact(url)} refused the question: {shown(words(errors[0], 'message'))[:200]}")
    repository = table(table(table(answer, "data"), "project"), "repository")
    return rows(table(repository, "blobs"), "nodes")


def _files(place: _Place, commit: str, entries: Sequence[Mapping[str, Any]], ctx: Context) -> Iterator[RemoteFile]:
    blobs = [entry for entry in entries if entry.get("type") == "blob"]
    sizes = {}
    for start in range(0, len(blobs), 100):
        paths = [words(entry, "path") for entry in blobs[start : start + 100]]
        sizes.update({words(one, "path"): one for one in _blobs(place, commit, paths, ctx)})
    for entry in entries:
        if entry.get("type") == "commit":
            yield RemoteFile(words(entry, "path"), 0, Kind.DIR)

    def file(entry: Mapping[str, Any]) -> RemoteFile:
        return _file(place, commit, entry, sizes.get(words(entry, "path"), {}), ctx)

    links = [entry for entry in blobs if entry.get("mode") == _LINK]
    yield from (file(entry) for entry in blobs if entry.get("mode") != _LINK)
    yield from ahead(links, file, ctx.settings.connections)


def _file(place: _Place, commit: str, entry: Mapping[str, Any], said: Mapping[str, Any], ctx: Context) -> RemoteFile:
    """``said``: of its size and LFS. ``rawSize`` is that of what a pointer stands for."""
    path, size, lfs, mode = words(entry, "path"), whole(said, "rawSize"), words(said, "lfsOid"), entry.get("mode")
    oid = words(said, "oid") or words(entry, "id")
    if not path or size is None:
        raise SourceError(f"{redact(place.page)}: {TITLE} lists {shown(path)} and does not say its size")
    at = f"{place.api}/repository/files/{quote(path, safe='', errors='surrogateescape')}/raw?ref={commit}&lfs=true"
    if mode == _LINK:
        return RemoteFile(path, 0, Kind.LINK, target=ctx.http.text(at, limit=4096).text)
    check = Checksum("sha256", lfs) if lfs else Checksum("git-sha256" if len(oid) == 64 else "git-sha1", oid)
    return RemoteFile(path, size, at=at, version=f"id:{oid}", checks=(check,), executable=mode == _EXECUTABLE)

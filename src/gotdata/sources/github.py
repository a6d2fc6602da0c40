"""GitHub: the files of a commit, of a release, of a gist. By its API, and LFS by its own."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from gotdata.context import Context
from gotdata.errors import AuthRequired, GotdataError, NotFound, ResolveError, SourceError
from gotdata.model import Citation, Pin, Ref, RemoteFile, Span
from gotdata.paths import redact, shown
from gotdata.report import Event
from gotdata.sources import git_lfs, github_release
from gotdata.sources.api import Hosted, naming, rows, table, words
from gotdata.sources.base import Powers
from gotdata.sources.github_place import PUBLIC, TITLE, Place, answered, ask, ask_commit, explain, place
from gotdata.sources.github_tree import Tree
from gotdata.sources.http_answer import Refusal, login

_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_WORDS = 8
"""Words of an address that may belong to the name of a branch."""


class GitHub(Hosted):
    """A tree's pin names its commit, a release's its id and the ids of its files, a gist's its revision."""

    name = "github"
    schemes = ("github",)
    powers = Powers(versions=True)

    def claims(self, ref: Ref) -> bool:
        if ref.url.lower().startswith("github:"):
            return True
        found = place(ref.url)
        return found is not None and found.site is PUBLIC

    def resolve(self, ref: Ref, ctx: Context) -> Pin | Ref:
        found = place(ref.url)
        if found is None:
            raise ResolveError(f"{redact(ref.url)} names no repository: github:https://HOST/OWNER/NAME is due")
        try:
            with naming(TITLE):
                if found.kind == "gist":
                    return self._gist(found, ref.option("version"), ctx)
                info = self._info(found, ctx)
                owner, repo = answered(info, found)
                found = replace(found, owner=owner, repo=repo)
                if found.kind == "release":
                    return self._release(found, info, ref.option("version"), ctx)
                if found.kind == "archive":
                    return self._archive(found, ctx)
                return self._tree(found, info, ref.option("version"), ctx)
        except NotFound as error:
            raise ResolveError(str(error)) from error

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        found, version = self._pinned(pin), pin.version
        with naming(TITLE):
            if found.kind == "gist":
                yield from github_release.gist(found, ask(f"{found.api}/{version['commit']}", ctx))
            elif found.kind == "release":
                yield from github_release.files(found, version, "private" in version, ctx)
            else:
                tree = Tree(found, version["commit"], ctx, version.get("path", ""))
                entry = tree.find(tree.folder)
                if entry.get("type") == "blob":
                    yield tree.one(tree.folder, entry)
                else:
                    yield from tree.files(words(entry, "sha"))

    def read(self, pin: Pin, file: RemoteFile, span: Span, ctx: Context) -> io.RawIOBase:
        found, url = self._pinned(pin), self.url(pin, file)

        def private(refusal: Refusal) -> GotdataError | None:
            """Who may not know that a repository is there is told that it is not."""
            if refusal.status not in (401, 404) or refusal.credential:
                return None
            return AuthRequired(f"{redact(url)} is private, or not there any more: {login(found.api, self.name)}")

        if url.startswith(f"{found.lfs}/objects/"):
            return git_lfs.read(found.lfs, url.rpartition("/")[2], file.size or 0, span, ctx, private)
        headers = {"Accept": "application/octet-stream"} if "private" in pin.version else None
        return ctx.http.get(
            url,
            span,
            size=file.size,
            version=file.version,
            headers=headers,
            explain=lambda refusal: private(refusal) or explain(refusal),
        )

    def homes(self, pin: Pin) -> tuple[str, ...]:
        found = self._pinned(pin)
        if found.kind == "gist":
            return (found.raw("raw"), f"{found.api}/")
        if found.kind == "release":
            return (f"{found.page}/releases/download/", f"{found.api}/releases/assets/")
        return (found.raw(pin.version.get("commit", "-")), f"{found.lfs}/objects/", f"{found.api}/")

    def explain(self, refusal: Refusal) -> GotdataError | None:
        return explain(refusal)

    def _info(self, found: Place, ctx: Context) -> Mapping[str, Any]:
        try:
            return table(ask(found.api, ctx))
        except NotFound as error:
            if ctx.credentials.find(found.api) is None:
                raise AuthRequired(
                    f"{redact(found.page)} is private, or there is no such repository at {TITLE}: check its spelling, "
                    f"or {login(found.api, self.name)}"
                ) from error
            raise NotFound(f"{redact(found.page)}: no such repository, or your token does not open it") from error

    def _tree(self, found: Place, info: Mapping[str, Any], version: str, ctx: Context) -> Pin:
        names = (version, *found.names[1:]) if version else found.names or (words(info, "default_branch") or "HEAD",)
        commit, path = _commit(found, names, ctx)
        pinned = {"commit": commit}
        if path:
            Tree(found, commit, ctx).find(path)
            pinned["path"] = path
        return Pin(self.name, Ref(f"github:{found.page}"), found.page, pinned, _citation(found, info))

    def _release(self, found: Place, info: Mapping[str, Any], version: str, ctx: Context) -> Pin:
        tag, *rest = found.names
        made = github_release.release(found, version or tag, ctx)
        pinned = github_release.pinned(found, made, "".join(rest[:1]), ctx)
        if info.get("private") is True:
            pinned["private"] = "true"
        ref = Ref(f"github:{found.page}/releases/tag/{pinned['release']}")
        return Pin(self.name, ref, f"{found.page}/releases", pinned, _citation(found, info))

    def _archive(self, found: Place, ctx: Context) -> Ref:
        """Made anew when asked for: the files in it are a commit's, its own bytes are nobody's promise."""
        *names, ending = found.names
        commit, _ = _commit(found, tuple(names), ctx)
        if found.site is not PUBLIC:
            raise ResolveError(
                f"{redact(found.page)}: archives are made when asked for; {found.page}/tree/{commit} is due"
            )
        text = f"{TITLE} makes this archive anew, maybe with other bytes; {found.page}/tree/{commit[:12]} has its files"
        ctx.reporter(Event("warning", text=text))
        kind = "zip" if ending == ".zip" else "tar.gz"
        return Ref(f"https://codeload.github.com/{found.owner}/{found.repo}/{kind}/{commit}")

    def _gist(self, found: Place, version: str, ctx: Context) -> Pin:
        named = version or "".join(found.names)
        info = ask(f"{found.api}/{named}" if _SHA.fullmatch(named) else found.api, ctx)
        commit = named if _SHA.fullmatch(named) else words(next(iter(rows(info, "history")), {}), "version")
        owner = words(table(info, "owner"), "login")
        if not _SHA.fullmatch(commit) or not owner:
            raise SourceError(f"{redact(found.api)} answered something that is no gist")
        found = replace(found, owner=owner, names=())
        cited = Citation(words(info, "description"), (owner,))
        return Pin(self.name, Ref(f"github:{found.page}"), found.page, {"commit": commit}, cited)

    def _pinned(self, pin: Pin) -> Place:
        found, said = place(pin.ref.url), pin.version
        known = found and ("id" in said if found.kind == "release" else _SHA.fullmatch(said.get("commit", "")))
        if found is None or not known:
            raise SourceError(f"{redact(pin.ref.url)} is no pin of {TITLE}: the lock was edited")
        return found


def _commit(found: Place, names: tuple[str, ...], ctx: Context) -> tuple[str, str]:
    """A commit, and the path that is left. Where the name of a branch holds slashes, the shortest that exists: git
    can't have both ``a`` and ``a/b``."""
    head = ""
    if names[:1] == ("refs",) and len(names) > 2:
        head, names = f"{names[1]}/", names[2:]
    for count in range(1, min(len(names), _WORDS) + 1):
        try:
            return ask_commit(found, head + "/".join(names[:count]), ctx), "/".join(names[count:])
        except NotFound as error:
            last = error
    raise NotFound(f"{redact(found.page)} has no revision {shown('/'.join(names))}, or a part of it") from last


def _citation(found: Place, info: Mapping[str, Any]) -> Citation:
    licence = words(table(info, "license"), "spdx_id")
    title = words(info, "description") or f"{found.owner}/{found.repo}"
    return Citation(title, (found.owner,), licence="" if licence == "NOASSERTION" else licence)

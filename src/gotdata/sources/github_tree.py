"""The files of a commit at GitHub: trees that are cut off are walked, links read, LFS pointers followed."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gotdata.context import Context
from gotdata.errors import NotFound, SourceError
from gotdata.model import Checksum, Kind, RemoteFile
from gotdata.paths import redact, shown
from gotdata.sources import git_lfs
from gotdata.sources.api import rows, whole, words
from gotdata.sources.github_place import TITLE, Place, ask
from gotdata.sources.http import ahead

Entry = Mapping[str, Any]
_LINK, _MODULE, _EXECUTABLE = "120000", "160000", "100755"


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder of a commit, whose entries' paths are relative to it; ``tracked`` knows the whole repository's."""

    place: Place
    commit: str
    ctx: Context
    folder: str = ""
    tracked: git_lfs.Tracked = field(default_factory=git_lfs.Tracked)

    def find(self, path: str) -> Entry:
        """The entry of a path. On the way the attributes of the folders above it are learnt.

        Raises:
            NotFound: there is no such path.
        """
        found: Entry = {"type": "tree", "sha": self.commit}
        above = ""
        for name in path.split("/") if path else ():
            entries = self._flat(words(found, "sha")) if found.get("type") == "tree" else []
            self._learn(entries, above)
            found = next((entry for entry in entries if entry.get("path") == name), {})
            if not found:
                raise NotFound(f"{redact(self.place.page)} has no {shown(path)} at {self.commit[:12]}")
            above = posixpath.join(above, name)
        return found

    def one(self, path: str, entry: Entry) -> RemoteFile:
        """The file at a path. It may be a pointer whatever the attributes say."""
        return replace(self._file({**entry, "path": path}, maybe=True), path=posixpath.basename(path))

    def files(self, sha: str) -> Iterator[RemoteFile]:
        below = f"{self.folder}/" if self.folder else ""
        for file in self._walk(sha, self.folder, ()):
            yield replace(file, path=file.path.removeprefix(below))

    def _walk(self, sha: str, folder: str, above: tuple[str, ...]) -> Iterator[RemoteFile]:
        """One answer holds 100,000 entries or 7 MB; where it is cut off, folder by folder is asked."""
        if sha in above:
            raise SourceError(
                f"{redact(self.place.page)}: its folder {shown(folder)} holds itself: a loop on the server"
            )
        answer = ask(f"{self.place.api}/git/trees/{sha}?recursive=1", self.ctx)
        if answer.get("truncated") is not True:
            yield from self._files(rows(answer, "tree"), folder)
            return
        entries = self._flat(sha)
        yield from self._files(entries, folder)
        for entry in entries:
            if entry.get("type") == "tree":
                yield from self._walk(words(entry, "sha"), posixpath.join(folder, words(entry, "path")), (*above, sha))

    def _flat(self, sha: str) -> list[dict[str, Any]]:
        url = f"{self.place.api}/git/trees/{sha}"
        answer = ask(url, self.ctx)
        if answer.get("truncated") is True:
            raise SourceError(f"{redact(url)}: this folder has more entries than {TITLE} lists; clone the repository")
        return rows(answer, "tree")

    def _files(self, entries: Sequence[Entry], folder: str) -> Iterator[RemoteFile]:
        self._learn(entries, folder)
        asked = []
        for found in entries:
            entry = {**found, "path": f"{folder}/{words(found, 'path')}" if folder else words(found, "path")}
            if entry.get("type") == "tree":
                continue
            if entry.get("mode") == _LINK or self._maybe(entry):
                asked.append(entry)
            else:
                yield self._file(entry)
        yield from ahead(asked, lambda entry: self._file(entry, maybe=True), self.ctx.settings.connections)

    def _learn(self, entries: Sequence[Entry], folder: str) -> None:
        for entry in entries:
            path = posixpath.join(folder, words(entry, "path"))
            if posixpath.basename(path) == git_lfs.ATTRIBUTES and entry.get("type") == "blob":
                self.tracked.learn(posixpath.dirname(path), self.ctx.http.text(self.place.raw(self.commit, path)).text)

    def _maybe(self, entry: Entry) -> bool:
        return (whole(entry, "size") or 0) < git_lfs.LIMIT and words(entry, "path") in self.tracked

    def _file(self, entry: Entry, maybe: bool = False) -> RemoteFile:
        """``maybe``: its text is looked at, where it is short enough for a pointer."""
        path, sha, size, mode = words(entry, "path"), words(entry, "sha"), whole(entry, "size"), entry.get("mode")
        if entry.get("type") == "commit" or mode == _MODULE:
            return RemoteFile(path, 0, Kind.DIR)
        if not path or size is None:
            raise SourceError(f"a file of {redact(self.place.page)} is listed without a name or size: {shown(path)}")
        at = self.place.raw(self.commit, path)
        check = Checksum("git-sha256" if len(sha) == 64 else "git-sha1", sha)
        file = RemoteFile(path, size, at=at, version=f"id:{sha}", checks=(check,), executable=mode == _EXECUTABLE)
        if mode == _LINK:
            return RemoteFile(path, 0, Kind.LINK, target=self._text(file))
        stands_for = git_lfs.pointer(self._text(file)) if maybe and size < git_lfs.LIMIT else None
        if stands_for is None:
            return file
        oid, size = stands_for
        at = f"{self.place.lfs}/objects/{oid}"
        return replace(file, size=size, at=at, version=f"id:{oid}", checks=(Checksum("sha256", oid),))

    def _text(self, file: RemoteFile) -> str:
        """A short file, whole and checked."""
        text = self.ctx.http.text(file.at, limit=max(file.size or 0, 1)).text
        raw = text.encode("utf-8", "surrogateescape")
        (check,) = file.checks
        named = hashlib.sha256 if check.algorithm == "git-sha256" else hashlib.sha1
        if named(b"blob %d\0" % len(raw) + raw, usedforsecurity=False).hexdigest() != check.hex:
            raise SourceError(f"{redact(file.at)} is not the blob {check.hex} that {TITLE}'s tree names")
        return text

"""What git calls a file, a folder and a commit (https://git-scm.com/book/en/v2/Git-Internals-Git-Objects), for doubles
of what hosts repositories."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

FILE, EXECUTABLE, LINK, MODULE, FOLDER = "100644", "100755", "120000", "160000", "040000"


class Blob(NamedTuple):
    """A file: its bytes (of a module: the commit's id) and its mode."""

    body: bytes
    mode: str = FILE


class Entry(NamedTuple):
    name: str
    mode: str
    id: str
    size: int

    @property
    def type(self) -> str:
        return {FOLDER: "tree", MODULE: "commit"}.get(self.mode, "blob")


@dataclass
class Repository:
    """Commits, and the names for them: ``heads/main``, ``tags/v1``, and of annotated tags what they stand for."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    trees: dict[str, list[Entry]] = field(default_factory=dict)
    commits: dict[str, dict[str, Blob]] = field(default_factory=dict)
    roots: dict[str, str] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, files: Mapping[str, bytes | Blob], ref: str = "heads/main") -> str:
        """A commit that holds these files and no others."""
        known = {path: file if isinstance(file, Blob) else Blob(file) for path, file in files.items()}
        tree = self._tree(known)
        text = f"tree {tree}\nauthor A <a@example.org> 0 +0000\ncommitter A <a@example.org> 0 +0000\n\n{ref}\n"
        id = named("commit", text.encode())
        self.commits[id], self.roots[id], self.refs[ref] = known, tree, id
        return id

    def head(self, ref: str = "heads/main") -> dict[str, Blob]:
        return dict(self.commits.get(self.refs.get(ref, ""), {}))

    def find(self, name: str) -> str:
        """The commit that a name means, as git finds it; empty where there is none."""
        for ref in (name, f"tags/{name}", f"heads/{name}"):
            if ref in self.refs:
                return self.refs[ref]
        return next((id for id in self.commits if len(name) >= 7 and id.startswith(name)), "")

    def _tree(self, files: Mapping[str, Blob]) -> str:
        folders: dict[str, dict[str, Blob]] = {}
        entries = []
        for path, file in files.items():
            name, slash, rest = path.partition("/")
            if slash:
                folders.setdefault(name, {})[rest] = file
            elif file.mode == MODULE:
                entries.append(Entry(name, MODULE, file.body.decode(), 0))
            else:
                id = named("blob", file.body)
                self.blobs[id] = file.body
                entries.append(Entry(name, file.mode, id, len(file.body)))
        entries += [Entry(name, FOLDER, self._tree(inside), 0) for name, inside in folders.items()]
        # Folders are sorted as if their names ended in a slash.
        entries.sort(key=lambda entry: raw(entry.name) + b"/" * (entry.mode == FOLDER))
        lines = [raw(entry.mode.lstrip("0") + " " + entry.name) + b"\0" + bytes.fromhex(entry.id) for entry in entries]
        id = named("tree", b"".join(lines))
        self.trees[id] = entries
        return id


def raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def named(kind: str, body: bytes) -> str:
    return hashlib.sha1(b"%s %d\0" % (kind.encode(), len(body)) + body, usedforsecurity=False).hexdigest()


def pointer(body: bytes) -> bytes:
    """What git keeps of a file that lies in LFS."""
    oid = hashlib.sha256(body).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(body)}\n".encode()

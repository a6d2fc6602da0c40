"""A snapshot as SQLite files: names in microseconds, ten million entries open at once. Derived from the texts, never
changed once made, rebuilt when lost or damaged. The id of a node is its row, in the order of the text."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import quote

from gotdata.errors import NotFound, StoreError
from gotdata.model import Checksum, Kind, Level, Node, RemoteFile
from gotdata.paths import shown
from gotdata.snapshot_lines import Totals

ROOT = 1
APPLICATION = 0x676F7464
"""SQLite's application_id of these files."""
SCHEMA = 1
"""Goes up with every change of the tables: older files are made anew."""
KINDS = (Kind.FILE, Kind.LINK, Kind.DIR)
"""As they are numbered in the tables."""

_PAGE = 1000
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def content_file(folder: Path, snapshot: str) -> Path:
    return folder / f"{snapshot}.content.sqlite"


def origins_file(folder: Path, snapshot: str, text: str) -> Path:
    return folder / f"{snapshot}.{text}.origins.sqlite"


def blocks_file(folder: Path, snapshot: str, text: str) -> Path:
    return folder / f"{snapshot}.{text}.blocks.sqlite"


class Index:
    """The names of one snapshot, where its bytes can be had, and their block hashes. Safe for several threads.

    Args:
        folder: where the files lie.
        snapshot: the snapshot's id.
        origins: the ids of the origins texts, one for each mirror.
        blocks: the id of the blocks text, or empty.

    Raises:
        NotFound: a file isn't there or is damaged (and was removed): make it anew from the texts.
    """

    def __init__(self, folder: Path, snapshot: str, origins: Sequence[str] = (), blocks: str = "") -> None:
        self.snapshot = snapshot
        self._place = {
            "folder": str(folder.absolute()),
            "snapshot": snapshot,
            "origins": list(origins),
            "blocks": blocks,
        }
        self._content = _Table(content_file(folder, snapshot))
        self._origins = [_Table(origins_file(folder, snapshot, text)) for text in origins]
        self._blocks = _Table(blocks_file(folder, snapshot, blocks)) if blocks else None
        files, bytes, level = self._content.one("SELECT files, bytes, level FROM total")
        self.totals = Totals(files, bytes, Level(level))

    def node(self, id: int) -> Node:
        """As ``Tree.node``."""
        if row := self._content.one("SELECT * FROM node WHERE id = ?", id):
            return _node(row)
        raise NotFound(f"no entry {id} in snapshot {self.snapshot[:16]}")

    def lookup(self, parent: int, name: str) -> Node:
        """As ``Tree.lookup``."""
        try:
            raw = name.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raw = b""  # no entry is called so
        if row := self._content.one("SELECT * FROM node WHERE parent = ? AND name = ?", parent, raw):
            return _node(row)
        raise NotFound(f"no '{shown(name)}' in '{shown(self.path(parent))}'")

    def children(self, parent: int, after: int = 0) -> Iterator[Node]:
        """As ``Tree.children``. Rows are fetched a thousand at a time: no lock is held in between."""
        query = "SELECT * FROM node WHERE parent = ? AND name > ? ORDER BY name LIMIT ?"
        name = self._name_before(parent, after)
        while name is not None:
            rows = self._content.all(query, parent, name, _PAGE)
            yield from map(_node, rows)
            name = rows[-1][2] if len(rows) == _PAGE else None

    def _name_before(self, parent: int, id: int) -> bytes | None:
        """The name of the child that is or holds the node, empty where the node stands before all of them, None where
        it stands behind. (Siblings have the same order by name and by id.)"""
        name = b""
        while id > parent:
            row = self._content.one("SELECT parent, name FROM node WHERE id = ?", id)
            if row is None or row[0] < parent:
                return None
            id, name = row
        return name

    def walk(self, id: int = ROOT) -> Iterator[tuple[str, Node]]:
        """Everything below a folder with its path from the root, in order. Of a file: itself."""
        start = self.node(id)
        if start.kind is not Kind.DIR:
            yield self.path(id), start
            return
        above = {id: self.path(id) + "/" if id != ROOT else ""}
        query = "SELECT * FROM node WHERE id > ? ORDER BY id LIMIT ?"
        trail = [id]
        last: int | None = id
        while last is not None:
            rows = self._content.all(query, last, _PAGE)
            for node in map(_node, rows):
                while trail and trail[-1] != node.parent:
                    del above[trail.pop()]
                if not trail:
                    return
                path = above[node.parent] + node.name
                yield path, node
                if node.kind is Kind.DIR:
                    above[node.id] = path + "/"
                    trail.append(node.id)
            last = rows[-1][0] if len(rows) == _PAGE else None

    def files(self, id: int = ROOT) -> Iterator[tuple[str, Node]]:
        """The files below a folder, as ``walk``."""
        return ((path, node) for path, node in self.walk(id) if node.kind is Kind.FILE)

    def path(self, id: int) -> str:
        """The path of a node, empty for the root. Raises NotFound."""
        names = []
        while id != ROOT:
            node = self.node(id)
            names.append(node.name)
            id = node.parent
        return "/".join(reversed(names))

    def id_of(self, path: str) -> int:
        """The id at a path; the empty path is the root. Raises NotFound."""
        id = ROOT
        for name in path.split("/") if path else ():
            id = self.lookup(id, name).id
        return id

    def origins(self, id: int) -> tuple[tuple[int, RemoteFile], ...]:
        """Where a file's bytes can be had: number of the mirror and its entry. Empty for folders and links."""
        node = self.node(id)
        if node.kind is not Kind.FILE:
            return ()
        path = self.path(id)
        found = []
        for mirror, table in enumerate(self._origins):
            if row := table.one("SELECT at, version, checks FROM origin WHERE id = ?", id):
                checks = tuple(Checksum(*check.split(":")) for check in row[2].split())
                found.append((mirror, RemoteFile(path, node.size, Kind.FILE, row[0], row[1], checks, node.executable)))
        return tuple(found)

    def blocks(self, identity: str) -> tuple[bytes, ...]:
        """sha256 of each ``BLOCK_HASHED`` bytes of a file, or nothing where the lock has none. A file of one block with
        a sha256 identity has none: its identity is that hash."""
        row = self._blocks.one("SELECT hashes FROM block WHERE identity = ?", identity) if self._blocks else None
        return tuple(row[0][at : at + 32] for at in range(0, len(row[0]), 32)) if row else ()

    @property
    def place(self) -> dict[str, Any]:
        """What ``at`` needs to open the same index in another process, fit for JSON."""
        return dict(self._place)

    @classmethod
    def at(cls, place: Mapping[str, Any]) -> Index:
        return cls(Path(place["folder"]), place["snapshot"], place["origins"], place["blocks"])

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Idempotent."""
        for table in (self._content, *self._origins, *filter(None, (self._blocks,))):
            table.close()


def sound(path: Path) -> bool:
    """Whether a file of an index is there. One that is damaged is removed."""
    try:
        _Table(path).close()
    except NotFound:
        return False
    return True


class _Table:
    """One of the files, open for reading by any thread. Immutable: SQLite takes no locks, on no file system."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise NotFound(f"no index {path.name}")
        self._path, self._lock = path, Lock()
        uri = f"file:{quote(str(path))}?mode=ro&immutable=1"
        self._db = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None, cached_statements=16)
        marks = self.one("PRAGMA application_id"), self.one("PRAGMA user_version")
        if marks != ((APPLICATION,), (SCHEMA,)):
            self._remove()
            raise NotFound(f"the index {path.name} was damaged or of another version, and was removed")

    def one(self, query: str, *values: Any) -> Any:
        """The first row, or None."""
        return next(iter(self._rows(query, values, 1)), None)

    def all(self, query: str, *values: Any) -> list[Any]:
        return self._rows(query, values, -1)

    def _rows(self, query: str, values: tuple[Any, ...], most: int) -> list[Any]:
        try:
            with self._lock:
                found = self._db.execute(query, values)
                return found.fetchmany(most) if most > 0 else found.fetchall()
        except OverflowError:  # no row has such a number
            return []
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
                self._remove()
                raise NotFound(f"the index {self._path.name} was damaged, and was removed; try again") from None
            raise StoreError(f"the index {self._path} can't be read: {error}") from None

    def _remove(self) -> None:
        self._db.close()
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        self._db.close()


def _node(row: Any) -> Node:
    id, parent, name, kind, size, executable, target, identity = row
    return Node(
        id,
        parent,
        name.decode("utf-8", "surrogateescape"),
        KINDS[kind],
        size,
        executable == 1,
        target.decode("utf-8", "surrogateescape"),
        identity,
    )

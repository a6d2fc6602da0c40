"""A small lazy tree for tests, that several processes can have at once: its origin and its store are plain files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import threading
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import astuple, replace
from pathlib import Path

from gotdata import errors
from gotdata.model import BLOCK, Kind, Node, Span
from gotdata.report import Event, Reporter, silent
from gotdata.tree.base import ROOT

if sys.platform == "win32":
    raise ImportError("gotdata.testing.trees needs flock")

import fcntl


class MemoryHeld:
    """Fulfils ``store.base.Held``. ``gate`` is held open while an in-place read may go on."""

    def __init__(self, data: Path, size: int, present: Path | None, gate: Path | None) -> None:
        self.size, self.whole, self.in_place = size, present is None and gate is None, gate is not None
        self._fd = os.open(data, os.O_RDONLY)
        self.fd = self._fd if self.whole else -1
        self._present, self._gate = present, gate
        self._closed = False

    def pread(self, span: Span) -> bytes | None:
        if self._gate:
            _pass(self._gate)
        stop = min(span.stop, self.size)
        if self._present:
            with contextlib.suppress(FileNotFoundError):  # whole by now
                blocks = slice(span.start // BLOCK, -(-stop // BLOCK))
                if not all(self._present.read_bytes()[blocks]):
                    return None
        return os.pread(self._fd, max(0, stop - span.start), span.start)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            os.close(self._fd)


class MemoryTree:
    """Fulfils ``tree.base.Lazy``. What happens to it in one process is seen by all that opened the same folder."""

    def __init__(self, folder: str | Path, reporter: Reporter = silent) -> None:
        self._folder, self._reporter = Path(folder), reporter
        rows = json.loads((self._folder / "index.json").read_text())
        self._nodes = {row[0]: replace(Node(*row), kind=Kind(row[3])) for row in rows}
        self._children: dict[int, dict[str, Node]] = defaultdict(dict)
        for node in self._nodes.values():
            if node.id != ROOT:
                self._children[node.parent][node.name] = node
        self.snapshot = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
        self._lock = threading.Lock()

    @classmethod
    def plant(
        cls, folder: Path, entries: Mapping[str, bytes | str | None], executable: Collection[str] = ()
    ) -> MemoryTree:
        """A tree of ``entries``: path → bytes of a file, target of a link, or None for an empty folder. The store has
        nothing of it."""
        for name in ("origin", "store"):
            (folder / name).mkdir(parents=True)
        (folder / "gate").touch()
        nodes = {"": Node(ROOT, 0, "", Kind.DIR)}
        for path, content in sorted(entries.items()):
            parts = path.split("/")
            for depth in range(1, len(parts)):
                _add(nodes, "/".join(parts[:depth]), Kind.DIR)
            if isinstance(content, bytes):
                node = _add(nodes, path, Kind.FILE, content, path in executable)
                (folder / "origin" / str(node.id)).write_bytes(content)
            elif content is None:
                _add(nodes, path, Kind.DIR)
            else:
                _add(nodes, path, Kind.LINK, content.encode("utf-8", "surrogateescape"), target=content)
        (folder / "index.json").write_text(json.dumps([astuple(node) for node in nodes.values()]))
        return cls(folder)

    def node(self, id: int) -> Node:
        try:
            return self._nodes[id]
        except KeyError:
            raise errors.NotFound(f"no node {id}") from None

    def lookup(self, parent: int, name: str) -> Node:
        try:
            return self._children[parent][name]
        except KeyError:
            raise errors.NotFound(f"no {name!r} in {parent}") from None

    def children(self, parent: int, after: int = 0) -> Iterator[Node]:
        nodes = list(self._children[parent].values())  # in the order of their ids, as they were planted
        return iter(nodes[bisect_right(nodes, after, key=lambda node: node.id) :])

    def read(self, id: int, span: Span) -> bytes:
        self.ensure(id, span)
        held = self.held(id)
        with contextlib.closing(held):
            return held.pread(span) or b""

    def held(self, id: int) -> MemoryHeld:
        size = self.node(id).size
        if (self._folder / "in_place").exists():
            return MemoryHeld(self._folder / "origin" / str(id), size, None, self._folder / "gate")
        data, present = self._files(id)
        return MemoryHeld(data, size, present if present.exists() else None, None)

    def _files(self, id: int) -> tuple[Path, Path]:
        """The store's bytes, and a byte for each block of them; that second file is there until the first is whole."""
        data, present = (self._folder / "store" / f"{id}.{kind}" for kind in ("data", "present"))
        if not data.exists():
            self._make(id, data, present)
        return data, present

    def _make(self, id: int, data: Path, present: Path) -> None:
        """As a whole: another process may look at any moment."""
        with (self._folder / "making").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not data.exists():
                present.write_bytes(bytes(-(-self.node(id).size // BLOCK)))
                new = data.with_suffix(".new")
                new.touch()
                os.truncate(new, self.node(id).size)
                new.rename(data)

    def ensure(self, id: int, span: Span, prefetch: int = 0) -> None:
        with self._lock:
            if (self._folder / "in_place").exists():
                return
            data, present = self._files(id)
            if not present.exists():
                return
            here = present.read_bytes()
            stop = min(span.stop + prefetch, self.node(id).size)
            for block in range(span.start // BLOCK, -(-stop // BLOCK)):
                if not here[block]:
                    self._fetch(id, data, block)
                    with present.open("r+b") as file:
                        file.seek(block)
                        file.write(b"x")

    def _fetch(self, id: int, data: Path, block: int) -> None:
        (self._folder / "asked").touch()
        _pass(self._folder / "gate")
        if (self._folder / "fault").exists():
            kind, message = json.loads((self._folder / "fault").read_text())
            raise getattr(errors, kind)(message)
        with (self._folder / "origin" / str(id)).open("rb") as source, data.open("r+b") as file:
            for end in (source, file):
                end.seek(block * BLOCK)
            size = file.write(source.read(BLOCK))
        with (self._folder / "fetched").open("a") as log:
            log.write(f"{id} {block}\n")
        self._reporter(Event("fetched", bytes=size))
        doubt = self._folder / "doubt"
        if doubt.exists():
            self._reporter(Event("warning", path=doubt.read_text(), text=f"{doubt.read_text()} is wrong"))

    @property
    def asked(self) -> bool:
        """Whether anything was asked of the origin, which may not have answered yet."""
        return (self._folder / "asked").exists()

    def fetched(self) -> list[tuple[int, int]]:
        """Node and block of everything that was fetched, in order."""
        log = self._folder / "fetched"
        lines = log.read_text().splitlines() if log.exists() else []
        return [(int(id), int(block)) for id, block in (line.split() for line in lines)]

    def complete(self, id: int) -> None:
        """The store has this file whole now."""
        data, present = self._files(id)
        data.write_bytes((self._folder / "origin" / str(id)).read_bytes())
        present.unlink(missing_ok=True)

    def lose(self, id: int) -> None:
        """The store has nothing of this file any more, which was partial."""
        data, present = self._files(id)
        for path in (present, data):
            with path.open("r+b") as file:
                file.write(bytes(path.stat().st_size))

    def in_place(self) -> None:
        """Files are the origin's own from now on."""
        (self._folder / "in_place").touch()

    def fault(self, kind: type[errors.GotdataError], message: str) -> None:
        """Fetching fails from now on."""
        (self._folder / "fault").write_text(json.dumps([kind.__name__, message]))

    def doubt(self, path: str) -> None:
        """Whenever something is fetched from now on, this file is reported to be wrong."""
        (self._folder / "doubt").write_text(path)

    def no_fault(self) -> None:
        (self._folder / "fault").unlink()

    @contextlib.contextmanager
    def gate(self) -> Iterator[None]:
        """Fetching, and reading in place, does not go on before this ends."""
        with (self._folder / "gate").open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _add(
    nodes: dict[str, Node], path: str, kind: Kind, content: bytes = b"", executable: bool = False, target: str = ""
) -> Node:
    if path not in nodes:
        parent, _, name = path.rpartition("/")
        identity = f"sha256:{hashlib.sha256(content).hexdigest()}" if kind is Kind.FILE else ""
        nodes[path] = Node(
            len(nodes) + 1, nodes[parent].id, name, kind, len(content), executable, target, identity=identity
        )
    return nodes[path]


def _pass(gate: Path) -> None:
    with gate.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)


def open_tree(folder: str, reporter: Reporter = silent) -> MemoryTree:
    """A factory for ``fuse.spec``."""
    return MemoryTree(folder, reporter)

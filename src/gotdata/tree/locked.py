"""The tree of a locked dataset: names from the snapshot's index, bytes from the store, the missing from the origins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from gotdata.errors import StoreError
from gotdata.model import Node, RemoteFile, Span
from gotdata.origin import Origin, Wanted
from gotdata.store.base import Held
from gotdata.tree.ahead import Ahead
from gotdata.tree.file import TreeFile

Mirror = Callable[[RemoteFile], Sequence[Origin]]
"""One mirror of a dataset: from a file's entry to the places where its bytes can be had."""


class Names(Protocol):
    """The part of a snapshot's index that a tree needs."""

    snapshot: str

    def node(self, id: int) -> Node: ...
    def lookup(self, parent: int, name: str) -> Node: ...
    def children(self, parent: int, after: int = 0) -> Iterator[Node]: ...
    def origins(self, id: int) -> tuple[tuple[int, RemoteFile], ...]: ...
    def blocks(self, identity: str) -> tuple[bytes, ...]: ...


class Shelf(Protocol):
    """The part of the store that a tree needs."""

    def held(self, wanted: Wanted) -> Held: ...


class Fetching(Protocol):
    """The part of the reading engine that a tree needs."""

    def ensure(self, wanted: Wanted, span: Span, prefetch: int = 0) -> None: ...


class LockedTree:
    """Fulfils ``tree.base.Lazy``. Without a reader it serves what the store holds and can't ``ensure`` more: so the
    process that answers the kernel needs neither network nor keys. ``ahead``: files that are read in order are fetched
    before they are asked for."""

    def __init__(
        self,
        name: str,
        index: Names,
        mirrors: Sequence[Mirror],
        store: Shelf,
        reader: Fetching | None = None,
        ahead: bool = False,
    ) -> None:
        self.name = name
        self.snapshot = index.snapshot
        self._index, self._mirrors, self._store, self._reader = index, tuple(mirrors), store, reader
        self._ahead = Ahead(index.node, self._bring) if ahead else None
        self.node = index.node
        self.lookup = index.lookup
        self.children = index.children

    def wanted(self, id: int) -> Wanted:
        """What the reading engine needs to know of a file."""
        node = self._index.node(id)
        places = self._index.origins(id)
        path = places[0][1].path if places else node.name
        return Wanted(
            f"{self.name}/{path}",
            node.size,
            node.identity,
            tuple(origin for mirror, file in places for origin in self._mirrors[mirror](file)),
            self._index.blocks(node.identity),
        )

    def held(self, id: int) -> Held:
        return self._store.held(self.wanted(id))

    def ensure(self, id: int, span: Span, prefetch: int = 0) -> None:
        if self._reader is None:
            raise StoreError(f"{self.name}: not in the store, and this process fetches nothing")
        if self._ahead:
            self._ahead.read(id)
        self._reader.ensure(self.wanted(id), span, prefetch)

    def _bring(self, node: Node) -> None:
        if self._reader:
            self._reader.ensure(self.wanted(node.id), Span(0, node.size))

    def read(self, id: int, span: Span) -> bytes:
        with TreeFile(self, id, self.name) as file:
            return file.pread(span)

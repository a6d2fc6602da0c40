"""The tree of a locked dataset, read in order: what it asks of the reading engine."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from gotdata.errors import NotFound
from gotdata.model import Kind, Node, RemoteFile, Span
from gotdata.origin import Wanted
from gotdata.store.base import Held
from gotdata.tree.locked import LockedTree


class Names:
    """Files 2 to 99, of 100 bytes."""

    snapshot = "0" * 64

    def node(self, id: int) -> Node:
        if not 2 <= id < 100:
            raise NotFound("no such entry")
        return Node(id, 1, f"{id}.bin", Kind.FILE, 100, identity=f"weak:test#{id}#1")

    def lookup(self, parent: int, name: str) -> Node:
        raise NotFound(name)

    def children(self, parent: int, after: int = 0) -> Iterator[Node]:
        return iter(())

    def origins(self, id: int) -> tuple[tuple[int, RemoteFile], ...]:
        return ()

    def blocks(self, identity: str) -> tuple[bytes, ...]:
        return ()


class Shelf:
    def held(self, wanted: Wanted) -> Held:
        raise AssertionError("nothing is read here")


class Fetching:
    def __init__(self) -> None:
        self.asked: list[tuple[str, Span]] = []
        self._changed = threading.Condition()

    def ensure(self, wanted: Wanted, span: Span, prefetch: int = 0) -> None:
        with self._changed:
            self.asked.append((wanted.name, span))
            self._changed.notify_all()

    def wait(self, count: int) -> set[tuple[str, Span]]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.asked) >= count, 30)
            return set(self.asked)


@pytest.mark.parametrize("ahead", [True, False])
def test_the_next_files_are_fetched_whole_where_that_is_asked_for(ahead: bool) -> None:
    reader = Fetching()
    tree = LockedTree("cells", Names(), (), Shelf(), reader, ahead=ahead)
    for id in (2, 3, 4):
        tree.ensure(id, Span(0, 10))
    asked = {(f"cells/{id}.bin", Span(0, 10)) for id in (2, 3, 4)}
    if ahead:
        asked |= {(f"cells/{id}.bin", Span(0, 100)) for id in range(5, 11)}
    assert reader.wait(len(asked)) == asked

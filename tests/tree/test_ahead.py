"""Files that are read one after the other are fetched ahead; nothing else is."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable

import pytest

from gotdata.errors import NotFound, SourceUnavailable
from gotdata.model import Kind, Node
from gotdata.tree import ahead
from gotdata.tree.ahead import Ahead


class Folder:
    """Files 2, 3, … of these sizes; a folder where the size is None. Notes what is fetched, and stops there until
    ``open`` is set."""

    def __init__(self, sizes: Iterable[int | None]) -> None:
        self._sizes = list(sizes)
        self._changed = threading.Condition()
        self.fetched: list[int] = []
        self.open = threading.Event()
        self.open.set()
        self.fails = False
        self.ahead = Ahead(self.node, self.fetch)

    def node(self, id: int) -> Node:
        if not 2 <= id < 2 + len(self._sizes):
            raise NotFound("no such entry")
        size = self._sizes[id - 2]
        return Node(id, 1, f"{id:05}", Kind.DIR if size is None else Kind.FILE, size or 0)

    def fetch(self, node: Node) -> None:
        with self._changed:
            self.fetched.append(node.id)
            self._changed.notify_all()
        self.open.wait(30)
        if self.fails:
            raise SourceUnavailable("the line is down")

    def read(self, *ids: int) -> None:
        for id in ids:
            self.ahead.read(id)

    def settled(self, count: int) -> list[int]:
        """What was fetched, once it is as many, in the order of ids."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.fetched) >= count, 30)
            return sorted(self.fetched)


def test_the_third_in_order_brings_the_next() -> None:
    folder = Folder([100] * 100)
    folder.read(10, 11)
    assert folder.fetched == []
    folder.read(12)
    assert folder.settled(6) == [13, 14, 15, 16, 17, 18]


def test_who_reads_behind_what_came_ahead_goes_on() -> None:
    """The files that came are not missed: the next that is stands after them."""
    folder = Folder([100] * 300)
    folder.read(2, 3, 4)
    came = [*range(5, 11)]
    assert folder.settled(6) == came
    folder.read(11)
    came += range(12, 20)
    assert folder.settled(14) == came
    folder.read(20)
    came += range(21, 31)
    assert folder.settled(24) == came


def test_it_stays_within_its_number_of_files() -> None:
    folder = Folder([100] * 1000)
    folder.read(*range(2, 102))
    assert folder.settled(100)[-1] <= 101 + ahead.FILES


def test_it_stays_within_its_bytes() -> None:
    folder = Folder([ahead.LARGEST] * 1000)
    folder.open.clear()
    folder.read(*range(2, 102))
    folder.settled(ahead._THREADS)
    most = ahead.BYTES // ahead.LARGEST
    assert folder.ahead._bytes == ahead.BYTES
    folder.open.set()
    assert len(folder.settled(most)) == most


@pytest.mark.parametrize("ids", [range(500, 2, -1), range(2, 500, 7), [5] * 100], ids=["backwards", "apart", "one"])
def test_other_orders_bring_nothing(ids: Iterable[int]) -> None:
    folder = Folder([100] * 1000)
    folder.read(*ids)
    assert folder.fetched == []
    assert folder.ahead._bytes == 0


def test_random_reads_bring_nothing() -> None:
    folder = Folder([100] * 100_000)
    chosen = random.Random(1)
    folder.read(*(chosen.randrange(2, 100_000) for _ in range(2000)))
    assert folder.fetched == []


def test_readers_of_two_folders_are_told_apart() -> None:
    folder = Folder([100] * 1000)
    for step in range(3):
        folder.read(10 + step, 500 + step)
    assert folder.settled(12) == [*range(13, 19), *range(503, 509)]


def test_folders_empty_and_large_files_are_passed_over() -> None:
    folder = Folder([10, 10, 10, None, 0, ahead.LARGEST + 1, ahead.LARGEST, 10])
    folder.read(2, 3, 4)
    assert folder.settled(2) == [8, 9]


def test_the_last_file_is_no_error() -> None:
    folder = Folder([10, 10, 10])
    folder.read(2, 3, 4)
    assert folder.fetched == []


def test_after_a_failure_a_run_begins_anew() -> None:
    folder = Folder([100] * 100)
    folder.fails = True
    folder.read(2, 3, 4)
    folder.settled(6)
    folder.ahead._pool.close(30)
    assert folder.ahead._bytes == 0
    assert folder.ahead._runs[0].length == 0

"""Several processes on one store."""

from __future__ import annotations

import io
import multiprocessing
import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path

import pytest

from gotdata.credentials import PUBLIC
from gotdata.errors import SourceUnavailable
from gotdata.model import BLOCK, Checksum, Span
from gotdata.store.locks import WholeLock, block_locks
from gotdata.store.partial import Partial
from gotdata.store.reader import Reader
from gotdata.store.store import Store
from gotdata.testing.origins import wanted
from tests.store.conftest import SETTINGS

SIZE = 20 * BLOCK + 99
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="locks on byte ranges between processes are Linux's")
spawn = multiprocessing.get_context("spawn")


class Body(io.RawIOBase):
    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.data = data

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        count = min(len(buffer), len(self.data))
        buffer[:count], self.data = self.data[:count], self.data[count:]
        return count


@dataclass
class Logged:
    """A file, and beside it a log of the spans that were asked for."""

    path: Path
    gate: Event | None = None
    url: str = "https://data.example/shared"
    version: str = 'etag:"1"'
    checks: tuple[Checksum, ...] = ()
    realm: str = PUBLIC
    ranges: bool = True
    local: str = ""

    def open(self, span: Span) -> io.RawIOBase:
        with self.path.with_suffix(".log").open("a") as log:
            log.write(f"{span.start} {span.stop}\n")
        if self.gate:
            self.gate.wait()
        return Body(self.path.read_bytes()[span.start : span.stop])

    def asked(self) -> list[Span]:
        return [Span(*map(int, line.split())) for line in self.path.with_suffix(".log").read_text().splitlines()]


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    path = tmp_path / "shared.bin"
    path.write_bytes(random.Random(1).randbytes(SIZE))
    path.with_suffix(".log").touch()
    return path


def student(root: Path, path: Path, seed: int, start: Barrier) -> None:
    order = list(range(21))
    random.Random(seed).shuffle(order)
    store = Store.open(root, SETTINGS)
    file = wanted(Logged(path), size=SIZE)
    data = path.read_bytes()
    with Reader(store, SETTINGS) as reader:
        start.wait()
        for block in order:
            span = Span(block * BLOCK, min(SIZE, block * BLOCK + 2 * BLOCK))
            reader.ensure(file, span)
            held = store.held(file)
            assert held.pread(span) == data[span.start : span.stop]
            held.close()


@linux_only
def test_processes_that_read_one_file_fetch_each_block_once(tmp_path: Path, shared: Path) -> None:
    start = spawn.Barrier(4)
    class_room = [spawn.Process(target=student, args=(tmp_path / "store", shared, seed, start)) for seed in range(4)]
    for one in class_room:
        one.start()
    for one in class_room:
        one.join()
    assert [one.exitcode for one in class_room] == [0, 0, 0, 0]
    asked = Logged(shared).asked()
    assert sum(span.size for span in asked) == SIZE
    assert sorted(asked)[0].start == 0


@linux_only
def test_what_another_process_brought_meanwhile_is_not_fetched(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another opening of the same files stands for another process: its locks are its own."""
    waits = threading.Event()
    monkeypatch.setattr(Reader, "_pause", lambda self, seconds: waits.set())
    store = Store.open(tmp_path / "store", SETTINGS)
    file = wanted(Logged(shared), size=SIZE)
    other = store.create(file, file.origins[0])
    assert other is not None
    assert other.take(0, 4)
    data = memoryview(shared.read_bytes())
    with ThreadPoolExecutor(1) as thread, Reader(store, SETTINGS) as reader:
        waiting = thread.submit(reader.ensure, file, Span(0, 4 * BLOCK))
        waits.wait()
        for block in (0, 2):
            other.write(block, data[block * BLOCK : (block + 1) * BLOCK])
        assert Logged(shared).asked() == []
        other.drop(0, 4)
        waiting.result()
    other.close()
    assert Logged(shared).asked() == [Span(BLOCK, 2 * BLOCK), Span(3 * BLOCK, 4 * BLOCK)]


def fetch_and_wait(root: Path, path: Path, gate: Event) -> None:
    with Reader(Store.open(root, SETTINGS), SETTINGS) as reader:
        reader.ensure(wanted(Logged(path, gate), size=SIZE), Span(0, 1))


@linux_only
def test_when_the_process_that_fetches_is_killed_another_takes_over(tmp_path: Path, shared: Path) -> None:
    never = spawn.Event()
    stuck = spawn.Process(target=fetch_and_wait, args=(tmp_path / "store", shared, never))
    stuck.start()
    while not Logged(shared).asked():
        stuck.join(0.01)
        assert stuck.is_alive()
    store = Store.open(tmp_path / "store", SETTINGS)
    file = wanted(Logged(shared), size=SIZE)
    hurried = Reader(store, replace(SETTINGS, timeout=0.2))
    with pytest.raises(SourceUnavailable):
        hurried.ensure(file, Span(0, 1))
    assert len(Logged(shared).asked()) == 1
    stuck.kill()
    stuck.join()
    with Reader(store, SETTINGS) as reader:
        reader.ensure(file, Span(0, 1))
    hurried.close()
    assert len(Logged(shared).asked()) == 2


@linux_only
def test_a_range_is_one_holders_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "locked"
    path.touch()
    with path.open("r+b") as first, path.open("r+b") as second:
        one, other = block_locks(first.fileno()), block_locks(second.fileno())
        assert one.take(0, 32)
        assert not other.take(16, 32)
        assert other.take(32, 16)
        one.drop(0, 32)
        assert other.take(16, 16)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")
def test_where_ranges_cannot_be_locked_the_whole_map_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gotdata.store.partial.block_locks", WholeLock)
    partials = [Partial(tmp_path / "a.data", tmp_path / "a.map", bytes(32), SIZE, 0o600) for _ in range(2)]
    assert partials[0].take(0, 1)
    assert partials[0].take(5, 6)
    assert not partials[1].take(9, 10)
    partials[0].drop(0, 1)
    assert not partials[1].take(9, 10)
    partials[0].drop(5, 6)
    assert partials[1].take(9, 10)

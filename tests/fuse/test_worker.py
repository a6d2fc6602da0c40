"""What the process that fetches says unasked: how many bytes came, and for whom."""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("workers need Linux", allow_module_level=True)

import socket

from gotdata.errors import NotFound
from gotdata.fuse.link import PACKET, Mark, Reply, Request
from gotdata.fuse.log import Log
from gotdata.fuse.worker import Came, reporter, serve_worker
from gotdata.model import BLOCK, Span
from gotdata.report import Event, Reporter
from gotdata.store.pool import Pool
from gotdata.testing.trees import MemoryTree

DATA = os.urandom(3 * BLOCK + 5)


class Ahead(MemoryTree):
    """What is to be prefetched comes after the answer, in another thread, when ``go`` is set."""

    def __init__(self, folder: Path, reporter: Reporter) -> None:
        super().__init__(folder, reporter)
        self.go, self._pool = threading.Event(), Pool(1, "ahead")

    def ensure(self, id: int, span: Span, prefetch: int = 0) -> None:
        super().ensure(id, span)
        if prefetch:
            self._pool.submit(lambda: self._later(id, Span(span.stop, span.stop + prefetch)))

    def _later(self, id: int, span: Span) -> None:
        self.go.wait()
        super().ensure(id, span)


class Bench:
    def __init__(self, folder: Path) -> None:
        MemoryTree.plant(folder, {"big": DATA})
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        came = Came(theirs)
        self.tree = Ahead(folder, reporter(theirs, Log(), came))
        self._thread = threading.Thread(target=serve_worker, args=(theirs, self.tree, Log(), came))
        self._thread.start()
        self.theirs = theirs

    def ask(self, seq: int, start: int, stop: int, ahead: int, pid: int) -> None:
        self.sock.send(Request(seq, 2, start, stop, ahead, pid).pack())

    def hear(self) -> Reply:
        return Reply.unpack(self.sock.recv(PACKET))

    def close(self) -> None:
        self.tree.go.set()
        self.sock.close()
        self._thread.join()
        self.theirs.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def test_what_came_is_said_before_the_answer_and_once(bench: Bench) -> None:
    bench.ask(1, 0, 2 * BLOCK, 0, 4242)
    assert [bench.hear(), bench.hear()] == [Reply(0, mark=Mark.CAME, message=f"4242 {2 * BLOCK}"), Reply(1)]
    bench.ask(2, 0, 2 * BLOCK, 0, 4242)
    assert bench.hear() == Reply(2)


def test_what_comes_ahead_of_its_reader_is_said_when_it_came_and_for_whom(bench: Bench) -> None:
    bench.ask(1, 0, BLOCK, len(DATA), 4242)
    assert [bench.hear(), bench.hear()] == [Reply(0, mark=Mark.CAME, message=f"4242 {BLOCK}"), Reply(1)]
    bench.ask(2, 0, BLOCK, 0, 77)
    assert bench.hear() == Reply(2)
    bench.tree.go.set()
    sizes = 0
    while sizes < len(DATA) - BLOCK:
        said = bench.hear()
        pid, size = map(int, said.message.split())
        assert (said.mark, pid) == (Mark.CAME, 4242)
        sizes += size
    assert sizes == len(DATA) - BLOCK


def test_what_came_is_said_in_sums() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        report = reporter(theirs, Log(), came := Came(theirs))
        for _ in range(1000):
            report(Event("fetched", bytes=100))
        came.tell()
        sizes, packets = 0, 0
        while sizes < 100_000:
            sizes += int(Reply.unpack(ours.recv(PACKET)).message.split()[1])
            packets += 1
        assert sizes == 100_000
        assert packets < 100


def test_a_file_that_is_gone_upstream_is_an_error_of_reading_not_of_its_name(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise NotFound("https://h.org/x answered 404")

    monkeypatch.setattr(bench.tree, "ensure", gone)
    bench.ask(1, 0, BLOCK, 0, 4242)
    said = bench.hear()
    assert (said.seq, said.errno, said.message) == (1, errno.EIO, "https://h.org/x answered 404")

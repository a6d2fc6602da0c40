"""How READs are answered, without a kernel: whatever the store and the workers say, once, exactly, and in time."""

from __future__ import annotations

import errno
import struct
import sys
from collections.abc import Callable

import pytest

from gotdata.errors import GotdataError, StoreError, UpstreamChanged
from gotdata.fuse import protocol
from gotdata.fuse.link import Mark, Reply, Request
from gotdata.fuse.log import Log
from gotdata.model import BLOCK, Kind, Node, Span

if sys.platform != "linux":
    pytest.skip("mounts need Linux", allow_module_level=True)

from gotdata.fuse import reads
from gotdata.fuse.files import Files
from gotdata.fuse.ledger import Ledger
from gotdata.fuse.meter import Meter
from gotdata.fuse.reads import Reads

SIZE = 3 * BLOCK + 7


class Connection:
    """The kernel's end."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes | int]] = []
        self.notices: list[bytes] = []

    def reply(self, unique: int, body: bytes) -> bool:
        self.answers.append((unique, body))
        return True

    def refuse(self, unique: int, number: int) -> bool:
        self.answers.append((unique, number))
        return True

    def notify(self, code: protocol.Notify, body: bytes) -> bool:
        self.notices.append(body)
        return True


class Held:
    size = SIZE
    fd = -1

    def __init__(self, give: Callable[[Span], bytes | None], in_place: bool = False) -> None:
        self.pread, self.in_place, self.whole = give, in_place, False

    def close(self) -> None:
        pass


class Tree:
    """One file, node 2, of which the store gives what ``give`` says."""

    def __init__(self) -> None:
        self.give: Callable[[Span], bytes | None] = lambda span: None
        self.in_place = False
        self.opened = 0

    def node(self, id: int) -> Node:
        return Node(id, 1, "big", Kind.FILE, SIZE)

    def held(self, id: int) -> Held:
        self.opened += 1
        return Held(self.give, self.in_place)


class Pool:
    """Does at once what a thread would."""

    def submit(self, call: Callable[..., object], *arguments: object) -> None:
        call(*arguments)


def zeros(span: Span) -> bytes:
    return bytes(span.size)


class Bench:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, ledger: Ledger) -> None:
        self.connection, self.tree, self.asked, self.now = Connection(), Tree(), list[Request](), 100.0
        files = Files("cells", self.tree, 10)  # type: ignore[arg-type]
        self.ledger, meter = ledger, Meter("cells", 0, 0, ledger, Log())
        self.reads = Reads(self.connection, files, meter, ledger, Log(), 60.0, self.asked.append)  # type: ignore[arg-type]
        self.reads._pool = Pool()  # type: ignore[assignment]
        monkeypatch.setattr(reads.time, "monotonic", lambda: self.now)

    def came(self, size: int) -> None:
        self.reads.arrived(Reply(0, mark=Mark.CAME, message=f"4242 {size}"))

    def read(self, unique: int, offset: int, size: int) -> bytes | None:
        body = memoryview(struct.pack("<QQI20x", 0, offset, size))
        return self.reads.read(protocol.Request(15, unique, 2, 4242, body))


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, ledger: Ledger) -> Bench:
    return Bench(monkeypatch, ledger)


@pytest.mark.parametrize(
    ("offset", "size", "due"),
    [(0, 4096, 4096), (SIZE - 10, 4096, 10), (SIZE, 4096, 0), (SIZE + 5, 4096, 0), (0, 2 * SIZE, SIZE)],
)
def test_what_is_here_is_answered_at_once_and_exactly(bench: Bench, offset: int, size: int, due: int) -> None:
    bench.tree.give = zeros
    assert bench.read(1, offset, size) == bytes(due)
    assert bench.asked == []


@pytest.mark.parametrize("wrong", [-1, 1])
def test_a_store_that_gives_another_length_is_an_error(bench: Bench, wrong: int) -> None:
    bench.tree.give = lambda span: bytes(span.size + wrong)
    with pytest.raises(StoreError, match=f"gave {100 + wrong} bytes where 100 were due"):
        bench.read(1, 0, 100)


def test_whole_blocks_are_asked_for_cut_to_the_size(bench: Bench) -> None:
    assert bench.read(1, 10, 20) is None
    assert bench.read(2, 3 * BLOCK + 1, 100) is None
    assert [each[1:] for each in bench.asked] == [(2, 0, BLOCK, 0, 4242), (2, 3 * BLOCK, SIZE, 0, 4242)]


def test_readers_of_the_same_blocks_ask_once_and_all_are_answered(bench: Bench) -> None:
    for unique in range(5):
        assert bench.read(unique, unique * 100, 100) is None
    assert len(bench.asked) == 1
    bench.tree.give = zeros
    bench.reads.arrived(Reply(bench.asked[0].seq))
    assert bench.connection.answers == [(unique, bytes(100)) for unique in range(5)]


def test_the_file_is_opened_again_where_the_bytes_came_to_another_place(bench: Bench) -> None:
    assert bench.read(1, 0, 100) is None
    bench.tree.give = zeros  # only for files opened from now on
    bench.reads.arrived(Reply(bench.asked[0].seq))
    assert bench.connection.answers == [(1, bytes(100))]
    assert bench.tree.opened == 2


def test_bytes_that_never_appear_are_asked_for_again_and_then_an_error(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.read(1, 0, 100) is None
    while not bench.connection.answers:
        bench.reads.arrived(Reply(bench.asked[-1].seq))
    assert len(bench.asked) == 3
    assert bench.connection.answers == [(1, errno.EIO)]
    assert "cells/big: bytes 0-100 were fetched and are not there" in capsys.readouterr().err


@pytest.mark.parametrize("error", [UpstreamChanged("another now"), StoreError("the disk failed")])
def test_an_error_on_the_second_look(bench: Bench, error: GotdataError) -> None:
    def fail(span: Span) -> bytes | None:
        raise error

    assert bench.read(1, 0, 100) is None
    bench.tree.give = fail
    bench.reads.arrived(Reply(bench.asked[0].seq))
    assert bench.connection.answers == [(1, errno.EIO)]


def test_an_error_of_a_worker_goes_to_all_who_wait(bench: Bench) -> None:
    for unique in (1, 2):
        bench.read(unique, 0, 100)
    bench.reads.arrived(Reply(bench.asked[0].seq, errno.EACCES, message="cells/big: no"))
    assert bench.connection.answers == [(1, errno.EACCES), (2, errno.EACCES)]
    assert bench.connection.notices == []


def test_late_reads_are_refused_in_their_order_and_a_late_reply_is_harmless(bench: Bench) -> None:
    bench.read(1, 0, 100)
    bench.now += 10
    bench.read(2, BLOCK, 100)
    assert bench.reads.expire() == 50
    bench.now += 50
    assert bench.reads.expire() == 10
    assert bench.connection.answers == [(1, errno.EIO)]
    assert not bench.reads.wanted(bench.asked[0].seq)
    assert bench.reads.wanted(bench.asked[1].seq)
    bench.reads.arrived(Reply(bench.asked[0].seq))
    bench.now += 10
    assert bench.reads.expire() is None
    assert bench.connection.answers == [(1, errno.EIO), (2, errno.EIO)]


def test_an_interrupted_read_is_answered_once(bench: Bench) -> None:
    bench.read(1, 0, 100)
    bench.reads.interrupt(1)
    bench.reads.interrupt(77)
    bench.tree.give = zeros
    bench.reads.arrived(Reply(bench.asked[0].seq))
    assert bench.connection.answers == [(1, errno.EINTR)]


def test_a_worker_that_can_not_be_started_is_an_error(bench: Bench) -> None:
    def fail(_: Request) -> None:
        raise OSError(errno.ENOMEM, "no memory")

    bench.reads._send = fail
    assert bench.read(1, 0, 100) is None
    assert bench.connection.answers == [(1, errno.ENOMEM)]
    assert not bench.reads.full


def test_it_is_full_when_too_many_wait(bench: Bench) -> None:
    for unique in range(reads.LIMIT):
        assert not bench.reads.full
        bench.read(unique, 0, 100)
    assert bench.reads.full


def test_a_sequential_reader_is_fetched_ahead_and_a_random_one_is_not(bench: Bench) -> None:
    here = BLOCK * 2
    bench.tree.give = lambda span: bytes(span.size) if span.stop <= here else None
    for unique, offset in enumerate(range(0, here, BLOCK // 2)):
        assert bench.read(unique, offset, BLOCK // 2) is not None
    assert bench.asked
    assert all(each.prefetch and each.stop <= here for each in bench.asked)
    assert max(each.stop + each.prefetch for each in bench.asked) <= SIZE
    bench.asked.clear()
    bench.read(99, 100, 10)
    assert bench.asked == []


def test_only_what_came_is_counted_and_the_limit_sees_what_is_on_its_way(bench: Bench) -> None:
    bench.ledger.allow(2 * BLOCK)
    for unique in (1, 2):
        assert bench.read(unique, 0, 100) is None
    assert bench.read(3, BLOCK, 100) is None
    assert bench.ledger.fetched == 0
    bench.read(4, 2 * BLOCK, 100)
    assert bench.connection.answers == [(4, errno.EACCES)]
    bench.came(BLOCK // 2)
    bench.tree.give = lambda span: bytes(span.size) if span.stop <= 2 * BLOCK else None
    for request in bench.asked[:2]:
        bench.reads.arrived(Reply(request.seq))
    assert bench.ledger.fetched == BLOCK // 2
    bench.read(5, 2 * BLOCK, 100)
    assert len(bench.asked) == 3


def test_no_more_is_fetched_ahead_than_may_be(bench: Bench) -> None:
    bench.tree.give = lambda span: bytes(span.size) if span.stop <= 2 * BLOCK else None
    bench.ledger.allow(100)
    for unique, offset in enumerate(range(0, 2 * BLOCK, BLOCK // 2)):
        assert bench.read(unique, offset, BLOCK // 2) is not None
    assert [each.prefetch for each in bench.asked] == [100]
    assert bench.connection.answers == []


def test_a_file_in_place_is_read_by_a_thread_and_never_fetched(bench: Bench) -> None:
    bench.tree.give, bench.tree.in_place = zeros, True
    assert bench.read(1, 0, 100) is None
    assert bench.connection.answers == [(1, bytes(100))]
    assert bench.asked == []


@pytest.mark.parametrize("fault", [UpstreamChanged("another now"), ZeroDivisionError(), None])
def test_a_file_in_place_that_fails(bench: Bench, fault: Exception | None) -> None:
    def fail(span: Span) -> bytes | None:
        if fault:
            raise fault
        return None

    bench.tree.give, bench.tree.in_place = fail, True
    bench.read(1, 0, 100)
    assert bench.connection.answers == [(1, errno.EIO)]


def test_what_a_worker_found_wrong_is_forgotten_by_the_kernel(bench: Bench) -> None:
    bench.read(1, 0, 100)
    bench.reads.arrived(Reply(bench.asked[0].seq, errno.EIO, Mark.WRONG, "not what was locked"))
    assert bench.connection.notices == [protocol.invalidate(2)]


def test_what_was_served_and_is_gone_is_forgotten_by_the_kernel(bench: Bench) -> None:
    here = {True}
    bench.tree.give = lambda span: bytes(span.size) if here else None
    assert bench.read(1, 0, 100) == bytes(100)
    here.clear()
    for unique in (2, 3):
        bench.read(unique, BLOCK, 100)
    assert bench.connection.notices == [protocol.invalidate(2)]

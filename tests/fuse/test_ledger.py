"""The ledger never counts too few, whatever kills whoever writes it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

if sys.platform != "linux":
    pytest.skip("ledgers need Linux", allow_module_level=True)

from gotdata.fuse.ledger import NO_LIMIT, RESENT, Ledger, check

NODES = st.integers(2, 5)
KILLS = st.lists(st.integers(0, 6), max_size=2)
"""How many words a server still writes before it is killed, in turn."""


class Killed(BaseException):
    pass


class Words:
    """The ledger's memory, until its writer is killed."""

    def __init__(self, words: memoryview, left: int) -> None:
        self._words, self._left = words, left

    def __getitem__(self, at: int) -> int:
        return int(self._words[at])

    def __setitem__(self, at: int, word: int) -> None:
        if not self._left:
            raise Killed
        self._left -= 1
        self._words[at] = word


class Servers(RuleBasedStateMachine):
    """A kernel that fixes how a file is open from its first OPEN to its last RELEASE, and says again what was not
    answered; servers one after the other, each with what the ledger tells."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger.create()
        self.unique = self.backing = 0
        self.count = Counter[int]()
        self.kind: dict[int, int] = {}
        self.killed = False

    def teardown(self) -> None:
        self.ledger.close()

    def restart(self) -> None:
        fd = os.dup(self.ledger.fd)
        self.ledger.close()
        self.ledger = Ledger(fd)
        self.killed = True

    @contextlib.contextmanager
    def dying(self, left: int) -> Iterator[None]:
        words = self.ledger._words
        self.ledger._words = Words(words, left)  # type: ignore[assignment]
        with contextlib.suppress(Killed):
            yield
        self.ledger._words = words
        self.restart()

    def opening(self, unique: int, node: int, whole: bool) -> int:
        if node not in self.ledger and whole:
            self.backing += 1
            return self.ledger.open(unique, node, self.backing)
        return self.ledger.open(unique, node)

    @rule(node=NODES, whole=st.booleans(), kills=KILLS)
    def open(self, node: int, whole: bool, kills: list[int]) -> None:
        self.unique += 2
        resent = 0
        for left in kills:
            with self.dying(left):
                self.opening(self.unique | resent, node, whole)
            resent = RESENT
        backing = self.opening(self.unique | resent, node, whole)
        if not self.count[node]:
            self.kind[node] = backing
        assert self.kind[node] == backing
        self.count[node] += 1

    @precondition(lambda self: self.count.total())
    @rule(data=st.data(), kills=KILLS)
    def release(self, data: st.DataObject, kills: list[int]) -> None:
        node = data.draw(st.sampled_from(sorted(self.count.elements())))
        self.unique += 2
        self.count[node] -= 1
        resent = 0
        for left in kills:
            with self.dying(left):
                self.ledger.release(self.unique | resent, node)
            resent = RESENT
        closed = self.ledger.release(self.unique | resent, node)
        assert closed in (0, self.kind[node])
        assert not (closed and self.count[node])

    @invariant()
    def nothing_open_is_forgotten(self) -> None:
        for node in self.count:
            if self.killed:
                assert node in self.ledger or not self.count[node]
            else:
                assert (node in self.ledger) == bool(self.count[node])

    @rule()
    def end(self) -> None:
        """Killed between two requests."""
        before = self.killed
        self.restart()
        self.killed = before


TestServers = Servers.TestCase


def test_a_request_said_again_is_counted_once(ledger: Ledger) -> None:
    assert ledger.open(2, 5, 9) == 9
    assert ledger.open(2 | RESENT, 5) == 9
    assert ledger.open(4, 5) == 9
    assert ledger.release(6, 5) == 0
    assert ledger.release(6 | RESENT, 5) == 0
    assert 5 in ledger
    assert ledger.release(8, 5) == 9
    assert 5 not in ledger
    assert ledger.tally().opens == 2


def test_it_grows_and_another_process_reads_it(ledger: Ledger) -> None:
    for number in range(1, 20_001):
        ledger.open(2 * number, number, number % 3)
    with contextlib.closing(Ledger(os.dup(ledger.fd))) as other:
        assert all(number in other for number in range(1, 20_001))
        for number in range(1, 20_001):
            assert other.release(50_000 + 2 * number, number) == number % 3
    with contextlib.closing(Ledger(os.dup(ledger.fd))) as other:
        assert not any(number in other for number in range(1, 20_001))


def test_slots_are_used_again(ledger: Ledger) -> None:
    size = os.fstat(ledger.fd).st_size
    for number in range(1, 20_001):
        ledger.open(4 * number, number)
        ledger.release(4 * number + 2, number)
    assert os.fstat(ledger.fd).st_size == size


def test_what_the_kernel_said_is_there_for_the_next_server(ledger: Ledger) -> None:
    assert not ledger.greeted
    assert ledger.passthrough is None
    ledger.greet(45, 1 << 39)
    ledger.passthrough = False
    with contextlib.closing(Ledger(os.dup(ledger.fd))) as other:
        assert (other.greeted, other.flags, other.passthrough) == (True, 1 << 39, False)


def test_counters_and_limit_are_seen_by_another_process(ledger: Ledger) -> None:
    assert ledger.limit == NO_LIMIT
    ledger.read(10)
    ledger.refuse()
    ledger.fetch(30)
    with contextlib.closing(Ledger(os.dup(ledger.fd))) as other:
        assert other.tally() == (0, 1, 10, 30, 1)
        other.allow(12)
        assert ledger.limit == 42
        other.allow(None)
        assert ledger.limit == NO_LIMIT


def test_what_is_no_ledger_is_refused(tmp_path: str, ledger: Ledger) -> None:
    check(ledger.fd)
    unsealed = os.memfd_create("x")
    os.write(unsealed, os.pread(ledger.fd, 1 << 16, 0))
    empty = os.memfd_create("x", os.MFD_ALLOW_SEALING)
    file = os.open(os.path.join(tmp_path, "x"), os.O_RDWR | os.O_CREAT)
    os.write(file, os.pread(ledger.fd, 1 << 16, 0))
    read, write = os.pipe()
    try:
        for fd in (unsealed, empty, file, read):
            with pytest.raises(ValueError, match="not a ledger"):
                check(fd)
    finally:
        for fd in (unsealed, empty, file, read, write):
            os.close(fd)


def test_a_ledger_can_not_be_cut_short_under_its_readers(ledger: Ledger) -> None:
    with pytest.raises(PermissionError):
        os.truncate(ledger.fd, 0)


def test_what_was_taken_and_not_answered_is_known_and_bounded(ledger: Ledger) -> None:
    assert list(ledger.taken) == []
    ledger.take(20, 20)
    assert list(ledger.taken) == [20]
    ledger.take(24, 20)
    assert list(ledger.taken) == [20, 22, 24]
    ledger.take(1 << 40, 20)
    assert len(ledger.taken) < 1 << 19

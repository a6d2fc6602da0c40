"""What must outlive a server: which files of a mount are open, and how; in memory that the keeper holds.

The server writes it, by single words that no kill can halve; the daemon reads the counters and sets ``limit``; the
keeper counts RELEASEs while no server is there. An OPEN is counted first and then remembered as counted, a RELEASE is
remembered first and then counted. So kill -9 between two words leaves a count that is too high or a backing file that
is never closed: both only keep a file as it is open, or on the disk, until the mount goes. No count is ever too low:
that would let the kernel be told two kinds of opening for one file, which is EIO for its readers.
"""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

if sys.platform != "linux":
    raise ImportError("gotdata.fuse needs Linux")

import fcntl
import mmap

MAGIC = int.from_bytes(b"gotdata\1", "little")
NO_LIMIT = (1 << 64) - 1
RESENT = 1 << 63
"""Of a request's number: the kernel says it again because another server may have died with it."""

_MINOR, _FLAGS, _OPENING, _OPENED, _RELEASED = 1, 2, 3, 4, 5
_OPENS, _READS, _READ_BYTES, _FETCHED, _REFUSED, _LIMIT = 6, 7, 8, 9, 10, 11
_SEEN, _OLDEST = 12, 13
_STEP = 2
"""From one request's number to the next."""
_SWEPT = _STEP << 18
_SLOTS = 16
"""Words of the header. After it a slot is two: the node, and its backing id (high half) with its count."""
_COUNT = (1 << 32) - 1
_SIZE = 1 << 16
_MOST = 1 << 28


class Tally(NamedTuple):
    """What a mount did since it was made. Files that the kernel reads by itself are counted when they are opened."""

    opens: int
    reads: int
    read_bytes: int
    fetched_bytes: int
    refused: int


class Ledger:
    """One process at a time opens and releases; anyone who has the descriptor may look, and limit."""

    def __init__(self, fd: int) -> None:
        """Takes the descriptor over. Raises ValueError where it holds no ledger."""
        try:
            check(fd)
        except BaseException:
            os.close(fd)
            raise
        self.fd = fd
        self._map(os.fstat(fd).st_size)
        states = enumerate(self._words[_SLOTS + 1 :: 2].tolist())
        self._slots: dict[int, int] = {}
        self._free: list[int] = []
        for at, state in ((_SLOTS + 2 * slot, state) for slot, state in states):
            if state & _COUNT:
                self._slots[self._words[at]] = at + 1
            else:
                self._free.append(at)

    @classmethod
    def create(cls) -> Ledger:
        fd = os.memfd_create("gotdata-ledger", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.truncate(fd, _SIZE)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        os.pwrite(fd, MAGIC.to_bytes(8, "little"), 0)
        os.pwrite(fd, NO_LIMIT.to_bytes(8, "little"), 8 * _LIMIT)
        return cls(fd)

    def close(self) -> None:
        self._unmap()
        os.close(self.fd)

    def _map(self, size: int) -> None:
        self._mapped = mmap.mmap(self.fd, size)
        self._words = memoryview(self._mapped).cast("Q")

    def _unmap(self) -> None:
        self._words.release()
        self._mapped.close()

    def __contains__(self, node: int) -> bool:
        return node in self._slots

    def open(self, unique: int, node: int, backing: int = 0) -> int:
        """Counts an OPEN, once. ``backing`` is of the first. Gives the id by which the kernel knows the store's file, 0
        where the node is open through the cache."""
        at = self._slots.get(node) or self._take(node, backing)
        words = self._words
        state = words[at]
        unique &= ~RESENT
        if words[_OPENED] != unique:
            words[at] = state = state + 1
            words[_OPENED] = unique
            words[_OPENS] += 1
        return state >> 32

    def _take(self, node: int, backing: int) -> int:
        """A slot that counts nothing yet, so it is free again for whoever reads it now."""
        if not self._free:
            self._grow()
        at = self._free.pop()
        self._words[at] = node
        self._words[at + 1] = backing << 32
        self._slots[node] = at + 1
        return at + 1

    def _grow(self) -> None:
        size = 8 * len(self._words)
        os.truncate(self.fd, 2 * size)
        self._unmap()
        self._map(2 * size)
        self._free = list(range(size // 8, size // 4, 2))

    def release(self, unique: int, node: int) -> int:
        """Counts a RELEASE, once. Gives the id of a backing file that nobody has open any more, else 0."""
        unique &= ~RESENT
        if self._words[_RELEASED] == unique:
            return 0
        self._words[_RELEASED] = unique
        return self.refused(node)

    def refused(self, node: int) -> int:
        """Takes an OPEN back whose answer nobody wanted. Gives what ``release`` gives."""
        at = self._slots.get(node)
        if at is None:
            return 0
        state = self._words[at]
        if state & _COUNT > 1:
            self._words[at] = state - 1
            return 0
        self._words[at] = 0
        del self._slots[node]
        self._free.append(at - 1)
        return state >> 32

    @property
    def greeted(self) -> bool:
        """Whether the kernel's INIT was answered: it comes once, to the first server."""
        return self._words[_MINOR] != 0

    @property
    def flags(self) -> int:
        return self._words[_FLAGS]

    def greet(self, minor: int, flags: int) -> None:
        self._words[_FLAGS] = flags
        self._words[_MINOR] = minor

    @property
    def passthrough(self) -> bool | None:
        """Whether the kernel takes backing files; None: not yet known. Where it doesn't, OPEN was refused for good."""
        return (None, True, False)[self._words[_OPENING]]

    @passthrough.setter
    def passthrough(self, value: bool) -> None:
        self._words[_OPENING] = 1 if value else 2

    def take(self, unique: int, oldest: int) -> None:
        """A request was taken from the kernel; ``oldest`` is the first that was not answered."""
        self._words[_SEEN] = unique
        self._words[_OLDEST] = oldest

    @property
    def taken(self) -> range:
        """Where ``take`` was called: the requests among which are all that were not answered."""
        seen = self._words[_SEEN]
        return range(max(self._words[_OLDEST], seen - _SWEPT, _STEP), seen + 1, _STEP)

    def read(self, size: int) -> None:
        self._words[_READS] += 1
        self._words[_READ_BYTES] += size

    def refuse(self) -> None:
        self._words[_REFUSED] += 1

    @property
    def fetched(self) -> int:
        return self._words[_FETCHED]

    @property
    def limit(self) -> int:
        """As many bytes may be fetched in all, those before included; ``NO_LIMIT`` of them, unless an operator says."""
        return self._words[_LIMIT]

    def fetch(self, size: int) -> None:
        self._words[_FETCHED] += size

    def allow(self, size: int | None) -> None:
        """Lets so many bytes more be fetched from now on; None: without a limit."""
        self._words[_LIMIT] = NO_LIMIT if size is None else min(self.fetched + size, NO_LIMIT)

    def tally(self) -> Tally:
        return Tally(*self._words[_OPENS : _REFUSED + 1].tolist())


def check(fd: int) -> None:
    """Raises ValueError where it holds no ledger, or one that could be cut short under those who map it."""
    size = os.fstat(fd).st_size
    if not _SIZE <= size <= _MOST or size & (size - 1) or os.pread(fd, 8, 0) != MAGIC.to_bytes(8, "little"):
        raise ValueError("not a ledger")
    try:
        sealed = fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
    except OSError as error:
        raise ValueError("not a ledger: it bears no seals") from error
    if not sealed:
        raise ValueError("not a ledger: it can be cut short")

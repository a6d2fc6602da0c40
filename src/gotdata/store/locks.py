"""Advisory locks between processes. A shared lock on a file's descriptor says that it is in use; a lock on bytes of a
map says that someone is bringing these blocks.

Byte ranges are locked by open file descriptions (OFD), which Linux has. Elsewhere the whole map is locked instead: one
process at a time fills a file. Windows has neither here: there a store is for one process.
"""

from __future__ import annotations

import os
import struct
import sys
import threading
from pathlib import Path
from typing import Protocol

from gotdata.store import disk

if sys.platform != "win32":
    import fcntl


def open_marked(path: Path, flags: int, mode: int = 0) -> int:
    """Opens a file of the store and marks it as in use until the descriptor closes: nobody evicts it meanwhile."""
    while True:
        fd = disk.open_file(path, flags, mode)
        try:
            if sys.platform != "win32":
                fcntl.flock(fd, fcntl.LOCK_SH)
            if os.fstat(fd).st_nlink:
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # evicted between the open and the mark


def seize(fd: int) -> bool:
    """Whether the file is used by nobody, and from now on by the caller alone, until the descriptor closes."""
    if sys.platform != "win32":
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # held, or a file system that can't say: not ours to take
            return False
    return True


class BlockLocks(Protocol):
    """Locks on byte ranges of one open file, against other processes only: the ranges that one process holds at a time
    do not overlap, which is the caller's affair."""

    def take(self, start: int, size: int) -> bool:
        """Whether it is ours now; without waiting."""

    def drop(self, start: int, size: int) -> None: ...


class WholeLock:
    """For any platform: whoever has a range has all of them."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._held = 0
        self._guard = threading.Lock()

    def take(self, start: int, size: int) -> bool:
        with self._guard:
            if not (self._held or seize(self._fd)):
                return False
            self._held += 1
            return True

    def drop(self, start: int, size: int) -> None:
        with self._guard:
            self._held -= 1
            if not self._held and sys.platform != "win32":
                fcntl.flock(self._fd, fcntl.LOCK_UN)


if sys.platform == "linux":

    class RangeLocks:
        """By open file description (fcntl(2), F_OFD_SETLK)."""

        def __init__(self, fd: int) -> None:
            self._fd = fd

        def take(self, start: int, size: int) -> bool:
            try:
                self._set(fcntl.F_WRLCK, start, size)
            except (BlockingIOError, PermissionError):
                return False
            return True

        def drop(self, start: int, size: int) -> None:
            self._set(fcntl.F_UNLCK, start, size)

        def _set(self, kind: int, start: int, size: int) -> None:
            # struct flock: l_type, l_whence, l_start, l_len, l_pid (0 for these locks)
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", kind, 0, start, size, 0))


def block_locks(fd: int) -> BlockLocks:
    if sys.platform == "linux":
        return RangeLocks(fd)
    return WholeLock(fd)

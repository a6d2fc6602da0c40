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


class RangeLocks:
    """Locks on byte ranges of one open file, against other processes only. The ranges that one process holds at a time
    do not overlap: that is the caller's affair."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._held = 0
        self._guard = threading.Lock()

    def take(self, start: int, size: int) -> bool:
        """Without waiting: whether it is ours now."""
        if sys.platform == "linux":
            return self._range(fcntl.F_WRLCK, start, size)
        with self._guard:
            if self._held or seize(self._fd):
                self._held += 1
                return True
            return False

    def drop(self, start: int, size: int) -> None:
        if sys.platform == "linux":
            self._range(fcntl.F_UNLCK, start, size)
            return
        with self._guard:
            self._held -= 1
            if not self._held and sys.platform != "win32":
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    if sys.platform == "linux":

        def _range(self, kind: int, start: int, size: int) -> bool:
            flock = struct.pack("hhqqi4x", kind, 0, start, size, 0)
            try:
                fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, flock)
            except (BlockingIOError, PermissionError):
                return False
            return True

"""A file that is not whole yet: its bytes in place, and beside them a map with a check of each block that is here."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from gotdata.model import BLOCK, Span
from gotdata.store import disk
from gotdata.store.keys import CHECK, check
from gotdata.store.locks import block_locks, open_marked

_ABSENT = bytes(CHECK)
_MAP_READ = 64 * 1024


class Partial:
    """Two files: ``data``, and ``map`` with ``CHECK`` bytes a block. A block is recorded after its bytes were written,
    and believed after its check was compared once by this object: so neither file needs to be synced, and what a crash
    leaves is found. While it is open it is marked as in use. Safe to use from several threads.

    The map says that a block is absent, and never the holes of the data: after a preallocation there are none.
    """

    def __init__(self, data: Path, map: Path, key: bytes, size: int, create: int = 0, sparse: bool = True) -> None:
        """``create`` is the mode with which what is missing is made; where 0, that is a FileNotFoundError."""
        self.data, self.map, self.key, self.size = data, map, key, size
        self.blocks = -(-size // BLOCK)
        self._good = bytearray(self.blocks)
        self._settled = 0
        self.fresh = False
        """It was made just now."""
        self._writing = threading.Lock()
        self._closing = threading.Lock()
        # In a folder that others may write to, a name that is known beforehand may be their link.
        making = os.O_RDWR | (os.O_CREAT if create else 0) | getattr(os, "O_NOFOLLOW", 0)
        self.fd = open_marked(data, making, create)
        self._map_fd = -1
        try:
            self._map_fd = disk.open_file(map, making, create)
            if create:
                self.fresh = not os.fstat(self.fd).st_size
                if sparse:
                    os.truncate(self.fd, size)
                    os.truncate(self._map_fd, self.blocks * CHECK)
        except BaseException:
            self.close()
            raise
        self._locks = block_locks(self._map_fd)

    @property
    def gone(self) -> bool:
        """It was evicted, quarantined, or has become whole: its name is no longer its own."""
        return not os.fstat(self._map_fd).st_nlink

    def read(self, span: Span) -> bytes | None:
        """Exactly these bytes, or None where a block of them is not here or is not what was written."""
        first, stop = span.start // BLOCK, -(-span.stop // BLOCK)
        if not self.has(first, stop):
            return None
        data = disk.pread_all(self.fd, span.size, span.start)
        return data if len(data) == span.size else None

    def has(self, first: int, stop: int) -> bool:
        return not self.missing(first, stop, at_most=1)

    def missing(self, first: int, stop: int, at_most: int | None = None) -> list[int]:
        """The blocks of ``first`` to ``stop`` that are not here, in order. A block that is not believed yet is read."""
        # The map is asked each time: another process may have found the file to be wrong.
        checks = disk.pread_all(self._map_fd, (stop - first) * CHECK, first * CHECK)
        found = []
        for block in range(first, stop):
            at = (block - first) * CHECK
            if not self._believed(block, checks[at : at + CHECK]):
                found.append(block)
                if len(found) == at_most:
                    break
        return found

    def _believed(self, block: int, recorded: bytes) -> bool:
        if len(recorded) < CHECK or recorded == _ABSENT:
            self._good[block] = 0
            return False
        if not self._good[block]:
            data = disk.pread_all(self.fd, self.span(block).size, block * BLOCK)
            if check(self.key, block, data) != recorded:
                self.forget(block, block + 1)
                return False
            self._good[block] = 1
        return True

    def span(self, block: int) -> Span:
        return Span(block * BLOCK, min(self.size, (block + 1) * BLOCK))

    def write(self, block: int, data: memoryview) -> None:
        """Writes whole blocks from ``block`` on, then records them. Raises OSError, and then they are not recorded."""
        count = -(-len(data) // BLOCK)
        checks = b"".join(check(self.key, block + i, data[i * BLOCK : (i + 1) * BLOCK]) for i in range(count))
        with self._writing:  # the kernel lets in one writer of a file at a time, and the others spin
            disk.pwrite(self.fd, data, block * BLOCK)
        disk.pwrite(self._map_fd, checks, block * CHECK)
        self._good[block : block + count] = b"\1" * count

    def forget(self, first: int, stop: int) -> None:
        self._settled = min(self._settled, first)
        self._good[first:stop] = bytes(stop - first)
        if not self.gone:
            disk.pwrite(self._map_fd, bytes((stop - first) * CHECK), first * CHECK)

    def complete(self) -> bool:
        """Whether every block is recorded. Each call goes on where the last one stopped."""
        settled = self._settled
        while settled < self.blocks:
            checks = disk.pread_all(self._map_fd, _MAP_READ, settled * CHECK)
            here = 0
            while here * CHECK < len(checks) and checks[here * CHECK : (here + 1) * CHECK] != _ABSENT:
                here += 1
            if not here:
                break
            settled += here
        self._settled = settled
        return settled == self.blocks

    def recorded(self) -> list[int]:
        """The blocks that are recorded, believed or not."""
        found = []
        for at in range(0, self.blocks * CHECK, _MAP_READ):
            checks = disk.pread_all(self._map_fd, _MAP_READ, at)
            if checks.count(0) == len(checks):
                continue
            for i in range(0, len(checks), CHECK):
                if checks[i : i + CHECK] != _ABSENT:
                    found.append((at + i) // CHECK)
        return found

    def take(self, first: int, stop: int) -> bool:
        """Whether this process is now the one that brings these blocks; the block after the last stands for the right
        to finish the file."""
        return self._locks.take(first * CHECK, (stop - first) * CHECK)

    def drop(self, first: int, stop: int) -> None:
        self._locks.drop(first * CHECK, (stop - first) * CHECK)

    def remove(self) -> None:
        """From every process that has it open, too. Without its map, data tells of nothing: so that goes first."""
        self.map.unlink(missing_ok=True)
        self.data.unlink(missing_ok=True)

    def close(self) -> None:
        with self._closing:
            for fd in {self.fd, self._map_fd} - {-1}:
                os.close(fd)
            self.fd = self._map_fd = -1

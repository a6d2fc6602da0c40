"""Space: what the store may take, and what goes when there is too little. The layout's lists of files are here, too."""

from __future__ import annotations

import heapq
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gotdata.errors import StoreError
from gotdata.settings import Settings
from gotdata.store import disk
from gotdata.store.locks import seize

_TOUCH = 3600 * 10**9
"""Nanoseconds within which a second use of a file is not written down again."""
_BATCH = 10_000


@dataclass(frozen=True, slots=True, order=True)
class Stored:
    """A file of the store that may be evicted: its last use in nanoseconds, its bytes on the disk."""

    used: int
    bytes: int
    path: Path

    def remove(self) -> bool:
        """Unless it is in use by any process. A partial's map goes with it, first: a map alone tells of nothing."""
        try:
            fd = disk.open_file(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            if not seize(fd):
                return False
            if self.path.suffix == ".data":
                self.path.with_suffix(".map").unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)
            return True
        finally:
            os.close(fd)


def stored(folder: Path, suffix: str = "") -> Iterator[Stored]:
    """The files two levels below ``folder`` whose names end so."""
    for shelf in scan(folder):
        for entry in scan(shelf):
            if entry.name.endswith(suffix):
                with suppress(FileNotFoundError):
                    facts = entry.lstat()
                    taken = getattr(facts, "st_blocks", -(-facts.st_size // 512)) * 512
                    yield Stored(max(facts.st_atime_ns, facts.st_mtime_ns), taken, entry)


def scan(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []


def touch(fd: int, now: int) -> None:
    """Remembers the use of a file: its access time, whatever the mount's options are."""
    facts = os.fstat(fd)
    if now - facts.st_atime_ns > _TOUCH and os.utime in os.supports_fd:
        with suppress(OSError):
            os.utime(fd, ns=(now, facts.st_mtime_ns))


class Room:
    """Keeps the store within ``store_quota`` and its disk above ``store_keep_free``."""

    def __init__(self, root: Path, settings: Settings) -> None:
        self._root = root
        self._quota, self._keep_free = settings.store_quota, settings.store_keep_free
        self._lock = threading.Lock()
        self._allowance = 0

    def make(self, size: int) -> None:
        """Called before ``size`` more bytes come.

        Raises:
            StoreError: nothing more can be evicted, and there is still too little.
        """
        with self._lock:
            lack = size + self._keep_free - shutil.disk_usage(self._root).free
            if lack > 0 and self.evict(lack) < lack:
                raise StoreError(
                    f"the disk of the store {self._root} would have less than {self._keep_free:,} bytes free with "
                    f"{size:,} more; free some, set GOTDATA_STORE to another disk, or lower store_keep_free"
                )
            if self._quota:
                self._allow(size)

    def _allow(self, size: int) -> None:
        """Counts all files only now and then: until a quarter of what was left is used, other processes may use as
        much."""
        if self._allowance < size:
            lack = self.used() + size - self._quota
            if lack > 0 and (freed := self.evict(lack)) < lack:
                raise StoreError(
                    f"the store {self._root} is full: store_quota is {self._quota:,} bytes, {size:,} more are due, and "
                    f"only {freed:,} could be evicted; raise store_quota, or close what reads the rest"
                )
            self._allowance = max(size, -lack // 4)
        self._allowance -= size

    def shrink(self) -> int:
        """Evicts what is above the quota or short of the free space that is due; gives bytes freed."""
        over = self.used() - self._quota if self._quota else 0
        lack = max(over, self._keep_free - shutil.disk_usage(self._root).free)
        return self.evict(lack) if lack > 0 else 0

    def used(self) -> int:
        return sum(file.bytes for file in self.files())

    def files(self) -> Iterator[Stored]:
        """All that can be evicted."""
        yield from stored(self._root / "quarantine")
        yield from stored(self._root / "partial", ".data")
        yield from stored(self._root / "objects")

    def evict(self, lack: int) -> int:
        """Removes whole files, quarantined ones first, then by their last use, never one in use. Gives bytes freed."""
        freed = 0
        for file in stored(self._root / "quarantine"):
            freed += file.bytes if file.remove() else 0
        after = Stored(-1, 0, Path())
        while freed < lack:
            batch = heapq.nsmallest(_BATCH, (file for file in self.files() if file > after))
            if not batch:
                break
            for file in batch:
                if freed >= lack:
                    break
                freed += file.bytes if file.remove() else 0
            after = batch[-1]
        return freed

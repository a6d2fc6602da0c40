"""How much was fetched for whom, so that an indexer or a `git add .` does not drain an archive unnoticed."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from gotdata.errors import StoreError
from gotdata.fuse.log import Log

_PROCESSES = 1024


class Meter:
    """Counts bytes that were not in the store. ``warn`` bytes for one process give one line in the log; after ``limit``
    bytes in all nothing more is fetched. 0: neither."""

    def __init__(self, dataset: str, warn: int, limit: int, log: Log) -> None:
        self._dataset, self._warn, self._limit, self._log = dataset, warn, limit, log
        self._fetched = 0
        self._processes: OrderedDict[int, int] = OrderedDict()

    def count(self, size: int, pid: int) -> None:
        """Raises StoreError where ``size`` bytes more are too many."""
        if self._limit and self._fetched + size > self._limit:
            raise StoreError(
                f"{self._dataset}: {self._fetched} bytes were fetched for this mount, and max_fetch is {self._limit}; "
                "raise that setting, then `gotdata down` and `gotdata up`"
            )
        self._fetched += size
        if self._warn:
            self._count(size, _process(pid))

    def _count(self, size: int, pid: int) -> None:
        before = self._processes.pop(pid, 0)
        self._processes[pid] = before + size
        if len(self._processes) > _PROCESSES:
            self._processes.popitem(last=False)
        if before <= self._warn < before + size:
            self._log(
                f"warning: {self._dataset}: {_named(pid)} has read more than {self._warn} bytes that had to be "
                "fetched; if it walks the data unasked (an indexer, a backup, `git add .`), exclude the folder there, "
                "or set max_fetch"
            )


def _process(thread: int) -> int:
    """The process of a thread: the kernel names threads."""
    try:
        status = Path(f"/proc/{thread}/status").read_text()
    except OSError:
        return thread
    return next((int(line[5:]) for line in status.splitlines() if line.startswith("Tgid:")), thread)


def _named(pid: int) -> str:
    if not pid:
        return "a process outside of this container"
    try:
        return f"process {pid} ({Path(f'/proc/{pid}/comm').read_text(errors='replace').strip()})"
    except OSError:
        return f"process {pid}, which has ended,"

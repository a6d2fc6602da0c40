"""How much was fetched for whom, so that an indexer or a `git add .` does not drain an archive unnoticed."""

from __future__ import annotations

import sys
from collections import OrderedDict
from pathlib import Path

from gotdata.errors import PolicyError, StoreError
from gotdata.fuse.ledger import NO_LIMIT, Ledger
from gotdata.fuse.log import Log

if sys.platform != "linux":
    raise ImportError("gotdata.fuse needs Linux")

_PROCESSES = 1024


class Meter:
    """Counts bytes that came from origins. ``warn`` bytes for one process give one line in the log; beyond ``limit``
    bytes in all nothing more is asked for. 0: neither. Nor is there anything beyond the limit of the ledger."""

    def __init__(self, dataset: str, warn: int, limit: int, ledger: Ledger, log: Log) -> None:
        self._dataset, self._warn, self._limit, self._ledger, self._log = dataset, warn, limit, ledger, log
        self._processes: OrderedDict[int, int] = OrderedDict()

    def left(self, size: int) -> int:
        """How much may be fetched beyond ``size`` bytes more. Raises StoreError where these are too many; PolicyError
        where the operator says so."""
        fetched = self._ledger.fetched
        if self._limit and fetched + size > self._limit:
            raise StoreError(
                f"{self._dataset}: {fetched} bytes were fetched for this mount, and max_fetch is {self._limit}; "
                "raise that setting, then `gotdata down` and `gotdata up`"
            )
        if fetched + size > self._ledger.limit:
            raise PolicyError(
                f"{self._dataset}: {fetched} bytes were fetched for this mount, and the operator's policy allows no "
                "more of them now; ask the operator, or try again when the day is over"
            )
        return min(self._limit or NO_LIMIT, self._ledger.limit) - fetched - size

    def count(self, size: int, pid: int) -> None:
        """They came, for a thread of this number."""
        self._ledger.fetch(size)
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

"""How far ahead of its reader a file is fetched."""

from __future__ import annotations

from gotdata.model import BLOCK, Span

LIMIT = 32 << 20
SLACK = 1 << 20
"""Bytes by which reads of one run may come out of order: the kernel sends several at once."""
RUNS = 8
"""Readers of one file that are told apart."""


class _Run:
    __slots__ = ("asked", "length", "next")

    def __init__(self, span: Span) -> None:
        self.length = span.size
        self.next = self.asked = span.stop


class Window:
    """Turns the reads of one file into a prefetch. As much is fetched ahead as was read in a row, up to ``LIMIT``:
    readers at random stay at nothing, sequential ones double. Not for several threads at once."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []

    def read(self, span: Span) -> int:
        """Bytes after ``span`` that should now be asked for, beyond what was already; 0: nothing new."""
        run = next((run for run in self._runs if abs(span.start - run.next) <= SLACK), None)
        if run is None:
            self._runs = [_Run(span), *self._runs[: RUNS - 1]]
            return 0
        self._runs.remove(run)
        self._runs.insert(0, run)
        run.length += max(0, span.stop - run.next)
        run.next = max(run.next, span.stop)
        ahead = min(run.length, LIMIT)
        if ahead < 2 * BLOCK or run.asked - run.next > ahead // 2:
            return 0
        run.asked = run.next + ahead
        return run.asked - span.stop

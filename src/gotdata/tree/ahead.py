"""Small files that are read one after the other are fetched before they are asked for: each would else cost a round
trip to its origin."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial as bind

from gotdata.errors import NotFound
from gotdata.model import Kind, Node
from gotdata.store.pool import Pool

FILES = 64
"""Files ahead of the reader, at most."""
BYTES = 16 << 20
"""Bytes on their way at once, at most."""
LARGEST = 1 << 20
"""Bytes of a file that is fetched so."""
_PROOF = 3
"""Files read in order before any is fetched ahead."""
_GAP = 2
"""Ids up to which the next file is next: between two files may stand a folder."""
_RUNS = 8
"""Readers that are told apart."""
_THREADS = 6
"""Fewer than the engine's streams, as a rule: who waits for a file has the rest."""


class _Run:
    __slots__ = ("asked", "at", "length")

    def __init__(self, id: int) -> None:
        self.at = self.asked = id
        self.length = 1


class Ahead:
    """Is told of each file of which something was missing. The order of a tree's ids is that in which folders are
    listed, and walked. Safe to use from several threads.

    Args:
        node: as ``Tree.node``.
        fetch: brings a file into the store.
    """

    def __init__(self, node: Callable[[int], Node], fetch: Callable[[Node], None]) -> None:
        self._node, self._fetch = node, fetch
        self._runs: deque[_Run] = deque(maxlen=_RUNS)
        self._pool = Pool(_THREADS, "files")
        self._lock = threading.Lock()
        self._bytes = 0

    def read(self, id: int) -> None:
        """Returns at once. Files that came ahead are not missed: so whoever reads behind them goes on in order."""
        with self._lock:
            run = next((run for run in self._runs if run.at - _GAP <= id <= run.asked + _GAP), None)
            if run is None:
                self._runs.appendleft(_Run(id))
            elif id > run.at:
                run.at, run.asked = id, max(run.asked, id)
                run.length += 1
                if run.length >= _PROOF:
                    self._go_on(run)

    def _go_on(self, run: _Run) -> None:
        """As far as it was read in order, and as there is room."""
        while run.asked - run.at < min(2 * run.length, FILES) and self._bytes < BYTES:
            try:
                node = self._node(run.asked + 1)
            except NotFound:  # it was the last
                return
            run.asked = node.id
            if node.kind is Kind.FILE and 0 < node.size <= LARGEST:
                self._bytes += node.size
                self._pool.submit(bind(self._bring, run, node))

    def _bring(self, run: _Run, node: Node) -> None:
        try:
            self._fetch(node)
        except Exception:
            # Whoever reads it is told. What comes after would fail as well, most likely: the run has to begin anew.
            with self._lock:
                run.length = 0
        finally:
            with self._lock:
                self._bytes -= node.size

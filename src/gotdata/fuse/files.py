"""The store's files that the server has open at the moment, and what they are called."""

from __future__ import annotations

import contextlib
import sys
import time
import weakref
from collections import OrderedDict
from dataclasses import dataclass, field

from gotdata.errors import NotFound
from gotdata.model import Node, Span
from gotdata.store.base import Held
from gotdata.store.window import Window
from gotdata.tree.base import ROOT, Lazy, find

if sys.platform != "linux":
    raise ImportError("gotdata.fuse needs Linux")

import resource

IDLE = 60.0
"""Seconds after which an unused file is closed: the store evicts nothing that is open."""


@dataclass(slots=True, weakref_slot=True)
class File:
    """Closed when nobody holds it any more: a thread may still be reading what this process has already forgotten."""

    node: Node
    held: Held
    used: float = 0.0
    window: Window = field(default_factory=Window)
    served: Span | None = None
    """A byte that a reader got while the file was not whole, and that the kernel may remember."""

    def __post_init__(self) -> None:
        weakref.finalize(self, self.held.close)


class Files:
    """Least recently used first. For the thread of the loop alone."""

    def __init__(self, dataset: str, tree: Lazy, limit: int) -> None:
        self._dataset, self._tree, self._limit = dataset, tree, limit
        self._files: OrderedDict[int, File] = OrderedDict()

    def get(self, id: int) -> File:
        """Raises as ``Lazy.node`` and ``Lazy.held``."""
        file = self._files.get(id)
        if file is None:
            file = self._files[id] = File(self._tree.node(id), self._tree.held(id))
            if len(self._files) > self._limit:
                self._files.popitem(last=False)
        else:
            self._files.move_to_end(id)
        file.used = time.monotonic()
        return file

    def fresh(self, id: int) -> File:
        """As ``get``, but as the store has it now: what was partial may be whole, or lie elsewhere."""
        file = self._files.get(id)
        if file is not None and not file.held.whole:
            del self._files[id]
        return self.get(id)

    def sweep(self) -> float | None:
        """Closes what was not used for a while. Gives the seconds until it should be called again, None for never."""
        now = time.monotonic()
        while self._files:
            id, file = next(iter(self._files.items()))
            if file.used + IDLE > now:
                return file.used + IDLE - now
            del self._files[id]
        return None

    def find(self, path: str) -> int:
        """The node at a path. Raises NotFound."""
        return find(self._tree, path).id

    def name(self, id: int) -> str:
        """``dataset/path``, for messages."""
        parts: list[str] = []
        with contextlib.suppress(NotFound):
            while id != ROOT:
                node = self._tree.node(id)
                parts.append(node.name)
                id = node.parent
        return "/".join([self._dataset, *reversed(parts)])


def room() -> int:
    """Raises this process's limit of open files as far as it may. Gives how many files of the store may be open: each
    takes two or three descriptors, and some are needed for the rest."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(8, min(4096, hard // 4))

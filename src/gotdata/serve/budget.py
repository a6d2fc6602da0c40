"""What the operator's rules let be fetched in a day, counted over all mounts of a rule and kept across restarts."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from gotdata.errors import NotFound
from gotdata.fuse.ledger import Tally
from gotdata.snapshot_text import replacing

if sys.platform != "linux":
    raise ImportError("gotdata.serve needs Linux")

EVERY = 2.0
"""Seconds between two looks: so long a mount may go on after another of its rule has spent the rest."""


class Look(Protocol):
    """``Mounts.tally``."""

    def __call__(self, key: str, allow: int | None = None) -> Tally: ...


@dataclass(slots=True)
class Day:
    """``spent``: bytes, by rule. ``seen``: what a mount had fetched in all when it was looked at last."""

    day: str = ""
    spent: dict[str, int] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)


class Budget:
    """Thread-safe. ``today`` names the day, by the operator's clock."""

    def __init__(self, path: Path, look: Look, today: Callable[[], str] = lambda: time.strftime("%Y-%m-%d")) -> None:
        self._path, self._look, self._today, self._lock = path, look, today, threading.Lock()
        self._day = Day()
        with suppress(OSError, msgspec.MsgspecError):
            self._day = msgspec.json.decode(path.read_bytes(), type=Day)

    def count(self, limited: Iterable[tuple[str, str, int]]) -> None:
        """Looks at mounts, each with its rule and that one's bytes a day, and lets them fetch what is left of these."""
        with self._lock:
            today, before = self._today(), msgspec.json.encode(self._day)
            if self._day.day != today:
                self._day = Day(today, {}, self._day.seen)
            known = sorted(set(limited))
            # First all are counted, so that each is then told what all have left.
            for key, rule, _ in known:
                with suppress(NotFound):
                    self._spend(key, rule, self._look(key).fetched_bytes)
            for key, rule, limit in known:
                left = max(0, limit - self._day.spent.get(rule, 0))
                with suppress(NotFound):
                    self._look(key, left)
            self._day.seen = {key: self._day.seen[key] for key, _, _ in known if key in self._day.seen}
            if msgspec.json.encode(self._day) != before:
                with replacing(self._path) as file:
                    file.write(msgspec.json.encode(self._day))

    def _spend(self, key: str, rule: str, fetched: int) -> None:
        """A mount that was made anew counts from nothing again."""
        seen = self._day.seen.get(key, 0)
        self._day.spent[rule] = self._day.spent.get(rule, 0) + (fetched - seen if fetched >= seen else fetched)
        self._day.seen[key] = fetched

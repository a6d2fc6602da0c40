"""Reporters for people: bars on a terminal, else a plain line every few seconds. Both write to standard error only."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from gotdata.measure import duration, size
from gotdata.paths import shown
from gotdata.report import Event

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

EVERY = 5.0
"""Seconds between two plain lines."""
REMEMBERED = 1000
"""Warnings that are told apart; after that all are printed."""


class Progress(Protocol):
    """A Reporter that can be taken off the terminal."""

    def __call__(self, event: Event, /) -> None:
        """As ``Reporter``."""

    def close(self) -> None:
        """Idempotent. Nothing is written afterwards but warnings."""


def on(stream: TextIO, quiet: bool = False) -> Progress:
    """What suits ``stream``: bars if it is a terminal, lines otherwise, only warnings if ``quiet``."""
    if quiet:
        return Lines(stream, every=float("inf"))
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        return Bars(stream)
    return Lines(stream)


@dataclass(slots=True)
class Tally:
    """How far one dataset is. Totals are what was done and what was said to come; 0 where nobody said."""

    fetched: int = 0
    delivered: int = 0
    files: int = 0
    total_bytes: int = 0
    total_files: int = 0
    step: str = ""

    @property
    def bytes(self) -> int:
        """Those that are done. What was here already is delivered, and never fetched; what is being fetched is not
        delivered yet."""
        return max(self.fetched, self.delivered)

    def add(self, event: Event) -> None:
        if event.kind in ("step", "plan"):
            self.step = event.text or self.step
        if event.kind == "plan":
            self.fetched = self.delivered = self.bytes
            self.total_bytes, self.total_files = self.bytes + event.bytes, self.files + event.files
        elif event.kind == "fetched":
            self.fetched += event.bytes
        elif event.kind == "delivered":
            self.delivered += event.bytes
            self.files += 1

    def title(self, dataset: str) -> str:
        return self.step if dataset in self.step.split() else ": ".join(filter(None, (dataset, self.step)))

    @property
    def files_said(self) -> str:
        return f"{self.files:,} of {self.total_files:,} files" if self.total_files else ""


@dataclass(slots=True)
class Warnings:
    """Remembers what was said, so that ten thousand files with one fault give one line."""

    _said: set[tuple[str, str]] = field(default_factory=set)

    def line(self, event: Event) -> str:
        """What to print of a warning; empty if it was printed before."""
        key = (event.dataset, event.text)
        if key in self._said:
            return ""
        if len(self._said) < REMEMBERED:
            self._said.add(key)
        return shown(": ".join(filter(None, ("warning", event.dataset, event.text))))


class Lines:
    """At most one line in ``every`` seconds, none before that; warnings at once."""

    def __init__(self, stream: TextIO, every: float = EVERY, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._every, self._clock = stream, every, clock
        self._lock = threading.Lock()
        self._began = self._last = clock()
        self._tallies: dict[str, Tally] = {}
        self._warnings = Warnings()
        self._closed = False

    def __call__(self, event: Event, /) -> None:
        with self._lock:
            if event.kind == "warning":
                self._write(self._warnings.line(event))
                return
            tally = self._tallies.setdefault(event.dataset, Tally())
            tally.add(event)
            now = self._clock()
            if not self._closed and now - self._last >= self._every:
                self._last = now
                self._write(self._line(event.dataset, tally, now - self._began))

    def close(self) -> None:
        self._closed = True

    def _line(self, dataset: str, tally: Tally, seconds: float) -> str:
        rate = tally.bytes / seconds
        left = tally.total_bytes - tally.bytes
        facts = (
            tally.title(dataset),
            size(tally.bytes) + (f" of {size(tally.total_bytes)}" if tally.total_bytes else ""),
            tally.files_said,
            f"{size(rate)}/s" if rate else "",
            f"{duration(left / rate)} left" if left > 0 and rate else "",
        )
        return shown(", ".join(filter(None, facts)))

    def _write(self, line: str) -> None:
        if line:
            # A log that is gone or full is no reason to fail.
            with suppress(OSError, ValueError):
                print(line, file=self._stream, flush=True)


class Bars:
    """A bar for each dataset: bytes, rate, time left, files. Gone when closed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._tallies: dict[str, Tally] = {}
        self._tasks: dict[str, TaskID] = {}
        self._warnings = Warnings()
        self._rich: RichProgress | None = None
        self._closed = False

    def __call__(self, event: Event, /) -> None:
        with self._lock, suppress(OSError, ValueError):
            if event.kind == "warning":
                self._warn(self._warnings.line(event))
            elif event.kind != "read" and not self._closed:
                tally = self._tallies.setdefault(event.dataset, Tally())
                tally.add(event)
                self._draw(event.dataset, tally)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._rich is not None:
                self._rich.stop()

    def _warn(self, line: str) -> None:
        if line and self._rich is not None and not self._closed:
            self._rich.console.print(line, markup=False, highlight=False, soft_wrap=True)
        elif line:
            print(line, file=self._stream, flush=True)

    def _draw(self, dataset: str, tally: Tally) -> None:
        if self._rich is None:
            self._rich = _rich(self._stream)
            self._rich.start()
        facts: dict[str, Any] = {
            "description": shown(tally.title(dataset)),
            "completed": tally.bytes,
            "total": tally.total_bytes or None,
            "files": tally.files_said,
        }
        if dataset in self._tasks:
            self._rich.update(self._tasks[dataset], **facts)
        else:
            self._tasks[dataset] = self._rich.add_task(**facts)


def _rich(stream: TextIO) -> RichProgress:
    # Imported only here: a fifth of a second that no pipe and no script pays.
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[files]}", markup=False),
        console=Console(file=stream),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )

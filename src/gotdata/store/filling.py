"""One mirror's copy of one file while it is filled: each missing block is asked for once, by one of its readers."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial as bind

from gotdata.errors import IntegrityError, NoRanges, SourceUnavailable, StoreError
from gotdata.model import BLOCK, Span
from gotdata.origin import BLOCK_HASHED, Origin, Wanted
from gotdata.paths import redact, shown
from gotdata.report import Event, Reporter
from gotdata.store import disk
from gotdata.store.partial import Partial
from gotdata.store.pool import Pool
from gotdata.store.stream import Steady
from gotdata.store.verify import Verdict

_READ = 1 << 20
_POLL = 0.02
"""Seconds between two looks at whether another process has brought a block."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a Filling needs of its engine.

    Attributes:
        spend: called before bytes are received; raises where they may not be.
        room: called before bytes are written; raises where there is no place for them.
        evict: tries to free so many bytes; gives how many.
        pause: waits so many seconds; raises where the engine was closed.
        ended: called when a piece has ended.
    """

    retries: int
    timeout: float
    reporter: Reporter
    clock: Callable[[], float]
    spend: Callable[[int], None]
    room: Callable[[int], None]
    evict: Callable[[int], int]
    pause: Callable[[float], None]
    ended: Callable[[Filling], None]


class Piece:
    """Units ``first`` to ``stop``, which come in order as one stream; those before ``at`` are here."""

    __slots__ = ("at", "error", "first", "from_start", "stop")

    def __init__(self, first: int, stop: int, from_start: bool = False) -> None:
        self.first, self.stop, self.at = first, stop, first
        self.from_start = from_start
        """Its origin sends the file only whole: what comes before ``at`` is received again and dropped."""
        self.error: BaseException | None = None


class Filling:
    """Counts in units: the blocks that are fetched together, because one hash of the lock covers them, else one."""

    def __init__(self, wanted: Wanted, origin: Origin, partial: Partial, means: Means, sparse: bool) -> None:
        self.wanted, self.origin, self.partial = wanted, origin, partial
        self.finishing = threading.Lock()
        dataset, _, path = wanted.name.partition("/")
        self._named = (dataset, path)
        self._users = 0
        self._means = means
        self._unit = BLOCK_HASHED // BLOCK if wanted.blocks else 1
        self.unit_bytes = self._unit * BLOCK
        self.units = -(-wanted.size // self.unit_bytes)
        self._whole_only = not origin.ranges
        self._in_order = not origin.ranges or not sparse
        self._flying: list[Piece] = []
        self._closed = False
        self._changed = threading.Condition()

    def range_of(self, span: Span) -> tuple[int, int]:
        """The units that hold these bytes."""
        return span.start // self.unit_bytes, min(self.units, -(-span.stop // self.unit_bytes))

    def want(self, first: int, stop: int, pool: Pool, step: int) -> list[Piece]:
        """Sees to it that units ``first`` to ``stop`` are here or on their way, in pieces of up to ``step``. Gives the
        pieces that bring them, also those that were on their way before."""
        if first >= stop:
            return []
        last = min(stop * self._unit, self.partial.blocks)
        missing = sorted({block // self._unit for block in self.partial.missing(first * self._unit, last)})
        with self._changed:
            coming = [piece for piece in self._flying if piece.first < stop and first < piece.stop]
            if self._whole_only:  # the others will fail
                coming = [piece for piece in coming if piece.from_start]
            due = [unit for unit in missing if not any(piece.at <= unit < piece.stop for piece in coming)]
            due = [unit for unit in due if not self._here(unit)]  # it may have come since it was missed
            if due and self._in_order:
                fresh = [Piece(0, self.units, self._whole_only)]
            else:
                fresh = [Piece(start, end) for start, end in _runs(due, step)]
            self._flying += fresh
        for piece in fresh:
            if not pool.submit(bind(self._run, piece)):
                self._end(piece, SourceUnavailable("the reading engine was closed"))
        return coming + fresh

    def bring(self, first: int, stop: int, pool: Pool, step: int, deadline: float | None) -> None:
        """Returns when units ``first`` to ``stop`` are here.

        Raises:
            SourceError, IntegrityError, StoreError: what ended a piece that should have brought them.
        """
        try:
            self._await(self.want(first, stop, pool, step), stop, deadline)
        except NoRanges:
            if self._whole_only:
                self._await(self.want(first, stop, pool, step), stop, deadline)
            else:
                raise

    def _await(self, pieces: list[Piece], stop: int, deadline: float | None) -> None:
        with self._changed:
            for piece in pieces:
                goal = min(stop, piece.stop)
                while piece.at < goal and piece.error is None:
                    left = None if deadline is None else deadline - self._means.clock()
                    if left is not None and left <= 0:
                        raise SourceUnavailable(
                            f"{shown(self.wanted.name)}: {redact(self.origin.url)} sent no bytes in time "
                            f"(timeout: {self._means.timeout:g} s); try again"
                        )
                    self._changed.wait(left)
                if piece.at < goal and piece.error is not None:
                    raise piece.error

    @property
    def idle(self) -> bool:
        return not (self._flying or self._users)

    def read(self, pool: Pool, step: int, width: int) -> Verdict:
        """Reads the whole file in order while it comes, in pieces of ``step``, and up to ``width`` of them at once."""
        verdict = Verdict(self.wanted, self.origin)
        if verdict.unknown:
            text = f"its {verdict.unknown} can't be computed here: pip install {verdict.unknown}"
            self._means.reporter(Event("warning", *self._named, text=f"{shown(self.wanted.name)}: {text}"))
        buffer = memoryview(bytearray(_READ))
        at = 0
        for first in range(0, self.units, step):
            stop = min(first + step, self.units)
            self.want(first, min(first + 2 * width * step, self.units), pool, step)
            self.bring(first, stop, pool, step, None)
            end = min(stop * self.unit_bytes, self.wanted.size)
            while at < end:
                self._means.pause(0)
                count = disk.pread_into(self.partial.fd, buffer[: end - at], at)
                if not count:
                    raise StoreError(f"{self.partial.data} is shorter than it was; run `gotdata cache fsck`")
                verdict.update(buffer[:count])
                at += count
        return verdict

    def hold(self) -> None:
        """Its files stay open until as many calls of ``release``."""
        with self._changed:
            self._users += 1

    def release(self) -> None:
        with self._changed:
            self._users -= 1
            self._close_if_left()

    def close(self, error: BaseException | None = None) -> None:
        """With the last user the files close. With ``error``, every piece ends at its next unit, and who waits for it
        gets that."""
        with self._changed:
            self._closed = True
            for piece in self._flying:
                piece.error = piece.error or error
            self._changed.notify_all()
            self._close_if_left()

    def _close_if_left(self) -> None:
        if self._closed and self.idle:
            self.partial.close()

    def _run(self, piece: Piece) -> None:
        error: BaseException | None = None
        try:
            self._fill(piece)
        except BaseException as caught:
            if isinstance(caught, NoRanges):
                with self._changed:
                    self._whole_only = self._in_order = True
            error = caught
        self._means.ended(self)
        self._end(piece, error)

    def _end(self, piece: Piece, error: BaseException | None) -> None:
        with self._changed:
            piece.error = piece.error or error
            self._flying.remove(piece)
            self._changed.notify_all()
            self._close_if_left()

    def _fill(self, piece: Piece) -> None:
        if self._whole_only and not piece.from_start:
            raise NoRanges(f"{redact(self.origin.url)} can only be had whole")  # found out since the piece was begun
        patience = self._means.clock() + self._means.timeout
        while piece.at < piece.stop and piece.error is None:
            if self._here(piece.at):
                self._advance(piece)
                continue
            first, stop = piece.at, self._take(piece)
            if stop == first:
                if self._means.clock() > patience:
                    raise SourceUnavailable(
                        f"{shown(self.wanted.name)}: another process has been fetching it for too long"
                    )
                self._means.pause(_POLL)
                continue
            try:
                self._stream(piece, self._gap(piece, stop))
            finally:
                self.partial.drop(first * self._unit, stop * self._unit)

    def _take(self, piece: Piece) -> int:
        """Locks what is left of a piece, or its first part, against other processes; gives where that stops, which is
        where it starts if another has it."""
        first, stop = piece.at, piece.stop
        while stop > first and not self.partial.take(first * self._unit, stop * self._unit):
            stop = first if piece.from_start else first + (stop - first) // 2
        return stop

    def _gap(self, piece: Piece, stop: int) -> int:
        """Where its missing units end. Asked again under the lock: they may have come just now."""
        if piece.from_start:
            return stop
        return next((unit for unit in range(piece.at, stop) if self._here(unit)), stop)

    def _here(self, unit: int) -> bool:
        return self.partial.has(unit * self._unit, min((unit + 1) * self._unit, self.partial.blocks))

    def _advance(self, piece: Piece) -> None:
        with self._changed:
            piece.at += 1
            self._changed.notify_all()

    def _stream(self, piece: Piece, stop: int) -> None:
        start, end = piece.at * self.unit_bytes, min(stop * self.unit_bytes, self.wanted.size)
        self._means.room(end - start)
        buffer = memoryview(bytearray(min(self.unit_bytes, end - start)))
        span = Span(start, self.wanted.size if piece.from_start else end)
        with Steady(self.origin, span, piece.from_start, self._means.retries, self._means.pause) as stream:
            while piece.at < stop and piece.error is None:
                view = buffer[: min(self.unit_bytes, end - piece.at * self.unit_bytes)]
                self._means.spend(len(view))
                stream.fill(view)
                if not self._here(piece.at):
                    self._land(piece.at, view)
                self._advance(piece)

    def _land(self, unit: int, view: memoryview) -> None:
        self._means.reporter(Event("fetched", *self._named, bytes=len(view)))
        if self.wanted.blocks and hashlib.sha256(view).digest() != self.wanted.blocks[unit]:
            start = unit * self.unit_bytes
            raise IntegrityError(
                f"{shown(self.wanted.name)}: bytes {start} to {start + len(view)} that {redact(self.origin.url)} sent "
                "are not what was locked; try another mirror"
            )
        with disk.told(f"writing {self.partial.data}"):
            try:
                self.partial.write(unit * self._unit, view)
            except OSError as error:
                if not (disk.is_full(error) and self._means.evict(len(view))):
                    raise
                self.partial.write(unit * self._unit, view)


def _runs(units: list[int], step: int) -> list[tuple[int, int]]:
    """Adjacent units together, in pieces of up to ``step``."""
    runs: list[tuple[int, int]] = []
    for unit in units:
        if runs and runs[-1][1] == unit and unit - runs[-1][0] < step:
            runs[-1] = (runs[-1][0], unit + 1)
        else:
            runs.append((unit, unit + 1))
    return runs

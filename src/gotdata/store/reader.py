"""The reading engine: brings what is missing, from the mirrors in their order, and makes whole what is complete."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from functools import partial as bind
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit

from gotdata.errors import (
    GotdataError,
    IntegrityError,
    NotFound,
    SourceError,
    SourceUnavailable,
    StoreError,
    UpstreamChanged,
)
from gotdata.model import Span
from gotdata.origin import BLOCK_HASHED, Origin, Wanted
from gotdata.paths import shown
from gotdata.report import Event, Reporter, silent
from gotdata.settings import Settings
from gotdata.store import disk, single
from gotdata.store.base import Held
from gotdata.store.filling import Filling, Means
from gotdata.store.held import in_place
from gotdata.store.keys import partial_key, source_key
from gotdata.store.pool import Pool
from gotdata.store.save import saving
from gotdata.store.store import Store, content_keys
from gotdata.store.verify import Verdict, verify_in_place

T = TypeVar("T")

AHEAD = 32
"""Requests for which nobody waits yet, at most; more are not begun."""
_STEPS = (4 << 20, 32 << 20)
"""Bytes of one request's stream, at least and at most, where more than that is asked."""
_DOWN = 30.0
"""Seconds for which a host that failed is asked after the others."""
_OPEN = 128
"""Partial files kept open while nobody reads them."""
_POLL = 0.02
_CLOSED = "the reading engine was closed"


class Reader:
    """Safe to use from several threads. Close it: what is on its way in the background ends then.

    Args:
        clock: seconds that never go back.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        reporter: Reporter = silent,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._settings, self._reporter, self._clock = store, settings, reporter, clock
        self._closing = threading.Event()
        self._lock = threading.RLock()
        self._fillings: OrderedDict[tuple[bytes, str], Filling] = OrderedDict()
        self._flights: dict[tuple[bytes, str], single.Flight] = {}
        self._spoiled: dict[tuple[bytes, str], IntegrityError] = {}
        self._down: dict[str, float] = {}
        self._spent = 0
        self._asked = Pool(settings.connections, "fetch")
        self._background = Pool(settings.connections, "ahead")
        self._finishing = Pool(1, "finish")
        self._means = Means(
            retries=settings.retries,
            timeout=settings.timeout,
            reporter=reporter,
            clock=clock,
            spend=self._spend,
            room=store.room.make,
            evict=store.room.evict,
            pause=self._pause,
            ended=self._ended,
        )

    def ensure(self, wanted: Wanted, span: Span, prefetch: int = 0) -> None:
        """Returns when ``Store.held(wanted).pread(span)`` has the bytes. ``prefetch`` bytes after them are then fetched
        in the background. Callers that ask for the same block, in any process, fetch it once.

        Raises:
            SourceError, IntegrityError, NotFound: every mirror failed; within ``timeout`` seconds.
            StoreError: the disk is full or failed, or ``max_fetch`` is reached.
        """
        span = Span(max(0, span.start), min(span.stop, wanted.size))
        if span.size <= 0:
            return
        if held := in_place(wanted):
            held.close()
            return
        self._mirrors(
            wanted,
            lambda origin, until: self._ensure(wanted, origin, span, prefetch, until),
            self._clock() + self._settings.timeout,
        )

    def whole(self, wanted: Wanted) -> Held:
        """The whole file, verified, opened; the caller closes it. In place: verified where its identity is strong.

        Raises: as ``ensure``, without its deadline.
        """
        if held := in_place(wanted):
            try:
                verify_in_place(wanted, held, self._store.verdicts)
            except BaseException:
                held.close()
                raise
            return held
        return self._mirrors(wanted, lambda origin, _: self._whole(wanted, origin), None)

    def save(self, wanted: Wanted, dest: Path) -> None:
        """Brings the file to ``dest``, verified, past the store. Until it is complete it is ``.NAME.gotdata-part``
        beside it, with a map: what was fetched before a cut or a kill is not fetched again.

        Raises: as ``whole``.
        """
        means = replace(self._means, room=lambda size: None, evict=lambda size: 0, ended=lambda filling: None)

        def attempt(origin: Origin, _: float | None) -> None:
            with saving(wanted, origin, dest, means) as filling:
                self._read(filling).judge()

        self._mirrors(wanted, attempt, None)

    def close(self) -> None:
        self._closing.set()
        with self._lock:
            fillings = list(self._fillings.values())
            self._fillings.clear()
        for filling in fillings:
            filling.close(SourceUnavailable(_CLOSED))
        for pool in (self._asked, self._background, self._finishing):
            pool.close()
        with self._lock:
            for flight in self._flights.values():
                flight.end(SourceUnavailable(_CLOSED))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Mirrors

    def _mirrors(self, wanted: Wanted, attempt: Callable[[Origin, float | None], T], deadline: float | None) -> T:
        """What the first mirror gives that does not fail. Each has its share of the time that is left."""
        due = -(-wanted.size // BLOCK_HASHED)
        if wanted.blocks and len(wanted.blocks) != due:
            raise IntegrityError(
                f"{shown(wanted.name)}: the lock has {len(wanted.blocks)} block hashes and {due} are due; run "
                "`gotdata lock --hash`"
            )
        now = self._clock()
        order = sorted(wanted.origins, key=lambda origin: self._down.get(_host(origin), now) > now)
        failed: list[GotdataError] = []
        for left, origin in zip(range(len(order), 0, -1), order, strict=True):
            now = self._clock()
            try:
                with self._told():
                    return attempt(origin, None if deadline is None else now + (deadline - now) / left)
            except (SourceError, IntegrityError, NotFound) as error:
                if isinstance(error, SourceUnavailable):
                    self._down[_host(origin)] = self._clock() + _DOWN
                failed.append(error)
        raise _all_failed(wanted, failed)

    def _ensure(self, wanted: Wanted, origin: Origin, span: Span, prefetch: int, deadline: float | None) -> None:
        if single.fits(wanted):
            self._bring(wanted, origin, deadline)
            return
        while True:
            if held := self._store.peek(wanted):
                held.close()
                return
            with self._filling(wanted, origin) as filling:
                if filling is None:
                    continue
                first, stop = filling.range_of(span)
                filling.bring(first, stop, self._asked, self._step(filling, span.size), deadline)
                if filling.partial.gone:
                    continue  # it became whole meanwhile, or was put aside
                if prefetch > 0 and self._background.backlog < AHEAD:
                    _, end = filling.range_of(Span(span.stop, span.stop + prefetch))
                    filling.want(stop, end, self._background, self._step(filling, 0))
                elif filling.partial.complete():
                    self._ended(filling)
                return

    def _step(self, filling: Filling, size: int) -> int:
        """Units of one stream, where ``size`` bytes are asked for at once."""
        least, most = _STEPS
        return max(1, min(max(size // self._settings.connections, least), most) // filling.unit_bytes)

    @contextmanager
    def _filling(self, wanted: Wanted, origin: Origin) -> Iterator[Filling | None]:
        """The one of this process; None where the file is whole."""
        key = (partial_key(wanted, origin), wanted.identity)
        with self._lock:
            self._refuse(key)
            filling = self._fillings.get(key)
            if filling and filling.partial.gone:
                self._fillings.pop(key).close()
                filling = None
            if not filling and (partial := self._store.create(wanted, origin)):
                filling = self._fillings[key] = Filling(wanted, origin, partial, self._means, self._store.sparse)
            if filling:
                self._fillings.move_to_end(key)
                filling.hold()
            self._trim()
        try:
            yield filling
        finally:
            if filling:
                filling.release()

    def _trim(self) -> None:
        """Closes the least recently used of those that nobody uses."""
        for key, filling in list(self._fillings.items())[:-_OPEN]:
            if filling.idle:
                self._fillings.pop(key).close()

    # Files of one block

    def _bring(self, wanted: Wanted, origin: Origin, deadline: float | None) -> None:
        key = (source_key(origin, wanted.size), wanted.identity)
        with self._lock:
            self._refuse(key)
            flight = self._flights.get(key)
            if flight is None:
                flight = self._flights[key] = single.Flight()
                if not self._asked.submit(bind(self._fly, key, flight, wanted, origin)):
                    flight.end(SourceUnavailable(_CLOSED))
        flight.wait(wanted, origin, None if deadline is None else max(0.0, deadline - self._clock()))

    def _fly(self, key: tuple[bytes, str], flight: single.Flight, wanted: Wanted, origin: Origin) -> None:
        error: BaseException | None = None
        try:
            single.bring(self._store, wanted, origin, self._means)
        except BaseException as caught:
            error = caught
        with self._lock:
            if isinstance(error, IntegrityError) and not isinstance(error, UpstreamChanged):
                self._spoiled[key] = error
            del self._flights[key]
        flight.end(error)

    def _refuse(self, key: tuple[bytes, str]) -> None:
        """Raises where nothing can come under this key."""
        if self._closing.is_set():
            raise SourceUnavailable(_CLOSED)
        if key in self._spoiled:
            raise self._spoiled[key]

    # Becoming whole

    def _whole(self, wanted: Wanted, origin: Origin) -> Held:
        while True:
            if held := self._store.peek(wanted):
                return held
            if single.fits(wanted):
                self._bring(wanted, origin, None)
                continue
            with self._filling(wanted, origin) as filling:
                if filling:
                    self._finish(filling)

    def _ended(self, filling: Filling) -> None:
        """Called when a piece of a file has come: maybe it was the last."""
        with suppress(OSError), self._lock:
            if self._closing.is_set() or filling.finishing.locked() or not filling.partial.complete():
                return
            filling.hold()
            if not self._finishing.submit(bind(self._finish_quietly, filling)):
                filling.release()

    def _finish_quietly(self, filling: Filling) -> None:
        try:
            with self._told():
                self._finish(filling)
        except SourceUnavailable:
            pass  # closed meanwhile
        except BaseException as error:
            dataset, _, path = filling.wanted.name.partition("/")
            self._reporter(Event("warning", dataset=dataset, path=path, text=str(error) or repr(error)))
        finally:
            filling.release()

    def _finish(self, filling: Filling) -> None:
        """Brings what is missing, hashes, judges; then the file is an object of the store, or in quarantine."""
        partial = filling.partial
        with filling.finishing:
            if partial.gone:
                return
            verdict = self._read(filling)
            while not partial.take(partial.blocks, partial.blocks + 1):
                self._pause(_POLL)
            try:
                if partial.gone:
                    return
                try:
                    verdict.judge()
                except IntegrityError as error:
                    self._spoiled[partial.key, filling.wanted.identity] = error
                    self._store.quarantine(partial)
                    raise
                keys = content_keys(filling.origin, filling.wanted.size, verdict.identities())
                self._store.promote(partial, verdict.sha256(), keys)
            finally:
                partial.drop(partial.blocks, partial.blocks + 1)
                self._retire(filling)

    def _read(self, filling: Filling) -> Verdict:
        return filling.read(self._background, self._step(filling, filling.wanted.size // 4), self._settings.connections)

    def _retire(self, filling: Filling) -> None:
        """Its files, open here, would keep the object from eviction."""
        with self._lock:
            for key in [key for key, one in self._fillings.items() if one is filling]:
                self._fillings.pop(key).close()

    def _told(self) -> AbstractContextManager[None]:
        return disk.told(f"using the store {self._store.root}")

    def _spend(self, size: int) -> None:
        with self._lock:
            limit = self._settings.max_fetch
            if limit and self._spent + size > limit:
                raise StoreError(
                    f"max_fetch is {limit:,} bytes, and {self._spent:,} were fetched: nothing more is; raise "
                    "max_fetch if this much is meant to be read"
                )
            self._spent += size

    def _pause(self, seconds: float) -> None:
        if self._closing.wait(seconds):
            raise SourceUnavailable(_CLOSED)


def _host(origin: Origin) -> str:
    return urlsplit(origin.url).netloc


def _all_failed(wanted: Wanted, failed: list[GotdataError]) -> GotdataError:
    if not failed:
        return SourceUnavailable(f"{shown(wanted.name)}: the lock names no place that has it; run `gotdata lock`")
    if len(failed) == 1:
        return failed[0]
    kind = SourceUnavailable if any(error.transient for error in failed) else type(failed[0])
    told = "; ".join(str(error) for error in failed)
    return kind(f"{shown(wanted.name)}: none of {len(failed)} mirrors could give it: {told}")

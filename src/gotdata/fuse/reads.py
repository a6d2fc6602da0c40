"""READs: answered at once where the store has the bytes, else parked until a worker has brought them, or too late."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from gotdata.errors import GotdataError, SourceUnavailable, StoreError
from gotdata.fuse import protocol
from gotdata.fuse.connection import Connection
from gotdata.fuse.files import File, Files
from gotdata.fuse.ledger import Ledger
from gotdata.fuse.link import Mark, Reply, Request
from gotdata.fuse.log import Log
from gotdata.fuse.meter import Meter
from gotdata.model import BLOCK, Span

LIMIT = 4096
"""READs that may be parked before no more requests are taken from the kernel."""
_THREADS = 8
_TRIES = 3
_ONE_READER = 1.0
"""Seconds in which the kernel asks for a page again that it did not get by its read-ahead: for the same reader, who has
waited once already."""


@dataclass(slots=True)
class Parked:
    """A READ that waits."""

    unique: int
    node: int
    span: Span
    pid: int
    deadline: float
    tries: int = 0


@dataclass(slots=True)
class Flight:
    """Blocks that a worker was asked for, and who waits for them: nobody where they are fetched ahead."""

    request: Request
    waiting: list[Parked] = field(default_factory=list)
    size: int = 0
    """Bytes that someone waits for."""


class Reads:
    """Every READ gets exactly min(size, st_size − offset) bytes or an errno, once, within ``timeout`` seconds. A short
    answer would shrink the file for the kernel, and kill whoever has it mapped.

    All methods are for the thread of the loop. Files that are read in place may block as long as their file system
    does: a few threads read those, and whoever takes a READ out of ``_parked`` answers it.
    """

    def __init__(
        self,
        connection: Connection,
        files: Files,
        meter: Meter,
        ledger: Ledger,
        log: Log,
        timeout: float,
        send: Callable[[Request], None],
    ) -> None:
        self._connection, self._files = connection, files
        self._meter, self._ledger, self._log, self._timeout, self._send = meter, ledger, log, timeout, send
        self._parked: dict[int, Parked] = {}  # in the order of their deadlines
        self._flights: dict[int, Flight] = {}
        self._by_span: dict[tuple[int, Span], Flight] = {}
        self._coming = 0  # what all flights were asked for, except ahead
        self._late: dict[int, tuple[Span, float]] = {}
        self._sequence = 0
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="read")

    @property
    def full(self) -> bool:
        return len(self._parked) >= LIMIT

    @property
    def oldest(self) -> int:
        """The request that has waited longest; 0 where none waits."""
        first = self._first()
        return first.unique if first else 0

    def wanted(self, seq: int) -> bool:
        """Whether anyone still waits for what a worker was to be asked."""
        return seq in self._flights

    def read(self, request: protocol.Request) -> bytes | None:
        """The bytes, or None where they will be answered later. Raises as ``Held.pread``."""
        offset, size = protocol.window(request.body)
        file = self._files.get(request.node)
        span = Span(offset, min(offset + size, file.node.size))
        if span.size <= 0:
            return b""
        ahead = 0 if file.held.whole or file.held.in_place else _ahead(file, span)
        if not file.held.in_place and (data := _exactly(file, span)) is not None:
            if ahead:
                self._ask(Flight(self._request(request.node, span, ahead, request.pid)))
            self._ledger.read(len(data))
            return data
        now = time.monotonic()
        late, until = self._late.get(request.node, (span, 0.0))
        if now < until and span.start < late.stop and late.start < span.stop:
            raise SourceUnavailable(f"bytes {span.start}-{span.stop} were late just now; try again")
        parked = Parked(request.unique, request.node, span, request.pid, now + self._timeout)
        self._parked[parked.unique] = parked
        if file.held.in_place:
            self._pool.submit(self._in_place, parked, file)
        else:
            if file.served and file.held.pread(file.served) is None:
                self._invalidate(request.node)
                file.served = None
            self._fetch(parked, file.node.size, ahead)
        return None

    def _invalidate(self, node: int) -> None:
        """Has the kernel forget what it has of a file: it was evicted, or found wrong. In a thread: the kernel waits
        there for pages that are being read, whose READs may not be answered yet."""
        self._pool.submit(self._connection.notify, protocol.Notify.INVAL_INODE, protocol.invalidate(node))

    def _fetch(self, parked: Parked, size: int, ahead: int = 0) -> None:
        """Has whole blocks fetched; who wants the same ones as another waits with it."""
        start = parked.span.start // BLOCK * BLOCK
        span = Span(start, min(-(-parked.span.stop // BLOCK) * BLOCK, size))
        flight = self._by_span.get((parked.node, span))
        if flight is not None and not ahead:
            flight.waiting.append(parked)
            return
        flight = Flight(self._request(parked.node, span, ahead, parked.pid), [parked], span.size)
        self._by_span[parked.node, span] = flight
        self._ask(flight)

    def _request(self, node: int, span: Span, ahead: int, pid: int) -> Request:
        self._sequence += 1
        return Request(self._sequence, node, *span, ahead, pid)

    def _ask(self, flight: Flight) -> None:
        """No more ahead than may be fetched: near the limit that would take the place of what someone waits for."""
        request = flight.request
        self._flights[request.seq] = flight
        self._coming += flight.size
        try:
            left = self._meter.left(self._coming)
            self._send(request._replace(prefetch=min(request.prefetch, left)))
        except (GotdataError, OSError) as error:
            self._forget(flight)
            for parked in flight.waiting:
                self._fail(parked, error.errno or errno.EIO, str(error))

    def _forget(self, flight: Flight) -> None:
        request = flight.request
        if self._flights.pop(request.seq, None):
            self._coming -= flight.size
        key = (request.node, Span(request.start, request.stop))
        if self._by_span.get(key) is flight:
            del self._by_span[key]

    def arrived(self, reply: Reply) -> None:
        """What a worker says."""
        if reply.mark is Mark.CAME:
            pid, size = map(int, reply.message.split())
            self._meter.count(size, pid)
            return
        if not reply.seq:
            self._invalidate(self._files.find(reply.message))
            return
        flight = self._flights.get(reply.seq)
        if reply.errno:
            self._log(f"{self._files.name(flight.request.node) if flight else 'too late'}: {reply.message}")
        if flight is None:
            return
        if reply.mark is Mark.WRONG:
            self._invalidate(flight.request.node)
        self._forget(flight)
        for parked in flight.waiting:
            if reply.errno:
                self._refuse(parked, reply.errno)
            elif parked.unique in self._parked:
                self._again(parked)

    def _again(self, parked: Parked) -> None:
        """Reads what should be there now. Another mirror's bytes lie in another file: so it is opened again."""
        try:
            data = _exactly(self._files.get(parked.node), parked.span)
            if data is None:
                file = self._files.fresh(parked.node)
                data = _exactly(file, parked.span)
        except GotdataError as error:
            self._fail(parked, error.errno or errno.EIO, str(error))
            return
        parked.tries += 1
        if data is not None:
            self._answer(parked, data)
        elif parked.tries < _TRIES:
            self._fetch(parked, file.node.size)
        else:
            self._fail(
                parked, errno.EIO, f"bytes {parked.span.start}-{parked.span.stop} were fetched and are not there"
            )

    def _in_place(self, parked: Parked, file: File) -> None:
        if parked.unique not in self._parked:
            return
        try:
            data = _exactly(file, parked.span)
            if data is None:
                raise StoreError("the file is shorter than it was")
            self._answer(parked, data)
        except GotdataError as error:
            self._fail(parked, error.errno or errno.EIO, str(error))
        except Exception as error:
            self._log.unexpected(self._files.name(parked.node), error)
            self._refuse(parked, errno.EIO)

    def expire(self) -> float | None:
        """Refuses what is late. Gives the seconds until the next is, None where nothing is parked."""
        now = time.monotonic()
        while parked := self._first():
            if parked.deadline > now:
                return parked.deadline - now
            span = parked.span
            why = f"bytes {span.start}-{span.stop} did not come within {self._timeout:g} s (the setting `timeout`)"
            self._fail(parked, errno.EIO, why)
            self._late = {node: known for node, known in self._late.items() if known[1] > now}
            self._late[parked.node] = (span, now + _ONE_READER)
            for flight in [flight for flight in self._flights.values() if self._abandoned(flight)]:
                self._forget(flight)
        return None

    def _first(self) -> Parked | None:
        while self._parked:
            try:
                return next(iter(self._parked.values()))
            except (StopIteration, RuntimeError):  # a thread of the pool has just taken one out
                continue
        return None

    def _abandoned(self, flight: Flight) -> bool:
        return not any(parked.unique in self._parked for parked in flight.waiting)

    def interrupt(self, unique: int) -> None:
        parked = self._parked.get(unique)
        if parked is not None:
            self._refuse(parked, errno.EINTR)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _answer(self, parked: Parked, data: bytes) -> None:
        if self._parked.pop(parked.unique, None):
            self._ledger.read(len(data))
            self._connection.reply(parked.unique, data)

    def _refuse(self, parked: Parked, number: int) -> None:
        if self._parked.pop(parked.unique, None):
            self._ledger.refuse()
            self._connection.refuse(parked.unique, number)

    def _fail(self, parked: Parked, number: int, why: str) -> None:
        if parked.unique in self._parked:
            self._log(f"{self._files.name(parked.node)}: {why}")
            self._refuse(parked, number)


def _ahead(file: File, span: Span) -> int:
    """Bytes after ``span`` to have fetched before anyone asks. Where the last of them is here, so is the rest."""
    ahead = min(file.window.read(span), file.node.size - span.stop)
    if ahead <= 0 or file.held.pread(Span(span.stop + ahead - 1, span.stop + ahead)) is not None:
        return 0
    return ahead


def _exactly(file: File, span: Span) -> bytes | None:
    data = file.held.pread(span)
    if data is not None and len(data) != span.size:
        raise StoreError(f"the store gave {len(data)} bytes where {span.size} were due; run `gotdata cache fsck`")
    if data and not (file.held.whole or file.held.in_place):
        file.served = Span(span.start, span.start + 1)
    return data

"""An origin in memory, with the faults that real ones have. For tests of what reads origins."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from gotdata.credentials import PUBLIC
from gotdata.errors import GotdataError, NoRanges, SourceUnavailable
from gotdata.model import Checksum, Span
from gotdata.origin import Origin, Wanted


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one ``open``.

    Attributes:
        error: raised at once, or after ``after`` bytes of the body.
        after: bytes that are still sent.
        gate: the body waits for it before its first byte.
    """

    error: GotdataError | None = None
    after: int | None = None
    gate: threading.Event | None = None


@dataclass(slots=True)
class FakeOrigin:
    """Serves ``data``. Each ``open`` takes the next of ``faults``; ``spans`` has what was asked, ``sent`` the bytes."""

    data: bytes
    url: str = "https://data.example/file"
    version: str = 'etag:"1"'
    checks: tuple[Checksum, ...] = ()
    realm: str = PUBLIC
    ranges: bool = True
    local: str = ""
    faults: list[Fault] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    sent: int = 0
    refuses_ranges: bool = False
    """It says that it has ranges, and does not."""
    on_open: Callable[[Span], None] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def open(self, span: Span) -> io.RawIOBase:
        whole = span == Span(0, len(self.data))
        with self._lock:
            self.spans.append(span)
            fault = self.faults.pop(0) if self.faults else Fault()
        if self.on_open:
            self.on_open(span)
        if fault.error and fault.after is None:
            raise fault.error
        if not whole and (self.refuses_ranges or not self.ranges):
            raise NoRanges(f"{self.url} can only be had whole")
        return _Body(self, span, fault)

    def count(self, size: int) -> None:
        with self._lock:
            self.sent += size


class _Body(io.RawIOBase):
    def __init__(self, origin: FakeOrigin, span: Span, fault: Fault) -> None:
        super().__init__()
        self._origin, self._fault = origin, fault
        self._data = memoryview(origin.data)[span.start : span.stop]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        if self._fault.gate:
            self._fault.gate.wait()
        view = memoryview(buffer)
        count = min(len(view), len(self._data), 64 * 1024)
        if self._fault.after is not None:
            count = min(count, self._fault.after)
            if not count:
                raise self._fault.error or SourceUnavailable(f"{self._origin.url}: the line broke")
            self._fault = Fault(self._fault.error, self._fault.after - count)
        view[:count] = self._data[:count]
        self._data = self._data[count:]
        self._origin.count(count)
        return count


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def wanted(*origins: Origin, size: int, identity: str = "weak:test#file#1", name: str = "cells/a.bin") -> Wanted:
    """A file of a snapshot, for tests."""
    return Wanted(name, size, identity, origins)

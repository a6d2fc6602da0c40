"""A file that is read by ranges, as Python's readers of archives want it: with a place in it."""

from __future__ import annotations

import io
from collections.abc import Callable

from gotdata.model import Span

BUFFER = 16 * 1024
"""Bytes of one request where the last did not go on to here: a header, and some."""
Opener = Callable[[Span], io.RawIOBase]
"""A stream of a span, as ``Source.read``."""


class Ranged(io.RawIOBase):
    """Reads ``BUFFER`` bytes in one request, twice as much each time that it goes on near to where it was, up to
    ``most``: headers that lie far apart cost little, and those that lie close few requests.
    """

    def __init__(self, open: Opener, size: int, most: int = 16 << 20) -> None:
        super().__init__()
        self._open, self._size, self._most = open, size, most
        self._at = 0
        self._held, self._from = memoryview(b""), 0
        self._ahead = BUFFER

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        view = memoryview(buffer).cast("B")
        if self._at >= self._size or not view:
            return 0
        if not self._from <= self._at < self._from + len(self._held):
            self._fetch(len(view))
        piece = self._held[self._at - self._from :][: len(view)]
        view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def _fetch(self, least: int) -> None:
        end = self._from + len(self._held)
        self._ahead = min(2 * self._ahead, self._most) if end <= self._at <= end + self._ahead else BUFFER
        span = Span(self._at, min(self._at + max(least, self._ahead), self._size))
        with self._open(span) as stream:
            self._held, self._from = memoryview(stream.read() or b""), span.start


class Cut(io.RawIOBase):
    """The first bytes of a stream, or of some bytes. Closes the stream with itself."""

    def __init__(self, stream: io.RawIOBase | bytes, size: int) -> None:
        super().__init__()
        self._stream = io.BytesIO(stream) if isinstance(stream, bytes) else stream
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        count = self._stream.readinto(memoryview(buffer).cast("B")[: self._left])
        self._left -= count
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()


def exactly(stream: io.RawIOBase, count: int) -> bytes:
    """The next ``count`` bytes; fewer where the stream ends before."""
    got = bytearray()
    while len(got) < count and (piece := stream.read(count - len(got))):
        got += piece
    return bytes(got)

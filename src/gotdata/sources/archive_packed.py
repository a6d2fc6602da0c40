"""One packed stream (gzip, bzip2, xz, zstd) as the bytes in it: in order, bounded, hashed."""

from __future__ import annotations

import bz2
import hashlib
import io
import lzma
import zlib
from collections.abc import Callable
from typing import IO, Protocol, cast

import zstandard

from gotdata.errors import GotdataError, SourceError

MAGIC = {b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zst"}
_RATIO = 2_000
"""Bytes that a packed one may stand for, beyond ``_FREE``. gzip's most is 1,032."""
_FREE = 4 << 30
_PIECE = 256 * 1024
_MEMORY = 512 << 20
"""Bytes that unpacking xz may take."""
_WINDOW = 1 << 27


class _Unpacker(Protocol):
    """What bz2 and lzma have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Zlib:
    def __init__(self, window: int) -> None:
        self._zlib = zlib.decompressobj(window)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


_NEW: dict[str, Callable[[], _Unpacker]] = {
    "deflate": lambda: _Zlib(-zlib.MAX_WBITS),
    "gz": lambda: _Zlib(16 + zlib.MAX_WBITS),
    "bz2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY),
}


class _Streams:
    """Several packed streams one after the other are one file, as gzip, bzip2 and xz have it (bgzip makes thousands);
    zeros may follow."""

    def __init__(self, stream: io.RawIOBase, new: Callable[[], _Unpacker]) -> None:
        self._stream, self._new = stream, new
        self._unpacker: _Unpacker | None = new()
        self._ahead = b""
        """Read, and not yet given to an unpacker."""

    def read(self, count: int) -> bytes:
        while self._unpacker:
            if self._unpacker.eof:
                self._next(self._unpacker.unused_data)
                continue
            piece = self._more() if self._unpacker.needs_input else b""
            data = self._unpacker.decompress(piece, count)
            if data:
                return data
            if not piece and self._unpacker.needs_input and not self._unpacker.eof:
                raise EOFError("it ends in the middle")
        return b""

    def _next(self, left: bytes) -> None:
        while not left.strip(b"\0"):
            left = self._stream.read(_PIECE) or b""
            if not left:
                self._unpacker = None
                return
        self._unpacker, self._ahead = self._new(), left

    def _more(self) -> bytes:
        ahead, self._ahead = self._ahead, b""
        return ahead or self._stream.read(_PIECE) or b""


def unpacked(stream: io.RawIOBase, packing: str) -> Callable[[int], bytes]:
    """Reads up to so many bytes of what is packed in a stream; nothing at its end. What it raises, ``FAULTS`` lists."""
    if packing == "zst":
        reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(
            cast(IO[bytes], stream), read_across_frames=True
        )
        return reader.read
    return _Streams(stream, _NEW[packing]).read


FAULTS = (zlib.error, lzma.LZMAError, zstandard.ZstdError, ValueError, OSError, EOFError)


class Packed(io.RawIOBase):
    """What a packed stream holds.

    Attributes:
        size: bytes so far.
        sha256: of these.
    """

    def __init__(self, stream: io.RawIOBase, packing: str, packed: int, what: str) -> None:
        super().__init__()
        self._stream, self._what, self._limit = stream, what, max(_FREE, _RATIO * packed)
        self._read = unpacked(stream, packing)
        self.size = 0
        self.sha256 = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        view = memoryview(buffer).cast("B")
        if not view:
            return 0
        try:
            data = self._read(min(len(view), _PIECE))
        except FAULTS as error:
            if isinstance(error, GotdataError):
                raise
            raise SourceError(f"{self._what} can't be unpacked: {error}; it is damaged, or was cut off") from None
        view[: len(data)] = data
        self.size += len(data)
        self.sha256.update(data)
        if self.size > self._limit:
            raise SourceError(f"{self._what} unpacks to more than {self._limit} bytes: a bomb")
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()

"""The seam to the bytes that are on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from gotdata.errors import StoreError
from gotdata.model import Span


class Held(Protocol):
    """A file of the store, or of this machine where its origin is local, opened for reading. Thread-safe."""

    size: int
    whole: bool
    """Every byte is here and was verified: ``fd`` may be read at any offset, or handed to the kernel."""
    in_place: bool
    """It is the origin's own file: never handed to the kernel, and each read compares its version. May block as long
    as its file system does."""
    fd: int
    """An open descriptor of the bytes, owned by this object; -1 where they are neither whole nor in place."""

    def pread(self, span: Span) -> bytes | None:
        """Exactly these bytes (cut to the size), or None where a block of them is not here or fails its checksum.

        Raises:
            UpstreamChanged: in place, and no longer the version that was locked.
            StoreError: the disk failed.
        """

    def close(self) -> None:
        """Idempotent. After the last ``pread`` of any thread."""


def pieces(held: Held, step: int) -> Iterator[bytes]:
    """A file from its first byte to its last, ``step`` bytes at a time. Raises StoreError where a part is not here."""
    for start in range(0, held.size, step):
        data = held.pread(Span(start, min(start + step, held.size)))
        if data is None:
            raise StoreError("a file of the store went missing while it was read; try again")
        yield data

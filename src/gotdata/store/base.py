"""The seam to the bytes that are on this machine."""

from __future__ import annotations

from typing import Protocol

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

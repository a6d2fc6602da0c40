"""Where a file's bytes can be had: a source, bound to one mirror of one pin. What the reading engine is handed, so
that it knows no source."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gotdata.model import Checksum, Span


class Origin(Protocol):
    """One mirror's copy of one file. Methods may be called from several threads."""

    @property
    def url(self) -> str:
        """For messages and the store's keys: absolute, without secrets."""

    @property
    def version(self) -> str:
        """As ``RemoteFile.version``."""

    @property
    def checks(self) -> tuple[Checksum, ...]:
        """As ``RemoteFile.checks``."""

    @property
    def realm(self) -> str:
        """As ``Source.realm``."""

    @property
    def ranges(self) -> bool:
        """As ``Powers.ranges``."""

    @property
    def local(self) -> str:
        """A path of this machine that holds the file, or empty."""

    def open(self, span: Span) -> io.RawIOBase:
        """As ``Source.read``."""


@dataclass(frozen=True, slots=True)
class Bound:
    """An ``Origin`` made of its parts; ``start`` is its ``open``."""

    url: str
    version: str
    checks: tuple[Checksum, ...]
    realm: str
    ranges: bool
    local: str
    start: Callable[[Span], io.RawIOBase]

    def open(self, span: Span) -> io.RawIOBase:
        return self.start(span)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file of a snapshot as the reading engine sees it.

    Attributes:
        name: ``dataset/path``, for messages.
        identity: as ``Node.identity``.
        blocks: sha256 of each ``BLOCK_HASHED`` bytes (the last may be shorter), where the lock has them; else empty.
        origins: the mirrors, in the order in which they are tried.
    """

    name: str
    size: int
    identity: str
    origins: tuple[Origin, ...]
    blocks: tuple[bytes, ...] = ()


BLOCK_HASHED = 4 * 1024 * 1024
"""Bytes that one hash of ``Wanted.blocks`` covers."""

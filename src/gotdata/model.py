"""The frozen values that the stages hand on. No I/O here.

A path is a ``str`` of components joined by ``/``, relative, as ``paths.remote_path`` lets it in. Bytes that are not
UTF-8 stand in it as surrogates (PEP 383): ``path.encode("utf-8", "surrogateescape")`` gives the bytes back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

BLOCK = 256 * 1024
"""Bytes in a block: the unit that is fetched, checked and remembered of a file that is not whole yet."""

_LEADING = ("base", "remote", "endpoint", "resolver")
"""Options whose value is where to ask."""
_ADDRESS = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*:|[/\\]{2})")


class Kind(StrEnum):
    FILE = "file"
    LINK = "link"
    DIR = "dir"


class Level(StrEnum):
    """How far the bytes of a snapshot can be held to what was locked."""

    VERIFIED = "verified"
    """Every file has a strong identity: wrong bytes are found whoever sent them."""
    BOUND = "bound"
    """Every file is tied to a version or an ETag: a change upstream is noticed."""
    UNVERIFIED = "unverified"
    """The origin gives nothing to hold the bytes to but their number."""


class Span(NamedTuple):
    """Bytes ``start`` (included) to ``stop`` (excluded)."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True, order=True)
class Checksum:
    """``hex`` is the lower-case hexadecimal of the raw digest, whatever encoding the provider used."""

    algorithm: str
    hex: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


@dataclass(frozen=True, slots=True)
class Ref:
    """What stands behind ``from:``. ``options`` are the other keys of its mapping, sorted, as written."""

    url: str
    options: tuple[tuple[str, str], ...] = ()

    def option(self, name: str, default: str = "") -> str:
        return dict(self.options).get(name, default)

    def flag(self, name: str) -> bool:
        return self.option(name).lower() in {"true", "yes", "1", "on"}

    @property
    def places(self) -> tuple[str, ...]:
        """Every place that may be asked: its URL, and what its options put behind that."""
        return (self.url, *(value for name, value in self.options if _leads(name, value)))

    def __str__(self) -> str:
        return self.url


def _leads(name: str, value: str) -> bool:
    """Whether an option may be an address. A host without a scheme (``//host/``) is one to whoever joins URLs."""
    if name in _LEADING:
        return name in ("endpoint", "resolver") or bool(_ADDRESS.match(value))
    return ":/" in value or value.lstrip().startswith("//")


@dataclass(frozen=True, slots=True)
class Citation:
    title: str = ""
    creators: tuple[str, ...] = ()
    doi: str = ""
    licence: str = ""


@dataclass(frozen=True, slots=True)
class Pin:
    """An exact version of a reference, in its source's own terms. All that ``files`` and ``read`` need to know.

    Attributes:
        source: the name of the source that made it, by which it is found again.
        ref: the canonical reference, options included, without any secret.
        namespace: a persistent id (DOI) or canonical URL: what weak identities are relative to. Never a mirror's.
        version: the source's words for the version, e.g. ``{"record": "1234567"}`` or ``{"etag": '"6a-1"'}``.
    """

    source: str
    ref: Ref
    namespace: str
    version: Mapping[str, str] = field(default_factory=dict)
    citation: Citation = Citation()


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One entry of a listing: what it is, and where its origin keeps it.

    Attributes:
        path: where it appears in the tree.
        size: bytes; None only between a listing that does not say and the question that settles it.
        at: its locator, an absolute URL without secrets or a word that only its source understands. Empty for the
            path below the pin's reference.
        version: what the origin must still say when the bytes are read: ``etag:"…"``, ``mtime:…``, ``id:…``.
            Empty where the origin gives nothing.
        checks: what the provider says of the content. sha256, sha512 and blake3 can become its identity, others
            only check.
        target: of a link, as the origin has it.
    """

    path: str
    size: int | None
    kind: Kind = Kind.FILE
    at: str = ""
    version: str = ""
    checks: tuple[Checksum, ...] = ()
    executable: bool = False
    target: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """An entry of a tree. ``id`` is its row in the snapshot's index, the same in every process; the root is 1.

    ``size`` is in bytes (of a link: of its target's bytes; of a folder: 0). ``identity`` is ``sha256:…``, ``sha512:…``,
    ``blake3:…`` or ``weak:…``, empty for folders and links.
    """

    id: int
    parent: int
    name: str
    kind: Kind
    size: int = 0
    executable: bool = False
    target: str = ""
    identity: str = ""

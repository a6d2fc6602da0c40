"""The seam behind which every provider stands. A new source is one module that fulfils this, one line in registry.py,
one contract test, one page in docs/sources/."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from gotdata.context import Context
from gotdata.model import Pin, Ref, RemoteFile, Span


@dataclass(frozen=True, slots=True)
class Powers:
    """What a source can do, as data."""

    ranges: bool = True
    """It can read a part of a file. False: every read is of the whole file, from its start."""
    versions: bool = False
    """An older version stays readable after upstream changed."""
    placed: bool = True
    """A file of a pin lies at its path below the pin's reference: not so in an archive."""
    duplicates: bool = False
    """A file may be had at other addresses too: the source is a ``Duplicated``."""
    local: bool = False
    """``at`` is a path of this machine (see ``Source.local``)."""


class Source(Protocol):
    """Understands one kind of reference. Stateless: what it learns goes into the Pin and the RemoteFiles, what it needs
    (HTTP engine, credentials, settings) comes with the Context. Every method may be called from several threads.

    It raises errors of ``gotdata.errors`` only, each naming the URL (redacted) and what was seen; foreign errors are
    translated here. What the provider sends is hostile: the source hands names on as they are (``paths`` judges them
    later, for all sources alike), bounds what it reads, and never follows a listing that leads back to itself.
    """

    name: str
    """Its word everywhere: in the registry, the lock, the module's name, the test, the docs page."""
    schemes: tuple[str, ...]
    """The URL schemes that are its own, without the colon, lower case."""
    powers: Powers

    def claims(self, ref: Ref) -> bool:
        """Whether this reference is its own, judged from its text alone: no I/O. Sources are asked in the order of the
        registry, so a source that knows certain https hosts comes before plain HTTP."""

    def resolve(self, ref: Ref, ctx: Context) -> Pin | Ref:
        """The exact version that ``ref`` means now, or a Ref for the next source to resolve (a DOI gives the URL of its
        repository). ``version`` among the options asks for that version and no other.

        Raises:
            ResolveError: there is nothing there that this source can read, or no such version.
            AuthRequired, AccessDenied, SourceUnavailable, SourceError: see ``gotdata.errors``.
        """

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        """All that the pin holds, in any order, streamed: a million entries are never held in memory. A reference to
        one file gives one entry whose path is its name. Empty folders are entries; folders that hold something need
        not be."""

    def read(self, pin: Pin, file: RemoteFile, span: Span, ctx: Context) -> io.RawIOBase:
        """A stream of exactly these bytes, in order. Ends early only by raising (``SourceUnavailable`` where the same
        request may succeed when tried again from where it broke off). The caller closes it, maybe before its end.

        Bound to the version: whatever the origin lets a client ask (If-Match, versionId, the ETag of the answer) is
        asked on every call.

        Raises:
            UpstreamChanged: the origin now holds another version than ``file.version``, or another size.
            NoRanges: only whole files can be had, and ``span`` is a part. Raised before a body is read.
        """

    def url(self, pin: Pin, file: RemoteFile) -> str:
        """Where the file is, absolute, without secrets: for messages and as the store's key. No I/O. It lies at or
        below the place whose ``realm`` is the pin's, whatever ``file.at`` says: a lock may be forged, to have the bytes
        behind somebody's key kept as everybody's."""

    def realm(self, pin: Pin, ctx: Context) -> str:
        """Who may be served bytes that come this way: ``public`` where no request below this pin would carry a
        credential, else what ``Credentials.realm`` says of the pin's URL."""

    def local(self, pin: Pin, file: RemoteFile) -> str:
        """The path of this machine that holds the file, for a source whose powers say ``local``; else empty."""


class Duplicated(Source, Protocol):
    """A source that is told by its origin where else a file lies. Each such place is an origin of its own to the
    reading engine, which tries it when those before it failed, and holds its bytes to the file's checksums."""

    def duplicates(self, pin: Pin, file: RemoteFile) -> Sequence[str]:
        """Other addresses of a file, as ``url``, in the order in which they are to be tried. None where there is no
        checksum to tell a true copy by. No I/O."""

    def read_at(self, url: str, pin: Pin, file: RemoteFile, span: Span, ctx: Context) -> io.RawIOBase:
        """As ``read``, at one of them: whose version is its own, so that the file's size is all that is compared. No
        credential goes there that is not the pin's."""

"""The body of an HTTP answer as a stream, and whether it is what was asked for."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as Late

from gotdata.errors import NoRanges, SourceError, SourceUnavailable, UpstreamChanged
from gotdata.model import Checksum, Span
from gotdata.paths import redact
from gotdata.sources.http_answer import (
    Facts,
    checks,
    content_length,
    content_range,
    file_name,
    media_type,
    same_version,
    version_of,
)

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, HTTPResponse
    from urllib3.connection import HTTPConnection

_DRAIN = 16 * 1024
"""Bytes left unread up to which reading them is cheaper than a new connection."""


class Response(io.RawIOBase):
    """An answer and its body, read in order and straight into the caller's buffer.

    Attributes:
        url: where it came from in the end.
        length: bytes of this body; None where the server does not say.
        way: the redirects before it: who sent each, and its headers.
    """

    def __init__(self, raw: BaseHTTPResponse, asked: str, url: str, release: Callable[[], None]) -> None:
        super().__init__()
        self.status = raw.status
        self.headers: Mapping[str, str] = raw.headers
        self.asked = asked
        self.url = url
        self.length = content_length(raw.headers)
        self.way: tuple[tuple[str, Mapping[str, str]], ...] = ()
        self._raw = raw
        self._release: Callable[[], None] | None = release
        self._done = 0
        self._exact = False
        self._abandoned: HTTPConnection | None = None

    def expect(self, size: int) -> None:
        """The body has exactly ``size`` bytes, or reading it fails."""
        self._exact = self.length is None
        self.length = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        if self.closed:
            raise ValueError("the stream was closed, or broke")
        view = memoryview(buffer).cast("B")
        if self._release is None or not view:
            return 0
        left = None if self.length is None else self.length - self._done
        if left == 0:
            self._end()
            return 0
        count = self._receive(view[:left])
        self._done += count
        if count == left:
            self._end()
        elif count == 0:
            if left is not None:
                raise self._broken("the body ended")
            self._finish(clean=True)
        return count

    def _end(self) -> None:
        """Where the server gave no length, its body must end where the file does."""
        if self._exact and self._receive(memoryview(bytearray(1))):
            self.close()
            raise UpstreamChanged(f"{redact(self.asked)} is longer than the {self.length} bytes that were expected")
        self._finish(clean=True)

    def _receive(self, view: memoryview) -> int:
        try:
            return self._raw.readinto(view)
        except (HTTPError, OSError) as error:
            raise self._broken("no bytes came in time" if isinstance(error, Late) else "the body ended") from error

    def _broken(self, what: str) -> SourceUnavailable:
        self.close()
        total = "" if self.length is None else f" of {self.length}"
        return SourceUnavailable(f"{redact(self.asked)}: {what} after {self._done}{total} bytes; try again")

    def abandon(self) -> None:
        """The connection serves no other request after this one."""
        # urllib3 gives a connection back the moment that its body ends, unless it was taken away before.
        raw = cast("HTTPResponse", self._raw)
        self._abandoned, raw._connection = raw.connection, None

    def _finish(self, clean: bool) -> None:
        """Gives the connection back: for the next request where ``clean``, else closed."""
        release, self._release = self._release, None
        if release is None:
            return
        if self._abandoned is not None:
            self._abandoned.close()
        elif clean:
            self._raw.drain_conn()
        else:
            self._raw.close()
        self._raw.release_conn()
        release()

    def close(self) -> None:
        if not self.closed:
            left = None if self.length is None or self._exact else self.length - self._done
            self._finish(clean=left is not None and left <= _DRAIN)
        super().close()


def facts(response: Response) -> Facts:
    refuse_encoding(response)
    span, size = content_range(response.headers)
    if response.status == 200:
        size = response.length
    elif span != Span(0, 1):
        raise SourceError(f"{redact(response.asked)}: asked for its first byte, the server sent another range")
    told = (*_of_redirects(response), *checks(response.headers, whole=response.status == 200))
    return Facts(
        url=response.url,
        size=size,
        version=version_of(response.headers),
        checks=tuple(sorted({check.algorithm: check for check in told}.values())),
        kind=media_type(response.headers),
        name=file_name(response.headers),
        ranges=response.status == 206,
        links=tuple(
            (url, headers["Link"])
            for url, headers in (*response.way, (response.url, response.headers))
            if headers.get("Link")
        ),
    )


def _of_redirects(response: Response) -> tuple[Checksum, ...]:
    """A server that hands its visitors on to mirrors says what they must get (RFC 6249, 6)."""
    for _, headers in response.way:
        if re.search(r"rel=\"?(duplicate|describedby)", headers.get("Link", "")):
            return checks({"Digest": headers.get("Digest", "")}, whole=False)
    return ()


def judge(response: Response, part: Span | None, size: int | None, version: str, encoded: bool) -> None:
    """Refuses an answer that is not what was asked for, before its body is read."""
    if not same_version(response.headers, version):
        raise _changed(response, "its version is another")
    if not encoded:
        refuse_encoding(response)
    if response.status == 206:
        _judge_part(response, part, size)
        return
    if size is not None and response.length not in (None, size):
        raise _changed(response, f"it has {response.length} bytes, and had {size}")
    whole = size if size is not None else response.length
    if part is not None and not (part.start == 0 and part.stop == whole):
        raise NoRanges(f"{redact(response.asked)} can only be had whole: its server sends no ranges")
    if whole is not None:
        response.expect(whole)


def _judge_part(response: Response, part: Span | None, size: int | None) -> None:
    span, total = content_range(response.headers)
    if size is not None and total not in (None, size):
        raise _changed(response, f"it has {total} bytes, and had {size}")
    if part is None or span != part:
        asked = "the whole" if part is None else f"bytes {part.start}-{part.stop - 1}"
        got = response.headers.get("Content-Range", "no Content-Range")
        raise SourceError(f"{redact(response.asked)}: asked for {asked}, the server sent {redact(got)}")
    if response.length not in (None, part.size):
        raise SourceError(f"{redact(response.asked)}: Content-Length {response.length} where {part.size} bytes are due")
    response.expect(part.size)


def _changed(response: Response, what: str) -> UpstreamChanged:
    return UpstreamChanged(
        f"{redact(response.asked)} is not what was pinned: {what}; `gotdata lock --update` takes the new version up"
    )


def refuse_encoding(response: Response) -> None:
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding != "identity":
        raise SourceError(
            f"{redact(response.asked)} was sent compressed ({redact(encoding)}) though that was refused: "
            "its size and ranges can't be known"
        )

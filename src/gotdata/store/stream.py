"""An origin's bytes as one stream that survives breaks of the line."""

from __future__ import annotations

import io
from collections.abc import Callable
from types import TracebackType
from typing import Self

from gotdata.errors import SourceUnavailable
from gotdata.model import BLOCK, Span
from gotdata.origin import Origin
from gotdata.paths import redact

_BACKOFF = 0.1
_LONGEST = 10.0


class Steady:
    """Bytes ``span`` of an origin, in order. A break in the middle is taken up where it was, up to ``retries`` times
    without a whole buffer between; what ``Origin.open`` itself raises is final: a source tries again by its own rules.

    ``from_start`` is for an origin that sends a file only whole: each time, what comes before is received and dropped.
    """

    def __init__(
        self, origin: Origin, span: Span, from_start: bool, retries: int, pause: Callable[[float], None]
    ) -> None:
        self._origin, self._stop, self._from_start = origin, span.stop, from_start
        self._at = span.start
        self._drop = 0
        self._retries, self._pause = retries, pause
        self._tries = 0
        self._body: io.RawIOBase | None = None

    def fill(self, view: memoryview) -> None:
        """Receives as many bytes as ``view`` holds.

        Raises:
            SourceError, UpstreamChanged: see ``Source.read``; SourceUnavailable once the retries are used up.
        """
        while view:
            body = self._body or self._open()
            try:
                count = self._receive(body, view)
            except SourceUnavailable as error:
                self.close()
                self._tries += 1
                if self._tries > self._retries:
                    raise
                self._pause(error.retry_after or min(_BACKOFF * 2**self._tries, _LONGEST))
                continue
            view = view[count:]
            self._at += count
        self._tries = 0

    def _open(self) -> io.RawIOBase:
        start = 0 if self._from_start else self._at
        self._body = self._origin.open(Span(start, self._stop))
        self._drop = self._at - start
        return self._body

    def _receive(self, body: io.RawIOBase, view: memoryview) -> int:
        while self._drop:
            self._drop -= self._some(body, memoryview(bytearray(min(self._drop, BLOCK))))
        return self._some(body, view)

    def _some(self, body: io.RawIOBase, view: memoryview) -> int:
        count = body.readinto(view)
        if not count:
            raise SourceUnavailable(f"{redact(self._origin.url)} sent less than it said it would; try again")
        return count

    def close(self) -> None:
        body, self._body = self._body, None
        if body is not None:
            body.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

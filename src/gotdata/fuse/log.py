"""The lines that a server and its workers leave: for people, bounded, without control characters or secrets."""

from __future__ import annotations

import sys
import time
import traceback

from gotdata.paths import redact

_QUIET = 10.0
_REMEMBERED = 256


class Log:
    """Writes to standard error, which the launcher points at a file. The same line again within ten seconds is left
    out: a reader that tries again for ever must not fill the disk."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def __call__(self, text: str) -> None:
        now = time.monotonic()
        if now - self._last.get(text, -_QUIET) < _QUIET:
            return
        self._last.pop(text, None)
        self._last[text] = now
        if len(self._last) > _REMEMBERED:
            self._last.pop(next(iter(self._last)), None)
        self._write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {redact(text)}")

    def unexpected(self, text: str, error: Exception) -> None:
        """An error that is our own mistake, with its traceback."""
        self(f"{text}: unexpected {type(error).__name__}: {error}")
        for line in "".join(traceback.format_exception(error)).splitlines():
            self._write(f"    {redact(line)}")

    def _write(self, line: str) -> None:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

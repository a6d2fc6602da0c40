"""Files that are here, opened for reading: whole, in part, or in place. See ``base.Held``."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gotdata.errors import AccessDenied, GotdataError, NotFound, SourceUnavailable, StoreError, UpstreamChanged
from gotdata.model import Span
from gotdata.origin import Origin, Wanted
from gotdata.store import disk
from gotdata.store.base import Held
from gotdata.store.locks import open_marked
from gotdata.store.partial import Partial


def _cut(span: Span, size: int) -> Span:
    return Span(min(span.start, size), min(span.stop, size))


class _Opened:
    """A descriptor that is closed once."""

    fd: int

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


class WholeHeld(_Opened):
    """An object of the store."""

    whole = True
    in_place = False

    def __init__(self, path: Path) -> None:
        """Raises FileNotFoundError."""
        self.fd = -1
        self.path = path
        self.fd = open_marked(path, os.O_RDONLY)
        self.size = os.fstat(self.fd).st_size

    def pread(self, span: Span) -> bytes:
        span = _cut(span, self.size)
        with disk.told(f"reading {self.path}"):
            data = disk.pread_all(self.fd, span.size, span.start)
        if len(data) != span.size:
            raise StoreError(f"{self.path} is shorter than it was; run `gotdata cache fsck`")
        return data


class LocalHeld(_Opened):
    """The origin's own file, where it lies on this machine. Every read is between two looks at its size and time."""

    whole = False
    in_place = True

    def __init__(self, name: str, path: str, size: int, version: str) -> None:
        self.fd = -1
        self.name, self.path, self.size, self.version = name, path, size, version
        try:
            # A pipe put in the file's place must not hang its reader.
            self.fd = disk.open_file(Path(path), os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        except FileNotFoundError:
            raise NotFound(f"{name}: {path} is not there; check that its folder is mounted") from None
        except PermissionError:
            raise AccessDenied(f"{name}: {path} may not be read by this user") from None
        except OSError as error:
            raise SourceUnavailable(f"{name}: {path}: {error.strerror}; try again") from error
        self.stat = self.check()

    def check(self) -> os.stat_result:
        """Raises UpstreamChanged where the file is no longer the one that was locked."""
        now = os.fstat(self.fd)
        if (
            not stat.S_ISREG(now.st_mode)
            or now.st_size != self.size
            or (self.version.startswith("mtime:") and self.version != f"mtime:{now.st_mtime_ns}")
        ):
            raise UpstreamChanged(
                f"{self.name}: {self.path} changed since it was locked; `gotdata lock --update` takes the change up"
            )
        return now

    def pread(self, span: Span) -> bytes:
        span = _cut(span, self.size)
        self.check()
        try:
            data = disk.pread_all(self.fd, span.size, span.start)
        except OSError as error:
            raise SourceUnavailable(f"{self.name}: {self.path}: {error.strerror}; try again") from error
        self.check()
        return data


class PartialHeld:
    """A file that was not whole when it was opened. A read is answered from one mirror's blocks, never from two; where
    the file becomes whole meanwhile, from that. ``fd`` is -1: there is nothing to hand to the kernel."""

    whole = False
    in_place = False
    fd = -1

    def __init__(
        self, wanted: Wanted, open: Callable[[Origin], Partial | None], peek: Callable[[], Held | None]
    ) -> None:
        """``open`` gives a mirror's blocks, where there are any."""
        self.size = wanted.size
        self._origins, self._open, self._peek = wanted.origins, open, peek
        self._partials: list[Partial | None] = [None] * len(wanted.origins)
        self._whole: Held | None = None
        self._left: list[Partial] = []
        self._guard = threading.Lock()

    def pread(self, span: Span) -> bytes | None:
        span = _cut(span, self.size)
        if not span.size:
            return b""
        with disk.told("reading the store"):
            for number in range(len(self._partials)):
                partial = self._current(number)
                data = partial.read(span) if partial else None
                if data is not None:
                    return data
        with self._guard:
            if self._whole is None:
                self._whole = self._peek()
        return self._whole.pread(span) if self._whole else None

    def _current(self, number: int) -> Partial | None:
        with self._guard:
            partial = self._partials[number]
            if partial is None or partial.gone:
                if partial:
                    self._left.append(partial)  # another thread may be reading it
                partial = self._partials[number] = self._open(self._origins[number])
            return partial

    def close(self) -> None:
        with self._guard:
            for opened in [*self._partials, *self._left, self._whole]:
                if opened:
                    opened.close()
            self._partials, self._left, self._whole = [], [], None

    def __del__(self) -> None:
        self.close()


def in_place(wanted: Wanted) -> LocalHeld | None:
    """The file itself where its first origin is on this machine; None where its bytes come another way.

    Raises: as ``LocalHeld``, where there is no other mirror.
    """
    first = wanted.origins[0] if wanted.origins else None
    if not first or not first.local:
        return None
    if len(wanted.origins) == 1:
        return LocalHeld(wanted.name, first.local, wanted.size, first.version)
    with suppress(GotdataError):
        return LocalHeld(wanted.name, first.local, wanted.size, first.version)
    return None

"""A file of one block: received into memory, judged, and only then written. It is whole at once, with neither map nor
checks, and whoever waits for it gets nothing that was not compared."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

from gotdata.errors import SourceUnavailable
from gotdata.model import BLOCK, Span
from gotdata.origin import Origin, Wanted
from gotdata.paths import redact, shown
from gotdata.report import Event
from gotdata.store import disk
from gotdata.store.filling import Means
from gotdata.store.keys import source_key
from gotdata.store.locks import seize
from gotdata.store.store import Store, content_keys
from gotdata.store.stream import Steady
from gotdata.store.verify import Verdict

_POLL = 0.02


def fits(wanted: Wanted) -> bool:
    """Whether a file comes this way: one with block hashes is compared with those."""
    return wanted.size <= BLOCK and not wanted.blocks


class Flight:
    """A file on its way, for all who wait for it in this process."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._error: BaseException | None = None

    def end(self, error: BaseException | None) -> None:
        """The first word counts."""
        if not self._ended.is_set():
            self._error = error
            self._ended.set()

    def wait(self, wanted: Wanted, origin: Origin, seconds: float | None) -> None:
        """Raises what ended it, or SourceUnavailable where it takes longer."""
        if not self._ended.wait(seconds):
            raise SourceUnavailable(f"{shown(wanted.name)}: {redact(origin.url)} sent no bytes in time; try again")
        if self._error is not None:
            raise self._error


def bring(store: Store, wanted: Wanted, origin: Origin, means: Means) -> None:
    """Returns when the file is an object of the store. Of several processes one asks, the others wait for it.

    Raises:
        SourceError, IntegrityError, NotFound, StoreError
    """
    key = source_key(origin, wanted.size)
    path = store.root / "partial" / key.hex()[:2] / f"{key.hex()}.one"
    patience = means.clock() + means.timeout
    while not _is_there(store, wanted):
        with disk.told(f"writing {path}"):
            fd = _open_alone(path)
        if fd is None:
            if means.clock() > patience:
                raise SourceUnavailable(f"{shown(wanted.name)}: another process has been fetching it for too long")
            means.pause(_POLL)
            continue
        try:
            # Asked again under the lock: it may have come just now.
            if not _is_there(store, wanted):
                _keep(store, wanted, origin, means, fd, path)
            return
        finally:
            try:
                if _is_named(path, fd):
                    path.unlink()
            finally:
                os.close(fd)


def _keep(store: Store, wanted: Wanted, origin: Origin, means: Means, fd: int, path: Path) -> None:
    data = _receive(wanted, origin, means)
    verdict = Verdict(wanted, origin)
    if verdict.unknown:
        text = f"{shown(wanted.name)}: its {verdict.unknown} can't be computed here: pip install {verdict.unknown}"
        means.reporter(_event("warning", wanted, text=text))
    verdict.update(data)
    verdict.judge()
    with disk.told(f"writing {path}"):
        try:
            disk.pwrite(fd, data, 0)
        except OSError as error:
            if not (disk.is_full(error) and means.evict(len(data))):
                raise
            disk.pwrite(fd, data, 0)
    store.admit(fd, path, verdict.sha256(), content_keys(origin, wanted.size, verdict.identities()))


def _receive(wanted: Wanted, origin: Origin, means: Means) -> memoryview:
    data = memoryview(bytearray(wanted.size))
    means.room(wanted.size)
    means.spend(wanted.size)
    whole = Span(0, wanted.size)
    with Steady(origin, whole, not origin.ranges, means.retries, means.pause) as stream:
        stream.fill(data)
    means.reporter(_event("fetched", wanted, bytes=len(data)))
    return data


def _event(kind: str, wanted: Wanted, bytes: int = 0, text: str = "") -> Event:
    dataset, _, path = wanted.name.partition("/")
    return Event(kind, dataset, path, bytes, text=text)


def _is_there(store: Store, wanted: Wanted) -> bool:
    held = store.peek(wanted)
    if held:
        held.close()
    return held is not None


def _open_alone(path: Path) -> int | None:
    """The file of this name, for this process alone; None where another has it. What was opened under the name may be
    an object by now, and must not be written: so the name is compared under the lock."""
    try:
        fd = disk.open_file(path, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        path.parent.mkdir(exist_ok=True)
        fd = disk.open_file(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if seize(fd) and _is_named(path, fd):
            return fd
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def _is_named(path: Path, fd: int) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.stat(path), os.fstat(fd))
    return False

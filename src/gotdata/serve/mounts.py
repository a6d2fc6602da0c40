"""The mounts of a node: one for each tree, shared by all who hold it, kept by the keeper, taken away when unused."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path

from gotdata.errors import DeliveryError, GotdataError
from gotdata.fuse import launch, mounting
from gotdata.fuse.keeper import Keeper, Kept
from gotdata.fuse.ledger import Tally
from gotdata.fuse.log import Log
from gotdata.fuse.spare import Spare
from gotdata.fuse.spec import Spec

if sys.platform != "linux":
    raise ImportError("gotdata.serve needs Linux")

_AGAIN = 5.0
"""Seconds until a server that died too often, or a mount that is in use, is looked at again."""
OPENS, FETCHES = "gotdata.wire_trees:held", "gotdata.wire_trees:fetching"
"""How the processes of a mount make its tree: code, never taken from anyone."""
_DEATHS, _MINUTE = 5, 60.0


class Mounts:
    """Thread-safe. ``held`` says of a key whether anyone still holds it; a mount that nobody has held for ``linger``
    seconds is taken away."""

    def __init__(
        self,
        folder: Path,
        keeper: Keeper,
        held: Callable[[str], bool],
        linger: float,
        log: Log,
        lost: Callable[[DeliveryError], None],
    ) -> None:
        """``lost`` is called when the keeper is gone: nothing is watched any more, and no mount can be made."""
        self._folder, self._keeper, self._held, self._linger, self._log = folder, keeper, held, linger, log
        self._lost = lost
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._table = threading.Lock()
        self._used: dict[str, float] = {}
        self._deaths: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_DEATHS))
        self._due: dict[str, float] = {}
        self.restarts = 0
        self._spare = Spare(OPENS)
        self._end, self._wake = os.pipe()
        self._watching = threading.Thread(target=self._watch, name="mounts", daemon=True)

    def begin(self) -> None:
        """Takes over what an earlier daemon left, with servers of this version, and watches from now on."""
        for kept in self._keeper.list():
            self._used[kept.name] = time.monotonic()
            if mounting.is_mounted(self.target(kept.name)):
                self._serve(kept.name)
            else:
                self._keeper.drop(kept.name)
        known = set(self._used)
        for target in self._folder.iterdir():
            # Mounted by an earlier daemon, and its keeper is gone.
            if target.name not in known and mounting.is_mounted(target):
                self._log(f"{target}: nobody keeps this mount any more; it is taken away")
                mounting.unmount(target, lazy=True)
        self._watching.start()

    def target(self, key: str) -> Path:
        return self._folder / key

    def log(self, key: str) -> Path:
        """The log of a mount's processes."""
        return self._folder.parent / "log" / f"{key}.log"

    def kept(self) -> list[Kept]:
        return self._keeper.list()

    def tally(self, key: str, allow: int | None = None) -> Tally:
        """What was read and fetched of a mount. ``allow``: so many bytes more may be.

        Raises:
            NotFound: it does not stand.
        """
        fuse, ledger, _ = self._keeper.take(key)
        os.close(fuse)
        with contextlib.closing(ledger):
            if allow is not None:
                ledger.allow(allow)
            return ledger.tally()

    def up(self, key: str, spec: Spec) -> Path:
        """Mounts where that isn't done yet. Its caller holds ``key`` already.

        Raises:
            DeliveryError: what is missing.
        """
        target = self.target(key)
        with self._lock(key):
            if mounting.is_mounted(target) and not mounting.is_dead(target):
                return target
            Path(spec.log).parent.mkdir(exist_ok=True)
            target.mkdir(exist_ok=True)
            launch.start_kept(self._keeper, key, spec, target, self._spare)
            with self._table:
                self._used[key] = time.monotonic()
        return target

    def release(self, key: str) -> None:
        """From now on its time counts, if nobody holds it."""
        with self._table:
            self._used[key] = time.monotonic()
        os.write(self._wake, b"\0")

    def close(self) -> None:
        """Ends the watch. Mounts and their servers go on."""
        os.close(self._wake)
        if self._watching.is_alive():
            self._watching.join()
        self._spare.close()

    def _lock(self, key: str) -> threading.Lock:
        with self._table:
            return self._locks[key]

    def _watch(self) -> None:
        while True:
            try:
                told, ready = self._keeper.fileno(), self._ready()
                if self._end in ready and not os.read(self._end, 4096):
                    return
                ended = self._keeper.gone() if told in ready else ()
            except DeliveryError as error:
                self._lost(error)
                return
            try:
                for key in ended:
                    self._revive(key)
                self._look()
            except Exception as error:
                self._log.unexpected("watching the mounts", error)

    def _ready(self) -> set[int]:
        """The descriptors that have something to say, when one of them does or something is due by itself."""
        poll = select.poll()
        for fd in (self._keeper.fileno(), self._end):
            poll.register(fd, select.POLLIN)
        patience = self._patience()
        return {fd for fd, _ in poll.poll(None if patience is None else patience * 1000)}

    def _patience(self) -> float | None:
        with self._table:
            times = [when + self._linger for key, when in self._used.items() if not self._held(key)]
            times += self._due.values()
        return max(0.0, min(times) - time.monotonic()) + 0.01 if times else None

    def _look(self) -> None:
        """Does what is due: serves again, takes away."""
        now = time.monotonic()
        with self._table:
            idle = [key for key, when in self._used.items() if when + self._linger <= now and not self._held(key)]
            due = [key for key, when in self._due.items() if when <= now]
        for key in due:
            self._due.pop(key, None)
            self._serve(key)
        for key in idle:
            with self._lock(key):
                if not self._held(key):
                    self._take_away(key)

    def _take_away(self, key: str) -> None:
        try:
            launch.stop_kept(self._keeper, key, self.target(key))
        except mounting.Busy:
            with self._table:
                self._used[key] = time.monotonic() + _AGAIN
            return
        with self._table:
            self._used.pop(key, None)
            self._due.pop(key, None)
        with contextlib.suppress(OSError):
            self.target(key).rmdir()

    def _revive(self, key: str) -> None:
        """A server that ended: another takes its place, unless the mount ended with it."""
        with self._lock(key):
            if not mounting.is_mounted(self.target(key)):
                with self._table:
                    self._used.pop(key, None)
                return
        now = time.monotonic()
        deaths = self._deaths[key]
        deaths.append(now)
        if len(deaths) == _DEATHS and now - deaths[0] < _MINUTE:
            self._log(f"{key}: its server died {_DEATHS} times in a minute; see {self.log(key)}")
            self._due[key] = now + _AGAIN
            return
        self._serve(key)

    def _serve(self, key: str) -> None:
        try:
            with self._lock(key):
                launch.serve_kept(self._keeper, key, self._spare)
            self.restarts += 1
        except (GotdataError, OSError) as error:
            self._log(f"{key}: can't be served: {error}; tried again in {_AGAIN:g} s")
            self._due[key] = time.monotonic() + _AGAIN

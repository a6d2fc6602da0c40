"""The daemon of a node: it owns the system store and the mounts of a machine. It may be killed or upgraded at any
moment: what it knows lies in files, and what is open is held by the keeper."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gotdata.errors import DeliveryError
from gotdata.fuse.keeper import Keeper
from gotdata.fuse.log import Log
from gotdata.serve.budget import EVERY
from gotdata.serve.control import BODY_LIMIT, Control
from gotdata.serve.docker import Plugin
from gotdata.serve.metrics import Metrics
from gotdata.serve.mounts import Mounts
from gotdata.serve.node import LocalNode, Rules
from gotdata.serve.order import Places, Prepare
from gotdata.serve.unix_http import UnixServer, refuse_taken
from gotdata.settings import Settings

if sys.platform != "linux":
    raise ImportError("gotdata.serve needs Linux")

import fcntl

PLUGINS = Path("/run/docker/plugins")
"""Where Docker's engine looks for sockets: a driver is called as its file."""
LINGER = 30.0
"""Seconds for which an unused mount stays: containers come in rows."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """Attributes:
    plugin: what Docker's volume driver is called; empty for none.
    keeper_apart: the keeper is another's to start: without it this daemon ends, and is to be started again.
    """

    places: Places
    settings: Settings
    rules: Rules
    prepare: Prepare
    plugin: str = "gotdata"
    linger: float = LINGER
    keeper_apart: bool = False

    def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Until SIGTERM or SIGINT. The mounts stay, for the daemon that comes next.

        Raises:
            DeliveryError: another daemon runs, or something else is missing; or the keeper ended: the next daemon
                starts another.
        """
        if os.geteuid() != 0:
            raise DeliveryError("the daemon mounts for others, which only root may: run it as root, as its unit does")
        log, ended, lost = Log(), threading.Event(), list[DeliveryError]()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        os.umask(0o077)

        def end(error: DeliveryError) -> None:
            lost.append(error)
            ended.set()

        with ExitStack() as stack:
            _prepare(self.places)
            stack.enter_context(_only_one(self.places.run / "daemon.lock"))
            driver = PLUGINS / f"{self.plugin}.sock"
            if self.plugin:
                refuse_taken(driver)  # before there is a keeper that would stay
            keeper = self._keeper()
            node = LocalNode(self.places, self.settings, self.rules, self.prepare, log)
            mounts = Mounts(self.places.mounts, keeper, node.held, self.linger, log, end)
            node.begin(mounts)
            stack.callback(mounts.close)
            control = UnixServer(
                self.places.control, Control(node, Metrics(node, mounts)).routes(), 0o666, limit=BODY_LIMIT
            )
            stack.callback(control.close)
            if self.plugin:
                PLUGINS.mkdir(parents=True, exist_ok=True)
                plugin = UnixServer(driver, Plugin(node).routes())
                stack.callback(plugin.close)
            log(f"ready: {self.places.control}" + (f", Docker's volume driver {self.plugin}" if self.plugin else ""))
            ready()
            _notify("READY=1")
            while not ended.wait(EVERY):
                node.count()
            _notify("STOPPING=1")
        if lost:
            raise DeliveryError(f"{lost[0]}; mounts last as long as their servers, and this daemon is to start again")

    def _keeper(self) -> Keeper:
        if self.keeper_apart:
            return Keeper.connect(self.places.keeper)
        return Keeper.start(self.places.keeper, self.places.run / "log" / "keeper.log")


def _prepare(places: Places) -> None:
    """People's own `up` must reach the socket; what is mounted is reached through binds only."""
    private = (places.state, places.run / "log", places.keeper.parent)
    for folder, mode in ((places.run, 0o711), *((folder, 0o700) for folder in private)):
        folder.mkdir(parents=True, exist_ok=True)
        found = folder.stat()
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise DeliveryError(f"{folder} can be written by others, and root's records lie there; mend that")
        folder.chmod(mode)


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DeliveryError(f"a daemon runs already in {path.parent}; end it, or name another folder") from None
        yield


def _notify(text: str) -> None:
    """Tells systemd, where it started us and still listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(text.encode(), "\0" + address[1:] if address.startswith("@") else address)

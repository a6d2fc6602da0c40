"""A real daemon for tests, with folders, a store, a keeper and a Docker plugin of its own, which can be killed and
started again. All that it started or mounted is gone at the end, also when it was killed or the test failed."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("the daemon needs Linux", allow_module_level=True)

import socket

from gotdata.choice import MOUNT
from gotdata.fuse import mounting
from gotdata.fuse.keeper import Keeper
from gotdata.serve.client import ask
from gotdata.serve.daemon import PLUGINS
from gotdata.serve.order import Places
from tests.e2e.engine import drivers

PATIENCE = 60.0
"""Seconds that a process may take to answer or to end, on a machine that does much else."""
_MARK = "GOTDATA_TEST_NODE"
_DETACH, _NOFOLLOW = 2, 8


class Node:
    """Attributes:
    driver: what Docker calls it: ``docker volume create -d``.
    folder: below which all lies. Everybody may enter it, so that users reach the control socket.
    options, environ: of the daemon's process, from its next start on.
    """

    def __init__(self, folder: Path, options: Sequence[str], environ: Mapping[str, str]) -> None:
        self.folder, self.options = folder, options
        self.driver = f"gotdata-{secrets.token_hex(4)}"
        self.places = Places(folder / "state", folder / "run")
        self.output = folder / "daemon.log"
        home = {"HOME": str(folder / "home"), "XDG_CONFIG_HOME": str(folder / "home/.config")}
        self.environ = {**os.environ, **home, **environ, _MARK: str(folder)}
        self._process: subprocess.Popen[bytes] | None = None

    def allow(self, *rules: Mapping[str, Any]) -> None:
        """The policy, from now on; what else there was is allowed no more."""
        new = self.folder / "policy.new"
        new.write_text(json.dumps({"gotdata": 1, "rules": rules}))
        new.rename(self.folder / "policy.yml")

    def start(self) -> None:
        """Returns when it says that it is ready."""
        command = [sys.executable, "-P", "-m", "gotdata", "daemon", "--plugin", self.driver, "--linger", "1"]
        for name, place in {"state": self.places.state, "run": self.places.run, "policy": "policy.yml"}.items():
            command += [f"--{name}", str(self.folder / place)]
        said = self.folder / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, self.output.open("ab") as log:
            said.unlink(missing_ok=True)
            notify.bind(str(said))
            self._process = subprocess.Popen(
                [*command, *self.options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**self.environ, "NOTIFY_SOCKET": str(said)},
                cwd="/",
                start_new_session=True,
            )
            with _watched(self.pid) as end:
                ready, _, _ = select.select([notify, end], [], [], PATIENCE)
                if notify not in ready:
                    pytest.fail(f"the daemon is not ready; its log:\n{self.log()}")

    @property
    def pid(self) -> int:
        """The daemon's; it answers Docker, too."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """kill -9 of the daemon alone."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """As an upgrade does."""
        assert self._end(signal.SIGTERM) == 0, self.log()

    def _end(self, number: int) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Its exit status, when it ends."""
        assert self._process is not None
        return self._process.wait(PATIENCE)

    def ask(self, verb: str, **told: Any) -> Any:
        """As Docker asks its volume drivers: ``VolumeDriver.VERB``."""
        return ask(self.plugin, "POST", f"/VolumeDriver.{verb}", told)

    def log(self) -> str:
        """What the daemon said, and the processes of its mounts."""
        files = [self.output, *sorted((self.places.run / "log").glob("*.log"))]
        return "\n".join(f"{path.name}: {line}" for path in files for line in path.read_text().splitlines())

    @property
    def plugin(self) -> Path:
        """The socket at which Docker asks."""
        return PLUGINS / f"{self.driver}.sock"

    def keeper(self) -> int:
        """Its process id."""
        return listener(self.places.keeper, socket.SOCK_SEQPACKET)

    def servers(self) -> list[int]:
        """The processes that serve its mounts now."""
        with contextlib.closing(Keeper.connect(self.places.keeper)) as keeper:
            return [kept.server_pid for kept in keeper.list() if kept.server_pid]

    def workers(self) -> list[int]:
        """The processes that fetch for its mounts now."""
        found: list[int] = []
        for pid in self.servers():
            with suppress(OSError):
                found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return found

    def processes(self) -> list[int]:
        """All that ever came of it and still runs."""
        mark = f"\0{_MARK}={self.folder}\0".encode()
        found = []
        for process in Path("/proc").iterdir():
            with suppress(OSError):
                if process.name.isdigit() and mark in b"\0" + (process / "environ").read_bytes():
                    found.append(int(process.name))
        return found

    def mounts(self) -> list[mounting.Mount]:
        """All that it mounted, wherever: a mount of a mount comes after it."""
        below = f"{self.folder}/"
        devices = {mount.device for mount in mounting.mounts() if mount.point.startswith(below)}
        return [mount for mount in mounting.mounts() if mount.device in devices]

    def clear(self) -> None:
        """Ends and removes all. A process that is killed lets its mounts go; what still reads there gets errors."""
        if self._process is not None:
            self.kill()
        while left := self.processes():
            for pid in left:
                kill(pid)
        for mount in reversed(self.mounts()):
            ctypes.CDLL(None).umount2(os.fsencode(mount.point), _DETACH | _NOFOLLOW)
        self.plugin.unlink(missing_ok=True)


@contextmanager
def node(
    *rules: Mapping[str, Any], options: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> Iterator[Node]:
    """A daemon, ready, with these rules and more words for its command line."""
    if os.geteuid():
        pytest.skip("the daemon mounts for others, which only root may")
    if refusal := MOUNT.refusal():
        pytest.skip(f"no mounts here: {refusal}")
    with drivers():
        folder = Path(tempfile.mkdtemp(prefix="gotdata-node-"))
        folder.chmod(0o711)
        made = Node(folder, options, environ or {})
        made.allow(*rules)
        try:
            made.start()
            yield made
        finally:
            made.clear()
            shutil.rmtree(folder)


def listener(path: Path, kind: int = socket.SOCK_STREAM) -> int:
    """The process that answers at a socket."""
    with socket.socket(socket.AF_UNIX, kind) as sock:
        sock.connect(str(path))
        return int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 4), sys.byteorder)


def kill(pid: int) -> None:
    """kill -9, and waits for the end; nothing where it has ended."""
    with suppress(ProcessLookupError), _watched(pid) as end:
        signal.pidfd_send_signal(end, signal.SIGKILL)
        assert select.select([end], [], [], PATIENCE)[0], f"process {pid} does not die: {_state(pid)}"


@contextmanager
def _watched(pid: int) -> Iterator[int]:
    """Readable when the process has ended."""
    end = os.pidfd_open(pid)
    try:
        yield end
    finally:
        os.close(end)


def stuck() -> list[str]:
    """Processes of the machine that wait in the kernel so that no signal reaches them (state D), for as long as
    anybody looks: a disk makes any process wait for a moment."""
    end, left = time.monotonic() + PATIENCE, _waiting()
    while left and time.monotonic() < end:
        left &= _waiting()
    return [f"{pid} ({_state(pid)})" for pid in sorted(left)]


def _waiting() -> set[int]:
    pids = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    return {pid for pid in pids if _state(pid)[:1] == "D"}


def _state(pid: int) -> str:
    """How the system names it: the letter, and the program; empty if it has ended."""
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
    except OSError:
        return ""
    return f"{rest.split()[0]} {name}"

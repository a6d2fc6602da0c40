"""Files that come when they are opened: for processes that may mount nothing."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import IO, NamedTuple, Self

import msgspec

from gotdata.deliver.base import Job, state_folder
from gotdata.deliver.copy import write
from gotdata.errors import DeliveryError, GotdataError
from gotdata.paths import redact, shown
from gotdata.run import link as links
from gotdata.run import process, seccomp
from gotdata.run.link import Kind
from gotdata.run.placeholders import Placeholders, files
from gotdata.run.supervisor import Supervisor, Unanswered, adopt
from gotdata.store.base import Held

if sys.platform != "linux":
    raise ImportError("gotdata.run needs Linux")

import socket

_THREADS = 32
"""Files that are fetched at once."""
_COPIES = 64
"""Copies of files of this machine that are kept at once."""
_AHEAD = 1 << 16
"""Calls among which the one is that was received last and not noted: of the others the callers are gone."""


class Opened:
    name = "open"
    delivery = Placeholders()

    def refusal(self) -> str:
        if seccomp.arch() is None:
            return f"the system calls of this processor ({os.uname().machine}) are not known to gotdata"
        return process.tried("open")

    def run(self, jobs: Sequence[Job], command: Sequence[str]) -> int:
        known: list[tuple[int, int]] = []
        places: list[_File] = []
        for job in jobs:
            for found, path, node in files(job):
                known.append((found.st_dev, found.st_ino))
                places.append(_File(job, path, node.id))
        with _Bringer(places) as bringer:
            return _Run(known, bringer).serve(command)


class _File(NamedTuple):
    job: Job
    path: str
    id: int


class _Run:
    """Starts the process that answers opens, which starts the command; stands in for it where it is killed."""

    def __init__(self, known: Sequence[tuple[int, int]], bringer: _Bringer) -> None:
        self._known, self._bringer = known, bringer
        self._pid = 0

    def serve(self, command: Sequence[str]) -> int:
        with (
            open(os.memfd_create("gotdata-known"), "r+b") as told,
            open(os.memfd_create("gotdata-calls"), "r+b") as calls,
        ):
            told.write(msgspec.json.encode(self._known))
            told.seek(0)
            calls.truncate(Unanswered.SIZE)
            # Should the process that answers be killed, the command becomes our child.
            adopt()
            link, theirs = links.pair()
            with link, process.attended(lambda: self._pid):
                with theirs:
                    fds = [theirs.fileno(), told.fileno(), calls.fileno()]
                    parent = process.start(["open", *map(str, fds)], command, fds)
                ready = links.receive(link)
                if ready is None:
                    raise DeliveryError(f"{command[0]} was not started: what answers its opens ended ({parent.wait()})")
                self._pid = ready.number
                links.send(link, Kind.GO)
                try:
                    said = self._bring(link)
                    if said is None:
                        parent.wait()
                        said = self._stand_in(ready.fd, Unanswered(calls.fileno()))
                finally:
                    os.close(ready.fd)
        return process.unstartable(command, said.value) if said.kind is Kind.FAILED else process.code(said.value)

    def _bring(self, link: socket.socket) -> links.Said | None:
        """Until the command ended, or can't be started; None where the other end went away before."""
        while said := links.receive(link):
            if said.kind is not Kind.WANT:
                break
            self._bringer.bring(link, said.number)
        return said

    def _stand_in(self, listener: int, unanswered: Unanswered) -> links.Said:
        first, last = unanswered.read()
        lost = seccomp.sweep(listener, first, last + _AHEAD)
        print(f"gotdata: what answers opens was killed; {lost} of them were broken off (EINTR)", file=sys.stderr)
        link, theirs = links.pair()
        known = {place: number for number, place in enumerate(self._known)}
        supervisor = Supervisor(listener, theirs, known, unanswered, self._pid)
        thread = threading.Thread(target=_serve, args=(supervisor, theirs), name="opens", daemon=True)
        thread.start()
        with link:
            said = self._bring(link)
        thread.join()
        if said is None:
            raise DeliveryError("opens can't be answered any more; `gotdata down` tidies up when the command has ended")
        return said


def _serve(supervisor: Supervisor, link: socket.socket) -> None:
    with link:
        links.send(link, Kind.ENDED, value=supervisor.serve())


def _memory(name: str) -> IO[bytes]:
    return open(os.memfd_create(f"gotdata-{name}"), "r+b", buffering=0)


class _Bringer:
    """Files by their numbers, whole and verified."""

    def __init__(self, files: Sequence[_File]) -> None:
        self._files = files
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="open")
        self._said: set[str] = set()
        self._copies: OrderedDict[int, IO[bytes]] = OrderedDict()
        self._copying = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def bring(self, link: socket.socket, number: int) -> None:
        """Returns at once; the answer goes over ``link``."""
        self._pool.submit(self._answer, link, number)

    def _answer(self, link: socket.socket, number: int) -> None:
        file = self._files[number]
        with suppress(OSError):  # nobody waits any more
            try:
                with closing(file.job.whole(file.id)) as held:
                    if held.in_place:
                        with self._copying:
                            links.send(link, Kind.FILE, number, fd=self._copy(file.job, number, held).fileno())
                    else:
                        links.send(link, Kind.FILE, number, fd=held.fd)
            except ConnectionError:
                raise
            except Exception as error:
                self._say(file, str(error))
                known = error.errno if isinstance(error, GotdataError) else None
                links.send(link, Kind.REFUSED, number, known or errno.EIO)

    def _copy(self, job: Job, number: int, held: Held) -> IO[bytes]:
        """Of a file that its owner may change while it is read: as it is now, for as long as the command runs."""
        copy = self._copies.pop(number, None)
        if copy is None:
            copy = tempfile.TemporaryFile(dir=state_folder(job.root))  # noqa: SIM115
            write(held, copy.fileno())
            os.fchmod(copy.fileno(), 0o444)
            if len(self._copies) == _COPIES:
                self._copies.popitem(last=False)[1].close()
        self._copies[number] = copy
        return copy

    def _say(self, file: _File, why: str) -> None:
        """Once, however often it is tried."""
        name = f"{file.job.name}/{file.path}"
        said = redact(why if why.startswith(name) else f"{name}: {why}")
        if said not in self._said:
            self._said.add(said)
            print(f"gotdata: {shown(said)}", file=sys.stderr, flush=True)

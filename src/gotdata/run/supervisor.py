"""Answers the opens of a process tree: of placeholders with the file itself, which another process fetches; of all
else by letting the kernel go on. Look-ups only, so that nobody's open waits for another's bytes."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import select
import socket
import struct
import sys
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress

from gotdata.run import callers, seccomp
from gotdata.run.callers import Asked
from gotdata.run.link import Kind, receive, send

if sys.platform != "linux":
    raise ImportError("gotdata.run needs Linux")

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_TRUNC
_ORPHANED = (
    "gotdata: the process that brings the data was killed: files that are opened from now on give an error (EIO); "
    "`gotdata down` tidies up when the command has ended"
)
_SUBREAPER = 36
_REAP = 1000
"""Milliseconds after which processes that the command left behind are looked at."""


def adopt() -> None:
    """What loses its parent below this process becomes its child: only so may we go on reading its memory where the
    kernel lets a process look at those below it alone (Yama)."""
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


class Unanswered:
    """The numbers of calls that were received and not answered, in memory that outlives this process: whoever comes
    after it must break them off. ``fd`` is of a file of that size."""

    SIZE = 16

    def __init__(self, fd: int) -> None:
        self._memory = mmap.mmap(fd, self.SIZE)

    def write(self, first: int, last: int) -> None:
        struct.pack_into("<QQ", self._memory, 0, first, last)

    def read(self) -> tuple[int, int]:
        return struct.unpack_from("<QQ", self._memory)


class Supervisor:
    """``known``: of each placeholder its device and inode → the number by which its file is asked for over ``link``.
    ``pid`` is the command, a child of this process."""

    def __init__(
        self, listener: int, link: socket.socket, known: Mapping[tuple[int, int], int], unanswered: Unanswered, pid: int
    ) -> None:
        self._listener, self._link, self._known, self._unanswered, self._pid = listener, link, known, unanswered, pid
        self._waiting: dict[int, list[tuple[int, bool]]] = defaultdict(list)
        self._fetcher = True
        self._status: int | None = None

    def serve(self) -> int:
        """Until the command ends: gives the status with which it did."""
        ended = os.pidfd_open(self._pid)
        poll = select.poll()
        for fd in (self._listener, self._link.fileno(), ended):
            poll.register(fd, select.POLLIN)
        try:
            while self._status is None:
                found = poll.poll(_REAP)
                for fd, event in found:
                    if fd == self._listener and event & select.POLLIN:
                        self._call()
                    elif fd == self._listener:
                        poll.unregister(fd)  # nobody is left who could call
                    elif fd == self._link.fileno() and not self._hear():
                        poll.unregister(fd)
                if not found or any(fd == ended for fd, _ in found):
                    self._reap()
        finally:
            os.close(ended)
        return self._status

    def outlast(self) -> None:
        """Lets go on what the command left running, without data, until the last of it has ended."""
        self._known = {}
        self._refuse_all()
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        while not any(event & select.POLLHUP for _, event in poll.poll(_REAP)):
            if poll.poll(0):
                self._call()
            self._reap()

    def _reap(self) -> None:
        """The command, and what lost its parent, to which we are what init is elsewhere."""
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                if found[0] == self._pid:
                    self._status = found[1]

    def _call(self) -> None:
        call = seccomp.receive(self._listener)
        if call is None:
            return
        self._mark(call.id)
        try:
            asked = callers.asked(call)
            found = callers.look(call.pid, asked)
            number = self._known.get((found.st_dev, found.st_ino))
        except OSError:
            # Whatever is wrong with it, the kernel says so. If that was a placeholder, nobody may read it.
            number = None
        if number is None:
            seccomp.proceed(self._listener, call.id)
        elif seccomp.is_waiting(self._listener, call.id):
            self._placeholder(call.id, number, asked)

    def _mark(self, last: int) -> None:
        first = min((id for waiting in self._waiting.values() for id, _ in waiting), default=last)
        self._unanswered.write(first, last)

    def _placeholder(self, id: int, number: int, asked: Asked) -> None:
        """The answers of a read-only mount."""
        if asked.flags is None:
            allowed = not asked.mode & ~os.R_OK
            seccomp.answer(self._listener, id, 0 if allowed else errno.EROFS if asked.mode & os.W_OK else errno.EACCES)
        elif asked.flags & os.O_PATH:
            seccomp.proceed(self._listener, id)
        elif asked.flags & os.O_CREAT and asked.flags & os.O_EXCL:
            seccomp.answer(self._listener, id, errno.EEXIST)
        elif asked.flags & os.O_DIRECTORY:
            seccomp.answer(self._listener, id, errno.ENOTDIR)
        elif asked.flags & _WRITES:
            seccomp.answer(self._listener, id, errno.EROFS)
        else:
            self._want(id, number, bool(asked.flags & os.O_CLOEXEC))

    def _want(self, id: int, number: int, cloexec: bool) -> None:
        if not self._fetcher:
            seccomp.answer(self._listener, id, errno.EIO)
            return
        self._waiting[number].append((id, cloexec))
        if len(self._waiting[number]) == 1:
            with suppress(ConnectionError):  # that it is gone is heard, too
                send(self._link, Kind.WANT, number)

    def _hear(self) -> bool:
        """Whether there is somebody to hear."""
        said = receive(self._link)
        if said is None:
            self._fetcher = False
            self._refuse_all()
            with suppress(OSError):
                print(_ORPHANED, file=sys.stderr, flush=True)
            return False
        kind, number, value, fd = said
        for id, cloexec in self._waiting.pop(number, ()):
            if kind is Kind.FILE:
                self._give(id, fd, cloexec)
            else:
                seccomp.answer(self._listener, id, value)
        if fd >= 0:
            os.close(fd)
        return True

    def _give(self, id: int, fd: int, cloexec: bool) -> None:
        """Opened anew for each: two who share an open file would share the place where they read."""
        try:
            own = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            seccomp.answer(self._listener, id, error.errno or errno.EIO)
            return
        try:
            seccomp.give(self._listener, id, own, cloexec)
        finally:
            os.close(own)

    def _refuse_all(self) -> None:
        for waiting in self._waiting.values():
            for id, _ in waiting:
                seccomp.answer(self._listener, id, errno.EIO)
        self._waiting.clear()

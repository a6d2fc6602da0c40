"""The worker processes of a server: started with it, started again when one dies, never waited for."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable

from gotdata.fuse.link import PACKET, Reply, Request
from gotdata.fuse.log import Log
from gotdata.fuse.spec import Spec, pipe
from gotdata.fuse.worker import work

if sys.platform != "linux":
    raise ImportError("gotdata.fuse needs Linux")

import select

WINDOW = 64
"""Requests that one worker has at once. The rest wait here; so a send never blocks."""
_DEATHS = 5
_MINUTE = 60.0


class Forked:
    """A child that was not started as a program, as far as ``Worker`` needs a Popen."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def wait(self, timeout: float | None = None) -> int:
        poll = select.poll()
        with open(os.pidfd_open(self._pid), "rb") as end:
            poll.register(end, select.POLLIN)
            if not poll.poll(None if timeout is None else timeout * 1000):
                raise subprocess.TimeoutExpired("worker", timeout or 0.0)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)


def fork(spec: Spec) -> tuple[socket.socket, Forked]:
    """A worker that need not import anything: a copy of this process, which has no threads yet. It has none of its
    descriptors but standard ones and the link."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if not pid:
        os.closerange(3, theirs.fileno())
        os.closerange(theirs.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
        theirs.send(b"\0")
        os._exit(work(spec, theirs))
    theirs.close()
    ours.recv(1)  # until then it has them: our end would not be seen by the keeper, nor the mount's by its users
    return ours, Forked(pid)


class Worker:
    """One process, and what it was asked. ``wanted`` says of a request's number whether anyone still waits for it."""

    def __init__(self, spec: Spec, log: Log, wanted: Callable[[int], bool]) -> None:
        self._spec, self._log, self._wanted = spec, log, wanted
        self._queue: deque[Request] = deque()
        self._sent: dict[int, Request] = {}
        self._deaths: deque[float] = deque(maxlen=_DEATHS)
        self._process: subprocess.Popen[bytes] | Forked | None = None
        self.sock: socket.socket | None = None

    def adopt(self, sock: socket.socket, process: Forked) -> None:
        """Takes one that runs."""
        sock.setblocking(False)
        self.sock, self._process = sock, process

    def begin(self) -> None:
        """Starts it before it is needed; where that can't be, ``send`` will say why."""
        with contextlib.suppress(OSError):
            if self.sock is None:
                self._start()

    def send(self, request: Request) -> None:
        """Raises OSError where no process can be started."""
        self._queue.append(request)
        self._pump()

    def _pump(self) -> None:
        while self._queue and len(self._sent) < WINDOW:
            if not self._wanted(self._queue[0].seq):
                self._queue.popleft()
                continue
            sock = self.sock or self._start()
            request = self._queue.popleft()
            self._sent[request.seq] = request
            try:
                sock.send(request.pack())
            except OSError:
                return  # it died; ``receive`` will see the end of the stream and send again

    def receive(self) -> list[Reply]:
        """What it answered; where it died, refusals of what it could not be asked again."""
        assert self.sock is not None
        try:
            packet = self.sock.recv(PACKET)
        except BlockingIOError:
            return []
        except ConnectionError:
            packet = b""
        if not packet:
            return self._died()
        reply = Reply.unpack(packet)
        self._sent.pop(reply.seq, None)
        self._pump()
        return [reply]

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        spec = pipe(self._spec)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "gotdata.fuse", "worker", str(theirs.fileno()), self._spec.dataset],
                stdin=spec,
                pass_fds=(theirs.fileno(),),
            )
        finally:
            os.close(spec)
            theirs.close()
        ours.setblocking(False)
        self.sock = ours
        return ours

    def _died(self) -> list[Reply]:
        status = self._end(1.0)
        pending, self._sent = list(self._sent.values()), {}
        self._log(f"{self._spec.dataset}: the process that fetches ended ({status}) with {len(pending)} requests open")
        now = time.monotonic()
        self._deaths.append(now)
        if len(self._deaths) == _DEATHS and now - self._deaths[0] < _MINUTE:
            pending += self._queue
            self._queue.clear()
            reason = f"the process that fetches died {_DEATHS} times in a minute; see {self._spec.log}"
            return [Reply(request.seq, errno.EIO, message=reason) for request in pending]
        self._queue.extendleft(reversed(pending))
        self._pump()
        return []

    def _end(self, patience: float) -> int:
        """Closes the link, at which a worker ends by itself. Gives its exit status."""
        if self.sock is None or self._process is None:
            return 0
        self.sock.close()
        self.sock = None
        try:
            return self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def close(self) -> None:
        self._end(5.0)

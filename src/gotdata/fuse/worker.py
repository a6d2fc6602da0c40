"""The process that fetches for a server: it alone knows networks and credentials. Ends when its server ends."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

from gotdata.errors import GotdataError, IntegrityError, NotFound, UpstreamChanged
from gotdata.fuse import spec
from gotdata.fuse.link import PACKET, Mark, Reply, Request
from gotdata.fuse.log import Log
from gotdata.model import Span
from gotdata.report import Event, Reporter
from gotdata.tree.base import Lazy

if sys.platform != "linux":
    raise ImportError("gotdata.fuse needs Linux")

THREADS = 32
_MANY = 4 << 20
_SOON = 0.1
_asker: ContextVar[int] = ContextVar("asker", default=0)
"""The pid for which a thread works; pools take it along."""


def main(link: int) -> int:
    """The process, from its descriptor to its end; gives the exit status."""
    return work(spec.read(sys.stdin.buffer.read()), socket.socket(fileno=link))


def work(told: spec.Spec, sock: socket.socket) -> int:
    log, came = Log(), Came(sock)
    try:
        serve_worker(sock, spec.tree(told.fetches, told.arguments, reporter(sock, log, came)), log, came)
    except GotdataError as error:
        log(str(error))
        return error.exit_code
    except Exception as error:
        log.unexpected("the process ends", error)
        return 1
    return 0


def serve_worker(sock: socket.socket, tree: Lazy, log: Log, came: Came, threads: int = THREADS) -> None:
    """Answers requests until the other end closes. What is under way then is left alone: partial files bear it."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="ensure")
    with contextlib.suppress(ConnectionResetError):  # it was killed with replies unread
        while packet := sock.recv(PACKET):
            pool.submit(_answer, sock, tree, Request.unpack(packet), log, came)
    pool.shutdown(wait=False, cancel_futures=True)


class Came:
    """Bytes that came, by who asked for them. The server is told before the answer for which they came; of what comes
    ahead of its reader, every so many bytes, and a moment after the last. Thread-safe."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._lock = sock, threading.Lock()
        self._sizes: Counter[int] = Counter()
        self._timer: threading.Timer | None = None

    def count(self, size: int) -> None:
        with self._lock:
            self._sizes[_asker.get()] += size
            many = self._sizes.total() >= _MANY
            if not (many or self._timer):
                self._timer = threading.Timer(_SOON, self._late)
                self._timer.daemon = True
                self._timer.start()
        if many:
            self.tell()

    def _late(self) -> None:
        with self._lock:
            self._timer = None
        self.tell()

    def tell(self) -> None:
        """Under the lock: else another thread's answer could overtake what came for it."""
        with self._lock, contextlib.suppress(OSError):
            while self._sizes:
                pid, size = self._sizes.popitem()
                self._sock.send(Reply(0, mark=Mark.CAME, message=f"{pid} {size}").pack())


def reporter(sock: socket.socket, log: Log, came: Came) -> Reporter:
    """Writes warnings down. One about a file may be that it was found wrong only now that it is whole: the kernel must
    not keep what it has of it."""

    def report(event: Event, /) -> None:
        if event.kind == "fetched":
            came.count(event.bytes)
        elif event.kind == "warning":
            log(f"warning: {event.text}")
            if event.path:
                with contextlib.suppress(ConnectionError):
                    sock.send(Reply(0, errno.EIO, Mark.WRONG, event.path).pack())

    return report


def _answer(sock: socket.socket, tree: Lazy, request: Request, log: Log, came: Came) -> None:
    _asker.set(request.pid)
    reply = _ensure(tree, request, log)
    came.tell()
    with contextlib.suppress(ConnectionError):
        sock.send(reply.pack())


def _ensure(tree: Lazy, request: Request, log: Log) -> Reply:
    try:
        tree.ensure(request.node, Span(request.start, request.stop), request.prefetch)
    except GotdataError as error:
        # A changed origin says nothing against what was read from it before.
        wrong = isinstance(error, IntegrityError) and not isinstance(error, UpstreamChanged)
        # The name is there; what is gone lies elsewhere.
        number = errno.EIO if isinstance(error, NotFound) else error.errno or errno.EIO
        return Reply(request.seq, number, Mark.WRONG if wrong else Mark.NONE, str(error))
    except Exception as error:
        log.unexpected(f"fetching node {request.node}", error)
        return Reply(request.seq, errno.EIO, message=f"unexpected {type(error).__name__}: {error}")
    return Reply(request.seq)

"""The process that fetches for a server: it alone knows networks and credentials. Ends when its server ends."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

from gotdata.errors import GotdataError, IntegrityError, UpstreamChanged
from gotdata.fuse import spec
from gotdata.fuse.link import PACKET, Mark, Reply, Request
from gotdata.fuse.log import Log
from gotdata.model import Span
from gotdata.report import Event, Reporter
from gotdata.tree.base import Lazy

if sys.platform != "linux":
    raise ImportError("gotdata.fuse needs Linux")

THREADS = 32


def main(link: int) -> int:
    """The process, from its descriptor to its end; gives the exit status."""
    return work(spec.read(sys.stdin.buffer.read()), socket.socket(fileno=link))


def work(told: spec.Spec, sock: socket.socket) -> int:
    log = Log()
    try:
        serve_worker(sock, spec.tree(told.fetches, told.arguments, reporter(sock, log)), log)
    except GotdataError as error:
        log(str(error))
        return error.exit_code
    except Exception as error:
        log.unexpected("the process ends", error)
        return 1
    return 0


def serve_worker(sock: socket.socket, tree: Lazy, log: Log, threads: int = THREADS) -> None:
    """Answers requests until the other end closes. What is under way then is left alone: partial files bear it."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="ensure")
    with contextlib.suppress(ConnectionResetError):  # it was killed with replies unread
        while packet := sock.recv(PACKET):
            pool.submit(_answer, sock, tree, Request.unpack(packet), log)
    pool.shutdown(wait=False, cancel_futures=True)


def reporter(sock: socket.socket, log: Log) -> Reporter:
    """Writes warnings down. One about a file may be that it was found wrong only now that it is whole: the kernel must
    not keep what it has of it."""

    def report(event: Event, /) -> None:
        if event.kind == "warning":
            log(f"warning: {event.text}")
            if event.path:
                with contextlib.suppress(ConnectionError):
                    sock.send(Reply(0, errno.EIO, Mark.WRONG, event.path).pack())

    return report


def _answer(sock: socket.socket, tree: Lazy, request: Request, log: Log) -> None:
    reply = _ensure(tree, request, log)
    with contextlib.suppress(ConnectionError):
        sock.send(reply.pack())


def _ensure(tree: Lazy, request: Request, log: Log) -> Reply:
    try:
        tree.ensure(request.node, Span(request.start, request.stop), request.prefetch)
    except GotdataError as error:
        # A changed origin says nothing against what was read from it before.
        wrong = isinstance(error, IntegrityError) and not isinstance(error, UpstreamChanged)
        return Reply(request.seq, error.errno or errno.EIO, Mark.WRONG if wrong else Mark.NONE, str(error))
    except Exception as error:
        log.unexpected(f"fetching node {request.node}", error)
        return Reply(request.seq, errno.EIO, message=f"unexpected {type(error).__name__}: {error}")
    return Reply(request.seq)

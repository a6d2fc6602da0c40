"""A server's process, from its descriptors to its end."""

from __future__ import annotations

import os
import signal
import sys
import threading

from gotdata.errors import DeliveryError, GotdataError
from gotdata.fuse import message, mounting, spec, workers
from gotdata.fuse.connection import Connection
from gotdata.fuse.ledger import Ledger
from gotdata.fuse.log import Log
from gotdata.fuse.message import Kind
from gotdata.fuse.server import Server

if sys.platform != "linux":
    raise ImportError("gotdata.fuse needs Linux")

import socket


def serve(fuse: int, ready: int, target: str, ledger: int = -1, tie: int = -1, *, warm: bool = False) -> int:
    """Goes on in a child, so that the launcher has none to wait for. Gives the exit status when it was unmounted. With
    the descriptors of a keeper's ledger and connection the mount outlives this process; else it is asked to end by
    unmounting. ``warm``: this process has imported what a worker needs."""
    if os.fork():
        os._exit(0)
    log = Log()
    try:
        if tie >= 0:
            _attach(tie)
        else:
            signal.signal(signal.SIGTERM, lambda *_: _unmounting(target, log))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        told = spec.read(sys.stdin.buffer.read())
        worker = workers.fork(told) if warm else None
        sys.setswitchinterval(0.0005)

        def say_ready() -> None:
            os.write(ready, f"{os.getpid()}\n".encode())
            os.close(ready)

        held = Ledger(ledger) if ledger >= 0 else Ledger.create()
        server = Server(Connection(fuse), held, spec.tree(told.opens, told.arguments), told, log, say_ready)
        if worker:
            server.adopt(*worker)
        server.run()
    except GotdataError as error:
        log(str(error))
        return error.exit_code
    except Exception as error:
        log.unexpected("the process ends", error)
        return 1
    return 0


def _attach(tie: int) -> None:
    """Tells the keeper who serves. The connection stays open until this process ends, by which the keeper sees that."""
    sock = socket.socket(fileno=tie)
    message.send(sock, Kind.PID, number=os.getpid())
    sock.detach()


def _unmounting(target: str, log: Log) -> None:
    # In a thread: the loop must go on answering, or the unmounting waits for us.
    threading.Thread(target=_unmount, args=(target, log), daemon=True).start()


def _unmount(target: str, log: Log) -> None:
    try:
        mounting.unmount(target, lazy=True)
    except DeliveryError as error:
        log(str(error))

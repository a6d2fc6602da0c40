"""``python -m gotdata.fuse serve FUSE READY TARGET`` and ``… worker LINK DATASET``: the processes of a mount. The spec
comes on standard input; numbers are descriptors that were handed over; the last word is for people who read `ps`."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading

from gotdata.errors import DeliveryError, GotdataError
from gotdata.fuse import mounting, spec
from gotdata.fuse.connection import Connection
from gotdata.fuse.log import Log
from gotdata.fuse.server import Server
from gotdata.fuse.worker import reporter, serve_worker

if sys.platform != "linux":
    raise ImportError("gotdata.fuse needs Linux")


def _serve(fuse: int, ready: int, target: str, log: Log) -> None:
    if os.fork():
        os._exit(0)  # so the launcher has no child to wait for
    told = spec.read(sys.stdin.buffer.read())
    sys.setswitchinterval(0.0005)

    def say_ready() -> None:
        os.write(ready, f"{os.getpid()}\n".encode())
        os.close(ready)

    def unmount(*_: object) -> None:
        # In a thread: the loop must go on answering, or the unmounting waits for us.
        threading.Thread(target=_unmount, args=(target, log), daemon=True).start()

    signal.signal(signal.SIGTERM, unmount)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Server(Connection(fuse), spec.tree(told.opens, told.arguments), told, log, say_ready).run()


def _unmount(target: str, log: Log) -> None:
    try:
        mounting.unmount(target, lazy=True)
    except DeliveryError as error:
        log(str(error))


def _fetch(link: int, log: Log) -> None:
    told = spec.read(sys.stdin.buffer.read())
    sock = socket.socket(fileno=link)
    serve_worker(sock, spec.tree(told.fetches, told.arguments, reporter(sock, log)), log)


def main() -> None:
    log = Log()
    status = 0
    try:
        match sys.argv[1:]:
            case ["serve", fuse, ready, target]:
                _serve(int(fuse), int(ready), target, log)
            case ["worker", link, _]:
                _fetch(int(link), log)
            case _:
                raise DeliveryError("these processes are started by `gotdata up`")
    except GotdataError as error:
        log(str(error))
        status = error.exit_code
    except Exception as error:
        log.unexpected("the process ends", error)
        status = 1
    os._exit(status)  # threads may hang in a file system that does not answer


if __name__ == "__main__":
    main()

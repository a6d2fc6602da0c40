"""A process that has imported what a server and its worker need, and turns into them by forking: in a few milliseconds,
where fresh ones take a quarter of a second each."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from importlib import import_module

from gotdata.fuse import message

if sys.platform != "linux":
    raise ImportError("gotdata.fuse needs Linux")

import socket

_LIMIT = 1 << 13
_FDS = 6


class Spare:
    """For ``launch``. Thread-safe. Where it can't help, the launcher starts a server of its own."""

    def __init__(self, opens: str) -> None:
        """``opens``: the factory of the trees that will be served."""
        self._opens = opens
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._begin()

    def _begin(self) -> None:
        """Starts it, and does not wait for it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "gotdata.fuse", "spare", str(theirs.fileno()), self._opens],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._sock = ours

    def serve(self, target: str, fds: list[int]) -> bool:
        """Hands a server its descriptors: standard input, the log, /dev/fuse, ready, ledger, tie. Whether it can."""
        with self._lock:
            if self._sock is None:
                return False
            try:
                socket.send_fds(self._sock, [os.fsencode(target)], fds)
            except OSError:  # it died
                self._close()
                self._begin()
                return False
            return True

    def close(self) -> None:
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._sock and self._process:
            self._sock.close()
            self._sock = None
            self._process.kill()
            self._process.wait()


def stand_by(link: int, opens: str) -> int:
    """The process itself. Ends when its starter does."""
    from gotdata.fuse import serving

    with contextlib.suppress(ImportError):  # whoever needs it will be told
        import_module(opens.partition(":")[0])
    sock = socket.socket(fileno=link)
    while True:
        target, fds, _, _ = socket.recv_fds(sock, _LIMIT, _FDS, socket.MSG_CMSG_CLOEXEC)
        if not fds:
            return 0
        child = os.fork()
        if not child:
            sock.close()
            told, log, fuse, ready, ledger, tie = fds
            for fd, number in ((told, 0), (log, 1), (log, 2)):
                os.dup2(fd, number)
            message.close([told, log])
            return serving.serve(fuse, ready, os.fsdecode(target), ledger, tie, warm=True)
        os.waitpid(child, 0)
        message.close(fds)

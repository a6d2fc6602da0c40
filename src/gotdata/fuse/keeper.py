"""The keeper as its clients see it: found or started, and asked."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from gotdata.errors import DeliveryError, NotFound
from gotdata.fuse import message
from gotdata.fuse.ledger import Ledger
from gotdata.fuse.message import Kind, Packet

if sys.platform != "linux":
    raise ImportError("gotdata.fuse needs Linux")

import socket

_PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Kept:
    """A mount that a keeper holds. ``note``: what it was given to remember; ``server_pid``: 0 where none serves it."""

    name: str
    note: bytes
    server_pid: int


class Keeper:
    """Thread-safe. Every method raises DeliveryError where the keeper doesn't answer, and NotFound for a mount that it
    doesn't hold."""

    def __init__(self, path: str) -> None:
        """As ``connect``."""
        self.path = path
        self._lock = threading.Lock()
        self._sock: socket.socket | None = self._connect()
        self._watching: socket.socket | None = None

    @classmethod
    def connect(cls, path: str | Path) -> Self:
        """Raises DeliveryError: none answers there."""
        return cls(str(path))

    @classmethod
    def start(cls, path: str | Path, log: str | Path, grace: float = 15.0) -> Self:
        """Connects; starts one first where none answers. It belongs to nobody, and writes to ``log``. A socket whose
        keeper is dead is cleared away."""
        with contextlib.suppress(DeliveryError):
            return cls.connect(path)
        read, write = os.pipe()
        with open(read, "rb", 0) as ready, open(log, "ab", opener=_private) as lines:
            begin = lines.seek(0, os.SEEK_END)
            with open(write, "wb", 0):
                subprocess.run(
                    [sys.executable, "-P", "-m", "gotdata.fuse", "keep", path, str(grace), str(write)],
                    stdin=subprocess.DEVNULL,
                    stdout=lines,
                    stderr=lines,
                    cwd="/",
                    pass_fds=(write,),
                    start_new_session=True,
                )
            ready.read()
        try:
            return cls.connect(path)
        except DeliveryError as error:
            said = Path(log).read_bytes()[begin:].decode(errors="replace").strip()
            raise DeliveryError(f"{error}; it said: {said or 'nothing'} (log: {log})") from None

    def close(self) -> None:
        for sock in (self._sock, self._watching):
            if sock:
                sock.close()

    def hold(self, name: str, fuse: int, ledger: int, note: bytes) -> None:
        """Raises DeliveryError: it holds one of that name."""
        told = message.file(note)
        try:
            self._ask(Kind.HOLD, name, [fuse, ledger, told])
        finally:
            os.close(told)

    def list(self) -> list[Kept]:
        found = []
        for pid, name in self._listed():
            with contextlib.suppress(NotFound):  # gone meanwhile
                fuse, ledger, note = self.take(name)
                with contextlib.closing(ledger):
                    os.close(fuse)
                    found.append(Kept(name, note, pid))
        return found

    def server(self, name: str) -> int:
        """The process that serves a mount; 0 where none does."""
        for pid, other in self._listed():
            if name == other:
                return pid
        raise _unknown(name)

    def take(self, name: str) -> tuple[int, Ledger, bytes]:
        """The descriptor of /dev/fuse, the ledger and the note of a mount, which it goes on holding. The caller closes
        the first two."""
        fuse, ledger, note = self._ask(Kind.TAKE, name).fds
        with open(note, "rb"):
            return fuse, Ledger(ledger), message.text(note)

    def serve(self, name: str) -> tuple[socket.socket, int, int, bytes]:
        """For a new server: the connection whose end is the server's end, the descriptors of /dev/fuse and of the
        ledger, and the note. The caller closes them.

        Raises:
            DeliveryError: another server is there.
        """
        tie = self._connect()
        try:
            fuse, ledger, note = self._say(tie, Kind.SERVE, name).fds
        except BaseException:
            tie.close()
            raise
        with open(note, "rb"):
            return tie, fuse, ledger, message.text(note)

    def drop(self, name: str) -> None:
        """Lets go of a mount: it ends where nobody else has its descriptor."""
        self._ask(Kind.DROP, name)

    def fileno(self) -> int:
        """To be looked at by ``select``: readable when ``gone`` has something to say."""
        if self._watching is None:
            self._watching = self._connect()
            self._say(self._watching, Kind.WATCH)
            self._watching.setblocking(False)
        return self._watching.fileno()

    def gone(self) -> Sequence[str]:
        """The mounts whose server ended, or that were unmounted, since this was asked last, or ``fileno`` first. The
        latter ones are held no more. Does not wait.

        Raises:
            DeliveryError: the keeper itself is gone; mounts stand as long as their servers do.
        """
        self.fileno()
        assert self._watching is not None
        names: dict[str, None] = {}
        with contextlib.suppress(BlockingIOError):
            while packet := message.receive(self._watching):
                names[packet.name] = None
            # It closed the connection: because we were slow to look, or because it ended.
            self._watching.close()
            self._watching = None
            self.fileno()
            names |= dict.fromkeys(name for pid, name in self._listed() if not pid)
        return list(names)

    def _listed(self) -> Iterable[tuple[int, str]]:
        [fd] = self._ask(Kind.LIST).fds
        with open(fd, "rb"):
            return message.list_of(message.text(fd))

    def _connect(self) -> socket.socket:
        sock = message.connection()
        sock.settimeout(_PATIENCE)
        try:
            sock.connect(self.path)
        except OSError as error:
            sock.close()
            raise DeliveryError(f"no keeper answers at {self.path}: {error.strerror or error}") from error
        return sock

    def _ask(self, kind: Kind, name: str = "", fds: Sequence[int] = ()) -> Packet:
        with self._lock:
            sock, self._sock = self._sock or self._connect(), None
            try:
                answer = self._hear(sock, kind, name, fds)
            except BaseException:
                sock.close()  # an answer that comes late is not the next one's
                raise
            self._sock = sock
        return self._judge(answer, kind, name)

    def _say(self, sock: socket.socket, kind: Kind, name: str = "") -> Packet:
        return self._judge(self._hear(sock, kind, name), kind, name)

    def _hear(self, sock: socket.socket, kind: Kind, name: str, fds: Sequence[int] = ()) -> Packet:
        try:
            message.send(sock, kind, name, fds=fds)
            answer = message.receive(sock)
        except (OSError, ValueError) as error:
            raise DeliveryError(f"the keeper at {self.path} does not answer: {error}") from error
        if answer is None:
            raise DeliveryError(f"the keeper at {self.path} ended the conversation: {kind.name} {name!r}")
        return answer

    def _judge(self, answer: Packet, kind: Kind, name: str) -> Packet:
        if answer.number == errno.ENOENT:
            raise _unknown(name)
        if answer.number:
            raise DeliveryError(f"the keeper refuses {kind.name} {name!r}: {os.strerror(answer.number)}")
        return answer


def _unknown(name: str) -> NotFound:
    return NotFound(f"the keeper holds no mount {name!r}")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)

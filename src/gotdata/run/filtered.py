"""The process that starts a command whose opens are answered, and answers them."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import msgspec

from gotdata.errors import DeliveryError
from gotdata.run import link as links
from gotdata.run import seccomp
from gotdata.run.link import Kind
from gotdata.run.start import become
from gotdata.run.supervisor import Supervisor, Unanswered, adopt

if sys.platform != "linux":
    raise ImportError("gotdata.run needs Linux")

import socket

_TERMINAL = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGHUP)


def serve_opens(link: socket.socket, known: int, unanswered: int, command: Sequence[str]) -> None:
    """The parent of a command whose opens are answered."""
    with os.fdopen(known, "rb") as told:
        placeholders = {tuple(place): number for number, place in enumerate(msgspec.json.decode(told.read()))}
    pid, child, listener = _fork(lambda link: become(link, command))
    links.send(link, Kind.READY, pid, fd=listener)
    links.receive(link)
    links.send(child, Kind.GO)
    if failed := links.receive(child):
        links.send(link, failed.kind, value=failed.value)
        return
    supervisor = Supervisor(listener, link, placeholders, Unanswered(unanswered), pid)
    status = supervisor.serve()
    with suppress(ConnectionError):
        links.send(link, Kind.ENDED, value=status)
    link.close()
    _let_go()
    supervisor.outlast()


def _fork(then: Callable[[socket.socket], NoReturn]) -> tuple[int, socket.socket, int]:
    """A child whose opens are ours to answer, and that goes on with ``then`` when it is told to: its number, the
    link to it, and the listener.

    Raises:
        DeliveryError: the kernel refuses.
    """
    adopt()
    ours, theirs = links.pair()
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _TERMINAL}
    pid = os.fork()
    if not pid:
        ours.close()
        for number, handler in before.items():
            signal.signal(number, handler)
        _under_filter(theirs, then)
    theirs.close()
    said = links.receive(ours)
    if said is None or said.kind is not Kind.READY:
        why = os.strerror(said.value) if said else "the process that was to be filtered is gone"
        raise DeliveryError(f"the kernel lets nobody answer the opens of this process: {why}")
    return pid, ours, said.fd


def _under_filter(link: socket.socket, then: Callable[[socket.socket], NoReturn]) -> NoReturn:
    try:
        listener = seccomp.install()
    except OSError as error:
        links.send(link, Kind.FAILED, value=error.errno or 0)
        os._exit(1)
    links.send(link, Kind.READY, fd=listener)
    os.close(listener)
    links.receive(link)
    then(link)


def try_opens() -> None:
    """Has a child read a placeholder."""
    with tempfile.TemporaryDirectory(prefix="gotdata-") as folder:
        placeholder = Path(folder, "placeholder")
        placeholder.write_bytes(b"\0\0")
        placeholder.chmod(0o000)
        with suppress(PermissionError), placeholder.open("rb"):
            raise DeliveryError("this user (root?) may read what nobody may, so placeholders would not hold")
        found = placeholder.stat()
        ours, theirs = links.pair()
        pid, child, listener = _fork(lambda _: os._exit(placeholder.read_bytes() != b"OK"))
        calls = os.memfd_create("gotdata-calls")
        os.truncate(calls, Unanswered.SIZE)
        supervisor = Supervisor(listener, theirs, {(found.st_dev, found.st_ino): 1}, Unanswered(calls), pid)
        file = os.memfd_create("gotdata-file")
        os.write(file, b"OK")
        threading.Thread(target=_bring, args=(ours, file), daemon=True).start()
        links.send(child, Kind.GO)
        if supervisor.serve():
            raise DeliveryError("the kernel lets others see the opens of this process, but not answer them")


def _bring(link: socket.socket, file: int) -> None:
    if said := links.receive(link):
        links.send(link, Kind.FILE, said.number, fd=file)


def _let_go() -> None:
    """Whoever waits for the end of a pipe that we were handed must not wait for us."""
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)

"""Starting and stopping a mount: what the mount delivery does with processes."""

from __future__ import annotations

import contextlib
import io
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from gotdata.errors import DeliveryError, NotFound
from gotdata.fuse import mounting
from gotdata.fuse.keeper import Keeper
from gotdata.fuse.ledger import Ledger
from gotdata.fuse.spare import Spare
from gotdata.fuse.spec import Spec, pipe

if sys.platform != "linux":
    raise ImportError("gotdata.fuse needs Linux")

import socket

_START = 60.0
_END = 10.0
_LINES = 5


def start(spec: Spec, target: str | Path) -> int:
    """Mounts at ``target``, an existing folder, and starts the process that serves it. Returns its id when the data is
    readable. That process belongs to nobody: it outlives this one, its terminal and its session. A mount whose process
    died is cleared away first.

    Raises:
        DeliveryError: what is missing, or the last lines of the log. Nothing is left mounted or running.
    """
    heal(target)
    if mounting.is_mounted(target):
        raise DeliveryError(f"{target} is already mounted; `gotdata down` takes it away")
    with io.FileIO(mounting.mount(target), "r") as fuse:
        try:
            pid = spawn(spec, mounting.place(target), fuse)
            _reach(spec, target)
        except BaseException:
            mounting.unmount(target, lazy=True)
            raise
    mounting.raise_read_ahead(target)
    return pid


def stop(target: str | Path, pid: int, lazy: bool = False) -> None:
    """Unmounts, and waits for the process that served it. Nothing to do is no error. ``lazy``: does not wait for those
    who still use it, nor for the process, which ends after them.

    Raises:
        DeliveryError: it is in use (then ``mounting.Busy``, naming by whom), or may not be unmounted.
    """
    with contextlib.ExitStack() as stack:
        process = None
        if serving(pid, target):
            with contextlib.suppress(ProcessLookupError):
                process = stack.enter_context(io.FileIO(os.pidfd_open(pid), "r"))
        mounting.unmount(target, lazy=lazy or mounting.is_dead(target))
        if process is None or lazy:
            return
        if not _wait(process, _END):
            signal.pidfd_send_signal(process.fileno(), signal.SIGKILL)
            _wait(process)


def serving(pid: int, target: str | Path) -> bool:
    """Whether this process serves a mount at ``target``: a number alone may by now be somebody else's."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"gotdata.fuse" in words and os.fsencode(mounting.place(target)) in words


def heal(target: str | Path) -> bool:
    """Clears away a mount whose process died; whether there was one."""
    dead = mounting.is_dead(target)
    if dead:
        mounting.unmount(target, lazy=True)
    return dead


def start_kept(keeper: Keeper, name: str, spec: Spec, target: str | Path, spare: Spare | None = None) -> int:
    """As ``start``, with a keeper that holds the mount: it outlives its server. Where the keeper has ``name`` already,
    or one step fails, nothing is left mounted, held or running."""
    heal(target)
    if mounting.is_mounted(target):
        raise DeliveryError(f"{target} is already mounted")
    point = mounting.place(target)
    fuse = mounting.mount(target)
    ledger = Ledger.create()
    try:
        keeper.hold(name, fuse, ledger.fd, note(spec, point))
        try:
            pid = _serve(keeper, name, spare)
            _reach(spec, point)
        except BaseException:
            with contextlib.suppress(NotFound):
                keeper.drop(name)
            raise
    except BaseException:
        mounting.unmount(target, lazy=True)
        raise
    finally:
        os.close(fuse)
        ledger.close()
    mounting.raise_read_ahead(target)
    return pid


def serve_kept(keeper: Keeper, name: str, spare: Spare | None = None) -> int:
    """A new server for a mount that a keeper holds, in place of the one that serves it now, if any. Its users wait
    meanwhile, and notice nothing else. Gives the server's id.

    Raises:
        DeliveryError: what is missing, or the last lines of the log. The mount is held further.
    """
    _end(keeper, name)
    return _serve(keeper, name, spare)


def stop_kept(keeper: Keeper, name: str, target: str | Path, lazy: bool = False) -> None:
    """Unmounts, waits for the server's end, and has the keeper let go. Nothing to do is no error. ``lazy``: does not
    wait for those who still use it; the keeper lets go after them.

    Raises:
        DeliveryError: it is in use (then ``mounting.Busy``, naming by whom), or may not be unmounted.
    """
    mounting.unmount(target, lazy=lazy)
    if lazy:
        return
    with contextlib.suppress(NotFound):
        _end(keeper, name, _END)
        keeper.drop(name)


def note(spec: Spec, point: str) -> bytes:
    """What the keeper remembers of a mount that this module made. A later version reads it: a ``Spec`` gets new fields
    with defaults only."""
    return msgspec.json.encode({"point": point, "spec": spec})


def told(note: bytes) -> tuple[Spec, str]:
    """What ``note`` was given: the spec, and where it is mounted."""
    known = msgspec.json.decode(note, type=_Note)
    return known.spec, known.point


class _Note(msgspec.Struct):
    point: str
    spec: Spec


def _end(keeper: Keeper, name: str, patience: float = 0.0) -> None:
    """Ends the server of a mount, which is given some time to end by itself."""
    pid = keeper.server(name)
    if not pid:
        return
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with io.FileIO(process) as process_end:
        # Still there: so that number is no other process's.
        if keeper.server(name) == pid and not _wait(process_end, patience):
            signal.pidfd_send_signal(process, signal.SIGKILL)
            _wait(process_end)


def _serve(keeper: Keeper, name: str, spare: Spare | None) -> int:
    tie, fuse, ledger, known = keeper.serve(name)
    with tie, io.FileIO(fuse) as device, io.FileIO(ledger) as counts:
        spec, point = told(known)
        return spawn(spec, point, device, [counts, tie], spare)


def spawn(
    spec: Spec, point: str, fuse: io.FileIO, kept: Sequence[io.FileIO | socket.socket] = (), spare: Spare | None = None
) -> int:
    """Starts a server for a connection that is mounted at ``point``, in another namespace maybe: gives its id when it
    has answered the kernel's greeting. What it was given is closed here.

    Raises:
        DeliveryError: the last lines of the log.
    """
    read, write = os.pipe()
    fd = os.open(spec.log, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with io.FileIO(read) as answer, io.FileIO(write, "w") as ready, io.FileIO(fd, "a+") as log:
        begin = os.fstat(fd).st_size
        with io.FileIO(pipe(spec)) as told:
            given = [each.fileno() for each in (fuse, ready, *kept)]
            if not (kept and spare and spare.serve(point, [told.fileno(), log.fileno(), *given])):
                _start(point, told, log, given)
        # Only the server has them now: neither we nor the kernel would else see its end.
        for each in (fuse, ready, *kept):
            each.close()
        pid = answer.read(32) if _wait(answer, _START) else b""
        if pid:
            return int(pid)
        log.seek(begin)
        # Without tracebacks, whose lines are indented.
        said = [line for line in log.read().decode(errors="replace").splitlines() if line[:1].strip()]
        raise DeliveryError(f"can't serve {point}: {'; '.join(said[-_LINES:]) or 'no answer'} (log: {spec.log})")


def _wait(file: io.FileIO, seconds: float | None = None) -> bool:
    """Whether there is something to read, or the process ended, before that. Not ``select``, which takes no descriptor
    above 1023."""
    poll = select.poll()
    poll.register(file, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))


def _reach(spec: Spec, point: str | Path) -> None:
    try:
        os.statvfs(point)
    except OSError as error:
        raise DeliveryError(f"{point} does not answer: {error.strerror} (log: {spec.log})") from error


def _start(point: str, told: io.FileIO, log: io.FileIO, given: Sequence[int]) -> None:
    fuse, ready, *kept = map(str, given)
    subprocess.run(  # it goes on in a child, so that nobody has to wait for it
        [sys.executable, "-P", "-m", "gotdata.fuse", "serve", fuse, ready, point, *kept],
        stdin=told,
        stdout=log,
        stderr=log,
        cwd="/",
        pass_fds=given,
        start_new_session=True,
    )

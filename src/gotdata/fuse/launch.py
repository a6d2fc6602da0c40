"""Starting and stopping a mount: what the mount delivery does with processes."""

from __future__ import annotations

import contextlib
import io
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from gotdata.errors import DeliveryError
from gotdata.fuse import mounting
from gotdata.fuse.spec import Spec, pipe

if sys.platform != "linux":
    raise ImportError("gotdata.fuse needs Linux")

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
            pid = _spawn(spec, fuse, mounting.place(target))
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
        if not select.select([process], [], [], _END)[0]:
            signal.pidfd_send_signal(process.fileno(), signal.SIGKILL)
            select.select([process], [], [])


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


def _spawn(spec: Spec, fuse: io.FileIO, point: str) -> int:
    read, write = os.pipe()
    fd = os.open(spec.log, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with io.FileIO(read) as answer, io.FileIO(write, "w") as ready, io.FileIO(fd, "a+") as log:
        begin = os.fstat(fd).st_size
        with io.FileIO(pipe(spec)) as told:
            command = ["serve", str(fuse.fileno()), str(ready.fileno()), point]
            first = subprocess.Popen(
                [sys.executable, "-P", "-m", "gotdata.fuse", *command],
                stdin=told,
                stdout=log,
                stderr=log,
                cwd="/",
                pass_fds=(fuse.fileno(), ready.fileno()),
                start_new_session=True,
            )
        # Only the server has them now: neither we nor the kernel would else see its end.
        fuse.close()
        ready.close()
        first.wait()  # it goes on in a child, so that nobody has to wait for it
        pid = answer.read(32) if select.select([answer], [], [], _START)[0] else b""
        with contextlib.suppress(OSError):
            if pid:
                os.statvfs(point)
                return int(pid)
        log.seek(begin)
        # Without tracebacks, whose lines are indented.
        said = [line for line in log.read().decode(errors="replace").splitlines() if line[:1].strip()]
        raise DeliveryError(f"can't serve {point}: {'; '.join(said[-_LINES:]) or 'no answer'} (log: {spec.log})")

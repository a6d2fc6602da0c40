"""What happens before a container's command: delivering begins in a process of its own, and the command starts when
that is done, or after some seconds all the same."""

from __future__ import annotations

import os
import select
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from gotdata import manifest as manifests
from gotdata import settings
from gotdata.errors import GotdataError
from gotdata.measure import size
from gotdata.paths import redact
from gotdata.report import Event

if sys.platform != "linux":
    raise ImportError("an entrypoint is for containers, and needs Linux")

WAIT = 4.0
"""Seconds that a command waits for its data: with our own start it is below five."""

_LINGER = "import select, sys; select.select([int(sys.argv[1])], [], [])"


def before(start: Path, flags: Mapping[str, Any], strict: bool) -> int:
    """Delivers what the repository around ``start`` names, if one does; what takes longer than a command may wait goes on behind
    it. ``strict``: waits for all. Gives an exit code: 0 where there is nothing to complain of so far."""
    try:
        if not manifests.exists(start):
            return 0
    except GotdataError as error:
        return _complain(error)
    code = begin(lambda: deliver(start, flags), None if strict else WAIT)
    if code is None:
        _say("data is still on its way; the command starts, and each dataset appears at its place when it is complete")
    return code or 0


def deliver(start: Path, flags: Mapping[str, Any]) -> int:
    """Has each dataset appear, those first that need the least. One that can't keeps no other away."""
    from gotdata.project import Project

    code = 0
    try:
        with Project.find(start, {**flags, **_store(flags)}, _report, bounded=True) as project:
            for name in project.easy_first():
                try:
                    (one,) = project.up([name])
                    _say(f"{one.name} is at {one.to}: {one.delivery}, {size(one.bytes)}; {one.why}")
                except (GotdataError, OSError) as error:
                    code = code or _complain(error, f"{name} is missing: ")
    except (GotdataError, OSError) as error:
        code = _complain(error)
    return code


def _store(flags: Mapping[str, Any]) -> dict[str, str]:
    """Where nobody said which, and the home can't be written to, a store of this container's own."""
    found = settings.load(flags)
    place = next(folder for folder in (found.store_path, *found.store_path.parents) if folder.is_dir())
    if found.store or os.access(place, os.W_OK):
        return {}
    return {"store": tempfile.mkdtemp(prefix="gotdata-")}


def _report(event: Event, /) -> None:
    if event.kind == "warning" or (event.kind == "plan" and event.text):
        said = f"{event.text} ({size(event.bytes)})" if event.kind == "plan" else f"warning: {event.text}"
        _say(said)


def _complain(error: Exception, before: str = "") -> int:
    for line in f"{before}{error}".splitlines():
        _say(line)
    return error.exit_code if isinstance(error, GotdataError) else 1


def _say(text: str) -> None:
    """To the container's log, which may be gone by now."""
    with suppress(OSError, ValueError):
        print(f"gotdata: {redact(text)}", file=sys.stderr, flush=True)


def begin(work: Callable[[], int], wait: float | None) -> int | None:
    """Does ``work`` in a process that belongs to nobody, and waits for it. Gives its exit code; None where it goes on
    behind whatever this process becomes."""
    read, write = os.pipe()
    us = os.pidfd_open(os.getpid())
    try:
        if (first := os.fork()) == 0:
            _leave(work, write, us)
        os.close(write)
        os.waitpid(first, 0)
        if not select.select([read], [], [], wait)[0]:
            return None
        pid, _, code = os.read(read, 64).decode().partition(" ")
        with suppress(ChildProcessError, ValueError):
            os.waitpid(int(pid), 0)  # ours where we are the init of a container
        return int(code or 1)
    finally:
        os.close(read)
        os.close(us)


def _leave(work: Callable[[], int], write: int, command: int) -> NoReturn:
    """The process between, which ends at once, and the one behind."""
    try:
        os.setsid()
        before = os.getppid()
        if os.fork() == 0:
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, 0)
            os.dup2(nothing, 1)
            code = work()
            try:
                os.write(write, f"{os.getpid()} {code}".encode())
            except BrokenPipeError:
                if os.getppid() == before:
                    _linger(command)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _linger(command: int) -> NoReturn:
    """Waits, small, until the command has ended: it is our parent now, knows nothing of us, and would never reap us."""
    os.set_inheritable(command, True)
    os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", _LINGER, str(command)])  # noqa: S606

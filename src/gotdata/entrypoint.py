"""What happens before a container's command: delivering begins in a process of its own, and the command starts when
that is done, or after some seconds all the same."""

from __future__ import annotations

import os
import select
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from gotdata import manifest as manifests
from gotdata import settings
from gotdata.deliver.base import Job
from gotdata.errors import GotdataError
from gotdata.measure import size
from gotdata.model import Kind
from gotdata.paths import redact
from gotdata.report import Event
from gotdata.run import process
from gotdata.tree.base import walk

if sys.platform != "linux":
    raise ImportError("an entrypoint is for containers, and needs Linux")

WAIT = 4.0
"""Seconds that a command waits for its data: with our own start it is below five."""

_PLACEHOLDERS = 10_000
"""Files; of more it would take too long to make them before a command."""
_BEGUN = "GOTDATA_ENTRYPOINT"
"""Tells a command which manifest's data was begun to be delivered for it."""
_LINGER = "import select, sys; select.select([int(sys.argv[1])], [], [])"


def start(repository: Path, flags: Mapping[str, Any], strict: bool, command: Sequence[str]) -> int:
    """Becomes the command, with the data of the repository around a folder. What takes longer than a command may wait
    goes on behind it; where nothing can be mounted, files come when they are opened, if opens can be answered here.
    ``strict``: waits for all. Returns where the command was not started, or has ended: its exit code."""
    refused, opened = 0, list[str]()
    try:
        if manifests.exists(repository) and (strict or not _is_begun(repository)):
            flags = {**flags, **_store(flags)}
            refused, opened = _begin(repository, flags, strict)
    except (GotdataError, OSError) as error:
        refused = _complain(error)
    if strict and refused:
        return refused
    if opened:
        try:
            return _run(repository, flags, opened, command)
        except (GotdataError, OSError) as error:
            _complain(error)
    return _become(command)


def _is_begun(repository: Path) -> bool:
    """Whether an entrypoint before this one has begun: an operator's, where the repository has one of its own."""
    place = str(manifests.find(repository))
    begun = os.environ.get(_BEGUN) == place
    os.environ[_BEGUN] = place
    return begun


def _begin(repository: Path, flags: Mapping[str, Any], strict: bool) -> tuple[int, list[str]]:
    """Begins to deliver: an exit code, and whose files are to come when they are opened."""
    end = time.monotonic() + WAIT
    opened = [] if strict else _openable(repository, flags)
    wait = None if strict else max(0.0, end - time.monotonic())
    code = begin(lambda: deliver(repository, flags, opened), wait)
    if code is None:
        _say("data is still on its way; the command starts, and each dataset appears at its place when it is complete")
    return code or 0, opened


def _openable(repository: Path, flags: Mapping[str, Any]) -> list[str]:
    """Those whose files can come when they are opened, and could else only be copied."""
    from gotdata.project import Project
    from gotdata.run.opened import Opened

    try:
        with Project.find(repository, flags, bounded=True) as project:
            found = project.only_copied(_PLACEHOLDERS)
            return found if found and not Opened().refusal() else []
    except (GotdataError, OSError):
        return []  # whoever delivers them says what is wrong


def _run(repository: Path, flags: Mapping[str, Any], names: Sequence[str], command: Sequence[str]) -> int:
    """The command, its opens answered by a process of ours; meanwhile the files come, in their order."""
    from gotdata.project import Project
    from gotdata.running import Running

    found = Project.find(repository, flags, _report, bounded=True)
    with Running.of(found) as project, project.ready(names, "open", locked=True) as ready:
        for line in ready.lines:
            _say(line)
        threading.Thread(target=_fetch, args=(ready.jobs,), daemon=True).start()
        return ready.rung.run(ready.jobs, command)


def _fetch(jobs: Sequence[Job]) -> None:
    with suppress(GotdataError, OSError):  # whoever opens such a file is told
        for job in jobs:
            for _, node in walk(job.tree):
                if node.kind is Kind.FILE:
                    job.whole(node.id).close()


def _become(command: Sequence[str]) -> int:
    """Gives an exit code where that can't be, as shells do."""
    # Python ignores these, and what is ignored stays so.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], list(command))  # noqa: S606
    except OSError as error:
        return process.unstartable(command, error.errno or 0)


def deliver(repository: Path, flags: Mapping[str, Any], leave: Sequence[str] = ()) -> int:
    """Has each dataset appear but those to ``leave``, first what needs the least. One that can't keeps no other away.
    Gives an exit code."""
    from gotdata.project import Project

    code = 0
    try:
        with Project.find(repository, flags, _report, bounded=True) as project:
            for name in project.easy_first():
                try:
                    for one in project.up([name]) if name not in leave else ():
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
    try:
        return {"store": tempfile.mkdtemp(prefix="gotdata-")}
    except OSError:
        return {}  # what came with the image needs none, and for the rest the store says what is wrong


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
            os.close(read)  # whoever writes must notice when the other end is gone
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

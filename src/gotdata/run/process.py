"""The command as a process: how it is started beside us, what signals mean meanwhile, and how it ended."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

if sys.platform != "linux":
    raise ImportError("gotdata.run needs Linux")

NOT_FOUND, NOT_STARTED = 127, 126
"""What shells give for a command that is not there, or can't be started."""


def start(words: Sequence[str], command: Sequence[str], fds: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """Starts ``python -m gotdata.run WORDS -- COMMAND``, which becomes the command, or its parent. It has whatever we
    were started with: terminal, environment, working folder, all open files (a shell's `<(…)` is one); and ``fds``."""
    for fd in fds:
        os.set_inheritable(fd, True)
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "gotdata.run", *words, "--", *command],
            close_fds=False,
        )
    finally:
        for fd in fds:
            os.set_inheritable(fd, False)


def tried(*words: str) -> str:
    """Whether the processes of a way can do their part: what is in the way, or nothing. It is done, and undone."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "gotdata.run", "try", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    said = done.stderr.strip().removeprefix("gotdata: ").splitlines()
    return (said[-1] if said else f"it ended with {done.returncode}") if done.returncode else ""


@contextmanager
def attended(pid: Callable[[], int]) -> Iterator[None]:
    """While the command runs: what a terminal sends to all in its foreground is the command's to answer; and what ends
    us is sent on to it, so that we are there to tidy up."""

    def ignore(number: int, frame: FrameType | None) -> None: ...

    def send_on(number: int, frame: FrameType | None) -> None:
        if pid():
            os.kill(pid(), number)

    # Not SIG_IGN, which the command would inherit.
    handlers = {signal.SIGINT: ignore, signal.SIGQUIT: ignore, signal.SIGTERM: send_on, signal.SIGHUP: send_on}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def code(status: int) -> int:
    """An exit code as shells give it, of a status from waitpid."""
    exit = os.waitstatus_to_exitcode(status)
    return exit if exit >= 0 else 128 - exit


def unstartable(command: Sequence[str], number: int) -> int:
    """Says why a command can't be started, and gives the code for it."""
    print(f"gotdata: {command[0]}: {os.strerror(number)}", file=sys.stderr)
    return NOT_FOUND if number in (errno.ENOENT, errno.ENOTDIR) else NOT_STARTED

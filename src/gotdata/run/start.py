"""The last step of a process that becomes the command."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from gotdata.run.link import Kind, send

if sys.platform != "linux":
    raise ImportError("gotdata.run needs Linux")

import socket


def become(link: socket.socket, command: Sequence[str]) -> NoReturn:
    """Replaces this process by the command; or says why not. Opens nothing."""
    try:
        # Python ignores these, and the command would too.
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.execvp(command[0], list(command))  # noqa: S606
    except OSError as error:
        send(link, Kind.FAILED, value=error.errno or 0)
    finally:
        os._exit(1)

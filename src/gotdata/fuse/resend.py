"""What a server that died had taken from the kernel and not answered: said again, or given up."""

from __future__ import annotations

import contextlib
import os
import struct
import sys
from collections.abc import Iterable

if sys.platform != "linux":
    raise ImportError("gotdata.fuse needs Linux")

HAS_RESEND = 1 << 39
"""Of INIT's flags: Linux 6.9 and later."""
_OUT = struct.Struct("<IiQ")
_RESEND, _EIO = 7, 5


def says_again(fuse: int) -> bool:
    """Has the kernel queue again what was taken and not answered; whether it can."""
    try:
        os.write(fuse, _OUT.pack(_OUT.size, _RESEND, 0))
    except OSError:
        return False
    return True


def ask_again(fuse: int, flags: int, taken: Iterable[int]) -> None:
    """Nothing is left that nobody answers: the kernel queues such requests again. One that can't gets EIO for each that
    may be among them; what is answered that nobody asked is lost on it.

    Args:
        flags: of INIT; 0 before that.
        taken: where the kernel lacks ``HAS_RESEND``, requests among which are all that were not answered.
    """
    if flags & HAS_RESEND or not flags:
        says_again(fuse)
        return
    for unique in taken:
        with contextlib.suppress(OSError):
            os.write(fuse, _OUT.pack(_OUT.size, -_EIO, unique))

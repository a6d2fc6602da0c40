"""The kernel's interface for answering another process's system calls: seccomp(2) and seccomp_unotify(2)."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import struct
import sys
from collections.abc import Mapping
from typing import NamedTuple

if sys.platform != "linux":
    raise ImportError("gotdata.run needs Linux")


class Arch(NamedTuple):
    """``audit`` is its AUDIT_ARCH number, ``calls`` those that are answered: number → name."""

    audit: int
    seccomp: int
    calls: Mapping[int, str]


_EVERYWHERE = {437: "openat2", 439: "faccessat2", 452: "fchmodat2"}
_ARCHES = {
    "x86_64": Arch(
        0xC000003E,
        317,
        {
            **{2: "open", 21: "access", 85: "creat", 90: "chmod", 257: "openat", 268: "fchmodat", 269: "faccessat"},
            **_EVERYWHERE,
        },
    ),
    "aarch64": Arch(0xC00000B7, 277, {48: "faccessat", 53: "fchmodat", 56: "openat", **_EVERYWHERE}),
}
_IO_URING_SETUP = 425
OPENAT2 = 437
_X32 = 0x40000000

_NO_NEW_PRIVS = 38
_FILTER, _NEW_LISTENER, _WAIT_KILLABLE = 1, 8, 32
_KILL, _ERRNO, _NOTIFY, _ALLOW = 0x80000000, 0x00050000, 0x7FC00000, 0x7FFF0000
_RECEIVE, _SEND, _VALID, _ADD_FD = 0xC0502100, 0xC0182101, 0x40082102, 0x40182103
_CONTINUE = 1

_NOTICE = struct.Struct("<QIIiIQ6Q")
_ANSWER = struct.Struct("<QqiI")
_FD = struct.Struct("<QIIII")


class Call(NamedTuple):
    """A system call that waits for an answer. ``pid`` is the calling thread's."""

    id: int
    pid: int
    name: str
    args: tuple[int, ...]


def arch() -> Arch | None:
    """Of this machine; None where its system calls are not known here."""
    return _ARCHES.get(platform.machine())


def install() -> int:
    """Sets the filter on this thread and all that it will start; gives the listener. From then on each open of a file
    waits for an answer: whoever calls this must open nothing before somebody listens.

    Raises:
        OSError: the kernel refuses, or another listens to this process tree already (EBUSY).
    """
    here = arch()
    if here is None:
        raise OSError(errno.ENOSYS, f"not known on {platform.machine()}")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    code = _program(here)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer)))
    # The second is for kernels before 5.19, where any signal breaks the waiting off, and the call is made again.
    for flags in (_NEW_LISTENER | _WAIT_KILLABLE, _NEW_LISTENER):
        listener: int = libc.syscall(here.seccomp, _FILTER, flags, program)
        if listener >= 0:
            return listener
        if ctypes.get_errno() != errno.EINVAL:
            break
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _program(here: Arch) -> bytes:
    """Other ways to call the same kernel would go past the filter: they are killed. io_uring opens files without any
    call; programs do without it."""
    load, equal, above, ret = 0x20, 0x15, 0x35, 0x06
    lines = [
        (load, 0, 0, 4),
        (equal, 1, 0, here.audit),
        (ret, 0, 0, _KILL),
        (load, 0, 0, 0),
        (above, 0, 1, _X32),
        (ret, 0, 0, _KILL),
        (equal, 0, 1, _IO_URING_SETUP),
        (ret, 0, 0, _ERRNO | errno.ENOSYS),
    ]
    for number in here.calls:
        lines += [(equal, 0, 1, number), (ret, 0, 0, _NOTIFY)]
    return b"".join(struct.pack("<HBBI", *line) for line in [*lines, (ret, 0, 0, _ALLOW)])


def receive(listener: int) -> Call | None:
    """The next call; None where whoever made it is gone. Waits for one where there is none."""
    buffer = bytearray(_NOTICE.size)
    try:
        fcntl.ioctl(listener, _RECEIVE, buffer)
    except FileNotFoundError:
        return None
    id, pid, _, number, _, _, *args = _NOTICE.unpack(buffer)
    here = arch()
    assert here is not None
    return Call(id, pid, here.calls[number], tuple(args))


def is_waiting(listener: int, id: int) -> bool:
    """Whether the caller is still there: else its number may by now be another's."""
    try:
        fcntl.ioctl(listener, _VALID, struct.pack("<Q", id))
    except FileNotFoundError:
        return False
    return True


def proceed(listener: int, id: int) -> None:
    """Lets the kernel do what was called."""
    _send(listener, id, 0, 0, _CONTINUE)


def answer(listener: int, id: int, error: int = 0) -> None:
    """Makes the call fail; or give 0, where there is no error."""
    _send(listener, id, 0, -error, 0)


def _send(listener: int, id: int, value: int, error: int, flags: int) -> bool:
    try:
        fcntl.ioctl(listener, _SEND, _ANSWER.pack(id, value, error, flags))
    except (FileNotFoundError, BlockingIOError):
        return False  # its caller is gone; or nobody has received it yet
    return True


def sweep(listener: int, first: int, last: int) -> int:
    """Breaks off all calls with a number from ``first`` to ``last`` that somebody received and never answered: EINTR
    tells their callers to try again. Gives how many there were."""
    return sum(_send(listener, id, 0, -errno.EINTR, 0) for id in range(first, last + 1))


def give(listener: int, id: int, fd: int, cloexec: bool) -> None:
    """Makes the call give a descriptor of the file that ``fd`` is open on: the same open file, with its one offset.

    Two steps, not the kernel's one that does both: who is killed inside of that leaves its caller with 0, its standard
    input.
    """
    packed = bytearray(_FD.pack(id, 0, fd, 0, os.O_CLOEXEC if cloexec else 0))
    try:
        theirs = fcntl.ioctl(listener, _ADD_FD, packed)
    except FileNotFoundError:
        return
    except OSError as error:  # The caller has no descriptor left, say.
        answer(listener, id, error.errno or errno.EIO)
        return
    _send(listener, id, theirs, 0, 0)

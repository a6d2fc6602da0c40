"""What another process means by a path: read from its memory, looked up from its root and working folder."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from typing import NamedTuple

from gotdata.run.seccomp import OPENAT2, Call

if sys.platform != "linux":
    raise ImportError("gotdata.run needs Linux")

AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW = 0x100
_NAME_LIMIT = 4096
_HOW = struct.Struct("<QQQ")
_IN_FOLDER = 0x08 | 0x10
"""RESOLVE_BENEATH and RESOLVE_IN_ROOT: an absolute path does not begin at the root."""


class Asked(NamedTuple):
    """An open, or a question for access (``flags`` is None then). To change a file's rights is to write: a placeholder
    that anyone could open would read as zeros where nobody answers.

    Attributes:
        mode: of a question: R_OK, W_OK, X_OK.
        resolve: openat2's RESOLVE_ flags.
    """

    folder: int
    path: bytes
    flags: int | None
    mode: int = 0
    follow: bool = True
    resolve: int = 0


def asked(call: Call) -> Asked:
    """Raises OSError: the caller's memory can't be read, or holds no path there."""
    args = call.args
    match call.name:
        case "open":
            return _open(AT_FDCWD, _path(call.pid, args[0]), args[1])
        case "creat":
            return _open(AT_FDCWD, _path(call.pid, args[0]), os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        case "openat":
            return _open(_signed(args[0]), _path(call.pid, args[1]), args[2])
        case "openat2":
            how = _memory(call.pid, args[2], _HOW.size)
            if len(how) < _HOW.size or args[3] < _HOW.size:
                raise OSError("no open_how")
            flags, _, resolve = _HOW.unpack(how)
            return _open(_signed(args[0]), _path(call.pid, args[1]), flags, resolve)
        case "access":
            return Asked(AT_FDCWD, _path(call.pid, args[0]), None, _signed(args[1]))
        case "chmod":
            return Asked(AT_FDCWD, _path(call.pid, args[0]), None, os.W_OK)
        case "fchmodat":
            return Asked(_signed(args[0]), _path(call.pid, args[1]), None, os.W_OK)
        case "fchmodat2":
            follow = not args[3] & _AT_SYMLINK_NOFOLLOW
            return Asked(_signed(args[0]), _path(call.pid, args[1]), None, os.W_OK, follow)
    follow = call.name == "faccessat" or not args[3] & _AT_SYMLINK_NOFOLLOW
    return Asked(_signed(args[0]), _path(call.pid, args[1]), None, _signed(args[2]), follow)


def _open(folder: int, path: bytes, flags: int, resolve: int = 0) -> Asked:
    exclusive = os.O_CREAT | os.O_EXCL
    follow = not flags & os.O_NOFOLLOW and flags & exclusive != exclusive
    return Asked(folder, path, flags & 0xFFFFFFFF, follow=follow, resolve=resolve)


def _signed(argument: int) -> int:
    return ctypes.c_int(argument & 0xFFFFFFFF).value


def _memory(pid: int, address: int, size: int) -> bytes:
    fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(fd, size, address)
    except OverflowError:
        raise OSError(f"no address: {address}") from None
    finally:
        os.close(fd)


def _path(pid: int, address: int) -> bytes:
    path, end, _ = _memory(pid, address, _NAME_LIMIT).partition(b"\0")
    if not end:
        raise OSError("no path")
    return path


def look(pid: int, asked: Asked) -> os.stat_result:
    """What the path leads to, as its caller would find it. Raises OSError: nothing, or not to be found by us."""
    folder, path = _begin(pid, asked)
    if not asked.resolve:
        if asked.flags is None and not path:  # AT_EMPTY_PATH: the descriptor's own file
            return os.stat(folder)
        return os.stat(os.path.join(folder, path), follow_symlinks=asked.follow)
    fd = _openat2(folder, path, asked)
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def _begin(pid: int, asked: Asked) -> tuple[bytes, bytes]:
    """The folder in which the look-up begins, and the path from there."""
    if asked.path.startswith(b"/") and not asked.resolve & _IN_FOLDER:
        # What they call themselves is not what we are.
        for alias, own in ((b"/proc/self/", b""), (b"/proc/thread-self/", b""), (b"/dev/fd/", b"fd/")):
            if asked.path.startswith(alias):
                return b"/proc/%d" % pid, own + asked.path.removeprefix(alias)
        return b"/proc/%d/root" % pid, asked.path.lstrip(b"/")
    if asked.folder == AT_FDCWD:
        return b"/proc/%d/cwd" % pid, asked.path
    return b"/proc/%d/fd/%d" % (pid, asked.folder), asked.path


def _openat2(folder: bytes, path: bytes, asked: Asked) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    fd = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    try:
        flags = os.O_PATH | os.O_CLOEXEC | (0 if asked.follow else os.O_NOFOLLOW)
        how = _HOW.pack(flags, 0, asked.resolve)
        found: int = libc.syscall(OPENAT2, fd, path, how, len(how))
    finally:
        os.close(fd)
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found

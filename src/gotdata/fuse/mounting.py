"""Mounting and unmounting: mount(2) where that is allowed, else the setuid program fusermount3. And what is mounted."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from gotdata.errors import DeliveryError
from gotdata.fuse.protocol import MAX_READ

if sys.platform != "linux":
    raise ImportError("gotdata.fuse needs Linux")

import socket

DEVICE = "/dev/fuse"
FSTYPE = "fuse.gotdata"
_RDONLY, _NOSUID, _NODEV = 1, 2, 4
_DETACH, _NOFOLLOW = 2, 8
_READ_AHEAD_KIB = 1024
_COPY = "or take `as: copy`"


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of /proc/self/mountinfo. ``device`` is ``major:minor``."""

    id: int
    device: str
    point: str
    fstype: str
    options: str


def mounts() -> list[Mount]:
    """All mounts of this process's namespace, in the order in which they were made."""
    return listed(Path("/proc/self/mountinfo").read_bytes())


def listed(mountinfo: bytes) -> list[Mount]:
    found = []
    for line in mountinfo.splitlines():
        fields, _, tail = line.partition(b" - ")
        id, _, device, _, point, options, *_ = fields.split(b" ")
        found.append(Mount(int(id), device.decode(), _path(point), tail.split(b" ")[0].decode(), options.decode()))
    return found


def _path(field: bytes) -> str:
    """Space, tab, newline and backslash stand there as octal numbers."""
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), field))


def find(target: str | Path) -> Mount | None:
    """Our mount at a path, the topmost; None where there is none. Asks nothing of the mount itself."""
    point = place(target)
    at = [mount for mount in mounts() if mount.point == point]
    return at[-1] if at and at[-1].fstype == FSTYPE else None


def place(target: str | Path) -> str:
    """The path without links, as the kernel lists it. Only the parent is looked at: a dead mount answers nothing."""
    path = Path(os.path.abspath(target))
    return str(Path(os.path.realpath(path.parent)) / path.name)


def is_mounted(target: str | Path) -> bool:
    return find(target) is not None


def is_dead(target: str | Path) -> bool:
    """Whether a mount of ours stands there that no process answers any more."""
    if not is_mounted(target):
        return False
    try:
        os.statvfs(target)
    except OSError as error:
        return error.errno in (errno.ENOTCONN, errno.ECONNABORTED)
    return False


def mount(target: str | Path, alone: bool = False) -> int:
    """Mounts a new connection; gives its descriptor of /dev/fuse. Nothing answers there until it is served. ``alone``:
    in namespaces of our own, where who is not root may mount, and nobody else sees it.

    Raises:
        DeliveryError: what is missing, and what to do.
    """
    point = place(target)
    if not Path(point).is_dir():
        raise DeliveryError(f"can't mount at {point}: it is not a folder; make one, or choose another `to:`")
    if alone or os.geteuid() == 0:
        fd = _mount(point)
        if fd is not None:
            return fd
    if alone:
        raise DeliveryError(f"can't mount at {point}: not allowed in a namespace of our own either; {_COPY}")
    return _fusermount(point)


def _device() -> int:
    try:
        return os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        cure = (
            f"load the kernel's module (`modprobe fuse`), or give the container {DEVICE} (`--device {DEVICE}`), {_COPY}"
        )
        raise DeliveryError(f"can't mount: there is no {DEVICE} here; {cure}") from None
    except OSError as error:
        cure = f"give the container `--device {DEVICE} --cap-add SYS_ADMIN`, {_COPY}"
        raise DeliveryError(f"can't mount: {DEVICE} can't be opened ({error.strerror}); {cure}") from error


def _mount(point: str) -> int | None:
    """By mount(2); None where this root may not."""
    fd = _device()
    options = (
        f"fd={fd},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()},"
        f"allow_other,default_permissions,max_read={MAX_READ}"
    )
    flags = _RDONLY | _NOSUID | _NODEV
    number = call("mount", b"gotdata", os.fsencode(point), FSTYPE.encode(), ctypes.c_ulong(flags), options.encode())
    if number == 0:
        return fd
    os.close(fd)
    if number == errno.EPERM:
        return None
    cure = "is the kernel's fuse module loaded? Else take `as: copy`; `gotdata doctor` looks further"
    raise DeliveryError(f"can't mount at {point}: {os.strerror(number)}; {cure}")


def call(function: str, *arguments: object) -> int:
    """A call of the C library: 0, or its errno."""
    libc = ctypes.CDLL(None, use_errno=True)
    return ctypes.get_errno() if getattr(libc, function)(*arguments) else 0


def _fusermount(point: str) -> int:
    """The program mounts, and sends the descriptor over a socket that it was handed."""
    program = _program()
    if not Path(DEVICE).exists():
        os.close(_device())
    options = f"ro,nosuid,nodev,fsname=gotdata,subtype=gotdata,default_permissions,max_read={MAX_READ}"
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            done = subprocess.run(
                [program, "-o", options, "--", point],
                env={**os.environ, "_FUSE_COMMFD": str(theirs.fileno())},
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
            )
        if done.returncode:
            cure = f"run as root, or give the container `--device {DEVICE} --cap-add SYS_ADMIN`, {_COPY}"
            raise DeliveryError(f"can't mount at {point}: {_said(done.stderr)}; {cure}")
        _, fds, _, _ = socket.recv_fds(ours, 1, 1)
    if not fds:
        raise DeliveryError(f"can't mount at {point}: {program} sent no descriptor; {_COPY}")
    os.set_inheritable(fds[0], False)
    return fds[0]


def _program() -> str:
    program = shutil.which("fusermount3")
    if program is None:
        why = "this user may not mount, and fusermount3 is not installed"
        raise DeliveryError(f"can't mount: {why}; `apt install fuse3` (or your system's word for it), {_COPY}")
    return program


def _said(text: str) -> str:
    return " ".join(text.split()) or "fusermount3 failed without a word"


def unmount(target: str | Path, lazy: bool = False) -> None:
    """Takes our mount away; nothing where there is none. ``lazy``: at once for new readers, in the end for those that
    have it open.

    Raises:
        DeliveryError: it is in use (a ``Busy``), or may not be unmounted.
    """
    found = find(target)
    if found is None:
        return
    number = call("umount2", os.fsencode(found.point), _NOFOLLOW | (_DETACH if lazy else 0))
    if number == errno.EPERM:
        command = [_program(), "-u", *(["-z"] if lazy else []), "--", found.point]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
        if done.returncode == 0:
            return
        number, said = (errno.EBUSY if "busy" in done.stderr else errno.EPERM), _said(done.stderr)
    else:
        said = os.strerror(number)
    if number == errno.EBUSY:
        raise Busy(f"{found.point} is in use by {_holders(found)}; close it there, or `gotdata down --lazy`")
    if number and is_mounted(target):
        raise DeliveryError(f"can't unmount {found.point}: {said}; try as the user who mounted it, or as root")


class Busy(DeliveryError):
    """Somebody has the mount open."""


def _holders(mount: Mount) -> str:
    """Who has files of a mount open, as working folder, or mapped; as far as this user may see. Looks at /proc only:
    to ask the files themselves could hang."""
    inside = (mount.point, mount.point + "/")
    found = []
    for process in sorted((path for path in Path("/proc").iterdir() if path.name.isdigit()), key=lambda p: int(p.name)):
        with contextlib.suppress(OSError):
            if _holds(process, mount, inside):
                found.append(f"{process.name} ({(process / 'comm').read_text(errors='replace').strip()})")
    return f"process {', '.join(found)}" if found else "processes that this user can't see"


def _holds(process: Path, mount: Mount, inside: tuple[str, str]) -> bool:
    for name in ("cwd", "root"):
        at = os.readlink(process / name)
        if at == inside[0] or at.startswith(inside[1]):
            return True
    for info in (process / "fdinfo").iterdir():
        if f"mnt_id:\t{mount.id}\n" in info.read_text():
            return True
    major, minor = (int(number) for number in mount.device.split(":"))
    return f" {major:02x}:{minor:02x} " in (process / "maps").read_text(errors="replace")


def raise_read_ahead(target: str | Path) -> None:
    """From the kernel's 128 KiB: three times as fast for what is read first through us. Only root may; others do
    without."""
    found = find(target)
    if found is not None:
        with contextlib.suppress(OSError):
            Path(f"/sys/class/bdi/{found.device}/read_ahead_kb").write_text(str(_READ_AHEAD_KIB))

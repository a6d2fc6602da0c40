"""A writable layer over read-only data, for one holder: an overlay whose upper layer is a file system of a fixed size.

What is written never reaches the data, nor anyone else. It is gone when it is taken down, and nothing of it is left
when the machine or the daemon dies: the file behind it has no name while it is in use.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gotdata.errors import DeliveryError
from gotdata.fuse import mounting
from gotdata.serve.options import SCRATCH_LEAST

if sys.platform != "linux":
    raise ImportError("gotdata.serve needs Linux")

_KEEP_FREE = 1 << 30
"""Bytes of the disk that no scratch takes, or a twentieth of it."""
_NOSUID, _NODEV, _NOATIME = 2, 4, 1024
_DETACH, _NOFOLLOW = 2, 8
_SHUTDOWN, _NOTHING_WRITTEN = 0x8004587D, ctypes.c_uint32(2)
"""EXT4_IOC_SHUTDOWN, which drops what was not written yet: Linux, fs/ext4/ext4.h."""

_MKFS = ("-q", "-F", "-m", "0", "-O", "^has_journal,^resize_inode", "-E", "nodiscard,lazy_itable_init=1")
"""It is thrown away after a crash, so it needs no journal; the file behind it reads as zeros already, and must keep all
of its blocks."""
_LAYERS = "index=off,metacopy=on,redirect_dir=on,xino=off,volatile"
"""A folder of the data is renamed, and a mode changed, without copying bytes: neither fetches any. Nothing outlives
the holder, so nothing is synced."""


def up(lower: Path, folder: Path, size: int) -> Path:
    """The folder in which the data has appeared, with ``size`` bytes over it, less what the file system needs for its
    tables. They are set aside now: no writer meets a full disk before its own limit. Asked again it gives the same.

    Args:
        lower: the data. A FUSE mount may be, an overlay may not.
        folder: where all this is kept, on a disk. Made, and root's alone.

    Raises:
        DeliveryError: there is no room; or what ``refusal`` says.
    """
    merged = folder / "merged"
    if _mounted(merged):
        return merged
    down(folder)
    folder.mkdir(parents=True, mode=0o700)
    try:
        disk, layers = folder / "disk", folder / "layers"
        _reserve(disk, size)
        _command("mkfs.ext4", *_MKFS, "--", str(disk))
        layers.mkdir()
        _command("mount", "-t", "ext4", "-o", "loop,nosuid,nodev,noatime,noinit_itable", "--", str(disk), str(layers))
        disk.unlink()  # The loop device ends with its mount, and the file with the loop device: also after a crash.
        (layers / "upper").mkdir()
        (layers / "upper").chmod(0o777)
        (layers / "work").mkdir()
        merged.mkdir()
        _overlay(lower, layers, merged)
    except BaseException:
        down(folder)
        raise
    return merged


def down(folder: Path) -> None:
    """Takes a scratch away with all that was written; nothing where there is none. What still has files of it open gets
    I/O errors."""
    for name in ("merged", "layers"):
        while _mounted(folder / name):
            if name == "layers":
                _drop(folder / name)
            number = mounting.call("umount2", os.fsencode(folder / name), _DETACH | _NOFOLLOW)
            if number:
                raise DeliveryError(f"the scratch at {folder} can't be taken away: {os.strerror(number)}")
    shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Takes away what was left half made below ``folder``, at any depth; a scratch that stands is somebody's."""
    for inner in (path for path in folder.iterdir() if path.is_dir()):
        if {"layers", "disk", "merged"} & {path.name for path in inner.iterdir()}:
            if not _mounted(inner / "merged"):
                down(inner)
        else:
            sweep(inner)
            with suppress(OSError):
                inner.rmdir()


def refusal() -> str:
    """Why a scratch can't be had on this machine, found by making one; empty if it can."""
    with tempfile.TemporaryDirectory(prefix="gotdata-") as name:
        lower, folder = Path(name, "lower"), Path(name, "scratch")
        lower.mkdir()
        try:
            up(lower, folder, SCRATCH_LEAST)
        except DeliveryError as error:
            return str(error)
        down(folder)
    return ""


def _reserve(disk: Path, size: int) -> None:
    """By fallocate(2) itself: Python's writes zeros where the file system can't set aside. Some of the disk is left to
    the daemon's own records."""
    room = shutil.disk_usage(disk.parent)
    number = errno.ENOSPC
    if size <= room.free - min(_KEEP_FREE, room.total // 20):
        with disk.open("xb") as file:
            number = mounting.call("fallocate", file.fileno(), 0, ctypes.c_long(0), ctypes.c_long(size))
    if number in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
        raise DeliveryError(
            f"no space for scratch: {_mib(size)} asked for, and the daemon's disk has {_mib(room.free)} free; ask for a"
            f" smaller scratch, or end containers that have one"
        )
    if number:
        raise DeliveryError(f"{disk.parent} can't set aside {_mib(size)} for scratch: {os.strerror(number)}")


def _mib(size: int) -> str:
    return f"{size >> 20} MiB"


def _command(program: str, *words: str) -> None:
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise DeliveryError(f"scratch needs {program}, which is not installed (Debian: e2fsprogs, mount)")
    done = subprocess.run([found, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    if done.returncode:
        cure = "scratch needs root with CAP_SYS_ADMIN, and loop devices (`modprobe loop`; in a container: --privileged)"
        raise DeliveryError(f"scratch can't be had: {program}: {' '.join(done.stderr.split())}; {cure}")


def _overlay(lower: Path, layers: Path, merged: Path) -> None:
    """By descriptors: the mount table, which the holder reads, has no path of this machine."""
    with _opened(lower) as below, _opened(layers) as above:
        options = f"lowerdir={below},upperdir={above}/upper,workdir={above}/work,{_LAYERS}"
        flags = ctypes.c_ulong(_NOSUID | _NODEV | _NOATIME)
        number = mounting.call("mount", b"gotdata", os.fsencode(merged), b"overlay", flags, options.encode())
    if number:
        raise DeliveryError(f"scratch can't be laid over the data: overlayfs: {os.strerror(number)}")


@contextmanager
def _opened(folder: Path) -> Iterator[str]:
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def _drop(layers: Path) -> None:
    """What waits to be written is not, or taking it down takes as long as writing it."""
    with suppress(OSError):
        fd = os.open(layers, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, bytes(_NOTHING_WRITTEN))
        finally:
            os.close(fd)


def _mounted(point: Path) -> bool:
    return any(mount.point == mounting.place(point) for mount in mounting.mounts())

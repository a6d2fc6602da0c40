"""What the store asks of a file system, where platforms differ, and its refusals in words that say what next."""

from __future__ import annotations

import errno
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gotdata.errors import GotdataError, StoreError

NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs", "fuse.sshfs"})
"""File systems on which a store works, but slowly, and whose locks may not reach other machines."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_BINARY: int = getattr(os, "O_BINARY", 0)

if sys.platform == "win32":
    _seeking = threading.Lock()

    def pread_into(fd: int, buffer: memoryview, offset: int) -> int:
        with _seeking:
            os.lseek(fd, offset, os.SEEK_SET)
            data = os.read(fd, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def pread(fd: int, size: int, offset: int) -> bytes:
        with _seeking:
            os.lseek(fd, offset, os.SEEK_SET)
            return os.read(fd, size)

    def _pwrite(fd: int, data: memoryview, offset: int) -> int:
        with _seeking:
            os.lseek(fd, offset, os.SEEK_SET)
            return os.write(fd, data)
else:

    def pread_into(fd: int, buffer: memoryview, offset: int) -> int:
        return os.preadv(fd, [buffer], offset)

    def pread(fd: int, size: int, offset: int) -> bytes:
        return os.pread(fd, size, offset)

    def _pwrite(fd: int, data: memoryview, offset: int) -> int:
        return os.pwrite(fd, data, offset)


def open_file(path: Path, flags: int, mode: int = 0) -> int:
    return os.open(path, flags | _BINARY | getattr(os, "O_CLOEXEC", 0), mode)


def pwrite(fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    """All of it. Never by a memory map: on a full disk that is SIGBUS, here it is an error that can be told."""
    view = memoryview(data)
    while view:
        count = _pwrite(fd, view, offset)
        view, offset = view[count:], offset + count


def pread_all(fd: int, size: int, offset: int) -> bytes:
    """All of it, or what there is before the end of the file."""
    data = pread(fd, size, offset)
    if len(data) == size or not data:
        return data
    parts = [data]
    while size > (have := sum(map(len, parts))) and (data := pread(fd, size - have, offset + have)):
        parts.append(data)
    return b"".join(parts)


def sync(fd: int) -> None:
    if sys.platform == "linux":
        os.fdatasync(fd)
    else:
        os.fsync(fd)


def sync_folder(path: Path) -> None:
    if sys.platform != "win32":
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def is_full(error: OSError) -> bool:
    return error.errno in _FULL


@contextmanager
def told(doing: str) -> Iterator[None]:
    """Turns what the disk refuses into a StoreError; ``doing`` is what was tried, with the place."""
    try:
        yield
    except GotdataError:
        raise  # NotFound is an OSError, too
    except OSError as error:
        if is_full(error):
            nxt = "free some space there (`gotdata cache gc`), or take another disk (GOTDATA_STORE moves the store)"
        elif error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            nxt = "take a folder that you may write (GOTDATA_STORE moves the store)"
        else:
            nxt = "check that disk; `gotdata cache fsck` checks the store"
        raise StoreError(f"{doing}: {error.strerror or error}; {nxt}") from error


def keeps_holes(folder: Path) -> bool:
    """Whether a file with a hole takes no space here, found by making one."""
    if sys.platform == "win32":
        return False
    size = 4 << 20
    with tempfile.TemporaryFile(dir=folder) as file:
        file.truncate(size)
        return os.fstat(file.fileno()).st_blocks * 512 < size


def file_system(path: Path, table: Path = Path("/proc/self/mountinfo")) -> str:
    """The kernel's word for the file system that holds ``path`` (``ext4``, ``nfs4``); empty where it can't be known."""
    found, kind = "", ""
    where = str(path.resolve())
    try:
        lines = table.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""
    for line in lines:
        before, _, after = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), before.split()[4])
        if len(point) >= len(found) and (where == point or where.startswith(point.rstrip("/") + "/")):
            found, kind = point, after.split()[0]
    return kind

"""What runs in a container of a test, as whoever it is there: tries to write to /data, to change what is mounted there,
and to learn whence it comes. Its report is JSON. It needs nothing but Python.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import stat
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_BIND, _REMOUNT, _MOVE = 4096, 32, 8192
_NEWNS, _NEWUSER = 0x20000, 0x10000000
_SETFLAGS, _FREEZE, _SHUTDOWN, _CLONE = 0x40086602, 0xC0045877, 0x8004587D, 0x40049409
_TMPFILE, _MKDIR, _NODE = os.O_RDWR | 0o20200000, 0o755, 10 << 8 | 229
_OPEN_TREE, _MOUNT_SETATTR, _FSOPEN = 428, 442, 430


class Intruder:
    """``folder``: where the data is mounted, with a ``file`` in a ``sub`` folder of it."""

    def __init__(self, folder: str, file: str, sub: str) -> None:
        self._folder, self._file, self._sub = folder, f"{folder}/{file}", f"{folder}/{sub}"
        self._new = f"{folder}/new"

    def writes(self) -> dict[str, str]:
        file, new, sub, folder = self._file, self._new, self._sub, self._folder
        tries: dict[str, Callable[[], object]] = {
            "create": lambda: os.open(new, os.O_CREAT | os.O_WRONLY, 0o600),
            "create exclusively": lambda: os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDONLY),
            "open to write": lambda: os.open(file, os.O_WRONLY),
            "open to read and write": lambda: os.open(file, os.O_RDWR),
            "open to append": lambda: os.open(file, os.O_WRONLY | os.O_APPEND),
            "open and truncate": lambda: os.open(file, os.O_RDONLY | os.O_TRUNC),
            "open without a name": lambda: os.open(folder, _TMPFILE),
            "truncate": lambda: os.truncate(file, 0),
            "chmod": lambda: os.chmod(file, 0o4777),
            "chmod of the root": lambda: os.chmod(folder, 0o777),
            "chown": lambda: os.chown(file, 1000, 1000),
            "utime": lambda: os.utime(file, (1, 1)),
            "setxattr": lambda: os.setxattr(file, "user.x", b"x"),
            "setxattr of gotdata's": lambda: os.setxattr(file, "user.gotdata.snapshot", b"x"),
            "setxattr of security": lambda: os.setxattr(file, "security.capability", _capability()),
            "setxattr of trusted": lambda: os.setxattr(folder, "trusted.overlay.opaque", b"y"),
            "removexattr": lambda: os.removexattr(file, "user.gotdata.snapshot"),
            "unlink": lambda: os.unlink(file),
            "rename": lambda: os.rename(file, new),
            "rename over": lambda: os.rename(sub, file),
            "link": lambda: os.link(file, new),
            "link elsewhere": lambda: os.link(file, "/tmp/linked"),
            "symlink": lambda: os.symlink("/etc/passwd", new),
            "mkdir": lambda: os.mkdir(new),
            "rmdir": lambda: os.rmdir(sub),
            "mkfifo": lambda: os.mkfifo(new),
            "mknod": lambda: os.mknod(new, stat.S_IFCHR | 0o666, _NODE),
            "change flags": lambda: self._ioctl(file, _SETFLAGS, struct.pack("l", 0x10)),
            "freeze": lambda: self._ioctl(folder, _FREEZE, struct.pack("i", 0)),
            "shut down": lambda: self._ioctl(folder, _SHUTDOWN, struct.pack("I", 2)),
            "clone into": lambda: self._ioctl(file, _CLONE, os.open(file, os.O_RDONLY)),
            "map to write": self._map,
            "map, then write": self._protect,
            "write through /proc/self/fd": lambda: os.open(f"/proc/self/fd/{os.open(file, os.O_RDONLY)}", os.O_RDWR),
            "write through /proc/self/map_files": self._map_files,
            "write to a descriptor": lambda: os.write(os.open(file, os.O_RDONLY), b"x"),
            "allocate": lambda: os.posix_fallocate(os.open(file, os.O_RDONLY), 0, 4096),
            "copy into": lambda: os.copy_file_range(os.open(file, os.O_RDONLY), os.open(file, os.O_RDONLY), 1, 0, 9),
        }
        return {name: _outcome(one) for name, one in tries.items()}

    def mounts(self) -> dict[str, str]:
        folder = self._folder.encode()
        tries: dict[str, Callable[[], object]] = {
            "remount the mount": lambda: self._mount(b"none", folder, None, _REMOUNT | _BIND),
            "remount the file system": lambda: self._mount(b"none", folder, None, _REMOUNT),
            "bind over": lambda: self._mount(b"/tmp", folder, None, _BIND),
            "bind elsewhere": lambda: self._mount(folder, b"/mnt", None, _BIND),
            "move": lambda: self._mount(folder, b"/mnt", None, _MOVE),
            "mount over": lambda: self._mount(b"tmpfs", folder, b"tmpfs", 0),
            "mount fuse": lambda: self._mount(b"x", b"/mnt", b"fuse", 0),
            "unmount": lambda: _call("umount2", folder, 0),
            "unmount lazily": lambda: _call("umount2", folder, 2),
            "unshare mounts": lambda: _call("unshare", _NEWNS),
            "unshare users": lambda: _call("unshare", _NEWUSER | _NEWNS),
            "clone the tree": lambda: _call("syscall", _OPEN_TREE, -100, folder, 1),
            "set attributes": lambda: _call("syscall", _MOUNT_SETATTR, -100, folder, 0, bytes(32), 32),
            "open a file system": lambda: _call("syscall", _FSOPEN, b"fuse", 0),
            "open the device": self._device,
        }
        return {name: _outcome(one) for name, one in tries.items()}

    def told(self) -> str:
        """All that could say whence it comes: environments, tables of mounts, what is mapped, attributes, errors."""
        with open(self._file, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            mapped[:1]
            texts = [*self._processes(), repr(dict(os.environ))]
        for place in (self._folder, self._sub, self._file):
            texts += [f"{name}={os.getxattr(place, name)!r}" for name in os.listxattr(place)]
            texts += [_outcome(lambda place=place: os.getxattr(place, "user.gotdata.source"))]  # type: ignore[misc]
        for path in ("missing", "broken.bin"):
            try:
                Path(self._folder, path).read_bytes()
            except OSError as error:
                texts.append(str(error))
        return "\n".join(texts)

    @staticmethod
    def _processes() -> Iterator[str]:
        for path in Path("/proc").glob("*"):
            for name in ("environ", "cmdline", "mountinfo", "mountstats", "mounts", "maps", "smaps", "fdinfo/3"):
                with suppress(OSError):
                    yield (path / name).read_bytes().replace(b"\0", b"\n").decode(errors="replace")
        for path in (*Path("/proc").glob("*"), *Path("/proc/net").glob("*"), *Path("/proc/fs").rglob("*")):
            with suppress(OSError):
                if path.is_file() and path.name not in ("kmsg", "kcore"):
                    with path.open("rb") as file:
                        yield file.read(1 << 20).decode(errors="replace")
        yield from map(str, Path("/sys/fs/fuse/connections").glob("*/*"))

    def seen(self) -> dict[str, object]:
        """What the folder looks like."""
        places = [Path(self._folder), *sorted(Path(self._folder).rglob("*"))]
        found = os.statvfs(self._folder)
        above = os.open("..", os.O_PATH, dir_fd=os.open(self._folder, os.O_PATH))
        return {
            "kinds": sorted({stat.S_IFMT(place.lstat().st_mode) for place in places}),
            "modes": sorted({stat.S_IMODE(place.lstat().st_mode) for place in places if not place.is_symlink()}),
            "flags": found.f_flag & (os.ST_RDONLY | os.ST_NOSUID | os.ST_NODEV),
            "free": [found.f_bfree, found.f_bavail, found.f_ffree, found.f_favail],
            "above": os.path.samestat(os.fstat(above), os.stat("/")),
        }

    def _ioctl(self, path: str, number: int, argument: bytes | int) -> None:
        fcntl.ioctl(os.open(path, os.O_RDONLY), number, argument)

    def _map(self) -> None:
        mmap.mmap(os.open(self._file, os.O_RDONLY), 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)

    def _protect(self) -> None:
        if not os.path.isfile(self._file):
            raise IsADirectoryError(errno.EISDIR, "another was renamed over it, as a scratch allows")
        _LIBC.mmap.restype = ctypes.c_void_p
        fd = os.open(self._file, os.O_RDONLY)
        address = _LIBC.mmap(None, ctypes.c_size_t(4096), mmap.PROT_READ, mmap.MAP_SHARED, fd, ctypes.c_long(0))
        if address == ctypes.c_void_p(-1).value:
            # No OSError, which would pass for a refused write.
            raise RuntimeError(f"{self._file} can't be mapped: {os.strerror(ctypes.get_errno())}")
        _call("mprotect", ctypes.c_void_p(address), ctypes.c_size_t(4096), mmap.PROT_READ | mmap.PROT_WRITE)

    def _map_files(self) -> None:
        with open(self._file, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            mapped[:1]
            found, *_ = [line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(self._file)]
            os.open(f"/proc/self/map_files/{found.split()[0]}", os.O_RDWR)

    def _mount(self, source: bytes, target: bytes, kind: bytes | None, flags: int) -> None:
        _call("mount", source, target, kind, ctypes.c_ulong(flags), None)

    def _device(self) -> None:
        """The kernel's FUSE device, made where devices can be."""
        with suppress(FileExistsError):
            os.mknod("/tmp/fuse", stat.S_IFCHR | 0o666, _NODE)
        os.open("/tmp/fuse", os.O_RDWR)


def _capability() -> bytes:
    return struct.pack("<5I", 0x02000001, 0xFFFFFFFF, 0, 0xFFFFFFFF, 0)


def _call(function: str, *arguments: object) -> None:
    if getattr(_LIBC, function)(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _outcome(attempt: Callable[[], object]) -> str:
    """The error's name, or ``done``."""
    try:
        attempt()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def main(folder: str, file: str, sub: str) -> None:
    one = Intruder(folder, file, sub)
    report = {"told": one.told(), "seen": one.seen(), "writes": one.writes(), "mounts": one.mounts()}
    print(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])

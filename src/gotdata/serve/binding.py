"""A mount of the daemon shown at a user's place, and taken away from there: done by root in a folder that the user may
change at any moment, so every step holds what the step before has looked at, and no link is followed."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from gotdata.errors import DeliveryError, PolicyError
from gotdata.fuse import mounting

if sys.platform != "linux":
    raise ImportError("gotdata.serve needs Linux")

_BIND, _DETACH, _NOFOLLOW = 4096, 2, 8


def check_namespace(pid: int) -> None:
    """A process in a container of its own would not see what is mounted here. Raises DeliveryError."""
    try:
        same = os.stat(f"/proc/{pid}/ns/mnt").st_ino == os.stat("/proc/self/ns/mnt").st_ino
    except OSError:
        same = False
    if not same:
        raise DeliveryError("the daemon's mounts are not seen from here: this process has a mount namespace of its own")


def bind(source: Path, target: Path, uid: int) -> None:
    """Shows ``source`` at ``target``, an empty folder of this user.

    Raises:
        PolicyError: it is another's.
        DeliveryError: there is none, it is not empty, or a link is on the way.
    """
    with _opened(target) as folder:
        place = f"/proc/self/fd/{folder}"
        if uid not in (0, os.fstat(folder).st_uid):
            raise PolicyError(f"{target} belongs to another user")
        if os.listdir(place):
            raise DeliveryError(f"{target} is not empty; move away what is there, or choose another `to:`")
        _check(mounting.call("mount", os.fsencode(source), place.encode(), None, ctypes.c_ulong(_BIND), None), target)


def unbind(target: Path, lazy: bool = False) -> bool:
    """Takes away a mount of ours; whether there was one.

    Raises:
        DeliveryError: it is in use (a ``Busy``).
    """
    with _opened(target.parent) as folder:
        if not _is_ours(folder, target.name):
            return False
        place = os.fsencode(f"/proc/self/fd/{folder}/{target.name}")
        number = mounting.call("umount2", place, _NOFOLLOW | (_DETACH if lazy else 0))
        if number == errno.EBUSY:
            raise mounting.Busy(f"{target} is in use; close what has it open, or `gotdata down --lazy`")
        _check(number, target)
        return True


def strayed(source: Path, targets: Collection[str]) -> bool:
    """Whether ``source`` is shown anywhere but at ``targets``: a folder on the way to one may be renamed."""
    found = mounting.find(source)
    own = f"{source.parent}/"
    return found is not None and any(
        mount.device == found.device and mount.point not in targets and not mount.point.startswith(own)
        for mount in mounting.mounts()
    )


def _is_ours(folder: int, name: str) -> bool:
    """Whether a mount of ours stands in a folder that is held. By its number: a path may lead elsewhere by now."""
    try:
        fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    except OSError:
        return False
    try:
        found, around = _mount(fd), _mount(folder)
    finally:
        os.close(fd)
    return found != around and any(mount.id == found for mount in mounting.mounts() if mount.fstype == mounting.FSTYPE)


def _mount(fd: int) -> int:
    """The number of the mount that a file lies on."""
    lines = Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("mnt_id:"))


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A folder by its path without links, held."""
    fd = os.open("/", os.O_PATH | os.O_DIRECTORY)
    try:
        for name in path.parts[1:]:
            if name == "..":
                raise DeliveryError(f"{path} leads upwards: name it in full")
            try:
                deeper = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
            except OSError as error:
                raise DeliveryError(f"{path}: {name} can't be entered: {error.strerror}") from error
            os.close(fd)
            fd = deeper
        yield fd
    except OSError as error:  # of the steps that hold it, too
        raise DeliveryError(f"{path}: {error.strerror}") from error
    finally:
        os.close(fd)


def _check(number: int, target: Path) -> None:
    if number:
        raise DeliveryError(f"{target}: {os.strerror(number)}")

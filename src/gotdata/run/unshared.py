"""The process that leaves for a mount namespace of its own, and there becomes the command."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from gotdata.errors import DeliveryError
from gotdata.fuse import mounting
from gotdata.run import link as links
from gotdata.run.link import Kind
from gotdata.run.start import become

if sys.platform != "linux":
    raise ImportError("gotdata.run needs Linux")

import socket

_NEWNS, _NEWUSER = 0x00020000, 0x10000000
_SLAVE, _REC = 1 << 19, 1 << 14


def mount_alone(link: socket.socket, user: bool, points: Sequence[str], command: Sequence[str]) -> NoReturn:
    """Mounts what others will serve, where nobody else sees it; then is the command."""
    _leave(user)
    for point in points:
        fuse = mounting.mount(point, alone=True)
        links.send(link, Kind.READY, fd=fuse)
        os.close(fuse)
        mounting.raise_read_ahead(point)
    links.receive(link)
    # A working folder below a target is under the mount by now.
    with suppress(OSError):
        os.chdir(os.getcwd())
    become(link, command)


def _leave(user: bool) -> None:
    """For a mount namespace of our own. What is mounted outside comes in; nothing goes out.

    Raises:
        DeliveryError: it is not allowed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.geteuid(), os.getegid()
    if libc.unshare(_NEWNS | (_NEWUSER if user else 0)):
        kind = "a user namespace" if user else "a mount namespace"
        raise DeliveryError(f"{kind} is refused here: {os.strerror(ctypes.get_errno())}")
    if user:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    if libc.mount(b"none", b"/", None, ctypes.c_ulong(_SLAVE | _REC), None):
        raise DeliveryError(f"a mount namespace of our own is of no use here: {os.strerror(ctypes.get_errno())}")


def try_mount(user: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="gotdata-") as folder:
        _leave(user)
        os.close(mounting.mount(folder, alone=True))
        mounting.unmount(folder, lazy=True)

"""What the keeper and its clients say to each other: a packet each, over a socket of type SEQPACKET.

Version, kind and a number, 8 bytes together; then a mount's name. Descriptors travel beside it. A keeper is not
upgraded with its clients: what it does not know it answers with ENOSYS, and what it knows never changes.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

if sys.platform != "linux":
    raise ImportError("gotdata.fuse needs Linux")

import socket

VERSION = 1
NAME_LIMIT = 200
_HEAD = struct.Struct("<HHI")
_LISTED = struct.Struct("<IH")
_FDS = 3


class Kind(IntEnum):
    HOLD = 1
    """Name; with the descriptors of /dev/fuse, the ledger and the note, each for as long as the mount stands."""
    SERVE = 2
    """Name; answered with the three. From now on this connection is the server's: its end is the server's."""
    PID = 3
    """The number is the server's process id, as its starter sees it. On the server's connection, without an answer."""
    TAKE = 4
    """Name; answered with the three."""
    LIST = 5
    """Answered with a file: of each mount its server's id or 0, the length of its name, its name."""
    DROP = 6
    """Name: it is let go."""
    WATCH = 7
    """From now on GONE comes over this connection."""
    DONE = 100
    """The answer. The number is an errno."""
    GONE = 101
    """Name: its server ended, or it was unmounted."""


class Packet(NamedTuple):
    kind: int
    number: int
    name: str
    fds: list[int]


def connection() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(sock: socket.socket, kind: Kind, name: str = "", number: int = 0, fds: Sequence[int] = ()) -> None:
    socket.send_fds(sock, [_HEAD.pack(VERSION, kind, number) + name.encode()], fds)


def receive(sock: socket.socket) -> Packet | None:
    """None at the end. Raises ValueError: not a packet of this version."""
    text, fds, flags, _ = socket.recv_fds(sock, _HEAD.size + NAME_LIMIT + 1, _FDS, socket.MSG_CMSG_CLOEXEC)
    try:
        if not text and not fds:
            return None
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) or len(text) < _HEAD.size:
            raise ValueError("cut short")
        version, kind, number = _HEAD.unpack_from(text)
        name = text[_HEAD.size :].decode()
        if version != VERSION or len(text) > _HEAD.size + NAME_LIMIT or not name.isprintable():
            raise ValueError("not of this version, or no name")
        return Packet(kind, number, name, fds)
    except ValueError:
        close(fds)
        raise


def close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)


def listed(pid: int, name: str) -> bytes:
    text = name.encode()
    return _LISTED.pack(pid, len(text)) + text


def list_of(text: bytes) -> list[tuple[int, str]]:
    found = []
    while text:
        pid, length = _LISTED.unpack_from(text)
        stop = _LISTED.size + length
        found.append((pid, text[_LISTED.size : stop].decode()))
        text = text[stop:]
    return found


def file(text: bytes) -> int:
    """A descriptor to read a text of any length from; the caller closes it."""
    fd = os.memfd_create("gotdata-told")
    os.write(fd, text)
    return fd


def text(fd: int) -> bytes:
    """What ``file`` was given, by whoever has it."""
    return os.pread(fd, os.fstat(fd).st_size, 0)

"""What the process that answers opens and the one that brings files say to each other, over a socketpair of type
SEQPACKET: a kind, a number, a value, and maybe a descriptor."""

from __future__ import annotations

import socket
import struct
import sys
from enum import IntEnum
from typing import NamedTuple

if sys.platform != "linux":
    raise ImportError("gotdata.run needs Linux")

_PACKET = struct.Struct("<IIi")
_FD = struct.Struct("@i")


class Kind(IntEnum):
    READY = 1
    """``number`` is the command's process, which waits; with the descriptor that it was told to hand over."""
    GO = 2
    FAILED = 3
    """The command can't be started: ``value`` is why, an errno."""
    WANT = 4
    FILE = 5
    """With the file, whole and verified, open for reading."""
    REFUSED = 6
    ENDED = 7
    """``value`` is the status that waitpid gave."""


class Said(NamedTuple):
    kind: Kind
    number: int
    value: int
    fd: int


def pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(link: socket.socket, kind: Kind, number: int = 0, value: int = 0, fd: int = -1) -> None:
    # Not by socket.send_fds, which imports: who is under the filter may open nothing.
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, _FD.pack(fd))] if fd >= 0 else []
    link.sendmsg([_PACKET.pack(kind, number, value)], rights)


def receive(link: socket.socket) -> Said | None:
    """None where the other end is closed."""
    try:
        packet, rights, _, _ = link.recvmsg(_PACKET.size, socket.CMSG_SPACE(_FD.size), socket.MSG_CMSG_CLOEXEC)
    except ConnectionError:
        return None
    if not packet:
        return None
    kind, number, value = _PACKET.unpack(packet)
    return Said(Kind(kind), number, value, _FD.unpack(rights[0][2])[0] if rights else -1)

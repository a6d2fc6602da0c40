"""What a server and a worker say to each other, a packet each, over a socketpair of type SEQPACKET.

Request: seq, node, start, stop, prefetch, pid.  Reply: seq, errno (0: the bytes are in the store), mark, message. A
reply with seq 0 was not asked for: something was found wrong with the file whose path is the message, or bytes came.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

_REQUEST = struct.Struct("<QQQQQI")
_REPLY = struct.Struct("<QiI")
PACKET = 1 << 14


class Mark(IntEnum):
    NONE = 0
    WRONG = 1
    """What the store had of this file was wrong and is gone: the kernel must forget its pages, too."""
    CAME = 2
    """Bytes came from origins: the message has the pid of who asked for them, and how many. Said before the answer."""


class Request(NamedTuple):
    seq: int
    node: int
    start: int
    stop: int
    prefetch: int
    pid: int

    def pack(self) -> bytes:
        return _REQUEST.pack(*self)

    @classmethod
    def unpack(cls, packet: bytes) -> Request:
        return cls(*_REQUEST.unpack(packet))


class Reply(NamedTuple):
    seq: int
    errno: int = 0
    mark: Mark = Mark.NONE
    message: str = ""

    def pack(self) -> bytes:
        # Cut by characters that take at most four bytes each, so that none is cut in two.
        text = self.message[: (PACKET - _REPLY.size) // 4].encode("utf-8", "surrogateescape")
        return _REPLY.pack(self.seq, self.errno, self.mark) + text

    @classmethod
    def unpack(cls, packet: bytes) -> Reply:
        seq, number, mark = _REPLY.unpack_from(packet)
        return cls(seq, number, Mark(mark), packet[_REPLY.size :].decode("utf-8", "surrogateescape"))

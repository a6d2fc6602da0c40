"""The kernel's FUSE protocol, as much as a read-only file system needs: bytes to values and back. No I/O.

Names, numbers and layouts are those of include/uapi/linux/fuse.h (7.45); what is sent is also right for older kernels
down to ``OLDEST``.
"""

from __future__ import annotations

import stat
import struct
from enum import IntEnum, IntFlag
from typing import NamedTuple

from gotdata.model import Kind, Node

MAJOR, MINOR = 7, 45
OLDEST = 31
"""The minor version (Linux 5.4) from which everything that is always asked of the kernel is there."""
FOREVER = 1 << 31
"""Seconds that the kernel may remember names and attributes: they never change."""
MAX_READ = 1 << 20
NAME_LIMIT = 255
BACKGROUND = 256
"""READs that the kernel may have under way for its read-ahead: so many must hang before others wait for them."""
BUFFER = 1 << 17
"""Bytes that hold any request of a kernel that was told ``max_write`` 4096."""


class Op(IntEnum):
    """``enum fuse_opcode``."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    INIT = 26
    READDIR = 28
    INTERRUPT = 36
    DESTROY = 38
    CREATE = 35
    BATCH_FORGET = 42
    FALLOCATE = 43
    READDIRPLUS = 44
    RENAME2 = 45
    COPY_FILE_RANGE = 47
    TMPFILE = 51
    STATX = 52


SILENT = frozenset({Op.FORGET, Op.BATCH_FORGET, Op.DESTROY})
"""Requests that get no reply. Node ids are rows of an index, so there is nothing to forget."""

WRITES = frozenset(
    {
        *(Op.SETATTR, Op.SYMLINK, Op.MKNOD, Op.MKDIR, Op.UNLINK, Op.RMDIR, Op.RENAME, Op.LINK, Op.WRITE, Op.CREATE),
        *(Op.SETXATTR, Op.REMOVEXATTR, Op.FALLOCATE, Op.RENAME2, Op.COPY_FILE_RANGE, Op.TMPFILE),
    }
)


class Init(IntFlag):
    """Flags of INIT; those above bit 31 travel in ``flags2``."""

    ASYNC_READ = 1 << 0
    DO_READDIRPLUS = 1 << 13
    READDIRPLUS_AUTO = 1 << 14
    ASYNC_DIO = 1 << 15
    NO_OPEN_SUPPORT = 1 << 17
    PARALLEL_DIROPS = 1 << 18
    MAX_PAGES = 1 << 22
    CACHE_SYMLINKS = 1 << 23
    NO_OPENDIR_SUPPORT = 1 << 24
    EXPLICIT_INVAL_DATA = 1 << 25
    INIT_EXT = 1 << 30
    PASSTHROUGH = 1 << 37


class Fopen(IntFlag):
    """Flags of a reply to OPEN. KEEP_CACHE and PASSTHROUGH exclude each other: both together give the reader EIO."""

    KEEP_CACHE = 1 << 1
    PASSTHROUGH = 1 << 7


class Notify(IntEnum):
    """``enum fuse_notify_code``."""

    INVAL_INODE = 2


BACKING_OPEN = 0x4010E501
"""``FUSE_DEV_IOC_BACKING_OPEN``, of a ``fuse_backing_map``; gives the backing id."""
BACKING_CLOSE = 0x4004E502

IN_HEADER = struct.Struct("<IIQQIIIHH")
OUT_HEADER = struct.Struct("<IiQ")
BACKING_MAP = struct.Struct("<iIQ")
BACKING_ID = struct.Struct("<I")
_INIT_IN = struct.Struct("<IIIII")
_INIT_OUT = struct.Struct("<IIIIHHIIHHIIH22x")
_READ_IN = struct.Struct("<QQI")
_OPEN_IN = struct.Struct("<I")
_OPEN_OUT = struct.Struct("<QIi")
_GETXATTR_IN = struct.Struct("<II")
_GETXATTR_OUT = struct.Struct("<II")
_INTERRUPT_IN = struct.Struct("<Q")
_ATTR = "QQQQQQIIIIIIIIII"
_ATTR_OUT = struct.Struct("<QII" + _ATTR)
_ENTRY_OUT = struct.Struct("<QQQQII" + _ATTR)
_STATX_OUT = struct.Struct("<QIIQQ" + "IIQIIIHHQQQQ" + "qIi" * 4 + "IIII" + "112x")
_STATFS_OUT = struct.Struct("<QQQQQIII28x")
_DIRENT = struct.Struct("<QQII")
_INVAL_INODE_OUT = struct.Struct("<Qqq")

_STATX_BASIC = 0x7FF
_BLOCK = 4096
_MODES = {Kind.FILE: stat.S_IFREG | 0o444, Kind.DIR: stat.S_IFDIR | 0o555, Kind.LINK: stat.S_IFLNK | 0o777}


class Request(NamedTuple):
    op: int
    unique: int
    node: int
    pid: int
    body: memoryview
    """Valid until the next request is read."""


class Greeting(NamedTuple):
    """What the kernel says of itself in INIT."""

    major: int
    minor: int
    max_readahead: int
    flags: Init


class Owner(NamedTuple):
    """The attributes that every entry of a mount shares. ``more``: permissions beside those of its kind."""

    uid: int
    gid: int
    mtime: int
    more: int = 0


def parse(buffer: memoryview) -> Request:
    length, op, unique, node, _uid, _gid, pid, extensions, _ = IN_HEADER.unpack_from(buffer)
    return Request(op, unique, node, pid, buffer[IN_HEADER.size : length - 8 * extensions])


def name(body: memoryview) -> str:
    """A name as a tree has it: bytes that are not UTF-8 are surrogates."""
    return bytes(body).rstrip(b"\0").decode("utf-8", "surrogateescape")


def greeting(body: memoryview) -> Greeting:
    major, minor, readahead, flags, flags2 = _INIT_IN.unpack_from(body)
    return Greeting(major, minor, readahead, Init(flags | (flags2 << 32 if flags & Init.INIT_EXT else 0)))


def welcome(kernel: Greeting) -> bytes:
    """The answer to INIT: what both can do. ``max_stack_depth`` 1 lets the mount be the lower layer of one overlay."""
    flags = int(kernel.flags) & sum(Init)
    low, high = flags & 0xFFFFFFFF, flags >> 32
    return _INIT_OUT.pack(
        *(MAJOR, min(kernel.minor, MINOR), kernel.max_readahead, low),
        *(BACKGROUND, BACKGROUND * 3 // 4, _BLOCK, 1, MAX_READ // _BLOCK, 0, high),
        *(1 if flags & Init.PASSTHROUGH else 0, 0),
    )


def window(body: memoryview) -> tuple[int, int]:
    """Offset and size of READ, READDIR and READDIRPLUS."""
    _, offset, size = _READ_IN.unpack_from(body)
    return offset, size


def open_flags(body: memoryview) -> int:
    return int(_OPEN_IN.unpack_from(body)[0])


def opened(flags: Fopen, backing: int = 0) -> bytes:
    return _OPEN_OUT.pack(0, flags, backing)


def xattr_size(body: memoryview) -> int:
    """The room that the caller of GETXATTR or LISTXATTR has; 0 asks how much is needed."""
    return int(_GETXATTR_IN.unpack_from(body)[0])


def xattr_name(body: memoryview) -> str:
    return name(body[_GETXATTR_IN.size :])


def xattr_needed(size: int) -> bytes:
    return _GETXATTR_OUT.pack(size, 0)


def interrupted(body: memoryview) -> int:
    return int(_INTERRUPT_IN.unpack_from(body)[0])


def _attr(node: Node, owner: Owner) -> tuple[int, ...]:
    """One link, also to folders: `find` takes two for the promise that there is no folder inside."""
    uid, gid, time, more = owner
    return (
        *(node.id, node.size, (node.size + 511) // 512, time, time, time, 0, 0, 0),
        *(mode(node) | more, 1, uid, gid, 0, _BLOCK, 0),
    )


def mode(node: Node) -> int:
    return _MODES[node.kind] | (0o111 if node.executable else 0)


def attributes(node: Node, owner: Owner) -> bytes:
    """The answer to GETATTR."""
    return _ATTR_OUT.pack(FOREVER, 0, 0, *_attr(node, owner))


def statx(node: Node, owner: Owner) -> bytes:
    """The answer to STATX."""
    uid, gid, time, more = owner
    return _STATX_OUT.pack(
        *(FOREVER, 0, 0, 0, 0),
        *(_STATX_BASIC, _BLOCK, 0, 1, uid, gid, mode(node) | more, 0, node.id, node.size, (node.size + 511) // 512, 0),
        *(time, 0, 0, 0, 0, 0, time, 0, 0, time, 0, 0),
        *(0, 0, 0, 0),
    )


def entry(node: Node, owner: Owner) -> bytes:
    """The answer to LOOKUP."""
    return _ENTRY_OUT.pack(node.id, 0, FOREVER, FOREVER, 0, 0, *_attr(node, owner))


NO_ENTRY = _ENTRY_OUT.pack(0, 0, FOREVER, *[0] * 19)
"""The answer to LOOKUP of what does not exist: remembered like the rest. Before a name of READDIRPLUS: no look-up."""


def dirent(id: int, name: bytes, kind: Kind, cookie: int, prefix: bytes = b"") -> bytes:
    """One entry of READDIR, or of READDIRPLUS where ``prefix`` is its ``entry``. ``cookie``: where to go on."""
    padding = b"\0" * (-len(name) % 8)
    return b"".join((prefix, _DIRENT.pack(id, cookie, len(name), _MODES[kind] >> 12), name, padding))


def statfs(size: int, files: int) -> bytes:
    return _STATFS_OUT.pack(-(-size // _BLOCK), 0, 0, files, 0, _BLOCK, NAME_LIMIT, _BLOCK)


def invalidate(node: int) -> bytes:
    """The body of INVAL_INODE: forget all pages of a file."""
    return _INVAL_INODE_OUT.pack(node, 0, 0)

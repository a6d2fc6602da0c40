"""Bytes on the wire, compared with what include/uapi/linux/fuse.h lays out."""

from __future__ import annotations

import stat
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotdata.fuse import protocol
from gotdata.fuse.link import PACKET, Mark, Reply, Request
from gotdata.fuse.protocol import Init
from gotdata.model import Kind, Node

OWNER = protocol.Owner(1000, 100, 1_600_000_000)
EVERYTHING = Init(0xFFFFFFFFFFFFFFFF)
FILE = Node(7, 1, "a", Kind.FILE, 1025, executable=True)


def request(op: int, body: bytes, extensions: int = 0) -> memoryview:
    length = 40 + len(body)
    return memoryview(
        struct.pack("<IIQQIIIHH", length, op, 99, 7, 1000, 100, 4242, extensions, 0) + body + b"left over"
    )


def test_a_request() -> None:
    found = protocol.parse(request(1, b"name\0"))
    assert (found.op, found.unique, found.node, found.pid, bytes(found.body)) == (1, 99, 7, 4242, b"name\0")


def test_extensions_are_no_part_of_the_body() -> None:
    assert bytes(protocol.parse(request(1, b"name\0" + b"x" * 16, extensions=2)).body) == b"name\0"


@given(st.binary(min_size=1, max_size=255).filter(lambda name: b"\0" not in name))
def test_a_name_is_its_bytes_whatever_they_are(name: bytes) -> None:
    text = protocol.name(memoryview(name + b"\0"))
    assert text.encode("utf-8", "surrogateescape") == name


def kernel(flags: Init, minor: int = 45) -> protocol.Greeting:
    low, high = int(flags) & 0xFFFFFFFF, int(flags) >> 32
    return protocol.greeting(memoryview(struct.pack("<IIIII44x", 7, minor, 131072, low, high)))


def welcomed(greeting: protocol.Greeting) -> tuple[int, ...]:
    out = protocol.welcome(greeting)
    assert len(out) == 64
    return struct.unpack("<IIIIHHIIHHIIH22x", out)


def test_no_more_is_asked_than_the_kernel_can() -> None:
    few = Init.ASYNC_READ | Init.MAX_PAGES
    major, minor, _, flags, _, _, max_write, _, pages, _, flags2, depth, timeout = welcomed(kernel(few, 31))
    assert (major, minor, flags, flags2, depth, timeout) == (7, 31, int(few), 0, 0, 0)
    assert (max_write, pages) == (4096, 256)


def test_passthrough_is_asked_with_a_stack_depth() -> None:
    _, minor, _, _, _, _, _, _, _, _, flags2, depth, _ = welcomed(kernel(EVERYTHING, 99))
    assert (minor, flags2, depth) == (45, 1 << 5, 1)


def test_high_flags_count_only_where_the_kernel_says_so() -> None:
    assert Init.PASSTHROUGH not in kernel(Init.PASSTHROUGH | Init.ASYNC_READ).flags


def test_what_would_harm_is_never_asked() -> None:
    """AUTO_INVAL_DATA, SPLICE_*, WRITEBACK_CACHE, POSIX_ACL, REQUEST_TIMEOUT: for files that change, or worse."""
    _, _, _, flags, _, _, _, _, _, _, flags2, _, _ = welcomed(kernel(EVERYTHING))
    assert flags & (1 << 12 | 7 << 7 | 1 << 16 | 1 << 20) == 0
    assert flags2 & 1 << 10 == 0


def test_attributes() -> None:
    valid, valid_ns, _, *attr = struct.unpack("<QII" + "QQQQQQIIIIIIIIII", protocol.attributes(FILE, OWNER))
    assert (valid, valid_ns) == (protocol.FOREVER, 0)
    time = OWNER.mtime
    assert attr == [7, 1025, 3, time, time, time, 0, 0, 0, stat.S_IFREG | 0o555, 1, 1000, 100, 0, 4096, 0]


def test_statx() -> None:
    out = protocol.statx(FILE, OWNER)
    assert len(out) == 32 + 256
    mask, blksize, _, nlink, uid, gid, mode, _, ino, size, blocks, _ = struct.unpack_from("<IIQIIIHHQQQQ", out, 32)
    assert (mask, blksize, nlink, uid, gid, mode) == (0x7FF, 4096, 1, 1000, 100, stat.S_IFREG | 0o555)
    assert (ino, size, blocks) == (7, 1025, 3)
    assert [struct.unpack_from("<q", out, 32 + 64 + 16 * place)[0] for place in (0, 2, 3)] == [OWNER.mtime] * 3


@pytest.mark.parametrize(("kind", "mode"), [(Kind.FILE, 0o100444), (Kind.DIR, 0o40555), (Kind.LINK, 0o120777)])
def test_modes(kind: Kind, mode: int) -> None:
    assert protocol.mode(Node(2, 1, "x", kind)) == mode


def test_what_is_laid_over_may_be_written_by_everyone() -> None:
    writable, mode = OWNER._replace(more=0o222), stat.S_IFREG | 0o777
    for answer, place in ((protocol.attributes, 16 + 60), (protocol.entry, 40 + 60), (protocol.statx, 32 + 28)):
        assert struct.unpack_from("<H", answer(FILE, writable), place) == (mode,)


def test_no_entry_is_remembered() -> None:
    nodeid, _, valid = struct.unpack_from("<QQQ", protocol.NO_ENTRY)
    assert (nodeid, valid, len(protocol.NO_ENTRY)) == (0, protocol.FOREVER, 128)


@pytest.mark.parametrize("name", [b"a", b"12345678", b"x" * 255])
def test_directory_entries_are_aligned(name: bytes) -> None:
    out = protocol.dirent(7, name, Kind.DIR, 8)
    ino, cookie, length, kind = struct.unpack_from("<QQII", out)
    assert (ino, cookie, kind) == (7, 8, stat.S_IFDIR >> 12)
    assert out[24 : 24 + length] == name
    assert len(out) == (24 + len(name) + 7) // 8 * 8


def test_a_message_to_a_worker_and_back() -> None:
    asked = Request(2**40, 7, 2**41, 2**41 + 5, 2**25, 4242)
    assert Request.unpack(asked.pack()) == asked
    said = Reply(2**40, 5, Mark.WRONG, "an étrange \udce9 name")
    assert Reply.unpack(said.pack()) == said


def test_a_long_message_is_cut_and_still_arrives() -> None:
    packed = Reply(1, 5, Mark.NONE, "é€😀" * 4000).pack()
    assert len(packed) <= PACKET
    assert Reply.unpack(packed).message.startswith("é€😀é€😀")

"""ZIP: its directory stands at its end, so that a member is found and read without the rest.

The format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT (sections in brackets below)."""

from __future__ import annotations

import io
import stat
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gotdata.errors import GotdataError, NoRanges, SourceError, UpstreamChanged
from gotdata.model import Checksum, Kind, RemoteFile, Span
from gotdata.paths import shown
from gotdata.sources.archive_packed import FAULTS, unpacked
from gotdata.sources.ranged import Cut, Opener, Ranged, exactly

_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_COMMENT = 65_535
_STORED, _DEFLATED = 0, 8
_RATIO = 1_032
"""Bytes that one byte of a deflate stream can stand for, at most."""
_NAMES = {1: "shrink", 6: "implode", 9: "deflate64", 14: "LZMA", 95: "XZ", 98: "PPMd", 99: "AES encryption"}
_LINK = 4096
_PIECE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Member:
    """Where a member lies, as its locator says it."""

    header: int
    packed: int
    method: int

    @classmethod
    def at(cls, text: str) -> Member:
        """Raises ValueError."""
        header, packed, method = map(int, text.split("+"))
        if min(header, packed, method) < 0:
            raise ValueError(text)
        return cls(header, packed, method)

    def __str__(self) -> str:
        return f"{self.header}+{self.packed}+{self.method}"


_PACKINGS = {_DEFLATED: "deflate", 12: "bz2", 93: "zst"}


def members(open: Opener, size: int, where: str, version: str) -> Iterator[RemoteFile]:
    """The directory, entry by entry. ``version`` is the archive's, and that of all in it.

    Raises:
        SourceError: it is none, it lies, or a member is encrypted or packed in a way that can't be read.
    """
    file = io.BufferedReader(Ranged(open, size))
    start, count, length = _directory(file, size, where)
    file.seek(start)
    packed = 0
    for _ in range(count):
        entry = _entry(file, where, version)
        if file.tell() > start + length:
            raise SourceError(f"{where}: its directory is longer than it says: the archive is damaged")
        packed += Member.at(entry.at).packed if entry.at else 0
        if packed > size:
            # Members that lie over one another: some bytes would become any number of files.
            raise SourceError(f"{where}: its members take more bytes than it has: a bomb, or damaged")
        if entry.kind is Kind.LINK:
            with read(open, entry, Span(0, entry.size or 0), size, where) as body:
                target = body.readall().decode("utf-8", "surrogateescape")
            entry = RemoteFile(entry.path, 0, Kind.LINK, target=target)
        yield entry


def read(open: Opener, file: RemoteFile, span: Span, size: int, where: str) -> io.RawIOBase:
    """Bytes of a member. Raises NoRanges for a part of one that is packed."""
    member = Member.at(file.at)
    what = f"'{shown(file.path)}' of {where}"
    if span == Span(0, file.size or 0):
        # The local header is as long as its own name and extra say; asked with the body, as two questions cost more.
        stop = member.header + _LOCAL.size + 2 * _COMMENT + member.packed
        stream = open(Span(member.header, min(stop, size)))
        try:
            exactly(stream, _head(exactly(stream, _LOCAL.size), what))
            return _Body(Cut(stream, member.packed), member.method, span.size, what)
        except BaseException:
            stream.close()
            raise
    if member.method != _STORED:
        raise NoRanges(f"{what} is packed: it can only be unpacked from its start")
    with open(Span(member.header, min(member.header + _LOCAL.size, size))) as stream:
        data = member.header + _LOCAL.size + _head(exactly(stream, _LOCAL.size), what)
    return open(Span(data + span.start, data + span.stop))


class _Body(io.RawIOBase):
    """A member, unpacked as it is read: exactly its bytes, or an error."""

    def __init__(self, stream: io.RawIOBase, method: int, size: int, what: str) -> None:
        super().__init__()
        self._stream, self._left, self._what = stream, size, what
        packing = _PACKINGS.get(method)
        self._read: Callable[[int], bytes | None] = unpacked(stream, packing) if packing else stream.read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        view = memoryview(buffer).cast("B")
        if not view:
            return 0
        data = self._next(len(view)) if self._left else b""
        view[: len(data)] = data
        self._left -= len(data)
        if data and not self._left and self._next(1):
            raise _changed(f"{self._what} is longer than its size")
        return len(data)

    def _next(self, count: int) -> bytes:
        try:
            data = self._read(min(count, _PIECE)) or b""
        except FAULTS as error:
            if isinstance(error, GotdataError):
                raise
            raise _changed(f"{self._what} can't be unpacked ({error})") from None
        if self._left and not data:
            raise _changed(f"{self._what} ends before its size")
        return data

    def close(self) -> None:
        self._stream.close()
        super().close()


def _directory(file: io.BufferedIOBase, size: int, where: str) -> tuple[int, int, int]:
    """Where the directory starts, its entries and its length [4.3.16, 4.3.14]."""
    tail = min(size, _END.size + _COMMENT + _LOCATOR.size)
    file.seek(size - tail)
    text = file.read(tail)
    at = text.rfind(b"PK\5\6")
    if at < 0 or len(text) < at + _END.size:
        raise SourceError(f"{where} ends without a directory: no zip, cut off, or the last part of several")
    _, _, _, _, count, length, start, _ = _END.unpack_from(text, at)
    locator = at - _LOCATOR.size
    if locator >= 0 and text[locator : locator + 4] == b"PK\6\7":
        place = _LOCATOR.unpack_from(text, locator)[2]
        file.seek(min(place, size))
        end = file.read(_END64.size)
        if len(end) < _END64.size or end[:4] != b"PK\6\6":
            raise SourceError(f"{where}: its directory (zip64) is not where it says: the archive is damaged")
        *_, count, length, start = _END64.unpack(end)
    if start + length > size or count * _ENTRY.size > length:
        raise SourceError(f"{where}: its directory is not where it says: the archive is damaged")
    return start, count, length


def _entry(file: io.BufferedIOBase, where: str, version: str) -> RemoteFile:
    """The next entry of the directory [4.3.12]."""
    fixed = file.read(_ENTRY.size)
    if len(fixed) < _ENTRY.size or fixed[:4] != b"PK\1\2":
        raise SourceError(f"{where}: its directory ends early: the archive is damaged")
    _, made, _, flags, method, _, _, crc, packed, length, n, m, k, _, _, mode, header = _ENTRY.unpack(fixed)
    raw, extra, _ = file.read(n), file.read(m), file.read(k)
    name = raw.decode("utf-8", "surrogateescape") if flags & 0x800 else _old_name(raw)
    length, packed, header = _large(extra, length, packed, header)
    what = f"'{shown(name)}' of {where}"
    if name.endswith("/"):
        return RemoteFile(name.rstrip("/"), 0, Kind.DIR)
    if flags & 1:
        raise SourceError(f"{what} is encrypted, and can't be read: publish it without a password, or as a file")
    if method != _STORED and method not in _PACKINGS:
        raise SourceError(f"{what} is packed by {_NAMES.get(method, f'method {method}')}, which can't be read")
    if (method == _STORED and packed != length) or (method == _DEFLATED and length > _RATIO * packed):
        raise SourceError(f"{what} claims {length} bytes in {packed}, more than can be in them: a bomb, or damaged")
    unix = mode >> 16 if made >> 8 == 3 else 0
    at = str(Member(header, packed, method))
    checks = (Checksum("crc32", f"{crc:08x}"),)
    if stat.S_ISLNK(unix):
        if length > _LINK:
            raise SourceError(f"{what} is a link with a target of {length} bytes")
        return RemoteFile(name, length, Kind.LINK, at)
    return RemoteFile(name, length, at=at, version=version, checks=checks, executable=bool(unix & 0o111))


def _old_name(raw: bytes) -> str:
    """A name without the flag of UTF-8: code page 437, by the specification; many programs write UTF-8 all the same."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp437")


def _large(extra: bytes, length: int, packed: int, header: int) -> tuple[int, int, int]:
    """The sizes and the place that did not fit into 32 bits [4.5.3]."""
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            values = iter(struct.unpack_from(f"<{min(size, len(extra) - at - 4) // 8}Q", extra, at + 4))
            length = next(values, length) if length == 0xFFFFFFFF else length
            packed = next(values, packed) if packed == 0xFFFFFFFF else packed
            header = next(values, header) if header == 0xFFFFFFFF else header
        at += 4 + size
    return length, packed, header


def _head(fixed: bytes, what: str) -> int:
    """The bytes between a local header's fixed part and the member's [4.3.7]."""
    if len(fixed) < _LOCAL.size or fixed[:4] != b"PK\3\4":
        raise _changed(f"{what} is not where it was")
    name, extra = _LOCAL.unpack(fixed)[-2:]
    return int(name + extra)


def _changed(what: str) -> UpstreamChanged:
    return UpstreamChanged(f"{what}: the archive changed, or is damaged")

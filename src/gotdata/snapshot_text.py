"""Texts in files: lines that are cut into shards at points which their content gives, so that a change of one line in
ten million changes one shard. A text's id is the hash of the list of its shards' hashes."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BufferedReader
from itertools import zip_longest
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import BinaryIO

import zstandard

from gotdata.errors import IntegrityError
from gotdata.paths import shown
from gotdata.snapshot_lines import LINE_LIMIT

SHARD_LIMIT = 16 * 1024 * 1024
"""A shard ends at the latest with the line that brings it to these bytes."""
WHOLE_LIMIT = 1024 * 1024 * 1024
"""Bytes in a text that is one file, at most: a small file that unpacks to more is an attack."""
PACKED_FROM = 1024 * 1024
"""Bytes from which a text is compressed."""

_WINDOW = 8 * 1024 * 1024


def text_id(shards: Iterable[str]) -> str:
    """The id of the text that has these shards; of a content text this is the snapshot's id."""
    return sha256("".join(f"{line}\n" for line in ("gotdata text 1", *shards)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Text:
    """A text that was just written, uncompressed."""

    path: Path
    size: int
    shards: tuple[str, ...]

    @property
    def id(self) -> str:
        return text_id(self.shards)


class Cutter:
    """Takes lines, gives shards."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._size = 0

    def add(self, line: bytes) -> bytes:
        """The shard that ``line`` ends, or nothing."""
        self._lines.append(line)
        self._size += len(line)
        digest = sha256(line).digest()
        # 13 bits that are zero: one line of 8,192.
        return self.rest() if self._size >= SHARD_LIMIT or (digest[0] == 0 and digest[1] < 8) else b""

    def rest(self) -> bytes:
        shard = b"".join(self._lines)
        self._lines, self._size = [], 0
        return shard


def cut(lines: Iterable[bytes]) -> Iterator[bytes]:
    cutter = Cutter()
    for line in lines:
        if shard := cutter.add(line):
            yield shard
    if shard := cutter.rest():
        yield shard


class TextWriter:
    """Writes a text line by line. Its ``text`` is there once it is closed."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")
        self._path, self._size, self._cutter = path, 0, Cutter()
        self._shards: list[str] = []
        self.text: Text

    def add(self, line: bytes) -> None:
        self._end(self._cutter.add(line))

    def _end(self, shard: bytes) -> None:
        if shard:
            self._file.write(shard)
            self._size += len(shard)
            self._shards.append(sha256(shard).hexdigest())

    def __enter__(self) -> TextWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end(self._cutter.rest())
        self._file.close()
        self.text = Text(self._path, self._size, tuple(self._shards))


def lines_of(file: BinaryIO, where: str, limit: int = WHOLE_LIMIT) -> Iterator[bytes]:
    """The lines of a text that may be anything: what is too long is refused before it is held."""
    size = 0
    while line := file.readline(LINE_LIMIT + 1):
        size += len(line)
        if not line.endswith(b"\n") or len(line) > LINE_LIMIT or size > limit:
            raise IntegrityError(f"{where}: not a text of gotdata; restore it from git, or lock its dataset anew")
        yield line


def verified(lines: Iterable[bytes], shards: Sequence[str], where: str) -> Iterator[bytes]:
    """The lines again, each shard held to its hash before any of its lines is handed on.

    Raises:
        IntegrityError: a shard is another, missing, or one too many; names it.
    """
    for number, (shard, due) in enumerate(zip_longest(cut(lines), shards), 1):
        if shard is None or due is None or sha256(shard).hexdigest() != due:
            what = "is missing" if shard is None else "is not what gotdata.lock says"
            raise IntegrityError(
                f"{where}: shard {number} of {len(shards)} ({(due or 'not in the lock')[:16]}) {what}: the text or the "
                f"lock was edited or damaged; restore both from git, or lock the dataset anew"
            )
        yield from (line + b"\n" for line in shard.split(b"\n")[:-1])


def lines_at(path: Path) -> Iterator[bytes]:
    """The lines of a text in a file, packed (``.zst``) or not. Raises IntegrityError where it is no such file."""
    where = shown(f"{path.parent.name}/{path.name}")
    with regular(path, where) as file:
        if path.suffix != ".zst":
            yield from lines_of(file, where)
            return
        try:
            with zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(file) as unpacked:
                yield from lines_of(BufferedReader(unpacked, 1 << 18), where)
        except zstandard.ZstdError as error:
            raise IntegrityError(f"{where}: damaged ({error}); restore it from git, or lock its dataset anew") from None


def regular(path: Path, where: str) -> BinaryIO:
    """A lock comes with a stranger's repository: no link is followed, and no pipe waited for."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        file = os.fdopen(os.open(path, flags), "rb")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise IntegrityError(f"{where}: can't be read as a file ({error.strerror})") from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise IntegrityError(f"{where}: not a file")
    return file


def _packer() -> zstandard.ZstdCompressor:
    """One thread and one level: the same bytes again from the same library."""
    return zstandard.ZstdCompressor(level=9, threads=0, write_checksum=False, write_content_size=True)


def pack(data: bytes) -> bytes:
    return _packer().compress(data)


def unpack(data: bytes, where: str) -> bytes:
    """One shard, bounded whatever the data claim."""
    limit = SHARD_LIMIT + LINE_LIMIT
    try:
        with zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(data) as unpacked:
            shard = unpacked.read(limit + 1)
    except zstandard.ZstdError as error:
        raise IntegrityError(f"{where}: damaged ({error})") from None
    if len(shard) > limit:
        raise IntegrityError(f"{where}: unpacks to more than a shard can be")
    return shard


def pack_file(text: Text, to: BinaryIO) -> None:
    with text.path.open("rb") as source:
        _packer().copy_stream(source, to, size=text.size)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of ``path`` when all of it is on the disk, or leaves nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{token_hex(8)}.fresh")
    try:
        with fresh.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    settle(path.parent)


def settle(folder: Path) -> None:
    """Makes the names in a folder as durable as the files that have them."""
    if os.name == "posix":
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

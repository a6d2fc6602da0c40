"""tar: what one holds, found by its headers; where each member's bytes lie in it.

The formats (ustar, pax, GNU) are read by the standard library; what a member may be is judged here."""

from __future__ import annotations

import hashlib
import io
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing
from typing import IO, cast

from gotdata.errors import SourceError
from gotdata.model import Checksum, Kind, RemoteFile
from gotdata.paths import shown

BLOCK = 512
_PIECE = 1 << 20
_UNKNOWN = {
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.CONTTYPE: "a contiguous file",
}


def is_tar(head: bytes) -> bool:
    """Whether a file begins with a tar header: by its sum, as old ones have no magic."""
    try:
        tarfile.TarInfo.frombuf(head[:BLOCK], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def members(file: io.BufferedIOBase, where: str, version: str, hashed: bool) -> Iterator[RemoteFile]:
    """Every member, in their order.

    Args:
        version: of the archive, which is that of all in it.
        hashed: every member is read, and listed with its sha256; else only the headers are.

    Raises:
        SourceError: it is damaged, or holds what no snapshot can.
    """
    # Hard links name members before them, of which there may be millions. An iterator that is left may be collected in
    # any thread.
    with closing(sqlite3.connect("", check_same_thread=False)) as seen:
        seen.execute(
            "create table file (path text primary key, at text, size integer, sha256 text, executable integer)"
        )
        try:
            bounded = cast(IO[bytes], _Bounded(file, where))
            with tarfile.open(fileobj=bounded, mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
                for member in archive:
                    archive.members = []  # type: ignore[attr-defined]  # the library would hold them all
                    if entry := _entry(archive, member, seen, where, version, hashed):
                        yield entry
        except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
            raise SourceError(f"{where} is no whole tar archive: {error}") from None


class _Bounded:
    """The file as the library reads it: never more at once than a header can honestly need, which it would take at the
    archive's word."""

    def __init__(self, file: io.BufferedIOBase, where: str) -> None:
        self._file, self._where = file, where
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _PIECE + BLOCK:
            raise SourceError(f"{self._where} has a header of {size} bytes: a bomb, or damaged")
        return self._file.read(size)


def _entry(
    archive: tarfile.TarFile, member: tarfile.TarInfo, seen: sqlite3.Connection, where: str, version: str, hashed: bool
) -> RemoteFile | None:
    path = _path(member.name)
    if not path:
        return None
    if member.isdir():
        return RemoteFile(path, 0, Kind.DIR)
    if member.issym():
        return RemoteFile(path, 0, Kind.LINK, target=member.linkname)
    if member.islnk():
        return _twin(path, _path(member.linkname), seen, where, version)
    what = _UNKNOWN.get(member.type, "sparse" if member.issparse() else "")
    if what or not member.isreg():
        raise SourceError(f"'{shown(path)}' of {where} is {what or 'of an unknown kind'}: no file that can be read")
    sha256 = _sha256(archive, member) if hashed else ""
    executable = bool(member.mode & 0o111)
    at = str(member.offset_data)
    row = (_text(path), at, member.size, sha256, executable)
    seen.execute("insert or replace into file values (?, ?, ?, ?, ?)", row)
    return _file(path, at, member.size, sha256, executable, version)


def _twin(path: str, first: str, seen: sqlite3.Connection, where: str, version: str) -> RemoteFile:
    """A hard link is the file that it names."""
    found = seen.execute("select at, size, sha256, executable from file where path = ?", (_text(first),)).fetchone()
    if found is None:
        raise SourceError(f"'{shown(path)}' of {where} is a link to '{shown(first)}', which is not before it")
    return _file(path, found[0], found[1], found[2], bool(found[3]), version)


def _file(path: str, at: str, size: int, sha256: str, executable: bool, version: str) -> RemoteFile:
    checks = (Checksum("sha256", sha256),) if sha256 else ()
    return RemoteFile(path, size, at=at, version=version, checks=checks, executable=executable)


def _sha256(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    digest, left = hashlib.sha256(), member.size
    body = archive.extractfile(member)
    assert body is not None
    while left and (piece := body.read(min(left, _PIECE))):
        digest.update(piece)
        left -= len(piece)
    if left:
        raise EOFError("it ends in the middle")
    return digest.hexdigest()


def _path(name: str) -> str:
    """As tar means it: ``./a`` is ``a``, and ``.`` is the archive itself."""
    name = name.rstrip("/") if name != "/" else name
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return "" if name == "." else name


def _text(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")

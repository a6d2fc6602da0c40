"""The lines of a snapshot's texts: canonical JSON (RFC 8785), one value a line, to the byte as docs/formats/snapshot.md
has them. What is read is judged as strictly as what is written: a line that would be written otherwise is refused."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

import msgspec

from gotdata.errors import SourceError
from gotdata.model import Checksum, Kind, Level, RemoteFile
from gotdata.origin import BLOCK_HASHED
from gotdata.paths import link_target, remote_path, secret, shown

LINE_LIMIT = 256 * 1024
"""Bytes in a line at most, its newline included."""
SIZE_LIMIT = 2**53 - 1
"""The largest integer that every reader of JSON gets right."""
RUN = 1024
"""Block hashes in one line at most."""

_STRONG = {"sha256": 64, "sha512": 128, "blake3": 64}
"""What can be an identity, in order of preference, and its hexadecimal digits."""
_PART = r"[A-Za-z0-9._~/:%-]"
_IDENTITY = re.compile(f"(sha256|blake3):[0-9a-f]{{64}}|sha512:[0-9a-f]{{128}}|weak:{_PART}*#{_PART}+#{_PART}*")
_CHECK = re.compile(r"([a-z0-9][a-z0-9._-]*):([0-9a-f]+)")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the content text. ``size`` and ``identity`` are a file's, ``target`` is a link's."""

    path: str
    kind: Kind = Kind.FILE
    size: int = 0
    identity: str = ""
    executable: bool = False
    target: str = ""

    @property
    def key(self) -> bytes:
        return sort_key(self.path)


@dataclass(slots=True)
class Totals:
    """What a snapshot amounts to, counted entry by entry."""

    files: int = 0
    bytes: int = 0
    level: Level = Level.VERIFIED

    def add(self, entry: Entry) -> None:
        if entry.kind is Kind.FILE:
            self.files += 1
            self.bytes += entry.size
            if self.level is not Level.UNVERIFIED and not strong(entry.identity):
                self.level = Level.UNVERIFIED if entry.identity.endswith("#") else Level.BOUND


def sort_key(path: str) -> bytes:
    """Sorted by it, paths stand in the order of their lists of components: a folder right before what it holds."""
    return path.encode("utf-8", "surrogateescape").replace(b"/", b"\0")


def fault(before: Entry | RemoteFile | None, entry: Entry | RemoteFile) -> str:
    """Why ``entry`` can't stand right behind ``before``, or empty."""
    if before is None:
        return ""
    last, key = sort_key(before.path), sort_key(entry.path)
    if key > last and not key.startswith(last + b"\0"):
        return ""
    if key == last:
        return f"'{shown(entry.path)}' is listed twice"
    if key < last:
        return f"'{shown(entry.path)}' stands behind '{shown(before.path)}'"
    if before.kind is Kind.DIR:
        return f"the folder '{shown(before.path)}' is listed and is not empty"
    return f"'{shown(before.path)}' is a {before.kind}, and '{shown(entry.path)}' lies in it"


def strong(identity: str) -> bool:
    return not identity.startswith("weak:")


def identity(file: RemoteFile, namespace: str) -> str:
    """The identity that the checks of a listing give, else a weak one: where it is, and which version of it.

    Raises:
        SourceError: a check is not what its algorithm gives.
    """
    checks = _checks(file)
    for algorithm, digits in _STRONG.items():
        if found := checks.get(algorithm):
            if len(found) != digits:
                raise SourceError(f"'{shown(file.path)}': its {algorithm} has {len(found)} digits instead of {digits}")
            return f"{algorithm}:{found}"
    version = file.version or ",".join(f"{algorithm}:{found}" for algorithm, found in checks.items())
    return "weak:" + "#".join(quote(part, "/:", errors="surrogateescape") for part in (namespace, file.path, version))


class _Content(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    exec: bool = False
    id: str = ""
    path: str = ""
    path_b64: str = ""
    size: int | None = None
    target: str = ""
    target_b64: str = ""
    type: Kind


class _Origin(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    at: str = ""
    checks: dict[str, str] = {}
    path: str = ""
    path_b64: str = ""
    version: str = ""


class _Run(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    first: int
    id: str
    sha256: list[str]


_encode = msgspec.json.Encoder().encode
_content = msgspec.json.Decoder(_Content).decode
_origin = msgspec.json.Decoder(_Origin).decode
_run = msgspec.json.Decoder(_Run).decode


def content_line(entry: Entry) -> bytes:
    path, path_b64 = _text(entry.path)
    target, target_b64 = _text(entry.target)
    return _line(
        _Content(
            exec=entry.executable,
            id=entry.identity,
            path=path,
            path_b64=path_b64,
            size=entry.size if entry.kind is Kind.FILE else None,
            target=target,
            target_b64=target_b64,
            type=entry.kind,
        )
    )


def read_content(line: bytes) -> Entry:
    """The opposite of ``content_line``. Raises ValueError or SourceError: not a line that it would write."""
    found = _content(line)
    path = remote_path(_name(found.path, found.path_b64))
    target = _name(found.target, found.target_b64)
    entry = Entry(path, found.type, found.size or 0, found.id, found.exec, target)
    if entry.kind is Kind.FILE:
        if not 0 <= entry.size <= SIZE_LIMIT:
            raise ValueError(f"'{shown(path)}' can't have {entry.size} bytes")
        if not _IDENTITY.fullmatch(entry.identity):
            raise ValueError(f"'{shown(path)}' has no identity that this version knows")
    if entry.kind is Kind.LINK:
        link_target(path, target)
    elif target:
        raise ValueError(f"'{shown(path)}' has a target and is no link")
    if entry.kind is not Kind.FILE and (entry.identity or entry.executable or found.size is not None):
        raise ValueError(f"'{shown(path)}' has what only a file has")
    return _as_written(entry, content_line(entry), line)


def origin_line(file: RemoteFile) -> bytes:
    """Raises SourceError where what the origin says of the file can't be written down."""
    path, path_b64 = _text(file.path)
    if ("?" in file.at or "@" in file.at) and (found := secret(file.at)):
        raise SourceError(f"'{shown(file.path)}': its locator holds a secret ({found}), which no lock may keep")
    return _line(_Origin(at=file.at, checks=_checks(file), path=path, path_b64=path_b64, version=file.version))


def read_origin(line: bytes) -> RemoteFile:
    """The opposite of ``origin_line``; the size is in the content. Raises ValueError or SourceError."""
    found = _origin(line)
    path = remote_path(_name(found.path, found.path_b64))
    checks = tuple(sorted(Checksum(*check) for check in found.checks.items()))
    file = RemoteFile(path, None, at=found.at, version=found.version, checks=checks)
    return _as_written(file, origin_line(file), line)


def block_lines(identity: str, hashes: Sequence[bytes]) -> Iterator[bytes]:
    """The lines that hold a file's block hashes."""
    for first in range(0, len(hashes), RUN):
        run = [digest.hex() for digest in hashes[first : first + RUN]]
        yield _line(_Run(first=first, id=identity, sha256=run))


def read_run(line: bytes) -> tuple[str, int, tuple[bytes, ...]]:
    """Identity, number of the first block, hashes. Raises ValueError."""
    found = _run(line)
    hashes = tuple(bytes.fromhex(digest) for digest in found.sha256)
    if not _IDENTITY.fullmatch(found.id) or not strong(found.id) or not 0 < len(hashes) <= RUN:
        raise ValueError("not a run of block hashes")
    if found.first < 0 or found.first % RUN or any(len(digest) != 32 for digest in hashes):
        raise ValueError(f"{found.id} has a run that is out of step")
    written = _line(_Run(first=found.first, id=found.id, sha256=[digest.hex() for digest in hashes]))
    return _as_written((found.id, found.first, hashes), written, line)


def block_count(size: int) -> int:
    return -(-size // BLOCK_HASHED)


def _line(value: msgspec.Struct) -> bytes:
    try:
        line = _encode(value) + b"\n"
    except UnicodeEncodeError as error:
        raise SourceError(f"not text that can be written down: '{shown(str(error.object))}'") from None
    if len(line) > LINE_LIMIT:
        raise SourceError(f"an entry of {len(line)} bytes is too long to lock: {shown(line[:200].decode())}…")
    return line


_T = TypeVar("_T")


def _as_written(value: _T, written: bytes, line: bytes) -> _T:
    """Catches what a JSON parser lets pass: spaces, the order of keys, a key twice, other escapes, another number."""
    if written != line:
        raise ValueError("not canonical: its keys are in another order, or it holds spaces, needless escapes or keys")
    return value


def _text(text: str) -> tuple[str, str]:
    """The plain and the base64 form of bytes that may not be UTF-8; one of them is empty."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "", b64encode(text.encode("utf-8", "surrogateescape")).decode()
    return text, ""


def _name(plain: str, base64: str) -> str:
    return b64decode(base64, validate=True).decode("utf-8", "surrogateescape") if base64 else plain


def _checks(file: RemoteFile) -> dict[str, str]:
    """Sorted by algorithm; each at most once."""
    checks: dict[str, str] = {}
    for check in sorted(file.checks):
        if not _CHECK.fullmatch(str(check)) or checks.setdefault(check.algorithm, check.hex) != check.hex:
            raise SourceError(f"'{shown(file.path)}' comes with a checksum that can't be: {shown(str(check))}")
    return checks

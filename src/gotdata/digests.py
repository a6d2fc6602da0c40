"""The checksums that can be computed here, by the names that ``Checksum.algorithm`` has for them. Some providers have
one of their own; each such class says where it is defined."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol


class Hash(Protocol):
    def update(self, data: bytes | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


class _Sum:
    """A running sum of some bits, as a hash."""

    def __init__(self, step: Callable[[Any, int], int], start: int, bits: int = 32) -> None:
        self._step, self._value, self._bits = step, start, bits

    def update(self, data: bytes | memoryview, /) -> None:
        self._value = self._step(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value & (1 << self._bits) - 1:0{self._bits // 4}x}"


class _Parts:
    """A hash over the hashes of parts of one size."""

    def __init__(self, part: Callable[[], Any], size: int) -> None:
        self._new, self._size = part, size
        self._part, self._room = part(), size
        self.digests: list[bytes] = []

    def update(self, data: bytes | memoryview, /) -> None:
        view = memoryview(data)
        while view:
            piece, view = view[: self._room], view[self._room :]
            self._part.update(piece)
            self._room -= len(piece)
            if not self._room:
                self._end()

    def hexdigest(self) -> str:
        last = [self._part.digest()] if self._room < self._size else []
        joined = self._new()
        joined.update(b"".join(self.digests + last))
        return str(joined.hexdigest())

    def _end(self) -> None:
        self.digests.append(self._part.digest())
        self._part, self._room = self._new(), self._size


def _git(kind: Callable[[], Any]) -> Callable[[int], Hash]:
    """The id of a blob (https://git-scm.com/book/en/v2/Git-Internals-Git-Objects): its head goes before its bytes."""

    def begin(size: int) -> Hash:
        made: Hash = kind()
        made.update(b"blob %d\0" % size)
        return made

    return begin


def _dandi(size: int) -> int:
    """Bytes of a part (https://github.com/dandi/dandi-schema, digests/dandietag.py): fewer than 10,000 parts of 64 MiB,
    else 10,000."""
    part = 64 << 20
    return part if -(-size // part) < 10_000 else -(-size // 10_000)


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


def _sha1() -> Any:
    return hashlib.sha1(usedforsecurity=False)


def _crc32c() -> Hash:
    package = import_module("google_crc32c")
    return _Sum(lambda data, value: package.extend(value, bytes(data)), 0)


def _crc64nvme() -> Hash:
    """NVM Express, NVM Command Set Specification, section 5.2.1.3.4: what S3 keeps of all that is uploaded now."""
    package = import_module("awscrt.checksums")
    return _Sum(lambda data, value: package.crc64nvme(data, value), 0, 64)


def _blake3() -> Hash:
    made: Hash = import_module("blake3").blake3()
    return made


_ALGORITHMS: dict[str, Callable[[int], Hash]] = {
    "sha256": lambda _: hashlib.sha256(),
    "sha512": lambda _: hashlib.sha512(),
    "sha384": lambda _: hashlib.sha384(),
    "blake3": lambda _: _blake3(),
    "sha1": lambda _: _sha1(),
    "md5": lambda _: _md5(),
    "adler32": lambda _: _Sum(zlib.adler32, 1),
    "crc32": lambda _: _Sum(zlib.crc32, 0),
    "crc32c": lambda _: _crc32c(),
    "crc64nvme": lambda _: _crc64nvme(),
    "git-sha1": _git(_sha1),
    "git-sha256": _git(hashlib.sha256),
    # https://www.dropbox.com/developers/reference/content-hash
    "dropbox": lambda _: _Parts(hashlib.sha256, 4 << 20),
    # Without the number of parts that DANDI writes behind it.
    "dandi-etag": lambda size: _Parts(_md5, _dandi(size)),
}


def begin(algorithm: str, size: int) -> Hash:
    """A hash of a file that has ``size`` bytes.

    Raises:
        KeyError: nobody here knows this algorithm.
        ImportError: it needs a package.
    """
    return _ALGORITHMS[algorithm](size)


def computable(algorithm: str) -> bool:
    """Whether this machine can: three algorithms need a package."""
    try:
        begin(algorithm, 0)
    except (KeyError, ImportError):
        return False
    return True

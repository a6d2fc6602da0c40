"""What a whole file is compared with before it is called whole."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

from gotdata.errors import IntegrityError
from gotdata.model import Checksum, Span
from gotdata.origin import Origin, Wanted
from gotdata.paths import redact, shown
from gotdata.store.grants import Grants
from gotdata.store.held import LocalHeld
from gotdata.store.keys import digest

_READ = 1 << 20
STRONG = ("sha256", "sha512", "blake3")


class _Hash(Protocol):
    def update(self, data: bytes | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


class _Sum:
    """A running sum of 32 bits, as a hash."""

    def __init__(self, step: Callable[[Any, int], int], start: int) -> None:
        self._step, self._value = step, start

    def update(self, data: bytes | memoryview, /) -> None:
        self._value = self._step(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value & 0xFFFFFFFF:08x}"


def _crc32c() -> _Hash:
    package = import_module("google_crc32c")
    return _Sum(lambda data, value: package.extend(value, bytes(data)), 0)


def _blake3() -> _Hash:
    made: _Hash = import_module("blake3").blake3()
    return made


_ALGORITHMS: dict[str, Callable[[], _Hash]] = {
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
    "blake3": _blake3,
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "md5": lambda: hashlib.md5(usedforsecurity=False),
    "adler32": lambda: _Sum(zlib.adler32, 1),
    "crc32": lambda: _Sum(zlib.crc32, 0),
    "crc32c": _crc32c,
}


def strong(identity: str) -> Checksum | None:
    """What an identity says of the bytes; None of a weak one, which says nothing."""
    algorithm, _, value = identity.partition(":")
    return Checksum(algorithm, value) if algorithm in STRONG else None


def computable(algorithm: str) -> bool:
    """Whether this machine can: two algorithms need a package."""
    try:
        _ALGORITHMS[algorithm]()
    except (KeyError, ImportError):
        return False
    return True


class Verdict:
    """Reads a file from its first byte to its last, then judges it.

    A strong identity decides alone: it is what was locked. What the origin says of its copy is compared where there is
    none, or none that can be computed here (blake3 and crc32c need a package).
    """

    def __init__(self, wanted: Wanted, origin: Origin) -> None:
        self._wanted, self._origin = wanted, origin
        self._hashes: dict[str, _Hash] = {"sha256": hashlib.sha256()}
        identity = strong(wanted.identity)
        self.expected: tuple[Checksum, ...] = (identity,) if identity and self._knows(identity.algorithm) else ()
        if not self.expected:
            self.expected = tuple(claim for claim in origin.checks if self._knows(claim.algorithm))
        self.unknown = identity.algorithm if identity and identity not in self.expected else ""

    def _knows(self, algorithm: str) -> bool:
        if algorithm not in self._hashes:
            try:
                self._hashes[algorithm] = _ALGORITHMS[algorithm]()
            except (KeyError, ImportError):
                return False
        return True

    def update(self, data: bytes | memoryview) -> None:
        for hash in self._hashes.values():
            hash.update(data)

    def sha256(self) -> str:
        return self._hashes["sha256"].hexdigest()

    def judge(self) -> None:
        """Raises IntegrityError where the file is not what it must be."""
        for claim in self.expected:
            got = Checksum(claim.algorithm, self._hashes[claim.algorithm].hexdigest())
            if got != claim:
                raise IntegrityError(
                    f"{shown(self._wanted.name)}: {redact(self._origin.url)} is not what is due: expected {claim}, "
                    f"got {got}; try another mirror, or `gotdata lock --update` if that was meant"
                )

    def identities(self) -> tuple[str, ...]:
        """The strong identities that the file was found to have."""
        return tuple(f"{name}:{self._hashes[name].hexdigest()}" for name in STRONG if name in self._hashes)


def verify_in_place(wanted: Wanted, held: LocalHeld, verdicts: Grants) -> None:
    """Hashes a file where it lies, if its identity says what it must be, and remembers the verdict.

    Raises:
        IntegrityError: it is another.
        UpstreamChanged: it changed meanwhile.
    """
    verdict = Verdict(wanted, wanted.origins[0])
    if not strong(wanted.identity) or verdict.unknown:
        return
    now = held.stat
    key = digest("local", held.path, now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, wanted.identity)
    if verdicts.get(key):
        return
    for start in range(0, held.size, _READ):
        verdict.update(held.pread(Span(start, start + _READ)))
    verdict.judge()
    verdicts.put(key, verdict.sha256())

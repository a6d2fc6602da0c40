"""What a whole file is compared with before it is called whole."""

from __future__ import annotations

import hashlib

from gotdata.digests import Hash, begin
from gotdata.errors import IntegrityError
from gotdata.model import Checksum, Span
from gotdata.origin import Origin, Wanted
from gotdata.paths import redact, shown
from gotdata.store.grants import Grants
from gotdata.store.held import LocalHeld
from gotdata.store.keys import digest

_READ = 1 << 20
STRONG = ("sha256", "sha512", "blake3")


def strong(identity: str) -> Checksum | None:
    """What an identity says of the bytes; None of a weak one, which says nothing."""
    algorithm, _, value = identity.partition(":")
    return Checksum(algorithm, value) if algorithm in STRONG else None


class Verdict:
    """Reads a file from its first byte to its last, then judges it.

    A strong identity decides alone: it is what was locked. Where there is none, or none that can be computed here
    (blake3 and crc32c need a package), it is what the origins say: all of them, as mirrors hold the same bytes, and the
    one that differs may be the one that says nothing.
    """

    def __init__(self, wanted: Wanted, origin: Origin) -> None:
        self._wanted, self._origin = wanted, origin
        self._hashes: dict[str, Hash] = {"sha256": hashlib.sha256()}
        identity = strong(wanted.identity)
        self.expected: tuple[Checksum, ...] = (identity,) if identity and self._knows(identity.algorithm) else ()
        if not self.expected:
            claims = dict.fromkeys(claim for one in (origin, *wanted.origins) for claim in one.checks)
            self.expected = tuple(claim for claim in claims if self._knows(claim.algorithm))
        self.unknown = identity.algorithm if identity and identity not in self.expected else ""

    def _knows(self, algorithm: str) -> bool:
        if algorithm not in self._hashes:
            try:
                self._hashes[algorithm] = begin(algorithm, self._wanted.size)
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

"""Looking after a store: what is in it, what can go, and whether it is sound."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gotdata.store import disk
from gotdata.store.grants import Grants
from gotdata.store.held import WholeHeld
from gotdata.store.partial import Partial
from gotdata.store.room import Room, Stored, scan, stored

_READ = 1 << 20
_FORGOTTEN = 90 * 24 * 3600
"""Seconds after which the verdict on a file in place goes, if it was not made again."""


@dataclass(frozen=True, slots=True)
class Info:
    """Bytes are those on the disk. ``quota`` and ``keep_free`` are the settings; ``local`` says that no other machine
    can use the store at the same time."""

    root: Path
    file_system: str
    local: bool
    sparse: bool
    objects: int
    object_bytes: int
    partials: int
    partial_bytes: int
    quarantined: int
    quarantined_bytes: int
    free: int
    quota: int
    keep_free: int


@dataclass(frozen=True, slots=True)
class Freed:
    """``kept`` files are in use, and stay."""

    files: int = 0
    bytes: int = 0
    kept: int = 0


@dataclass(frozen=True, slots=True)
class Checked:
    """What was read, and what was wrong with it.

    Attributes:
        objects, bytes: whole files that were hashed.
        damaged: of these, other than their names say.
        orphans: whole files that nobody may be served, and entries that lead nowhere: left by a crash or an eviction.
        blocks: of files that are not whole.
        torn: of these, not what was written: forgotten, so that they are fetched again.
    """

    objects: int = 0
    bytes: int = 0
    damaged: int = 0
    orphans: int = 0
    blocks: int = 0
    torn: int = 0

    @property
    def sound(self) -> bool:
        return not (self.damaged or self.torn)


class Upkeep:
    def __init__(self, root: Path, room: Room, grants: Grants, verdicts: Grants) -> None:
        self._root, self._room, self._grants, self._verdicts = root, room, grants, verdicts

    def info(self, sparse: bool, quota: int, keep_free: int) -> Info:
        kinds = [list(self._files(kind)) for kind in ("objects", "partial", "quarantine")]
        objects, partials, aside = [(len(files), sum(file.bytes for file in files)) for files in kinds]
        kind, free = disk.file_system(self._root), shutil.disk_usage(self._root).free
        local = kind not in disk.NETWORK
        return Info(self._root, kind, local, sparse, *objects, *partials, *aside, free, quota, keep_free)

    def gc(self) -> Freed:
        """Removes what nothing leads to and what was put aside, then what is above the quota."""
        freed = self._remove(self._files("quarantine"))
        freed = _sum(freed, self._remove(self._orphans()))
        before = time.time() - _FORGOTTEN
        for path, _ in self._verdicts.all():
            if path.lstat().st_mtime < before:
                path.unlink(missing_ok=True)
        self._drop_entries()
        evicted = self._room.shrink()
        return Freed(freed.files, freed.bytes + evicted, freed.kept)

    def clear(self) -> Freed:
        """Removes everything that is not in use."""
        for path in [path for grants in (self._grants, self._verdicts) for path, _ in grants.all()]:
            path.unlink(missing_ok=True)
        for path in scan(self._root / "index"):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        freed = Freed()
        for kind in ("quarantine", "partial", "objects"):
            freed = _sum(freed, self._remove(self._files(kind)))
        self._drop_entries()
        return freed

    def fsck(self, repair: bool) -> Checked:
        """Hashes every whole file, and compares every block with its check."""
        objects = size = damaged = blocks = torn = 0
        for file in self._files("objects"):
            if not (digest := _hash(file.path)):
                continue  # evicted just now
            objects, size = objects + 1, size + digest[1]
            if digest[0] != file.path.name:
                damaged += 1
                if repair:
                    file.path.unlink(missing_ok=True)  # in use or not: what reads it reads wrong bytes
        orphans = list(self._orphans())
        if repair:
            self._remove(iter(orphans))
        lost = self._drop_entries() if repair else 0
        for file in self._files("partial"):
            here, bad = _audit(file.path)
            blocks, torn = blocks + here, torn + bad
        return Checked(objects, size, damaged, len(orphans) + lost, blocks, torn)

    def _files(self, kind: str) -> Iterator[Stored]:
        return stored(self._root / kind, ".data" if kind == "partial" else "")

    def _orphans(self) -> Iterator[Stored]:
        granted = {bytes.fromhex(sha256) for _, sha256 in self._grants.all() if sha256}
        for file in self._files("objects"):
            if len(file.path.name) != 64 or bytes.fromhex(file.path.name) not in granted:
                yield file

    def _drop_entries(self) -> int:
        """Grants whose objects are gone, maps whose data is, and what was left of files of one block."""
        dropped = 0
        for path, sha256 in self._grants.all():
            if not (sha256 and (self._root / "objects" / sha256[:2] / sha256).exists()):
                path.unlink(missing_ok=True)
                dropped += 1
        for map in stored(self._root / "partial", ".map"):
            if not map.path.with_suffix(".data").exists():
                map.path.unlink(missing_ok=True)
                dropped += 1
        return dropped + sum(file.remove() for file in stored(self._root / "partial", ".one"))

    @staticmethod
    def _remove(files: Iterator[Stored]) -> Freed:
        freed = Freed()
        for file in files:
            freed = _sum(freed, Freed(1, file.bytes) if file.remove() else Freed(kept=1))
        return freed


def _sum(one: Freed, other: Freed) -> Freed:
    return Freed(one.files + other.files, one.bytes + other.bytes, one.kept + other.kept)


def _hash(path: Path) -> tuple[str, int] | None:
    with suppress(FileNotFoundError):
        held = WholeHeld(path)
        try:
            digest = hashlib.sha256()
            buffer = memoryview(bytearray(_READ))
            at = 0
            while count := disk.pread_into(held.fd, buffer, at):
                digest.update(buffer[:count])
                at += count
            return digest.hexdigest(), at
        finally:
            held.close()
    return None


def _audit(data: Path) -> tuple[int, int]:
    """Blocks that were recorded, and of these, those that are not what was written."""
    with suppress(FileNotFoundError, ValueError):
        key = bytes.fromhex(data.stem)
        partial = Partial(data, data.with_suffix(".map"), key, data.stat().st_size)
        try:
            recorded = partial.recorded()
            return len(recorded), sum(not partial.has(block, block + 1) for block in recorded)
        finally:
            partial.close()
    return 0, 0

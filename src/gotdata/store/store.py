"""The content cache of this machine. docs/formats/store.md has its layout to the byte.

Blocks of a file that is not whole lie under a key of what was truly asked: realm, URL, version, size. A file enters the
content-addressed area only after all of it was hashed here; from there it is served by a grant alone, which says that
this realm got this content from this URL. A checksum that a lock claims opens nothing.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Self

from gotdata.credentials import PUBLIC
from gotdata.digests import computable
from gotdata.errors import StoreError
from gotdata.model import Checksum
from gotdata.origin import Origin, Wanted
from gotdata.report import Event, Reporter, silent
from gotdata.settings import Settings
from gotdata.store import disk
from gotdata.store.base import Held
from gotdata.store.grants import Grants
from gotdata.store.held import PartialHeld, WholeHeld, in_place
from gotdata.store.keys import content_key, fact_key, partial_key, source_key
from gotdata.store.partial import Partial
from gotdata.store.room import Room, touch
from gotdata.store.upkeep import Checked, Freed, Info, Upkeep
from gotdata.store.verify import strong

VERSION = "gotdata store 1\n"
TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# A cache made by gotdata; see https://bford.info/cachedir/\n"
FOLDERS = ("objects", "partial", "grants", "verdicts", "quarantine", "index")


class Store:
    """Safe to use from several threads, and by several processes at once."""

    def __init__(self, root: Path, settings: Settings, sparse: bool) -> None:
        self.root = root
        self.sparse = sparse
        """Whether the file system keeps holes. Where not, a file is only ever filled from its start."""
        self.room = Room(root, settings)
        self.grants = Grants(root / "grants")
        self.verdicts = Grants(root / "verdicts")
        """Of files in place, by path and state: the sha256 that was found."""
        self._settings = settings
        self._upkeep = Upkeep(root, self.room, self.grants, self.verdicts)

    @classmethod
    def open(cls, root: Path, settings: Settings, reporter: Reporter = silent) -> Self:
        """The store in this folder, made where there is none.

        Raises:
            StoreError: the folder can't be made or written, holds something else, is another user's, or was made by a
                newer gotdata.
        """
        root = root.absolute()
        with disk.told(f"opening the store {root}"):
            _prepare(root)
            sparse = disk.keeps_holes(root)
        if not sparse:
            text = (
                f"the store {root} is on a file system without sparse files, where files come whole, from their start"
            )
            reporter(Event("warning", text=f"{text}; set GOTDATA_STORE to a folder on another disk"))
        return cls(root, settings, sparse)

    def held(self, wanted: Wanted) -> Held:
        """The file itself where its first origin is on this machine; the whole file where this realm may have it; else
        what there is of it, which may be nothing. No network; the caller closes it.

        Raises:
            NotFound, AccessDenied, SourceUnavailable, UpstreamChanged: in place, and there is no other mirror.
        """
        return in_place(wanted) or self.peek(wanted) or PartialHeld(
            wanted, lambda origin: self.partial(wanted, origin), lambda: self.peek(wanted)
        )  # fmt: skip

    def peek(self, wanted: Wanted) -> WholeHeld | None:
        """The whole file, where one of its origins' realms got it. That is a use of it."""
        held = self._find(wanted)
        if held:
            touch(held.fd, time.time_ns())
        return held

    def _find(self, wanted: Wanted) -> WholeHeld | None:
        claim = strong(wanted.identity)
        keys = [source_key(origin, wanted.size) for origin in wanted.origins]
        if claim and any(origin.realm == PUBLIC for origin in wanted.origins):
            keys.append(content_key(wanted.identity))
        for key in keys:
            sha256 = self.grants.get(key)
            if not sha256 or (claim and not self._is(sha256, claim)):
                continue
            with suppress(FileNotFoundError):
                held = WholeHeld(self.object(sha256))
                if held.size == wanted.size:
                    return held
                held.close()
        return None

    def _is(self, sha256: str, claim: Checksum) -> bool:
        """Whether content is what an identity claims, as far as this machine can compute that: a grant only says what
        a URL gave."""
        if claim.algorithm == "sha256":
            return claim.hex == sha256
        return not computable(claim.algorithm) or self.grants.get(fact_key(str(claim))) == sha256

    def cached(self, wanted: Wanted) -> int:
        """Bytes of the file that are in the store: all, or those of the mirror of which most are here."""
        if held := self._find(wanted):
            held.close()
            return wanted.size
        best = 0
        for origin in wanted.origins:
            if partial := self.partial(wanted, origin):
                best = max(best, sum(partial.span(block).size for block in partial.recorded()))
                partial.close()
        return best

    def partial(self, wanted: Wanted, origin: Origin) -> Partial | None:
        """What is here of one mirror's copy; None where that is nothing."""
        try:
            return self._partial(wanted, origin, 0)
        except FileNotFoundError:
            return None

    def create(self, wanted: Wanted, origin: Origin) -> Partial | None:
        """What is here of one mirror's copy, to be filled; None where the file is whole."""
        partial = self._partial(wanted, origin, 0o600)
        # Between the caller's look and ours, another may have made it whole: then this is an empty file of its name.
        if partial.fresh and (held := self.peek(wanted)):
            held.close()
            partial.remove()
            partial.close()
            return None
        touch(partial.fd, time.time_ns())
        return partial

    def _partial(self, wanted: Wanted, origin: Origin, create: int) -> Partial:
        key = partial_key(wanted, origin)
        data = self.root / "partial" / key.hex()[:2] / f"{key.hex()}.data"
        if create:
            data.parent.mkdir(exist_ok=True)
        return Partial(data, data.with_suffix(".map"), key, wanted.size, create, self.sparse)

    def object(self, sha256: str) -> Path:
        return self.root.joinpath("objects", sha256[:2], sha256)

    def promote(self, partial: Partial, sha256: str, keys: Iterable[bytes]) -> None:
        """Makes a complete file, whose hash was just found, an object, and grants it to ``keys``. The caller holds the
        partial's finishing lock. A crash between any two steps leaves it complete, or as it was; a reader finds it
        under one name or the other, so the grants come before the rename: alone they lead nowhere."""
        place = self.object(sha256)
        place.parent.mkdir(exist_ok=True)
        with disk.told(f"storing {place}"):
            disk.sync(partial.fd)
            for key in keys:
                self.grants.put(key, sha256)
            if place.exists():
                partial.data.unlink()
            else:
                partial.data.rename(place)
                place.chmod(0o444)
                disk.sync_folder(place.parent)
            partial.map.unlink(missing_ok=True)

    def admit(self, fd: int, path: Path, sha256: str, keys: Iterable[bytes]) -> None:
        """As ``promote``, for a file that the caller wrote at ``path`` and holds alone, and that nobody was served. Its
        folder is not synced: what a crash takes is fetched again."""
        place = self.object(sha256)
        with disk.told(f"storing {place}"):
            disk.sync(fd)
            for key in keys:
                self.grants.put(key, sha256)
            if place.exists():
                path.unlink()
                return
            try:
                path.rename(place)
            except FileNotFoundError:
                place.parent.mkdir(exist_ok=True)
                path.rename(place)
            place.chmod(0o444)

    def info(self) -> Info:
        return self._upkeep.info(self.sparse, self._settings.store_quota, self._settings.store_keep_free)

    def gc(self) -> Freed:
        """Removes what nothing leads to and what was put aside, then what is above the quota."""
        with disk.told(f"tidying the store {self.root}"):
            return self._upkeep.gc()

    def clear(self) -> Freed:
        """Removes everything that is not in use, the snapshots' indexes too."""
        with disk.told(f"clearing the store {self.root}"):
            return self._upkeep.clear()

    def fsck(self, repair: bool = True) -> Checked:
        """Hashes every whole file and compares every block with its check; ``repair`` removes what is wrong."""
        with disk.told(f"checking the store {self.root}"):
            return self._upkeep.fsck(repair)

    def quarantine(self, partial: Partial) -> None:
        """Puts aside bytes that are not what they must be. Whoever has them open sees that they are gone."""
        with disk.told(f"putting {partial.data} aside"):
            aside = self.root / "quarantine" / partial.data.parent.name / f"{partial.key.hex()}.{time.time_ns()}"
            aside.parent.mkdir(exist_ok=True)
            partial.data.rename(aside)
            partial.map.unlink(missing_ok=True)


def content_keys(origin: Origin, size: int, identities: Iterable[str]) -> list[bytes]:
    """The keys under which content that came from ``origin`` is found again."""
    identities = tuple(identities)
    facts = (fact_key(identity) for identity in identities if not identity.startswith("sha256:"))
    keys = [source_key(origin, size), *facts]
    if origin.realm == PUBLIC:
        keys += [content_key(identity) for identity in identities]
    return keys


def _prepare(root: Path) -> None:
    mark = root / "version"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_owner(root)
    if mark.exists():
        found = mark.read_text("utf-8", "replace")
        if found != VERSION:
            raise StoreError(
                f"the store {root} calls itself {found[:40]!r}, which this gotdata can't read: upgrade gotdata, or set "
                "GOTDATA_STORE to another folder"
            )
    else:
        strangers = {entry.name for entry in root.iterdir()} - {*FOLDERS, "CACHEDIR.TAG"}
        if strangers:
            raise StoreError(
                f"{root} holds something else ({', '.join(sorted(strangers)[:3])}): set GOTDATA_STORE to a new folder"
            )
    if sys.platform != "win32" and stat.S_IMODE(root.stat().st_mode) != 0o700:
        root.chmod(0o700)
    for folder in FOLDERS:
        (root / folder).mkdir(exist_ok=True)
    if not mark.exists():
        (root / "CACHEDIR.TAG").write_text(TAG, "utf-8")
        fresh = root / f"index/version.{os.getpid()}"
        fresh.write_text(VERSION, "utf-8")
        fresh.replace(mark)
    if not os.access(root / "objects", os.W_OK | os.X_OK):
        raise StoreError(f"the store {root} may not be written; set GOTDATA_STORE to a folder that you may write")


def _check_owner(root: Path) -> None:
    if sys.platform != "win32" and root.stat().st_uid != os.geteuid():
        raise StoreError(
            f"the store {root} is another user's, who could change what is in it: set GOTDATA_STORE to your own folder"
        )

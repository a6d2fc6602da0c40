"""gotdata.lock.d: the texts of locked snapshots, beside the lock. Short ones are committed whole; long ones lie in
``shards/``, which git ignores, and are fetched shard by shard from where the lock says."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from io import BytesIO
from itertools import islice
from pathlib import Path

from gotdata.errors import IntegrityError, NotFound
from gotdata.lock import Lock, Locked
from gotdata.paths import shown
from gotdata.snapshot import NAMED, Draft, diff
from gotdata.snapshot_index import Index, blocks_file, content_file, origins_file, sound
from gotdata.snapshot_indexing import entries, index_blocks, index_content, index_origins
from gotdata.snapshot_lines import Entry
from gotdata.snapshot_text import (
    PACKED_FROM,
    WHOLE_LIMIT,
    Text,
    cut,
    lines_at,
    lines_of,
    pack,
    pack_file,
    replacing,
    text_id,
    unpack,
    verified,
)

FOLDER = "gotdata.lock.d"

Fetch = Callable[[str], bytes]
"""The bytes behind a URL. Raises as a source does."""

_OURS = re.compile(r"(.+)\.(content|blocks|origins\.\d+)\.jsonl(\.zst)?")
_ATTRIBUTES = b"# Hashed to the byte: git must not change line ends.\n* -text linguist-generated\n"


class Texts:
    """The folder of one lock.

    Args:
        fetch: asked for shards that are not here; None where nothing may be fetched.
    """

    def __init__(self, folder: Path, fetch: Fetch | None = None) -> None:
        self._folder, self._shards, self._fetch = folder, folder / "shards", fetch
        for place in (self._folder, self._shards):
            if place.is_symlink():
                raise IntegrityError(f"{place.name} is a link to elsewhere, which gotdata does not follow: remove it")

    def put(self, name: str, draft: Draft, limit: int) -> None:
        """Writes the texts of a draft: whole up to ``limit`` bytes each, else as shards. What is there already stays
        as it is."""
        _set(self._folder / ".gitattributes", _ATTRIBUTES)
        self._put(f"{name}.content", draft.content, limit)
        for number, text in enumerate(draft.origins):
            self._put(f"{name}.origins.{number}", text, limit)
        if draft.blocks:
            self._put(f"{name}.blocks", draft.blocks, limit)

    def tidy(self, lock: Lock) -> None:
        """Removes the texts that the lock has no use for. Shards stay: another branch may need them."""
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            if (found := _OURS.fullmatch(path.name)) and not _used(lock.data.get(found[1]), found[2]):
                path.unlink()

    def files(self, name: str, locked: Locked, as_: str) -> Iterator[tuple[str, bytes]]:
        """The texts of a dataset as they lie here, by their path in the folder of a lock that calls it ``as_``."""
        for path in sorted(self._folder.glob(f"{name}.*")):
            if (found := _OURS.fullmatch(path.name)) and found[1] == name:
                yield f"{as_}{path.name.removeprefix(name)}", path.read_bytes()
        for digest in {*locked.shards, *locked.blocks, *(one for origin in locked.origins for one in origin.shards)}:
            if (path := self._shards / f"{digest}.jsonl.zst").is_file():
                yield f"{self._shards.name}/{path.name}", path.read_bytes()

    def content(self, name: str, locked: Locked) -> Iterator[Entry]:
        """The entries of a snapshot, streamed. Those that came before an error are right.

        Raises:
            IntegrityError: the text is not what the lock says, or can't be.
            NotFound: it is not here and can't be fetched: list the reference again, and see ``differing``.
        """
        lines, where = self._lines(f"{name}.content", locked.shards, locked)
        return entries(lines, where)

    def index(self, name: str, locked: Locked, folder: Path) -> Index:
        """The index of a locked dataset; what of it is not in ``folder`` is made there. Raises as ``content``."""
        snapshot = locked.snapshot
        path = content_file(folder, snapshot)
        if not sound(path):
            index_content(path, *self._lines(f"{name}.content", locked.shards, locked))
        origins = [text_id(origin.shards) for origin in locked.origins]
        with Index(folder, snapshot) as names:
            _agree(name, locked, names)
            for number, origin in enumerate(origins):
                path = origins_file(folder, snapshot, origin)
                if not sound(path):
                    shards = locked.origins[number].shards
                    index_origins(path, *self._lines(f"{name}.origins.{number}", shards, locked), names)
        blocks = text_id(locked.blocks) if locked.blocks else ""
        path = blocks_file(folder, snapshot, blocks)
        if blocks and not sound(path):
            index_blocks(path, *self._lines(f"{name}.blocks", locked.blocks, locked), snapshot)
        return Index(folder, snapshot, origins, blocks)

    def differing(self, name: str, locked: Locked, draft: Draft) -> list[str]:
        """What a new listing has otherwise than the lock: up to ten paths, none where it is the same. Where the old
        lines are nowhere to be had, between which paths it is."""
        new = {digest: shard for digest, shard in _cut(draft.content.path) if digest not in set(locked.shards)}
        gone = [digest for digest in locked.shards if digest not in set(draft.content.shards)]
        old = self._found(f"{name}.content", gone)
        if len(old) == len(gone):
            changes = diff(_entries(old[digest] for digest in gone), _entries(new.values()))
            return [f"{change} '{shown(path)}'" for change, path in islice(changes, NAMED)]
        parts = ([entry.path for entry in _entries([shard])] for shard in islice(new.values(), NAMED))
        return [f"between '{shown(paths[0])}' and '{shown(paths[-1])}'" for paths in parts] or ["paths are missing"]

    def _put(self, stem: str, text: Text, limit: int) -> None:
        plain, packed = self._places(stem)
        if text.size > min(limit, WHOLE_LIMIT):
            _set(self._shards / ".gitignore", b"*\n")
            for digest, shard in _cut(text.path):
                self._keep(digest, shard)
            plain.unlink(missing_ok=True)
            packed.unlink(missing_ok=True)
            return
        place, other = (plain, packed) if text.size < PACKED_FROM else (packed, plain)
        if not _holds(place, text):
            with replacing(place) as file:
                if place is packed:
                    pack_file(text, file)
                else:
                    file.write(text.path.read_bytes())
        other.unlink(missing_ok=True)

    def _places(self, stem: str) -> tuple[Path, Path]:
        return self._folder / f"{stem}.jsonl", self._folder / f"{stem}.jsonl.zst"

    def _lines(self, stem: str, shards: Sequence[str], locked: Locked) -> tuple[Iterator[bytes], str]:
        """A text's lines, each shard verified before its lines are handed on; and what errors call the text."""
        place = next(filter(os.path.lexists, self._places(stem)), None)
        where = f"{self._folder.name}/{place.name if place else stem}"
        lines = lines_at(place) if place else self._by_shard(where, shards, locked.shards_at)
        return verified(lines, shards, where), where

    def _by_shard(self, where: str, shards: Sequence[str], url: str | None) -> Iterator[bytes]:
        for digest in shards:
            shard = self._kept(digest)
            if shard is None:
                shard = self._fetched(where, digest, url)
            yield from lines_of(BytesIO(shard), where)

    def _fetched(self, where: str, digest: str, url: str | None) -> bytes:
        if not url or not self._fetch:
            raise NotFound(f"{where}: not committed, its shard {digest[:16]} is not here, and nothing says where it is")
        at = f"{url.rstrip('/')}/{digest}.jsonl.zst"
        shard = unpack(self._fetch(at), shown(at))
        if sha256(shard).hexdigest() != digest:
            raise IntegrityError(f"{where}: {shown(at)} is not the shard that gotdata.lock names")
        self._keep(digest, shard)
        return shard

    def _kept(self, digest: str) -> bytes | None:
        """A shard that was fetched or written before; None where it isn't here or was damaged."""
        path = self._shards / f"{digest}.jsonl.zst"
        try:
            shard = unpack(path.read_bytes(), path.name) if path.is_file() else b""
        except IntegrityError:
            return None
        return shard if sha256(shard).hexdigest() == digest else None

    def _keep(self, digest: str, shard: bytes) -> None:
        if self._kept(digest) is None:
            _set(self._shards / ".gitignore", b"*\n")
            with replacing(self._shards / f"{digest}.jsonl.zst") as file:
                file.write(pack(shard))

    def _found(self, stem: str, digests: Sequence[str]) -> dict[str, bytes]:
        """Those of the shards that are on this machine, whatever became of the others."""
        found = {digest: shard for digest in digests if (shard := self._kept(digest)) is not None}
        place = next(filter(os.path.lexists, self._places(stem)), None)
        try:
            for digest, shard in _cut(place) if place else ():
                if digest in digests:
                    found[digest] = shard
        except IntegrityError:
            pass  # it is damaged from here on, which is why we are asked
        return found


def _cut(path: Path) -> Iterator[tuple[str, bytes]]:
    return ((sha256(shard).hexdigest(), shard) for shard in cut(lines_at(path)))


def _entries(shards: Iterable[bytes]) -> Iterator[Entry]:
    return entries((line for shard in shards for line in BytesIO(shard)), FOLDER)


def _holds(place: Path, text: Text) -> bool:
    """Packed by another release of the library a text has other bytes, and is still the same."""
    try:
        for _ in verified(lines_at(place), text.shards, place.name):
            pass
    except (FileNotFoundError, IntegrityError):
        return False
    return True


def _set(path: Path, data: bytes) -> None:
    if not path.is_file() or path.read_bytes() != data:
        with replacing(path) as file:
            file.write(data)


def _used(locked: Locked | None, kind: str) -> bool:
    if locked is None:
        return False
    _, _, number = kind.partition(".")
    return int(number) < len(locked.origins) if number else kind == "content" or bool(locked.blocks)


def _agree(name: str, locked: Locked, names: Index) -> None:
    found = names.totals
    if (found.files, found.bytes, found.level) != (locked.files, locked.bytes, locked.level):
        raise IntegrityError(
            f"{name}: gotdata.lock says {locked.files} files, {locked.bytes} bytes, {locked.level}; its snapshot is "
            f"{found.files} files, {found.bytes} bytes, {found.level}: the lock was edited; restore it from git"
        )

"""A snapshot: the immutable list of files of one pin, as canonical texts. Made from listings, compared, and given
stronger identities; a million entries are never held in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain, groupby
from pathlib import Path

import msgspec

from gotdata.errors import IntegrityError, SourceError
from gotdata.model import Checksum, Kind, Level, RemoteFile
from gotdata.origin import BLOCK_HASHED
from gotdata.paths import link_target, remote_path, shown
from gotdata.snapshot_lines import (
    SIZE_LIMIT,
    Entry,
    Totals,
    block_count,
    block_lines,
    content_line,
    fault,
    identity,
    origin_line,
    sort_key,
    strong,
)
from gotdata.snapshot_sort import Row, in_order
from gotdata.snapshot_text import Text, TextWriter

MTIME = 946_684_800
"""When everything in a snapshot was modified, whatever its origin says: the start of 2000 (UTC), which every archive
format and time zone can hold."""

NAMED = 10
"""Differing lines that an error names at most."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Texts that were just made and are not in a lock yet. ``origins`` has one for each mirror (none where they stay as
    they are), ``blocks`` is there after ``hashed``."""

    content: Text
    files: int
    bytes: int
    level: Level
    origins: tuple[Text, ...] = ()
    blocks: Text | None = None

    @property
    def snapshot(self) -> str:
        return self.content.id


@dataclass(frozen=True, slots=True)
class Learned:
    """What reading a whole file told: its sha256 in hexadecimal, and the digest of each ``BLOCK_HASHED`` bytes."""

    path: str
    sha256: str
    blocks: Sequence[bytes] = ()


class Change(StrEnum):
    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"
    IDENTIFIED = "identified"
    """Same path and size, known by another kind of identity: whether the bytes changed can't be told."""


def build(namespace: str, listings: Sequence[Iterable[RemoteFile]], work: Path) -> Draft:
    """The texts of a dataset. The first listing says what it holds; the others, its mirrors, must agree.

    Args:
        namespace: of the first listing's pin.
        listings: one for each mirror, in any order of files.
        work: an empty folder; what lies in it afterwards is the draft's.

    Raises:
        SourceError: a listing can't be: a bad name or link, a file twice, a file and a folder of one name.
        IntegrityError: a mirror is not one; names up to ten differences.
    """
    rows = chain.from_iterable(_rows(number, listing) for number, listing in enumerate(listings))
    totals = Totals()
    with ExitStack() as stack:
        content = stack.enter_context(TextWriter(work / "content.jsonl"))
        origins = [stack.enter_context(TextWriter(work / f"origins.{n}.jsonl")) for n in range(len(listings))]
        for files in _standing(_agreeing(in_order(rows, work / "listing.sqlite"), len(listings))):
            entry = _entry(files[0], namespace)
            content.add(content_line(entry))
            totals.add(entry)
            if entry.kind is Kind.FILE:
                for origin, file in zip(origins, files, strict=True):
                    origin.add(origin_line(file))
    texts = tuple(origin.text for origin in origins)
    return Draft(content.text, totals.files, totals.bytes, totals.level, texts)


def hashed(content: Iterable[Entry], learned: Iterable[Learned], work: Path) -> Draft:
    """The same files with the identities that reading them gave, and their block hashes.

    Args:
        content: of the snapshot that was read.
        learned: in the order of the content; files may be left out and keep the identity that they have.
        work: an empty folder; what lies in it afterwards is the draft's.

    Raises:
        IntegrityError: a file that was read is not in the content, or is another there.
    """
    totals = Totals()
    with TextWriter(work / "content.jsonl") as text, TextWriter(work / "blocks.jsonl") as blocks:

        def rows() -> Iterator[Row]:
            for entry, found in _joined(content, learned):
                known = _stronger(entry, found) if found else entry
                text.add(content_line(known))
                totals.add(known)
                # A file of one block whose identity is its sha256 has said it all.
                if found and (known.size > BLOCK_HASHED or not known.identity.startswith("sha256:")):
                    yield known.identity.encode(), 0, b"".join(found.blocks)

        for identity, group in groupby(in_order(rows(), work / "blocks.sqlite"), key=lambda row: row[0]):
            digests = next(group)[2]
            for line in block_lines(identity.decode(), [digests[at : at + 32] for at in range(0, len(digests), 32)]):
                blocks.add(line)
    return Draft(text.text, totals.files, totals.bytes, totals.level, blocks=blocks.text)


def diff(old: Iterable[Entry], new: Iterable[Entry]) -> Iterator[tuple[Change, str]]:
    """What became of ``old``, path by path, in the order of snapshots."""
    before, after = iter(old), iter(new)
    was, now = next(before, None), next(after, None)
    while was or now:
        if now is None or (was and was.key < now.key):
            assert was
            yield Change.REMOVED, was.path
            was = next(before, None)
        elif was is None or now.key < was.key:
            yield Change.ADDED, now.path
            now = next(after, None)
        else:
            if was != now:
                yield _change(was, now), now.path
            was, now = next(before, None), next(after, None)


def _change(was: Entry, now: Entry) -> Change:
    kinds = [entry.identity.partition(":")[0] for entry in (was, now)]
    same_but_for_identity = replace(was, identity=now.identity) == now
    return Change.IDENTIFIED if same_but_for_identity and kinds[0] != kinds[1] else Change.CHANGED


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[bytes, int, Kind, str, str, tuple[Checksum, ...], bool, bytes]).decode


def _rows(number: int, listing: Iterable[RemoteFile]) -> Iterator[Row]:
    """A listing's files, judged, in the form in which they are sorted."""
    for file in listing:
        path = remote_path(file.path)
        size = file.size if file.kind is Kind.FILE else 0
        if size is None or not 0 <= size <= SIZE_LIMIT:
            raise SourceError(f"'{shown(path)}' is listed with {size} as its size: the source must ask its origin")
        target = link_target(path, file.target) if file.kind is Kind.LINK else ""
        raw = path.encode("utf-8", "surrogateescape")
        rest = target.encode("utf-8", "surrogateescape")
        try:
            data = _pack((raw, size, file.kind, file.at, file.version, file.checks, file.executable, rest))
        except UnicodeEncodeError:
            raise SourceError(f"'{shown(path)}' has a locator or version that is not text") from None
        yield sort_key(path), number, data


def _file(data: bytes) -> RemoteFile:
    path, size, kind, at, version, checks, executable, target = _unpack(data)
    text = path.decode("utf-8", "surrogateescape")
    return RemoteFile(text, size, kind, at, version, checks, executable, target.decode("utf-8", "surrogateescape"))


def _agreeing(rows: Iterable[Row], mirrors: int) -> Iterator[list[RemoteFile]]:
    """Each path as every mirror has it, the first mirror's first. Folders are the first mirror's alone: some origins
    can't hold an empty one."""
    differences: list[str] = []
    count = 0
    for _, group in groupby(rows, key=lambda row: row[0]):
        files = _by_mirror(group)
        there = [files[n] for n in sorted(files) if n == 0 or files[n].kind is not Kind.DIR]
        if not there:  # a folder that only mirrors list
            continue
        first, *others = there
        if 0 not in files or (first.kind is not Kind.DIR and len(others) < mirrors - 1):
            found = f"'{shown(first.path)}' is in {len(there)} of {mirrors} mirrors"
        else:
            found = next(filter(None, (_difference(first, other) for other in others)), "")
        if not found:
            yield there
            continue
        count += 1
        differences += [found] if count <= NAMED else []
    if differences:
        more = f", and {count - NAMED} more" if count > NAMED else ""
        raise IntegrityError(f"the mirrors hold different data: {'; '.join(differences)}{more}; list true copies only")


def _by_mirror(rows: Iterable[Row]) -> dict[int, RemoteFile]:
    files: dict[int, RemoteFile] = {}
    for _, number, data in rows:
        file = _file(data)
        if (twin := files.get(number)) and not twin.kind is file.kind is Kind.DIR:
            raise SourceError(f"'{shown(file.path)}' is listed twice; tell who publishes it")
        files[number] = file
    return files


def _difference(first: RemoteFile, other: RemoteFile) -> str:
    """What a mirror has otherwise. What they both tell of the content must agree, strong or not."""
    path = shown(first.path)
    if first.kind is not other.kind or first.target != other.target:
        return f"'{path}' is a {first.kind}{_to(first)} here and a {other.kind}{_to(other)} there"
    if first.size != other.size:
        return f"'{path}' has {first.size} bytes here and {other.size} there"
    theirs = {check.algorithm: check for check in other.checks}
    for check in first.checks:
        if theirs.get(check.algorithm, check) != check:
            return f"'{path}' is {check} here and {theirs[check.algorithm]} there"
    return ""


def _to(file: RemoteFile) -> str:
    return f" to '{shown(file.target)}'" if file.target else ""


def _standing(paths: Iterable[list[RemoteFile]]) -> Iterator[list[RemoteFile]]:
    """Leaves out folders that hold something: the paths in them say that they are there."""
    held: list[RemoteFile] = []
    for files in paths:
        if held:
            reason = fault(held[0], files[0])
            if reason and held[0].kind is not Kind.DIR:
                raise SourceError(f"{reason}: no file system can hold both; tell who publishes it")
            if not reason:
                yield held
        held = files
    if held:
        yield held


def _entry(file: RemoteFile, namespace: str) -> Entry:
    if file.kind is Kind.FILE:
        assert file.size is not None
        return Entry(file.path, Kind.FILE, file.size, identity(file, namespace), file.executable)
    return Entry(file.path, file.kind, target=file.target)


def _joined(content: Iterable[Entry], learned: Iterable[Learned]) -> Iterator[tuple[Entry, Learned | None]]:
    found = iter(learned)
    due = next(found, None)
    for entry in content:
        if due is not None and due.path == entry.path and entry.kind is Kind.FILE:
            yield entry, due
            due = next(found, None)
        else:
            yield entry, None
    if due is not None:
        raise IntegrityError(f"'{shown(due.path)}' was hashed, and is no file of the snapshot at that place")


def _stronger(entry: Entry, found: Learned) -> Entry:
    sha256 = f"sha256:{found.sha256}"
    if entry.identity.startswith("sha256:") and entry.identity != sha256:
        raise IntegrityError(f"'{shown(entry.path)}' is {sha256}, and the lock says {entry.identity}")
    if len(found.blocks) != block_count(entry.size):
        raise IntegrityError(f"'{shown(entry.path)}' has {entry.size} bytes and {len(found.blocks)} block hashes")
    return entry if strong(entry.identity) else replace(entry, identity=sha256)

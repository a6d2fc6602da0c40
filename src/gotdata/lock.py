"""gotdata.lock: what each entry of the manifest was resolved to. Committed, edited by hand, and forged by strangers:
every value is judged when it is read. docs/formats/lock.md has it to the byte."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, NoReturn

import msgspec
from msgspec import Meta, Struct

from gotdata.errors import IntegrityError, SourceError
from gotdata.model import Citation, Level, Pin, Ref
from gotdata.paths import secret, shown
from gotdata.snapshot import Draft
from gotdata.snapshot_lines import SIZE_LIMIT
from gotdata.snapshot_text import regular, replacing, text_id

VERSION = 1
NAME = "gotdata.lock"
_BYTES_LIMIT = 64 * 1024 * 1024

Hash = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
"""A sha256."""
Word = Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9._-]{0,127}\Z")]
"""The name of a dataset or a source: a file may be called so."""
Count = Annotated[int, Meta(ge=0, le=SIZE_LIMIT)]
Url = Annotated[str, Meta(pattern=r"\Ahttps?://[^\s\x00-\x20]+\Z")]


class LockedCitation(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """As ``model.Citation``."""

    creators: tuple[str, ...] = ()
    doi: str = ""
    licence: str = ""
    title: str = ""


class LockedOrigin(Struct, frozen=True, forbid_unknown_fields=True, rename={"reference": "from"}):
    """One mirror: its pin, and the shards of its origins text."""

    reference: dict[str, str]
    namespace: str
    shards: tuple[Hash, ...]
    source: Word
    version: dict[str, str]

    def __post_init__(self) -> None:
        if not self.reference.get("url"):
            raise ValueError("from: has no url")

    @property
    def ref(self) -> Ref:
        options = {name: value for name, value in self.reference.items() if name != "url"}
        return Ref(self.reference["url"], tuple(sorted(options.items())))


class Locked(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One entry.

    Attributes:
        blocks: the shards of the blocks text, none before ``lock --hash``.
        entry: ``digest`` of the manifest's entry.
        shards: of the content text; ``snapshot`` is the id of the text that they make.
        shards_at: where texts that are too long to commit are published: ``URL/HASH.jsonl.zst``.
    """

    bytes: Count
    entry: Hash
    files: Count
    level: Level
    origins: Annotated[tuple[LockedOrigin, ...], Meta(min_length=1)]
    shards: tuple[Hash, ...]
    snapshot: Hash
    blocks: tuple[Hash, ...] = ()
    citation: LockedCitation = LockedCitation()
    shards_at: Url | None = None

    def __post_init__(self) -> None:
        if text_id(self.shards) != self.snapshot:
            raise ValueError("snapshot is not the id of its shards: the lock was edited or damaged")

    @property
    def pins(self) -> tuple[Pin, ...]:
        """One for each mirror, in the order in which they are tried."""
        found = self.citation
        citation = Citation(found.title, found.creators, found.doi, found.licence)
        return tuple(Pin(one.source, one.ref, one.namespace, one.version, citation) for one in self.origins)


class Lock(Struct, frozen=True, forbid_unknown_fields=True):
    data: dict[Word, Locked] = {}
    gotdata: int = VERSION


def digest(entry: Mapping[str, Any]) -> str:
    """Of those fields of a manifest's entry which say what the data is: the sha256 of their canonical JSON."""
    return sha256(msgspec.json.encode(entry, order="sorted")).hexdigest()


def locked(entry: str, pins: Sequence[Pin], draft: Draft, shards_at: str = "") -> Locked:
    """The lock's words for a draft that ``snapshot.build`` made from these pins' listings.

    Raises:
        SourceError: a pin holds what no lock may hold: a secret, or words that are not text.
    """
    first = pins[0].citation
    found = Locked(
        bytes=draft.bytes,
        citation=LockedCitation(first.creators, first.doi, first.licence, first.title),
        entry=entry,
        files=draft.files,
        level=draft.level,
        origins=tuple(_origin(pin, text.shards) for pin, text in zip(pins, draft.origins, strict=True)),
        shards=draft.content.shards,
        shards_at=shards_at or None,
        snapshot=draft.snapshot,
    )
    try:
        msgspec.json.encode(found)
    except UnicodeEncodeError as error:
        raise SourceError(
            f"the {pins[0].source} source tells '{shown(str(error.object))}', which is not text: not locked"
        ) from None
    return found


def hashed(known: Locked, draft: Draft) -> Locked:
    """The entry with what ``snapshot.hashed`` made of its content."""
    assert draft.blocks is not None
    return msgspec.structs.replace(
        known,
        blocks=draft.blocks.shards,
        level=draft.level,
        shards=draft.content.shards,
        snapshot=draft.snapshot,
    )


def _origin(pin: Pin, shards: tuple[str, ...]) -> LockedOrigin:
    for word in (pin.ref.url, pin.namespace, *dict(pin.ref.options).values(), *pin.version.values()):
        if found := secret(word):
            raise SourceError(f"the {pin.source} source pinned something that holds a secret ({found}): not locked")
    reference = dict(pin.ref.options) | {"url": pin.ref.url}
    return LockedOrigin(reference, pin.namespace, shards, pin.source, dict(pin.version))


def read(path: Path) -> Lock:
    """The lock in a file; an empty one where there is no file. Raises IntegrityError."""
    try:
        with regular(path, str(path)) as file:
            return parse(file.read(_BYTES_LIMIT + 1), path.name)
    except FileNotFoundError:
        return Lock()
    except OSError as error:
        raise IntegrityError(f"{path}: can't be read ({error.strerror})") from None


def parse(data: bytes, where: str = NAME) -> Lock:
    """Raises IntegrityError: not a lock, from a newer version, or with a value that can't be; says where."""
    if len(data) > _BYTES_LIMIT:
        raise IntegrityError(f"{where}: longer than a lock can be")
    try:
        found = json.loads(data.decode(), object_pairs_hook=_once, parse_float=_no_number, parse_constant=_no_number)
        version = found.get("gotdata") if isinstance(found, dict) else None
        if isinstance(version, int) and version > VERSION:
            raise IntegrityError(
                f"{where}: written by a newer gotdata (format {version}, this one reads {VERSION}): upgrade gotdata"
            )
        if version is not True and version == VERSION:
            return msgspec.convert(found, Lock)
        raise ValueError("it does not begin with its format, `gotdata: 1`")
    except (ValueError, RecursionError) as error:
        cure = "restore it from git (after a merge: take one side), or remove it and run `gotdata lock`"
        raise IntegrityError(f"{where}: not a lock: {shown(str(error))}; {cure}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} stands twice")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not an integer")


_NOT_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""What JSON may hold as it is and YAML may not."""


def text(lock: Lock) -> bytes:
    """The lock as it is written: JSON, and YAML too."""
    plain = json.dumps(msgspec.to_builtins(lock), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return _NOT_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", plain).encode()


def write(path: Path, lock: Lock) -> bool:
    """Writes the lock if that changes what the file says; tells whether it did. Raises IntegrityError as ``read``."""
    if read(path) == lock:
        return False
    with replacing(path) as file:
        file.write(text(lock))
    return True

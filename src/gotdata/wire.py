"""The only place where the parts are joined: sources, credentials, store and trees, for people's commands and for the
processes of a mount."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import msgspec

from gotdata import credentials, settings
from gotdata.context import Context
from gotdata.credentials import parse
from gotdata.errors import IntegrityError, PolicyError, SourceError
from gotdata.lock import Locked
from gotdata.manifest import select
from gotdata.model import Checksum, Pin, Ref, RemoteFile, Span
from gotdata.origin import Origin
from gotdata.outcome import Known
from gotdata.paths import redact
from gotdata.report import Event, Reporter, silent
from gotdata.resolve import resolve
from gotdata.settings import Settings
from gotdata.snapshot import Draft, build
from gotdata.snapshot_index import Index
from gotdata.snapshot_text import SHARD_LIMIT, text_id
from gotdata.sources import registry
from gotdata.sources.base import Source
from gotdata.sources.file import here
from gotdata.sources.http_engine import Engine
from gotdata.store.reader import Reader
from gotdata.store.store import Store
from gotdata.tree.locked import LockedTree, Mirror


@dataclass(frozen=True, slots=True)
class _Bound:
    """A source, one mirror and one file: an ``Origin``."""

    url: str
    version: str
    checks: tuple[Checksum, ...]
    realm: str
    ranges: bool
    local: str
    start: Callable[[Span], io.RawIOBase]

    def open(self, span: Span) -> io.RawIOBase:
        return self.start(span)


class Moved:
    """A Reporter that counts what is fetched, and hands everything on."""

    def __init__(self, reporter: Reporter) -> None:
        self.bytes = 0
        self._reporter = reporter
        self._lock = threading.Lock()

    def __call__(self, event: Event, /) -> None:
        if event.kind == "fetched":
            with self._lock:
                self.bytes += event.bytes
        self._reporter(event)


class Workbench:
    """What all verbs share. Parts are made when they are first used; ``close`` ends their threads."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    @classmethod
    def open(cls, flags: Mapping[str, Any] | None = None, reporter: Reporter = silent) -> Self:
        """Raises ManifestError: a setting or a credentials file that can't be read as one."""
        found = settings.load(flags)
        held = credentials.load()
        moved = Moved(reporter)
        return cls(Context(found, held, Engine(found, held, reporter=moved), moved))

    @property
    def moved(self) -> int:
        """Bytes that came from origins since this was opened."""
        return self.ctx.reporter.bytes if isinstance(self.ctx.reporter, Moved) else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if "reader" in self.__dict__:
            self.reader.close()
        self.ctx.http.close()

    @property
    def settings(self) -> Settings:
        return self.ctx.settings

    @cached_property
    def store(self) -> Store:
        return Store.open(self.settings.store_path, self.settings, self.ctx.reporter)

    @cached_property
    def reader(self) -> Reader:
        return Reader(self.store, self.settings, self.ctx.reporter, self.ctx.clock)

    def pin(self, ref: Ref) -> Pin:
        """The exact version that a reference means now."""
        return resolve(ref, self.ctx, registry.pick)

    def source(self, pin: Pin) -> Source:
        return registry.source(pin.source)

    def realm(self, pin: Pin) -> str:
        return self.source(pin).realm(pin, self.ctx)

    def mirror(self, pin: Pin, realm: str) -> Mirror:
        """How the files of a pin become origins."""
        return _mirror(self.source(pin), pin, realm, self.ctx)

    def capture(self, refs: Sequence[Ref], patterns: Sequence[str], work: Path) -> tuple[tuple[Pin, ...], Draft]:
        """What the references, mirrors of one another, hold now. ``work`` is an empty folder for the draft's texts."""
        pins = tuple(self.pin(ref) for ref in refs)
        selects = select(patterns) if patterns else None
        draft = build(pins[0].namespace, [self._listing(pin, selects) for pin in pins], work)
        return pins, draft

    def _listing(self, pin: Pin, selects: Callable[[str], bool] | None) -> Iterator[RemoteFile]:
        files = self.source(pin).files(pin, self.ctx)
        return files if selects is None else (file for file in files if selects(file.path))

    @property
    def index_folder(self) -> Path:
        return self.store.root / "index"

    def planted(self, name: str, index: Index, pins: Sequence[Pin]) -> LockedTree:
        """The tree of a snapshot that was indexed, able to fetch."""
        mirrors = [self.mirror(pin, self.realm(pin)) for pin in pins]
        return LockedTree(name, index, mirrors, self.store, self.reader)

    def arguments(self, name: str, known: Locked, pins: Sequence[Pin]) -> dict[str, Any]:
        """What ``held`` and ``fetching`` need to make the same tree in another process. No secret."""
        return {
            "name": name,
            "index": {
                "folder": str(self.index_folder),
                "snapshot": known.snapshot,
                "origins": [text_id(origin.shards) for origin in known.origins],
                "blocks": text_id(known.blocks) if known.blocks else "",
            },
            "pins": [msgspec.to_builtins(pin) for pin in pins],
            "realms": [self.realm(pin) for pin in pins],
            "store": str(self.store.root),
        }

    def fetch(self, url: str) -> bytes:
        """A shard of a text that was too long to commit. The lock gives the folder, and may not make it a question: a
        request below a folder can only read."""
        if "?" in url or "#" in url:
            raise IntegrityError(
                f"{redact(url)} is no place for texts: `shards_at` in gotdata.lock must be a folder's URL"
            )
        return self.ctx.http.text(url, limit=SHARD_LIMIT).text.encode("utf-8", "surrogateescape")

    def hosts(self, pins: Sequence[Pin]) -> tuple[str, ...]:
        """Who would be asked for the bytes of these pins; empty where they all lie on this machine."""
        away = [pin for pin in pins if pin.source != "file" and not here(pin.ref.url, self.settings)]
        # An endpoint is S3's word: beside another reference it would only hide where that leads.
        endpoints = [pin.ref.option("endpoint") if pin.source == "s3" else "" for pin in away]
        places = [endpoint or pin.ref.url for pin, endpoint in zip(away, endpoints, strict=True)]
        return tuple(dict.fromkeys(map(host, places)))

    def sources(self) -> list[Known]:
        """What this install can read, and the command for what it can't yet."""
        found = []
        for name in registry.registry():
            try:
                found.append(Known(name, registry.source(name).schemes, ""))
            except SourceError:
                found.append(Known(name, (), registry.remedy(name)))
        return found


def host(place: str) -> str:
    """Who is asked for a URL, whatever stands before it (``invenio:https://…``): read as it will be sent."""
    return parse(f"https://{place.partition('//')[2]}").netloc or ""


def _mirror(source: Source, pin: Pin, realm: str, ctx: Context) -> Mirror:
    lies_here = here(pin.ref.url, ctx.settings)

    def origin(file: RemoteFile) -> Origin:
        local = str(lies_here / file.path) if lies_here else source.local(pin, file)
        return _Bound(
            source.url(pin, file),
            file.version,
            file.checks,
            realm,
            source.powers.ranges,
            local,
            lambda span: source.read(pin, file, span, ctx),
        )

    return origin


def held(*, name: str, index: Any, pins: Sequence[Any], realms: Sequence[str], store: str) -> LockedTree:
    """The tree in the process that answers the kernel: what the store holds. No network and no credentials."""
    found = settings.load({"store": store})
    nobody = credentials.Credentials()
    bench = Workbench(Context(found, nobody, Engine(found, nobody)))
    return _rebuilt(bench, name, index, pins, realms, fetching=False)


def fetching(*, name: str, index: Any, pins: Sequence[Any], realms: Sequence[str], store: str) -> LockedTree:
    """The tree in a worker process, which fetches for the former.

    Raises:
        PolicyError: the credentials are no longer those with which the mount was made.
    """
    bench = Workbench.open({"store": store})
    tree = _rebuilt(bench, name, index, pins, realms, fetching=True)
    for pin, realm in zip(msgspec.convert(pins, list[Pin]), realms, strict=True):
        if bench.realm(pin) != realm:
            raise PolicyError(f"{name}: the credentials for {pin.ref} changed; run `gotdata up` again")
    return tree


def _rebuilt(
    bench: Workbench, name: str, index: Any, pins: Sequence[Any], realms: Sequence[str], fetching: bool
) -> LockedTree:
    mirrors = [bench.mirror(pin, realm) for pin, realm in zip(msgspec.convert(pins, list[Pin]), realms, strict=True)]
    names = Index(Path(index["folder"]), index["snapshot"], index["origins"], index["blocks"])
    return LockedTree(name, names, mirrors, bench.store, bench.reader if fetching else None, ahead=fetching)

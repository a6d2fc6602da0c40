"""Sources, credentials, store and trees joined, as far as the processes of a mount need them: these start while someone
waits, so nothing that only a command uses is imported here."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self, cast

import msgspec

from gotdata import credentials, settings
from gotdata.context import Context
from gotdata.errors import PolicyError
from gotdata.model import Pin, RemoteFile
from gotdata.origin import Bound, Origin, Wanted
from gotdata.reach import ANYWHERE, Reach
from gotdata.report import Event, Reporter, silent
from gotdata.settings import Settings
from gotdata.snapshot_index import Index
from gotdata.sources import registry
from gotdata.sources.base import Duplicated, Source
from gotdata.sources.file import admitted, here
from gotdata.sources.http_engine import Engine
from gotdata.store.base import Held
from gotdata.store.reader import Reader
from gotdata.store.store import Store
from gotdata.tree.locked import LockedTree, Mirror

_ANYWHERE = msgspec.to_builtins(ANYWHERE)


class _Cache:
    """As ``context.Cache``. Its reader is one of its own: who waits for a file to be unpacked holds a thread of the
    other."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def whole(self, wanted: Wanted) -> Held:
        return self._bench.archives.whole(wanted)

    def peek(self, wanted: Wanted) -> Held | None:
        return self._bench.store.peek(wanted)


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


class Bench:
    """What every process shares. Parts are made when they are first used; ``close`` ends their threads."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = replace(ctx, cache=_Cache(self))

    @classmethod
    def open(cls, flags: Mapping[str, Any] | None = None, reporter: Reporter = silent, reach: Reach = ANYWHERE) -> Self:
        """Raises ManifestError: a setting or a credentials file that can't be read as one."""
        found = settings.load(flags)
        held = credentials.load(service=not reach.anywhere)
        moved = Moved(reporter)
        return cls(Context(found, held, Engine(found, held, reporter=moved, reach=reach), moved, reach=reach))

    @property
    def moved(self) -> int:
        """Bytes that came from origins since this was opened."""
        return self.ctx.reporter.bytes if isinstance(self.ctx.reporter, Moved) else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for reader in ("reader", "archives"):
            if reader in self.__dict__:
                self.__dict__[reader].close()
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

    @cached_property
    def archives(self) -> Reader:
        return Reader(self.store, self.settings, self.ctx.reporter, self.ctx.clock)

    def source(self, pin: Pin) -> Source:
        return registry.source(pin.source)

    def realm(self, pin: Pin) -> str:
        return self.source(pin).realm(pin, self.ctx)

    def mirror(self, pin: Pin, realm: str) -> Mirror:
        """How the files of a pin become origins."""
        return _mirror(self.source(pin), pin, realm, self.ctx)

    def mirrors(self, pins: Sequence[Pin], realms: Sequence[str]) -> list[Mirror]:
        """The same of pins that hold the same. Who waits for one of them until it answers never gets to the next: the
        last is tried as often as the setting says, those before it twice."""
        brisk = replace(self.ctx, http=self.ctx.http.trying_again(1))
        last = len(pins) - 1
        return [
            _mirror(self.source(pin), pin, realm, self.ctx if at == last else brisk)
            for at, (pin, realm) in enumerate(zip(pins, realms, strict=True))
        ]


def _mirror(source: Source, pin: Pin, realm: str, ctx: Context) -> Mirror:
    # Where an archive lies, its members don't.
    lies_here = here(pin.ref.url, ctx.settings, ctx.reach) if source.powers.placed else None

    def origins(file: RemoteFile) -> Sequence[Origin]:
        local = str(lies_here / file.path) if lies_here else source.local(pin, file)
        first = Bound(
            source.url(pin, file),
            file.version,
            file.checks,
            realm,
            source.powers.ranges,
            admitted(local, ctx.reach) if local else "",
            lambda span: source.read(pin, file, span, ctx),
        )
        if not source.powers.duplicates:
            return (first,)
        others = cast(Duplicated, source)
        return (first, *(_duplicate(url, others, first, pin, file, ctx) for url in others.duplicates(pin, file)))

    return origins


def _duplicate(url: str, source: Duplicated, first: Bound, pin: Pin, file: RemoteFile, ctx: Context) -> Origin:
    return replace(first, url=url, version="", local="", start=lambda span: source.read_at(url, pin, file, span, ctx))


def held(
    *, name: str, index: Any, pins: Sequence[Any], realms: Sequence[str], store: str, reach: Any = _ANYWHERE
) -> LockedTree:
    """The tree in the process that answers the kernel: what the store holds. No network and no credentials."""
    found = settings.load({"store": store})
    nobody = credentials.Credentials()
    bench = Bench(Context(found, nobody, Engine(found, nobody), reach=msgspec.convert(reach, Reach)))
    return _rebuilt(bench, name, index, pins, realms, fetching=False)


def fetching(
    *,
    name: str,
    index: Any,
    pins: Sequence[Any],
    realms: Sequence[str],
    store: str,
    reach: Any = _ANYWHERE,
    reporter: Reporter = silent,
) -> LockedTree:
    """The tree in a worker process, which fetches for the former. What is found wrong in the background is reported.

    Raises:
        PolicyError: the credentials are no longer those with which the mount was made.
    """
    bench = Bench.open({"store": store}, reporter, msgspec.convert(reach, Reach))
    tree = _rebuilt(bench, name, index, pins, realms, fetching=True)
    for pin, realm in zip(msgspec.convert(pins, list[Pin]), realms, strict=True):
        if bench.realm(pin) != realm:
            raise PolicyError(f"{name}: the credentials for {pin.ref} changed; run `gotdata up` again")
    return tree


def _rebuilt(
    bench: Bench, name: str, index: Any, pins: Sequence[Any], realms: Sequence[str], fetching: bool
) -> LockedTree:
    mirrors = bench.mirrors(msgspec.convert(pins, list[Pin]), realms)
    names = Index(Path(index["folder"]), index["snapshot"], index["origins"], index["blocks"])
    return LockedTree(name, names, mirrors, bench.store, bench.reader if fetching else None, ahead=fetching)

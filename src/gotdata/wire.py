"""The only place where the parts are joined for people's commands; ``wire_trees`` has what the processes of a mount
need of it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from gotdata.context import Context
from gotdata.credentials import PUBLIC, Credential, Credentials, parse
from gotdata.credentials.held import date
from gotdata.credentials.urls import spelt
from gotdata.errors import IntegrityError, PolicyError, SourceError, SourceUnavailable
from gotdata.lock import Locked
from gotdata.manifest import select
from gotdata.model import Pin, Ref, RemoteFile
from gotdata.outcome import Known
from gotdata.paths import redact
from gotdata.report import Event
from gotdata.resolve import resolve
from gotdata.snapshot import Draft, build
from gotdata.snapshot_index import Index
from gotdata.snapshot_text import SHARD_LIMIT, text_id
from gotdata.sources import registry
from gotdata.sources.file import here
from gotdata.tree.locked import LockedTree
from gotdata.wire_trees import Bench

LASTING = 24 * 3600
"""Seconds that a mount is taken to be up: a credential that ends before is warned of."""


class _Silent(Exception):
    """A mirror that stopped answering while it was listed."""

    def __init__(self, pin: Pin, error: SourceUnavailable) -> None:
        super().__init__(str(error))
        self.pin, self.error = pin, error


@contextmanager
def _leading(refs: Sequence[Ref]) -> Iterator[None]:
    """Errors of the first mirror say why none of the others is taken in its stead."""
    try:
        yield
    except SourceUnavailable as error:
        if len(refs) == 1:
            raise
        text = "the first of the mirrors says what the data is, and must answer: another can be put first in the list"
        raise SourceUnavailable(f"{error}; {text}", error.retry_after) from error


class Workbench(Bench):
    """What all verbs share."""

    def pin(self, ref: Ref) -> Pin:
        """The exact version that a reference means now."""
        return resolve(ref, self.ctx, registry.pick)

    def capture(self, refs: Sequence[Ref], patterns: Sequence[str], work: Path) -> tuple[tuple[Pin, ...], Draft]:
        """What the references, mirrors of one another, hold now. The first says what the data is. Of the others, those
        that can't be reached are left out, and that is told: who was not compared is no mirror yet.

        Args:
            work: an empty folder for the draft's texts.
        """
        with _leading(refs):
            first = self.pin(refs[0])
        others = [pin for ref in refs[1:] if (pin := self._reached(ref)) is not None]
        selects = select(patterns) if patterns else None
        for attempt in count():
            folder = work / str(attempt)
            folder.mkdir()
            listings = [self._listing(first, selects), *(self._mirrored(pin, selects) for pin in others)]
            try:
                with _leading(refs):
                    return (first, *others), build(first.namespace, listings, folder)
            except _Silent as silent:
                others.remove(silent.pin)
                self._left_out(silent.pin.ref, silent.error)
        raise AssertionError("endless")

    def _reached(self, ref: Ref) -> Pin | None:
        try:
            return self.pin(ref)
        except SourceUnavailable as error:
            self._left_out(ref, error)
            return None

    def _left_out(self, ref: Ref, error: SourceUnavailable) -> None:
        text = f"the mirror {redact(ref.url)} is left out of the lock until `gotdata lock --update`: {error}"
        self.ctx.reporter(Event("warning", text=text))

    def _listing(self, pin: Pin, selects: Callable[[str], bool] | None) -> Iterator[RemoteFile]:
        files = self.source(pin).files(pin, self.ctx)
        return files if selects is None else (file for file in files if selects(file.path))

    def _mirrored(self, pin: Pin, selects: Callable[[str], bool] | None) -> Iterator[RemoteFile]:
        try:
            yield from self._listing(pin, selects)
        except SourceUnavailable as error:
            raise _Silent(pin, error) from error

    def index_folder(self, pins: Sequence[Pin]) -> Path:
        """What is behind keys is kept apart by them: else the id of a snapshot, in a stranger's lock, would show its
        names."""
        folder = self.store.root / "index"
        private = {self.realm(pin) for pin in pins} - {PUBLIC}
        return folder / hashlib.sha256(" ".join(sorted(private)).encode()).hexdigest() if private else folder

    def planted(self, name: str, index: Index, pins: Sequence[Pin]) -> LockedTree:
        """The tree of a snapshot that was indexed, able to fetch."""
        mirrors = self.mirrors(pins, [self.realm(pin) for pin in pins])
        return LockedTree(name, index, mirrors, self.store, self.reader)

    def arguments(self, name: str, known: Locked, pins: Sequence[Pin]) -> dict[str, Any]:
        """What ``held`` and ``fetching`` need to make the same tree in another process. No secret. A credential that
        ends while it is up is warned of."""
        for pin in pins:
            for one in self.ending(pin):
                text = f"the credential for {spelt(one.prefix)} ends {date(one.expires or 0)}, and reads fail then"
                self.ctx.reporter(Event("warning", dataset=name, text=f"{text}: `gotdata login {spelt(one.prefix)}`"))
        return {
            "name": name,
            "index": {
                "folder": str(self.index_folder(pins)),
                "snapshot": known.snapshot,
                "origins": [text_id(origin.shards) for origin in known.origins],
                "blocks": text_id(known.blocks) if known.blocks else "",
            },
            "pins": [msgspec.to_builtins(pin) for pin in pins],
            "realms": [self.realm(pin) for pin in pins],
            "store": str(self.store.root),
        }

    def ending(self, pin: Pin) -> list[Credential]:
        """The credentials that this pin is read with and that end soon, as its source would be another's without."""
        known = self.ctx.credentials
        soon = [one for one in known if one.expires is not None and one.expires < time.time() + LASTING]
        realm = self.realm(pin)

        def without(gone: Credential) -> Context:
            return replace(self.ctx, credentials=Credentials(one for one in known if one is not gone))

        return [one for one in soon if self.source(pin).realm(pin, without(one)) != realm]

    def fetch(self, url: str) -> bytes:
        """A shard of a text that was too long to commit. The lock gives the folder, and may not make it a question: a
        request below a folder can only read. Of a stranger's lock it is asked without keys."""
        if "?" in url or "#" in url:
            raise IntegrityError(
                f"{redact(url)} is no place for texts: `shards_at` in gotdata.lock must be a folder's URL"
            )
        if not self.ctx.reach.anywhere and self.ctx.credentials.find(url):
            raise PolicyError(
                f"{redact(url)} needs a key, which is not shown for a lock's texts: hand them over with it"
            )
        return self.ctx.http.text(url, limit=SHARD_LIMIT).text.encode("utf-8", "surrogateescape")

    def hosts(self, pins: Sequence[Pin]) -> tuple[str, ...]:
        """Who would be asked for the bytes of these pins; empty where they all lie on this machine."""
        away = [pin for pin in pins if _asks(pin) != "file" and not here(pin.ref.url, self.settings, self.ctx.reach)]
        # An endpoint is S3's word: beside another reference it would only hide where that leads.
        endpoints = [pin.ref.option("endpoint") if _asks(pin) == "s3" else "" for pin in away]
        places = [endpoint or pin.ref.url for pin, endpoint in zip(away, endpoints, strict=True)]
        places += [value for pin in away for name, value in pin.ref.options if name.startswith("place-")]
        places += [url for pin in away for url in pin.version.get("duplicates", "").split()]
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


def _asks(pin: Pin) -> str:
    """The source that asks for the bytes: of an archive, the one that it comes from."""
    return pin.version.get("source", "") if pin.source == "archive" else pin.source


def host(place: str) -> str:
    """Who is asked for a URL, whatever stands before it (``invenio:https://…``): read as it will be sent."""
    return parse(f"https://{place.partition('//')[2]}").netloc or ""

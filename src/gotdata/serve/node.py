"""The data of one machine: volumes by name, each a view of a mount that all who want the same tree share."""

from __future__ import annotations

import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from gotdata import policy
from gotdata.errors import DeliveryError, GotdataError, IntegrityError, ManifestError
from gotdata.fuse.log import Log
from gotdata.fuse.spec import Spec
from gotdata.paths import redact, remote_path
from gotdata.policy import Grant, Who
from gotdata.serve import scratch
from gotdata.serve.base import Volume
from gotdata.serve.budget import Budget
from gotdata.serve.mounts import FETCHES, OPENS, Mounts
from gotdata.serve.options import Asked, check_name, handed, judged
from gotdata.serve.order import Found, Order, Places, Prepare
from gotdata.serve.records import Hold, Record, Records
from gotdata.serve.sight import is_seen
from gotdata.settings import Settings

if sys.platform != "linux":
    raise ImportError("gotdata.serve needs Linux")


Rules = Callable[[policy.Asked], Grant]
"""What the operator's policy says now. Raises PolicyError."""

_STARTING = 600.0
"""Seconds from a mount to the container that it is for: until then nobody else can see it."""


class LocalNode:
    """Fulfils ``base.Node``. What it knows lies in files, what stands is asked of the kernel and the keeper: so it may
    be killed at any moment."""

    def __init__(self, places: Places, settings: Settings, rules: Rules, prepare: Prepare, log: Log) -> None:
        self._places, self._settings, self._rules, self._prepare, self._log = places, settings, rules, prepare, log
        self._records = Records(places)
        self._names: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)
        self._table = threading.Lock()
        self._held = {hold.key: hold for hold in self._records.holds()}

    def begin(self, mounts: Mounts) -> None:
        """Takes over what an earlier daemon left."""
        self._mounts = mounts
        self._budget = Budget(self._places.state / "budget.json", mounts.tally)
        self._records.tidy()
        scratch.sweep(self._places.scratch)
        mounts.begin()
        threading.Thread(target=self._refresh_all, name="refresh", daemon=True).start()

    def _refresh_all(self) -> None:
        """Credentials may be others since the daemon ran last, and the store may be another. No origin is asked."""
        for record in self._records.volumes():
            try:
                self._refresh(record)
            except Exception as error:
                self._log(f"volume {record.name}: {error}")

    def _refresh(self, record: Record) -> Record:
        """What its mounts are made of, found anew from what was locked."""
        with self._alone(record.name):
            if not self._records.known(record.name):
                return record
            manifest = record.options.get("manifest", "")
            grant = self.judge(_who(record), record.found.urls, manifest, record.root, record.scratch)
            found = self._prepare(self._order(record.name, grant))
            fresh = replace(record, found=found)
            if fresh != record:
                self._records.keep(fresh)
            return fresh

    def held(self, key: str) -> bool:
        return key in self._held

    def count(self) -> None:
        """Holds mounts to what their rules allow in a day."""
        with self._table:
            limited = [(hold.key, hold.rule, hold.bytes_a_day) for hold in self._held.values() if hold.bytes_a_day]
        if limited:
            self._budget.count(limited)

    def create(
        self,
        name: str,
        options: Mapping[str, str],
        who: Who,
        files: Mapping[str, bytes] | None = None,
        root: str = "",
    ) -> Volume:
        """As ``base.Node``. ``files``: the repository that a user hands over in place of ``from`` and ``manifest``, and
        ``root`` the folder where they want it."""
        check_name(name)
        digest = _digest(options, files or {})
        with self._logged(f"volume {name} for {who}"), self._alone(name):
            if self._records.known(name):
                if self._records.volume(name).digest != digest:
                    raise DeliveryError(f"there is a volume '{name}' with other options; remove it, or name another")
                return self.volume(name)
            if "manifest" in options:  # before it is read: what is wrong with a file tells what is in it
                self.judge(who, (), options["manifest"], root)
            asked = judged(options) if files is None else handed(files)
            judge = partial(self.judge, who, manifest=asked.manifest, root=root, size=asked.scratch)
            grant = judge(asked.urls)
            if asked.scratch and (refusal := scratch.refusal()):
                raise DeliveryError(f"scratch={options['scratch']} can't be had: {refusal}")
            try:
                found = self._found(name, asked, grant)
                judge(found.urls)
                if options.get("files") and not found.files:
                    raise ManifestError(f"no file of {found.reference} matches files={options['files']}")
                if asked.snapshot and found.snapshot != asked.snapshot:
                    raise IntegrityError(
                        f"{found.reference} is snapshot {found.snapshot} now, and {asked.snapshot} was asked for"
                    )
                self._log(f"volume {name} for {who}: {redact(found.reference)}, snapshot {found.snapshot[:12]}")
                self._records.keep(Record(name, dict(options), asdict(who), found, asked.scratch, digest, root))
            except BaseException as error:
                self._records.forget(name)
                if isinstance(error, OSError) and not isinstance(error, GotdataError):  # A full disk, say.
                    raise DeliveryError(f"the daemon can't keep volume '{name}' on its disk: {error}") from error
                raise
        return self.volume(name)

    def _found(self, name: str, asked: Asked, grant: Grant) -> Found:
        folder = self._records.repository(name)
        folder.mkdir(parents=True, exist_ok=True)
        for path, data in asked.files.items():
            place = folder / remote_path(path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        return self._prepare(replace(self._order(name, grant), manifest=asked.manifest, dataset=asked.dataset))

    def _order(self, name: str, grant: Grant) -> Order:
        reach = msgspec.to_builtins(grant.reach)
        return Order(str(self._records.repository(name)), str(self._settings.store_path), reach)

    def judge(self, who: Who, urls: tuple[str, ...], manifest: str = "", root: str = "", size: int = 0) -> Grant:
        """What the operator's rules say now. Raises PolicyError."""
        return self._rules(policy.Asked(who, urls, "volume", root, manifest, size))

    def remove(self, name: str) -> None:
        with self._alone(name):
            self._give_back_forsaken(self._records.volume(name))
            if held := self._records.holds(name):
                raise DeliveryError(f"volume '{name}' is in use by {len(held)} containers; end them first")
            self._records.forget(name)

    def volume(self, name: str) -> Volume:
        check_name(name)
        return self._volume(self._records.volume(name))

    def volumes(self) -> list[Volume]:
        return [self._volume(record) for record in self._records.volumes()]

    def _volume(self, record: Record) -> Volume:
        found, holds = record.found, self._records.holds(record.name)
        return Volume(
            record.name,
            record.options,
            tuple(hold.holder for hold in holds),
            str(self._place(holds[-1])) if holds else "",
            {
                "snapshot": found.snapshot,
                "level": found.level,
                "files": str(found.files),
                "bytes": str(found.bytes),
                "from": redact(found.reference),
            },
        )

    def _place(self, hold: Hold) -> Path:
        return self._records.scratch(hold) / "merged" if hold.scratch else self._mounts.target(hold.key)

    @contextmanager
    def _logged(self, what: str) -> Iterator[None]:
        """Who asks reads what went wrong; so does the operator."""
        try:
            yield
        except GotdataError as error:
            self._log(f"{what}: refused: {error}")
            raise

    def mount(self, name: str, holder: str) -> Path:
        with self._logged(f"volume {name} for a holder"), self._alone(name):
            record = self._records.volume(name)
            manifest = record.options.get("manifest", "")
            grant = self.judge(_who(record), record.found.urls, manifest, record.root, record.scratch)
            key = _key(record.found, grant, bool(record.scratch))
            self._give_back_forsaken(record)
            hold = Hold(name, holder, key, bool(record.scratch), grant.name, grant.bytes_a_day)
            if self._records.hold(name, holder) not in (None, hold):
                self.unmount(name, holder)
            self._records.take(hold)
            with self._table:
                self._held[key] = hold
            try:
                lower = self._up(key, record, grant)
                self.count()
                if hold.scratch:
                    return scratch.up(lower, self._records.scratch(hold), record.scratch)
                return lower
            except BaseException:
                self._give_back(hold)
                raise

    def _up(self, key: str, record: Record, grant: Grant) -> Path:
        try:
            return self._mounts.up(key, self._spec(key, record, grant))
        except DeliveryError as error:
            self._log(f"volume {record.name}: {error}; its names are indexed again")  # the store may have been cleared
            return self._mounts.up(key, self._spec(key, self._refresh(record), grant))

    def _spec(self, key: str, record: Record, grant: Grant) -> Spec:
        found = record.found
        attributes = {"dataset": found.snapshot[:12], "snapshot": found.snapshot, "source": redact(found.reference)}
        settings = self._settings
        return Spec(
            dataset=redact(found.reference),
            log=str(self._mounts.log(key)),
            opens=OPENS,
            fetches=FETCHES,
            # The rule that allows it now need not be the one by which it was listed.
            arguments={**found.arguments, "name": found.snapshot[:12], "reach": msgspec.to_builtins(grant.reach)},
            mtime=found.mtime,
            bytes=found.bytes,
            files=found.files,
            xattrs={f"user.gotdata.{name}": value for name, value in attributes.items() if name not in grant.hide},
            writable=bool(record.scratch),
            timeout=settings.timeout,
            workers=settings.workers,
            warn_walk=settings.warn_walk,
            max_fetch=settings.max_fetch,
        )

    def unmount(self, name: str, holder: str) -> None:
        check_name(name)
        with self._alone(name):
            hold = self._records.hold(name, holder)
            if hold:
                self._give_back(hold)

    def _give_back_forsaken(self, record: Record) -> None:
        """What an engine that was killed has left: no container has it any more, and nobody will say so."""
        if record.root:
            return  # It stands in a folder of this machine.
        for hold in self._records.holds(record.name):
            if self._records.age(hold) >= _STARTING and not is_seen(self._place(hold)):
                self._log(f"volume {record.name}: no container has it any more, and its engine did not say so")
                self._give_back(hold)

    def _give_back(self, hold: Hold) -> None:
        if hold.scratch:
            scratch.down(self._records.scratch(hold))
        self._records.drop(hold)
        with self._table:
            self._held = {other.key: other for other in self._records.holds()}
        self._mounts.release(hold.key)

    def _alone(self, name: str) -> threading.RLock:
        with self._table:
            return self._names[name]


def _who(record: Record) -> Who:
    return msgspec.convert(record.who, Who)


def _digest(options: Mapping[str, str], files: Mapping[str, bytes]) -> str:
    told = [sorted(options.items()), sorted((path, sha256(data).hexdigest()) for path, data in files.items())]
    return sha256(msgspec.json.encode(told)).hexdigest()


def _key(found: Found, grant: Grant, writable: bool) -> str:
    """Who may share a mount: the same bytes by the same way, showing the same."""
    counted = grant.name if grant.bytes_a_day else ""
    told: Any = [{**found.arguments, "name": "", "reach": grant.reach}, sorted(grant.hide), counted, writable]
    return sha256(msgspec.json.encode(told, order="sorted")).hexdigest()[:32]

"""The verbs on a repository: manifest, lock and what appears, joined."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from hashlib import sha256
from ipaddress import ip_address
from itertools import islice
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec

from gotdata import lock as locks
from gotdata import manifest as manifests
from gotdata.deliver.base import Delivery, Job, Receipt, Receipts, check_free, state_folder
from gotdata.deliver.copy import Copy
from gotdata.deliver.mount import Mount
from gotdata.errors import DeliveryError, IntegrityError, ManifestError, NotFound, ResolveError
from gotdata.hint import hint
from gotdata.lock_texts import FOLDER, Texts
from gotdata.manifest import Dataset, Manifest
from gotdata.model import Level, Node, Pin, Ref
from gotdata.outcome import Changes, Delivered, Drift, Fetched, Locked, Plan, State, Status, Verified
from gotdata.paths import clashes, redact, shown, target, unportable
from gotdata.report import Event, Reporter, silent
from gotdata.snapshot import Change, Draft, diff, hashed
from gotdata.snapshot_index import Index
from gotdata.tree.locked import LockedTree
from gotdata.verifying import learn, verify
from gotdata.wire import Workbench, host

ODD_NAMES = 5
"""Warnings of one kind about one dataset, at most."""
MOUNT = Mount()
DELIVERIES: Mapping[str, Delivery] = {"mount": MOUNT, "copy": Copy()}


class Project:
    """One repository. Verbs that change something hold its lock: two at once are one after the other."""

    def __init__(self, manifest: Manifest, bench: Workbench) -> None:
        self.manifest = manifest
        self.bench = bench
        self.ctx = bench.ctx
        # Without links, as places below it are judged.
        self._root = Path(os.path.realpath(manifest.root))
        self._receipts = Receipts(self._root)
        self._lock_path = manifest.path.with_name(locks.NAME)

    @classmethod
    def find(cls, start: Path, flags: Mapping[str, Any] | None = None, reporter: Reporter = silent) -> Self:
        """The repository that ``start`` lies in.

        Raises:
            ManifestError: it has no manifest, or one with faults; or settings that can't be.
        """
        return cls(manifests.load(manifests.find(start)), Workbench.open(flags, reporter))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.bench.close()

    # The lock

    @cached_property
    def _lock(self) -> locks.Lock:
        return locks.read(self._lock_path)

    @cached_property
    def _texts(self) -> Texts:
        return Texts(self._lock_path.with_name(FOLDER), lambda url: self.bench.fetch(url))

    def _cached(self, name: str) -> int | None:
        """How much of a dataset the store holds; None where even its list of files would have to be fetched. Reports
        ask nobody: a stranger's lock says where that list is."""
        known = self._lock.data[name]
        try:
            index = Texts(self._lock_path.with_name(FOLDER)).index(name, known, self.bench.index_folder)
        except NotFound:
            return None
        tree = self.bench.planted(name, index, self._pins(name))
        return sum(self.bench.store.cached(tree.wanted(node.id)) for _, node in index.files())

    def lock(self, names: Sequence[str] = (), update: bool = False, hash: bool = False) -> list[Locked]:
        """Pins what is new or changed in the manifest; with ``update`` everything anew, with ``hash`` by reading it."""
        chosen = self._chosen(names)
        with self._alone():
            done = [self._locked(dataset, update) for dataset in chosen]
            if hash:
                done = [self._hashed(dataset.name, one) for dataset, one in zip(chosen, done, strict=True)]
            if not names:
                orphans = self._lock.data.keys() - self.manifest.data.keys()
                done += [self._outcome(name, "removed", self._lock.data[name]) for name in sorted(orphans)]
                self._write_lock({name: self._lock.data[name] for name in self._lock.data if name not in orphans})
            self._texts.tidy(self._lock)
        return done

    def _locked(self, dataset: Dataset, update: bool) -> Locked:
        old = self._lock.data.get(dataset.name)
        if old and not update and old.entry == _digest(dataset):
            return self._outcome(dataset.name, "same", old)
        self._say("step", dataset.name, f"locking {dataset.name}")
        with tempfile.TemporaryDirectory(prefix="gotdata-") as work:
            pins, draft = self._capture(dataset, Path(work))
            new = locks.locked(_digest(dataset), pins, draft, self.ctx.settings.shards_url)
            if old and old.snapshot == new.snapshot and old.origins == new.origins:
                new = msgspec.structs.replace(new, blocks=old.blocks)
            self._keep(dataset.name, new, draft)
            warnings = _odd_names(lambda: (entry.path for entry in self._texts.content(dataset.name, new)))
        change = "new" if old is None else "same" if old == new else "changed"
        return replace(self._outcome(dataset.name, change, new), warnings=warnings)

    def _capture(self, dataset: Dataset, work: Path) -> tuple[tuple[Pin, ...], Draft]:
        """What the references of an entry hold now, its pins as every machine has them."""
        if dataset.unpack:
            raise ResolveError(
                f"{dataset.name}: archives can't be unpacked yet; remove `unpack: true` to have them as files"
            )
        pins, draft = self.bench.capture([self._rooted(ref) for ref in dataset.refs], dataset.files, work)
        return tuple(replace(pin, ref=_unrooted(pin.ref)) for pin in pins), draft

    def _keep(self, name: str, entry: locks.Locked, draft: Draft) -> None:
        # The lock follows its texts at once: between the two, and nowhere else, a crash leaves them at odds.
        self._texts.put(name, draft, self.ctx.settings.lock_text_limit)
        self._write_lock({**self._lock.data, name: entry})

    def _write_lock(self, data: dict[str, locks.Locked]) -> None:
        self._lock = locks.Lock(data)
        locks.write(self._lock_path, self._lock)

    def _hashed(self, name: str, before: Locked) -> Locked:
        """Reads every file of a dataset, and locks what that told."""
        known = self._lock.data[name]
        tree, index = self._tree(name)
        self._say("plan", name, "hashing", bytes=known.bytes, files=known.files)
        with tempfile.TemporaryDirectory(prefix="gotdata-") as work:
            files = ((path, self.bench.reader.whole(tree.wanted(node.id))) for path, node in index.files())
            draft = hashed(self._texts.content(name, known), learn(files), Path(work))
            new = locks.hashed(known, draft)
            self._keep(name, new, draft)
        return self._outcome(name, before.change if new == known else "changed", new)

    def check(self, names: Sequence[str] = ()) -> list[Drift]:
        """Where manifest, lock and origins disagree. Asks every origin again; changes nothing."""
        found = []
        for dataset in self._chosen(names):
            known = self._lock.data.get(dataset.name)
            if known is None:
                found.append(Drift(dataset.name, "unlocked", "is not in the lock; `gotdata lock` pins it"))
            elif known.entry != _digest(dataset):
                found.append(
                    Drift(dataset.name, "manifest", "is another in gotdata.yml now; `gotdata lock` takes it up")
                )
            else:
                found += self._upstream_drift(dataset, known)
        if not names:
            orphans = sorted(self._lock.data.keys() - self.manifest.data.keys())
            found += [Drift(name, "orphan", "is in the lock only; `gotdata lock` removes it") for name in orphans]
        return found

    def _upstream_drift(self, dataset: Dataset, known: locks.Locked) -> list[Drift]:
        with tempfile.TemporaryDirectory(prefix="gotdata-") as work:
            pins, draft = self._capture(dataset, Path(work))
            now = locks.locked(known.entry, pins, draft)
            if now.origins == known.origins:
                return []
            lines = self._texts.differing(dataset.name, known, draft)
            moved = [
                f"version {dict(new.version)}, locked was {dict(old.version)}" for new, old in _moved(pins, known.pins)
            ]
        what = "; ".join([*moved, *lines]) or "the origin's words for the same files changed"
        return [Drift(dataset.name, "upstream", f"{what}; `gotdata lock --update {dataset.name}` takes it up")]

    # Trees

    def tree(self, name: str) -> LockedTree:
        """The tree of a dataset as it is locked, able to fetch. Nothing needs to be up.

        Raises:
            ManifestError: there is no such dataset.
            NotFound: it is not locked.
        """
        self._chosen([name])
        return self._tree(name)[0]

    def _tree(self, name: str) -> tuple[LockedTree, Index]:
        index = self._index(name)
        return self.bench.planted(name, index, self._pins(name)), index

    def _index(self, name: str) -> Index:
        if name not in self._lock.data:
            raise NotFound(f"{name} is not locked yet; `gotdata lock {name}` pins it")
        return self._texts.index(name, self._lock.data[name], self.bench.index_folder)

    def _pins(self, name: str) -> list[Pin]:
        return [replace(pin, ref=self._rooted(pin.ref)) for pin in self._lock.data[name].pins]

    def _rooted(self, ref: Ref) -> Ref:
        """A path that is relative to the repository, with the repository's place on this machine."""
        if not ref.url.startswith("file:") or ref.url.startswith("file:/"):
            return ref
        return replace(ref, options=(*_unrooted(ref).options, ("root", str(self._root))))

    # Deliveries

    def up(self, names: Sequence[str] = (), demand: str = "", locked: bool = False) -> list[Delivered]:
        """Locks what is new or changed, then makes everything appear.

        Raises:
            IntegrityError: ``locked``, and something is new or changed.
            DeliveryError: a target is taken, or no delivery is possible.
        """
        chosen = self._chosen(names)
        with self._alone():
            known = self._lock.data
            stale = [one for one in chosen if one.name not in known or known[one.name].entry != _digest(one)]
            if stale and locked:
                listed = ", ".join(one.name for one in stale)
                raise IntegrityError(f"gotdata.lock does not cover {listed} as gotdata.yml has it; run `gotdata lock`")
            for dataset in stale:
                for warning in self._locked(dataset, update=False).warnings:
                    self._say("warning", dataset.name, f"{dataset.name}: {warning}")
            return [self._up(dataset, demand) for dataset in chosen]

    def _up(self, dataset: Dataset, demand: str) -> Delivered:
        began, moved = time.monotonic(), self.bench.moved
        name, known = dataset.name, self._lock.data[dataset.name]
        arguments = self.bench.arguments(name, known, self._pins(name))
        tree, index = self._tree(name)
        receipt = self._receipts.all().get(name)
        wish = demand or ("" if dataset.as_ == "auto" else dataset.as_)
        made_of = sha256(msgspec.json.encode(arguments, order="sorted")).hexdigest()
        change, why = "same", "it is up already"
        place = target(self._root, dataset.to)
        moves = not receipt or self._root / receipt.target != place
        if not receipt or moves or not self._stands(receipt, wish, made_of):
            delivery, why = self._choose(dataset, demand)
            if moves:
                MOUNT.heal(place)
                check_free(place)
            if delivery is not MOUNT:
                self._say("plan", name, f"{delivery.name} {name}", bytes=known.bytes, files=known.files)
            job = Job(
                name=name,
                tree=tree,
                root=self._root,
                target=place,
                files=known.files,
                bytes=known.bytes,
                whole=lambda id: self.bench.reader.whole(tree.wanted(id)),
                clear=lambda: self._clear(receipt),
                serving=lambda: self._spec(name, known, arguments),
                connections=self.ctx.settings.connections,
                reporter=self.ctx.reporter,
            )
            receipt, change = replace(delivery.up(job), made_of=made_of), "up"
            self._receipts.write(receipt)
        return Delivered(
            name=name,
            to=dataset.to,
            delivery=receipt.delivery,
            why=why,
            change=change,
            snapshot=known.snapshot,
            level=known.level,
            files=known.files,
            bytes=known.bytes,
            moved=self.bench.moved - moved,
            seconds=time.monotonic() - began,
            source=f"doi:{known.citation.doi}" if known.citation.doi else redact(known.origins[0].ref.url),
            licence=known.citation.licence,
            hint=hint(dataset.to, (path for path, _ in index.files())),
        )

    def _stands(self, receipt: Receipt, wish: str, made_of: str) -> bool:
        """Whether what is up is what would be made there now."""
        if wish in DELIVERIES and wish != receipt.delivery:
            return False
        same = receipt.snapshot == self._lock.data[receipt.name].snapshot
        if receipt.delivery == "mount":
            same = same and receipt.made_of == made_of
        return same and self._delivery(receipt).state(self._root, receipt)[0] is State.UP

    def _choose(self, dataset: Dataset, demand: str) -> tuple[Delivery, str]:
        """The delivery, and why not a better one."""
        if demand and demand not in DELIVERIES:
            raise DeliveryError(
                f"{dataset.name}: `{demand}` can't be done by this gotdata; there are {', '.join(DELIVERIES)}"
            )
        wanted = demand or dataset.as_
        if wanted in DELIVERIES:
            refusal = DELIVERIES[wanted].refusal()
            if not refusal:
                return DELIVERIES[wanted], "it was asked for"
            if demand:
                raise DeliveryError(f"{dataset.name} can't appear as {demand}: {refusal}")
        if refusal := MOUNT.refusal():
            return DELIVERIES["copy"], f"no mount here: {refusal}"
        return MOUNT, "it appears at once, and bytes come as they are read"

    def _delivery(self, receipt: Receipt) -> Delivery:
        if receipt.delivery not in DELIVERIES:
            raise DeliveryError(
                f"{receipt.name} was delivered as {receipt.delivery}, by another gotdata; undo it with that one"
            )
        return DELIVERIES[receipt.delivery]

    def _clear(self, receipt: Receipt | None) -> None:
        """Makes room for a successor."""
        if receipt:
            state, _ = self._delivery(receipt).state(self._root, receipt)
            self._take_down(receipt, lazy=state is State.BROKEN)

    def _spec(self, name: str, known: locks.Locked, arguments: Mapping[str, Any]) -> Any:
        from gotdata.fuse.spec import Spec
        from gotdata.snapshot import MTIME

        log = state_folder(self._root) / "log"
        log.mkdir(exist_ok=True)
        settings = self.ctx.settings
        return Spec(
            dataset=name,
            log=str(log / f"{name}.log"),
            opens="gotdata.wire:held",
            fetches="gotdata.wire:fetching",
            arguments=arguments,
            mtime=MTIME,
            bytes=known.bytes,
            files=known.files,
            xattrs={
                "user.gotdata.dataset": name,
                "user.gotdata.snapshot": known.snapshot,
                "user.gotdata.source": known.origins[0].ref.url,
            },
            timeout=settings.timeout,
            workers=settings.workers,
            warn_walk=settings.warn_walk,
            max_fetch=settings.max_fetch,
        )

    def down(self, names: Sequence[str] = (), lazy: bool = False) -> list[str]:
        """Takes data away from its place: that of the datasets named, or all that this repository has up.

        Raises:
            DeliveryError: something is in use (unless ``lazy``), or a copy was changed by hand.
        """
        with self._alone():
            up = self._receipts.all()
            unknown = [name for name in names if name not in up and name not in self.manifest.data]
            if unknown:
                self._chosen(unknown)
            done = []
            for name in [name for name in up if not names or name in names]:
                self._take_down(up[name], lazy)
                done.append(name)
            return done

    def _take_down(self, receipt: Receipt, lazy: bool) -> None:
        self._delivery(receipt).down(self._root, receipt, lazy)
        self._receipts.forget(receipt.name)
        # Folders that others of us still lie in are theirs to remove now.
        for other in self._receipts.all().values():
            within = {str(folder) for folder in Path(other.target).parents}
            if left := [folder for folder in receipt.folders if folder in within and folder not in other.folders]:
                self._receipts.write(replace(other, folders=(*left, *other.folders)))
                return

    def fetch(self, name: str, globs: Sequence[str] = ()) -> Fetched:
        """Brings now, whole and verified, the files of a dataset, or those that match git's patterns."""
        began, moved = time.monotonic(), self.bench.moved
        self._chosen([name])
        tree, index = self._tree(name)
        selects = manifests.select(globs) if globs else lambda path: True
        chosen = [node for path, node in index.files() if selects(path)]
        if globs and not chosen:
            raise NotFound(f"{name} has no file that matches {' '.join(globs)}; `gotdata ls {name}` lists it")
        total = sum(node.size for node in chosen)
        self._say("plan", name, f"fetching {name}", bytes=total, files=len(chosen))
        with ThreadPoolExecutor(self.ctx.settings.connections) as pool:
            for _ in pool.map(lambda node: self._bring(tree, node), chosen):
                pass
        return Fetched(name, len(chosen), total, self.bench.moved - moved, time.monotonic() - began)

    def _bring(self, tree: LockedTree, node: Node) -> None:
        self.bench.reader.whole(tree.wanted(node.id)).close()
        self.ctx.reporter(Event("delivered", dataset=tree.name, path=node.name, bytes=node.size, files=1))

    # Reports

    def status(self, names: Sequence[str] = ()) -> list[Status]:
        """What is up, and how much of it is on this machine."""
        up = self._receipts.all()
        chosen = {one.name: one.to for one in self._chosen(names)}
        if not names:
            chosen |= {name: receipt.target for name, receipt in up.items() if name not in chosen}
        return [self._status(name, to, up.get(name)) for name, to in chosen.items()]

    def _status(self, name: str, to: str, receipt: Receipt | None) -> Status:
        state, why = self._delivery(receipt).state(self._root, receipt) if receipt else (State.DOWN, "")
        known = self._lock.data.get(name)
        if receipt and name not in self.manifest.data:
            why = why or "no longer in gotdata.yml; `gotdata down` takes it away"
        cached = (self._cached(name) or 0) if known else 0
        return Status(
            name=name,
            state=state,
            delivery=receipt.delivery if receipt else "",
            to=to,
            snapshot=receipt.snapshot if receipt else known.snapshot if known else "",
            level=known.level if known else "",
            files=known.files if known else 0,
            bytes=known.bytes if known else 0,
            cached_bytes=cached,
            why=why,
        )

    def plan(self, names: Sequence[str] = (), demand: str = "") -> list[Plan]:
        """What ``up`` would do. Asks the origins of what is not locked; changes nothing."""
        return [self._plan(dataset, demand) for dataset in self._chosen(names)]

    def _plan(self, dataset: Dataset, demand: str) -> Plan:
        known = self._lock.data.get(dataset.name)
        delivery, why = self._choose(dataset, demand)
        if known and known.entry == _digest(dataset):
            pins: Sequence[Pin] = self._pins(dataset.name)
            files, size, level = known.files, known.bytes, known.level
            cached = self._cached(dataset.name)
            missing = size - (cached or 0)
            listed = (host(known.shards_at),) if cached is None and known.shards_at else ()
        else:
            with tempfile.TemporaryDirectory(prefix="gotdata-") as work:
                pins, draft = self._capture(dataset, Path(work))
            files, size, level = draft.files, draft.bytes, draft.level
            missing, listed = size, ()
        lazy = delivery.name == "mount"
        hosts = tuple(dict.fromkeys((*self.bench.hosts(pins), *listed)))
        return Plan(
            name=dataset.name,
            reference=pins[0].ref.url,
            to=dataset.to,
            delivery=delivery.name,
            why=why,
            files=files,
            bytes=size,
            fetch=0 if lazy else missing,
            lazy=missing if lazy else 0,
            hosts=hosts,
            level=level,
            warnings=tuple(filter(None, (_unheld(level), *map(_inside, hosts)))),
        )

    def diff(self, rev: str = "HEAD") -> list[Changes]:
        """What of the data changed since a revision of git: the locks compared, file by file."""
        from gotdata.history import earlier

        with tempfile.TemporaryDirectory(prefix="gotdata-") as work:
            old, old_texts = earlier(self._lock_path, rev, Path(work))
            found = []
            for name in sorted(old.data.keys() | self._lock.data.keys()):
                before, after = old.data.get(name), self._lock.data.get(name)
                if before and after and before.snapshot == after.snapshot:
                    continue
                was = old_texts.content(name, before) if before else iter(())
                now = self._texts.content(name, after) if after else iter(())
                paths: dict[Change, list[str]] = {change: [] for change in Change}
                for change, path in diff(was, now):
                    paths[change].append(path)
                added, changed, removed = (paths[one] for one in (Change.ADDED, Change.CHANGED, Change.REMOVED))
                found.append(Changes(name, tuple(added), tuple(changed), tuple(removed)))
            return found

    def verify(self, names: Sequence[str] = ()) -> list[Verified]:
        """Reads again what is stored or copied, and compares it with the lock."""
        up = self._receipts.all()
        found = []
        for dataset in self._chosen(names):
            tree, index = self._tree(dataset.name)
            receipt = up.get(dataset.name)
            copied = self._root / receipt.target if receipt and receipt.delivery == "copy" else None
            found.append(verify(tree, index, self.bench.store, copied, self.ctx.reporter))
        return found

    # The rest

    def _chosen(self, names: Sequence[str]) -> list[Dataset]:
        unknown = [name for name in names if name not in self.manifest.data]
        if unknown:
            there = ", ".join(self.manifest.data) or "none yet; `gotdata add` adds one"
            raise ManifestError(f"{self.manifest.path}: no dataset {', '.join(unknown)}; there is {there}")
        return [one for one in self.manifest.data.values() if not names or one.name in names]

    def _say(self, kind: str, name: str, text: str, bytes: int = 0, files: int = 0) -> None:
        self.ctx.reporter(Event(kind, dataset=name, text=text, bytes=bytes, files=files))

    def _outcome(self, name: str, change: str, entry: locks.Locked) -> Locked:
        origin = entry.origins[0]
        return Locked(
            name, change, origin.source, redact(origin.ref.url), entry.snapshot, entry.level, entry.files, entry.bytes
        )

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Holds the repository's lock; waits for whoever has it. Reads the lock anew: they may have changed it."""
        with (state_folder(self._root) / "busy").open("a") as file:
            if sys.platform != "win32":
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX)
            self.__dict__.pop("_lock", None)
            yield


def _digest(dataset: Dataset) -> str:
    return locks.digest(manifests.entry_digest_fields(dataset))


def _odd_names(paths: Callable[[], Iterable[str]]) -> tuple[str, ...]:
    """Names that are one name, or none, on another machine: the first few."""
    found: list[str] = []
    for first, second in islice(clashes(paths()), ODD_NAMES):
        found.append(f"'{shown(first)}' and '{shown(second)}' are one name on macOS and Windows")
    odd = ((path, reason) for path in paths() if (reason := unportable(path)))
    for path, reason in islice(odd, ODD_NAMES):
        found.append(f"'{shown(path)}' can't be a name on Windows: {reason}")
    return tuple(found)


def _unrooted(ref: Ref) -> Ref:
    return replace(ref, options=tuple(option for option in ref.options if option[0] != "root"))


def _unheld(level: str) -> str:
    return "" if level != Level.UNVERIFIED else "its origin gives nothing to hold the bytes to but their number"


def _inside(host: str) -> str:
    """A manifest from a stranger may name a machine that only we can reach."""
    name = urlsplit(f"//{host}").hostname or ""
    try:
        private = not ip_address(name).is_global
    except ValueError:
        private = name == "localhost" or "." not in name or name.endswith((".local", ".internal"))
    return f"{host} is this machine or one of its own network: be sure that you want to ask it" if private else ""


def _moved(new: Sequence[Pin], old: Sequence[Pin]) -> list[tuple[Pin, Pin]]:
    return [(one, other) for one, other in zip(new, old, strict=False) if one.version != other.version]

"""The verbs on a repository that make its data appear, and say how it stands."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from gotdata import lock as locks
from gotdata import manifest as manifests
from gotdata.choice import BAKE, COPY, LAZY, MOUNT, Choice
from gotdata.deliver.bake import check_room, settled
from gotdata.deliver.base import Delivery, Job, Receipt, Receipts, check_free, state_folder
from gotdata.deliver.copy import Copy
from gotdata.errors import DeliveryError, GotdataError, IntegrityError, NotFound, StoreError
from gotdata.hint import hint
from gotdata.history import is_ignored
from gotdata.lock_texts import FOLDER
from gotdata.manifest import Dataset, Manifest
from gotdata.model import Level, Node, Pin
from gotdata.outcome import Delivered, Fetched, Plan, State, Status, Verified
from gotdata.paths import redact, target
from gotdata.report import Event
from gotdata.repository import Repository, digest
from gotdata.run.use import forget, used
from gotdata.serve.order import DATASET
from gotdata.sources.file import here
from gotdata.tree.locked import LockedTree
from gotdata.verifying import verify
from gotdata.wire import Workbench, host


class Project(Repository):
    """A repository, and what of it has appeared."""

    def __init__(self, manifest: Manifest, bench: Workbench) -> None:
        super().__init__(manifest, bench)
        self._receipts = Receipts(self._root)
        self._choice = Choice(Path(self.ctx.settings.daemon))

    # Deliveries

    def up(self, names: Sequence[str] = (), demand: str = "", locked: bool = False) -> list[Delivered]:
        """Locks what is new or changed, then makes everything appear. One that can't does not keep the others away.

        Raises:
            IntegrityError: ``locked``, and something is new or changed.
            DeliveryError: a target is taken, or no delivery is possible.
        """
        chosen = self._chosen(names)
        self._choice.check(demand)
        done = [there for one in chosen if (there := self._baked(one, demand))]
        chosen = [one for one in chosen if one.name not in {there.name for there in done}]
        if not chosen:
            return done
        with self._alone():
            stale = self._stale(chosen)
            if stale and locked:
                raise uncovered(stale)
            failed: list[GotdataError] = []
            for dataset in chosen:
                try:
                    if dataset in stale:
                        for warning in self._locked(dataset, update=False).warnings:
                            self._say("warning", dataset.name, warning)
                    done.append(self._up(dataset, demand))
                except GotdataError as error:
                    failed.append(error)
            if failed:
                raise _together(failed, done)
            return done

    def bake(self, names: Sequence[str] = ()) -> list[Delivered]:
        """Puts a verified copy into the image that is being built: of the datasets named, or of those that wish it. A
        build never locks, so that it has the same bytes each time.

        Raises:
            IntegrityError: something is not locked.
            DeliveryError: a target is taken, it is more than ``bake_max_size``, or than the disk holds.
        """
        chosen = [one for one in self._chosen(names) if names or one.as_ == BAKE.name]
        if stale := self._stale(chosen):
            raise uncovered(stale)
        done = [there for one in chosen if (there := self._baked(one, BAKE.name))]
        chosen = [one for one in chosen if one.name not in {there.name for there in done}]
        sizes = {one.name: self._lock.data[one.name].bytes for one in chosen}
        check_room(sizes, self._root, self.bench.store.root, self.ctx.settings.bake_max_size)
        places = [target(self._root, one.to) for one in chosen]
        with settled(self._root, places, self._lock_path.with_name(FOLDER)), self._alone():
            return [*done, *(self._up(one, BAKE.name, BAKE) for one in chosen)]

    def easy_first(self) -> list[str]:
        """All datasets: those that came with the image, small before large; those that no origin knows yet are last."""
        stale = self._stale([*self.manifest.data.values()])
        receipts = self._receipts.all()

        def effort(dataset: Dataset) -> tuple[bool, bool, int]:
            known, receipt = self._lock.data.get(dataset.name), receipts.get(dataset.name)
            here = bool(receipt and receipt.delivery == BAKE.name)
            return dataset in stale, not here, known.bytes if known else 0

        return [one.name for one in sorted(self.manifest.data.values(), key=effort)]

    def only_copied(self, files: int) -> list[str]:
        """The datasets that `up` could only copy, because nothing can be mounted, of at most so many files in all;
        those whose list of files is here."""
        found, receipts = [], self._receipts.all()
        for dataset in self.manifest.data.values():
            receipt = receipts.get(dataset.name)
            if dataset.as_ == COPY.name or self._stale([dataset]) or (receipt and not receipt.run):
                continue
            files -= self._lock.data[dataset.name].files
            if files >= 0 and self._best(dataset, "")[0] is COPY and self._cached(dataset.name) is not None:
                found.append(dataset.name)
        return found

    def _stale(self, chosen: Sequence[Dataset]) -> list[Dataset]:
        """Those that the lock does not cover."""
        known = self._lock.data
        return [one for one in chosen if one.name not in known or known[one.name].entry != digest(one)]

    def _baked(self, dataset: Dataset, demand: str) -> Delivered | None:
        """What came with the image: it needs no origin, no store, and no place to write."""
        began = time.monotonic()
        receipt = self._receipts.all().get(dataset.name)
        if not receipt or receipt.delivery != BAKE.name or demand not in ("", BAKE.name) or self._stale([dataset]):
            return None
        place = target(self._root, dataset.to)
        if self._root / receipt.target != place or not self._stands(receipt, dataset, demand, ""):
            return None
        paths = (str(path.relative_to(place)) for path in place.rglob("*"))
        return self._delivered(dataset, receipt, "same", "it came with the image", paths, 0, began)

    def _up(self, dataset: Dataset, demand: str, by: Delivery | None = None) -> Delivered:
        began, moved = time.monotonic(), self.bench.moved
        name, known = dataset.name, self._lock.data[dataset.name]
        arguments = self.bench.arguments(name, known, self._pins(name))
        index = self._index(name)
        receipt = self._receipts.all().get(name)
        made_of = sha256(msgspec.json.encode(arguments, order="sorted")).hexdigest()
        change, why = "same", "it is up already"
        place = target(self._root, dataset.to)
        moves = not receipt or self._root / receipt.target != place
        if not receipt or moves or not self._stands(receipt, dataset, demand, made_of):
            delivery, why = (by, "it was asked for") if by else self._best(dataset, demand)
            if moves:
                MOUNT.heal(place)
                check_free(place)
            if delivery.name not in LAZY:
                self._say("plan", name, f"{delivery.name} {name}", bytes=known.bytes, files=known.files)
            job = self._job(dataset, receipt)
            receipt, change = replace(delivery.up(job), made_of=made_of if delivery.name in LAZY else ""), "up"
            self._receipts.write(receipt)
            if not is_ignored(self._root, dataset.to):
                line = f"/{dataset.to}"
                self._say("warning", name, f"git would take the data in; put the line {line} into .gitignore")
        paths = (path for path, _ in index.files())
        return self._delivered(dataset, receipt, change, why, paths, self.bench.moved - moved, began)

    def _job(self, dataset: Dataset, receipt: Receipt | None) -> Job:
        """What a delivery is told of a dataset, which ``receipt`` says was delivered before."""
        name, known = dataset.name, self._lock.data[dataset.name]
        tree, _ = self._tree(name)
        arguments = {
            **self.bench.arguments(name, known, self._pins(name)),
            "reach": msgspec.to_builtins(self.ctx.reach),
        }
        return Job(
            name=name,
            tree=tree,
            root=self._root,
            target=target(self._root, dataset.to),
            files=known.files,
            bytes=known.bytes,
            whole=lambda id: self.bench.reader.whole(tree.wanted(id)),
            clear=lambda: self._clear(receipt),
            serving=lambda: self._spec(name, known, arguments),
            alone=lambda: self.alone(name, DATASET),
            connections=self.ctx.settings.connections,
            reporter=self.ctx.reporter,
        )

    def _delivered(
        self,
        dataset: Dataset,
        receipt: Receipt,
        change: str,
        why: str,
        paths: Iterable[str],
        moved: int,
        began: float,
    ) -> Delivered:
        known = self._lock.data[dataset.name]
        return Delivered(
            name=dataset.name,
            to=dataset.to,
            delivery=receipt.delivery,
            why=why,
            change=change,
            snapshot=known.snapshot,
            level=self._level(known),
            files=known.files,
            bytes=known.bytes,
            moved=moved,
            seconds=time.monotonic() - began,
            source=f"doi:{known.citation.doi}" if known.citation.doi else redact(known.origins[0].ref.url),
            licence=known.citation.licence,
            hint=hint(dataset.to, paths),
        )

    def _level(self, known: locks.Locked) -> str:
        """How far the bytes can be held to the lock on this machine: of files that lie here in place of their origin,
        its versions and ETags tell nothing."""
        lies_here = any(here(pin.ref.url, self.ctx.settings, self.ctx.reach) for pin in known.pins)
        return Level.UNVERIFIED if lies_here and known.level is Level.BOUND else known.level

    def _stands(self, receipt: Receipt, dataset: Dataset, demand: str, made_of: str) -> bool:
        """Whether what is up is what would be made there now."""
        if receipt.run or not self._choice.content(receipt, dataset, demand):
            return False
        same = receipt.snapshot == self._lock.data[receipt.name].snapshot
        if receipt.delivery in LAZY:
            same = same and receipt.made_of == made_of
        return same and self._choice.of(receipt).state(self._root, receipt)[0] is State.UP

    def _best(self, dataset: Dataset, demand: str) -> tuple[Delivery, str]:
        """The delivery, and why not a better one."""
        return self._choice.best(dataset, demand, self._places(dataset), target(self._root, dataset.to))

    def _places(self, dataset: Dataset) -> list[str]:
        """Where its references lead, as they are written and as they are locked."""
        known = () if self._stale([dataset]) else self._pins(dataset.name)
        refs = [*map(self.rooted_away, dataset.refs), *(pin.ref for pin in known)]
        return [place for ref in refs for place in ref.places]

    def _clear(self, receipt: Receipt | None) -> None:
        """Makes room for a successor."""
        if receipt:
            state, _ = self._choice.of(receipt).state(self._root, receipt)
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
            opens="gotdata.wire_trees:held",
            fetches="gotdata.wire_trees:fetching",
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
        """Takes data away from its place: that of the datasets named, or all that this repository has up. What was
        baked is a part of its image, and goes only when it is named.

        Raises:
            DeliveryError: something is in use (unless ``lazy``), or a copy was changed by hand.
        """
        with self._alone():
            up = self._receipts.all()
            unknown = [name for name in names if name not in up and name not in self.manifest.data]
            if unknown:
                self._chosen(unknown)
            done = []
            chosen = names or [name for name, receipt in up.items() if receipt.delivery != BAKE.name]
            for name in [name for name in up if name in chosen]:
                # Read anew: what went before may have left its folders to this one.
                self._take_down(self._receipts.all()[name], lazy)
                done.append(name)
            return done

    def _take_down(self, receipt: Receipt, lazy: bool) -> None:
        if receipt.run and used(self._root, receipt.name) and not lazy:
            raise DeliveryError(f"{receipt.name} is in use by a `gotdata run`; end that, or `gotdata down --lazy`")
        self._choice.of(receipt).down(self._root, receipt, lazy)
        self._receipts.forget(receipt.name)
        forget(self._root, receipt.name)
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
        lack = total - sum(self.bench.store.cached(tree.wanted(node.id)) for node in chosen)
        free = shutil.disk_usage(self.bench.store.root).free - self.ctx.settings.store_keep_free
        if lack > free:
            raise StoreError(
                f"{name}: {lack:,} bytes are missing, and the store's disk has {max(free, 0):,} for them; fetch some "
                "files only, free some space, or set GOTDATA_STORE to another disk"
            )
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
        state, why = self._choice.of(receipt).state(self._root, receipt) if receipt else (State.DOWN, "")
        known = self._lock.data.get(name)
        if receipt and name not in self.manifest.data:
            why = why or "no longer in gotdata.yml; `gotdata down` takes it away"
        elif receipt and known and receipt.snapshot != known.snapshot:
            why = why or "gotdata.lock has another snapshot now; `gotdata up` brings it"
        baked = receipt and receipt.delivery == BAKE.name  # it is asked for where no store can be
        cached = (self._cached(name) or 0) if known and not baked else 0
        return Status(
            name=name,
            state=state,
            delivery=receipt.delivery if receipt else "",
            to=to,
            snapshot=receipt.snapshot if receipt else known.snapshot if known else "",
            level=self._level(known) if known else "",
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
        delivery, why = self._best(dataset, demand)
        if known and known.entry == digest(dataset):
            pins: Sequence[Pin] = self._pins(dataset.name)
            files, size, level = known.files, known.bytes, self._level(known)
            cached = self._cached(dataset.name)
            missing = size - (cached or 0)
            listed = (host(known.shards_at),) if cached is None and known.shards_at else ()
        else:
            with tempfile.TemporaryDirectory(prefix="gotdata-") as work:
                pins, draft = self._capture(dataset, Path(work))
            files, size, level = draft.files, draft.bytes, draft.level
            missing, listed = size, ()
        lazy = delivery.name in LAZY
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

    def verify(self, names: Sequence[str] = ()) -> list[Verified]:
        """Reads again what is stored or copied, and compares it with the lock."""
        up = self._receipts.all()
        found = []
        for dataset in self._chosen(names):
            tree, index = self._tree(dataset.name)
            receipt = up.get(dataset.name)
            copied = self._root / receipt.target if receipt and isinstance(self._choice.of(receipt), Copy) else None
            found.append(verify(tree, index, self.bench.store, copied, self.ctx.reporter))
        return found


def uncovered(stale: Sequence[Dataset]) -> IntegrityError:
    listed = ", ".join(one.name for one in stale)
    return IntegrityError(f"gotdata.lock does not cover {listed} as gotdata.yml has it; run `gotdata lock`")


def _together(failed: Sequence[GotdataError], done: Sequence[Delivered]) -> GotdataError:
    """What went wrong, of the kind of the first, and what is up all the same."""
    if len(failed) == 1 and not done:
        return failed[0]
    there = f"\nup: {', '.join(one.name for one in done)}" if done else ""
    return type(failed[0])("\n".join(map(str, failed)) + there)


def _unheld(level: str) -> str:
    if level != Level.UNVERIFIED:
        return ""
    return (
        "there is nothing to hold the bytes to but their number; `gotdata lock --hash` reads them once, and locks them"
    )


def _inside(host: str) -> str:
    """A manifest from a stranger may name a machine that only we can reach."""
    name = urlsplit(f"//{host}").hostname or ""
    try:
        private = not ip_address(name).is_global
    except ValueError:
        private = name == "localhost" or "." not in name or name.endswith((".local", ".internal"))
    return f"{host} is this machine or one of its own network: be sure that you want to ask it" if private else ""

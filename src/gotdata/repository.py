"""What a repository says and has pinned: manifest, lock, snapshots, trees."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from functools import partial as bind
from itertools import islice
from pathlib import Path
from typing import Any, Self

import msgspec

from gotdata import lock as locks
from gotdata import manifest as manifests
from gotdata import settings
from gotdata.deliver.base import state_folder
from gotdata.errors import GotdataError, IntegrityError, ManifestError, NotFound, SourceError
from gotdata.lock_texts import FOLDER, Texts
from gotdata.manifest import Dataset, Manifest
from gotdata.manifest.reference import folder_of
from gotdata.model import Pin, Ref
from gotdata.outcome import Changes, Drift, Locked
from gotdata.paths import clashes, redact, shown, unportable
from gotdata.reach import ANYWHERE, Reach
from gotdata.report import Event, Reporter, silent
from gotdata.snapshot import Change, Draft, diff, hashed
from gotdata.snapshot_index import Index
from gotdata.snapshot_indexing import entries
from gotdata.snapshot_text import lines_at
from gotdata.tree.locked import LockedTree
from gotdata.verifying import learn
from gotdata.wire import Workbench

ODD_NAMES = 5
"""Warnings of one kind about one dataset, at most."""


class Repository:
    """The manifest and the lock of one repository, and the trees that they name. Verbs that change something hold its
    lock: two at once are one after the other."""

    def __init__(self, manifest: Manifest, bench: Workbench) -> None:
        self.manifest = manifest
        self.bench = bench
        self.ctx = bench.ctx
        # Without links, as places below it are judged.
        self._root = Path(os.path.realpath(manifest.root))
        self._lock_path = manifest.path.with_name(locks.NAME)

    @classmethod
    def find(
        cls,
        start: Path,
        flags: Mapping[str, Any] | None = None,
        reporter: Reporter = silent,
        bounded: bool = False,
    ) -> Self:
        """The repository that ``start`` lies in. ``bounded``: nobody has looked at what it names, so nothing of this
        machine is read but the repository, and no private network is asked but those that the settings allow.

        Raises:
            ManifestError: it has no manifest, or one with faults; or settings that can't be.
        """
        manifest = manifests.load(manifests.find(start))
        reach = ANYWHERE
        if bounded:
            reach = Reach(settings.load(flags).network_list, (os.path.realpath(manifest.root),))
        return cls(manifest, Workbench.open(flags, reporter, reach))

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
            index = Texts(self._lock_path.with_name(FOLDER)).index(name, known, self._index_folder(name))
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
        if old and not update and old.entry == digest(dataset):
            return self._outcome(dataset.name, "same", old)
        self._say("step", dataset.name, f"locking {dataset.name}")
        with tempfile.TemporaryDirectory(prefix="gotdata-") as work:
            pins, draft = self._capture(dataset, Path(work))
            new = locks.locked(digest(dataset), pins, draft, self.ctx.settings.shards_url)
            if old and old.origins == new.origins and self._holds(dataset.name, old, draft):
                new = msgspec.structs.replace(old, entry=new.entry, citation=new.citation, shards_at=new.shards_at)
                self._write_lock({**self._lock.data, dataset.name: new})
            else:
                self._keep(dataset.name, new, draft)
            warnings = _odd_names(lambda: (entry.path for entry in self._texts.content(dataset.name, new)))
        change = "new" if old is None else "same" if old == new else "changed"
        return replace(self._outcome(dataset.name, change, new), warnings=warnings)

    def _holds(self, name: str, old: locks.Locked, draft: Draft) -> bool:
        """Whether a listing is of what is locked, the hashes aside that reading it has told: these stay."""
        try:
            changes = diff(self._texts.content(name, old), entries(lines_at(draft.content.path), name))
            return all(change is Change.IDENTIFIED for change, _ in changes)
        except (NotFound, IntegrityError, SourceError):
            return False  # its texts are lost or damaged, and are made anew

    def _capture(self, dataset: Dataset, work: Path) -> tuple[tuple[Pin, ...], Draft]:
        """What the references of an entry hold now, its pins as every machine has them."""
        try:
            pins, draft = self.bench.capture([self._rooted(ref) for ref in dataset.refs], dataset.files, work)
        except GotdataError as error:
            # Sources know references only.
            error.args = (f"{dataset.name}: {error}", *error.args[1:])
            raise
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
            elif known.entry != digest(dataset):
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

    def pins(self, name: str) -> list[Pin]:
        """What a dataset is locked to, a pin for each mirror. Raises as ``tree``."""
        self._index(name)
        return self._pins(name)

    def arguments(self, name: str) -> dict[str, Any]:
        """What other processes make the same tree of. No secret."""
        self._index(name)
        return self.bench.arguments(name, self._lock.data[name], self._pins(name))

    def urls(self, name: str) -> tuple[str, ...]:
        """The places that a dataset's references name as they are written, and as they were pinned."""
        [dataset] = self._chosen([name])
        refs = [self.rooted_away(ref) for ref in dataset.refs] + [pin.ref for pin in self._lock.data[name].pins]
        return tuple(dict.fromkeys(place for ref in refs for place in ref.places))

    def alone(self, name: str, as_: str) -> dict[str, bytes]:
        """The files of a repository that has this dataset only, under another name, with its lock as far as that
        covers it. What lies in this repository is named by its place on this machine."""
        [dataset] = self._chosen([name])
        moved = replace(dataset, refs=tuple(map(self.rooted_away, dataset.refs)))
        entry = {key: value for key, value in manifests.entry_digest_fields(moved).items() if key != "version"}
        files = {manifests.NAME: json.dumps({"gotdata": 1, "data": {as_: entry}}).encode()}
        known = self._lock.data.get(name)
        if known and known.entry == digest(dataset) == digest(moved):
            files[locks.NAME] = locks.text(locks.Lock({as_: known}))
            files |= {f"{FOLDER}/{path}": data for path, data in self._texts.files(name, known, as_)}
        return files

    def rooted_away(self, ref: Ref) -> Ref:
        """What lies in this repository, by its place on this machine."""
        inside = folder_of(ref.url)
        return ref if inside is None else replace(ref, url=(self._root / inside).as_uri())

    def _tree(self, name: str) -> tuple[LockedTree, Index]:
        index = self._index(name)
        return self.bench.planted(name, index, self._pins(name)), index

    def _index(self, name: str) -> Index:
        if name not in self._lock.data:
            raise NotFound(f"{name} is not locked yet; `gotdata lock {name}` pins it")
        known = self._lock.data[name]
        try:
            return self._texts.index(name, known, self._index_folder(name))
        except (NotFound, SourceError) as missing:
            dataset = self.manifest.data.get(name)
            if dataset is None or known.entry != digest(dataset):
                raise
            self._list_again(dataset, known, missing)
        return self._texts.index(name, known, self._index_folder(name))

    def _index_folder(self, name: str) -> Path:
        return self.bench.index_folder(self._pins(name))

    def _list_again(self, dataset: Dataset, known: locks.Locked, missing: GotdataError) -> None:
        """The last resort where texts are neither here nor published: what the origin lists now, if it is the same."""
        self._say("warning", dataset.name, f"{missing}; its origin is listed again")
        with tempfile.TemporaryDirectory(prefix="gotdata-") as work:
            pins, draft = self._capture(dataset, Path(work))
            now = locks.locked(known.entry, pins, draft)
            if (now.snapshot, now.origins) != (known.snapshot, known.origins):
                lines = "; ".join(self._texts.differing(dataset.name, known, draft))
                raise IntegrityError(
                    f"{dataset.name}: the list of its files is not to be had ({missing}), and its origin's is another: "
                    f"{lines or 'hashes are not in it'}; `gotdata lock --update {dataset.name}` takes it up"
                )
            self._texts.put(dataset.name, draft, self.ctx.settings.lock_text_limit)

    def _pins(self, name: str) -> list[Pin]:
        return [replace(pin, ref=self._rooted(pin.ref)) for pin in self._lock.data[name].pins]

    def _rooted(self, ref: Ref) -> Ref:
        """A path that is relative to the repository, with the repository's place on this machine."""
        if not ref.url.startswith("file:") or ref.url.startswith("file:/"):
            return ref
        return replace(ref, options=(*_unrooted(ref).options, ("root", str(self._root))))

    def diff(self, rev: str = "HEAD") -> list[Changes]:
        """What of the data changed since a revision of git: the locks compared, file by file."""
        from gotdata.history import earlier

        with tempfile.TemporaryDirectory(prefix="gotdata-") as work:
            old, old_texts = earlier(self._lock_path, rev, Path(work), self.bench.fetch)
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
        # Ours alone: who may only read a file can still lock it, and we would wait for ever.
        with open(state_folder(self._root) / "busy", "a", opener=bind(os.open, mode=0o600)) as file:
            if sys.platform != "win32":
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX)
            self.__dict__.pop("_lock", None)
            yield


def digest(dataset: Dataset) -> str:
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


def _moved(new: Sequence[Pin], old: Sequence[Pin]) -> list[tuple[Pin, Pin]]:
    return [(one, other) for one, other in zip(new, old, strict=False) if one.version != other.version]

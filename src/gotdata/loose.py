"""References that stand in no manifest: listed, read, planned, downloaded."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from secrets import token_hex
from typing import Self
from urllib.parse import unquote, urlsplit

from gotdata.errors import DeliveryError, IntegrityError, ManifestError
from gotdata.lock import Locked, locked
from gotdata.lock_texts import Texts
from gotdata.model import Kind, Node, Pin, Ref
from gotdata.origin import Wanted
from gotdata.outcome import Fetched, Plan
from gotdata.paths import shown
from gotdata.report import Event
from gotdata.snapshot_index import Index
from gotdata.tree.base import ROOT, walk
from gotdata.tree.locked import LockedTree
from gotdata.wire import Workbench


class Loose(Workbench):
    """A workbench that takes references instead of names. What a reference means is asked anew each time."""

    def tree(self, ref: Ref) -> LockedTree:
        return self._captured(ref)[0]

    def _captured(self, ref: Ref) -> tuple[LockedTree, Locked, Pin]:
        name = _name(ref)
        with tempfile.TemporaryDirectory(prefix="gotdata-") as work:
            drafts = Path(work, "draft")
            drafts.mkdir()
            pins, draft = self.capture([ref], (), drafts)
            known = locked("0" * 64, pins, draft)
            texts = Texts(Path(work))
            texts.put("loose", draft, draft.content.size + sum(text.size for text in draft.origins) + 1)
            index: Index = texts.index("loose", known, self.index_folder(pins))
        return self.planted(name, index, pins), known, pins[0]

    def plan(self, ref: Ref) -> Plan:
        """What ``get`` would do."""
        tree, known, pin = self._captured(ref)
        return Plan(
            name=tree.name,
            reference=pin.ref.url,
            to=tree.name,
            delivery="copy",
            why="`gotdata get` downloads; `gotdata add` and `up` would mount it",
            files=known.files,
            bytes=known.bytes,
            fetch=known.bytes,
            lazy=0,
            hosts=self.hosts([pin]),
            level=known.level,
        )

    def get(self, ref: Ref, dest: Path | None, sha256: str = "") -> Fetched:
        """Downloads a file, or a folder with all that is in it, past the store. Goes on where a call before broke off.

        Args:
            dest: where to; an existing folder takes a file under its own name. By default that name, here.
            sha256: what a file must be, in hexadecimal.

        Raises:
            IntegrityError: it isn't.
            DeliveryError: something else is at ``dest``: nothing is overwritten.
        """
        began = time.monotonic()
        tree, known, pin = self._captured(ref)
        entries = list(islice(tree.children(ROOT), 2))
        single = len(entries) == 1 and entries[0].kind is Kind.FILE and not _is_folder(pin)
        if sha256 and not single:
            raise ManifestError(f"--sha256 is for one file, and {shown(tree.name)} has {known.files}")
        self.ctx.reporter(Event("plan", dataset=tree.name, text="get", bytes=known.bytes, files=known.files))
        dest = dest or Path(tree.name)
        if single:
            place = dest / entries[0].name if dest.is_dir() else dest
            place.parent.mkdir(parents=True, exist_ok=True)
            _check_space(place.parent, known.bytes, place.parent.glob(f".{place.name}.*"))
            self._save(tree, entries[0], place, sha256)
        else:
            self._save_all(tree, dest, known.bytes)
        return Fetched(tree.name, known.files, known.bytes, self.moved, time.monotonic() - began)

    def _save_all(self, tree: LockedTree, dest: Path, size: int) -> None:
        dest.mkdir(parents=True, exist_ok=True)
        _check_space(dest, size, dest.rglob("*"))
        with Begun.open(dest, tree.snapshot) as begun, ThreadPoolExecutor(self.settings.connections) as pool:
            saves = []
            for path, node in walk(tree):
                place = dest / path
                if _leads_away(dest, path):
                    raise DeliveryError(f"{place}: a link on the way leads elsewhere; choose another folder")
                if node.kind is Kind.DIR:
                    place.mkdir(exist_ok=True)
                elif node.kind is Kind.FILE:
                    saves.append(partial(self._save_one, tree, node, place, path, begun))
                elif not place.is_symlink():
                    place.symlink_to(node.target)
            for _ in pool.map(lambda save: save(), saves):
                pass

    def _save_one(self, tree: LockedTree, node: Node, place: Path, path: str, begun: Begun) -> None:
        """A file of a folder. What has the name of one that was begun is whole and ours, whatever its origin tells."""
        if path in begun and not place.is_symlink() and place.is_file() and place.stat().st_size == node.size:
            place.with_name(f".{place.name}.gotdata-map").unlink(missing_ok=True)  # killed just before that
            self._saved(tree, node)
            return
        if not os.path.lexists(place):
            begun.add(path)
        self._save(tree, node, place)

    def _save(self, tree: LockedTree, node: Node, place: Path, sha256: str = "") -> None:
        wanted = tree.wanted(node.id)
        if sha256:
            wanted = _claimed(wanted, f"sha256:{sha256}")
        if place.is_symlink() or place.exists():
            self._accept(wanted, place)
        elif wanted.origins[0].local:
            self._copy(wanted, place)
        else:
            self.reader.save(wanted, place)
        self._saved(tree, node)

    def _saved(self, tree: LockedTree, node: Node) -> None:
        self.ctx.reporter(Event("delivered", dataset=tree.name, path=node.name, bytes=node.size, files=1))

    def _accept(self, wanted: Wanted, place: Path) -> None:
        """What is there already may be what was asked for."""
        from gotdata.verifying import is_same

        if not is_same(wanted, place):
            raise DeliveryError(
                f"{place} exists and is not known to be what was asked for; move it away, or name another"
            )

    def _copy(self, wanted: Wanted, place: Path) -> None:
        from gotdata.deliver.copy import write

        held = self.reader.whole(wanted)
        # In a folder that others may write to, a name that is known beforehand may be their link.
        fresh = place.with_name(f".{place.name}.{token_hex(8)}.gotdata-part")
        try:
            with fresh.open("xb") as file:
                write(held, file.fileno())
            fresh.replace(place)
        finally:
            held.close()
            fresh.unlink(missing_ok=True)


class Begun:
    """Which files of a folder a download has begun, so that the next call knows its own: a file takes its name only
    when it was verified, and nothing was there when it was begun. It lies in the folder until all is done."""

    def __init__(self, path: Path, fd: int, paths: Iterable[str]) -> None:
        self._path, self._fd, self._paths, self._lock = path, fd, set(paths), threading.Lock()

    @classmethod
    def open(cls, folder: Path, snapshot: str) -> Self:
        """What was begun of another snapshot is not what was asked for. Raises DeliveryError."""
        path = folder / ".gotdata-begun"
        try:
            # In a folder that others may write to, it may be their link.
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError as error:
            raise DeliveryError(f"{path}: can't be written: {error.strerror}; choose another folder") from error
        with os.fdopen(os.dup(fd), "rb") as file:
            first, *lines = file.read().split(b"\n")
        if first.decode("ascii", "replace") != snapshot:
            os.ftruncate(fd, 0)
            os.write(fd, f"{snapshot}\n".encode())
            lines = []
        # After the last line end there is nothing, or what a crash cut off.
        return cls(path, fd, (json.loads(line) for line in lines[:-1]))

    def __contains__(self, path: str) -> bool:
        return path in self._paths

    def add(self, path: str) -> None:
        with self._lock:
            self._paths.add(path)
            os.write(self._fd, f"{json.dumps(path)}\n".encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        os.close(self._fd)
        if not failed:
            self._path.unlink()


def _check_space(folder: Path, size: int, here: Iterable[Path]) -> None:
    """``here`` is what a call before may have brought, looked at only where the space is little."""
    free = shutil.disk_usage(folder).free
    if size > free:
        # Parts have holes: what they take counts, not how long they are.
        free += sum(getattr(path.lstat(), "st_blocks", 0) * 512 for path in here)
    if size > free:
        raise DeliveryError(f"{size:,} bytes are due and {folder} has {free:,} free; `gotdata add` and `up` mount them")


def _claimed(wanted: Wanted, identity: str) -> Wanted:
    if wanted.identity.startswith("sha256:") and wanted.identity != identity:
        raise IntegrityError(f"{shown(wanted.name)}: its origin says {wanted.identity}, and {identity} was asked for")
    return replace(wanted, identity=identity)


def _is_folder(pin: Pin) -> bool:
    """What holds one file need not be that file. Sources name folders so, each in its way."""
    return pin.ref.url.endswith("/") or pin.version.get("kind") == "folder"


def _name(ref: Ref) -> str:
    """What a download is called: the last word of the reference that a file may be called by."""
    words = [unquote(word) for word in urlsplit(ref.url).path.split("/") if word]
    name = words[-1] if words else urlsplit(ref.url).netloc
    return name if name not in ("", ".", "..") and "/" not in name and name.isprintable() else "data"


def _leads_away(dest: Path, path: str) -> bool:
    """Whether a component above the file is a link: one that was there, or that a listing brought."""
    return any((dest / above).is_symlink() for above in list(Path(path).parents)[:-1])

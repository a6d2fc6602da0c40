"""Baking: a copy that becomes part of an image while it is built. Of the build nothing stays but the data and its
receipts, and two builds of one lock are the same, byte by byte."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from gotdata.deliver.base import Receipt, state_folder
from gotdata.deliver.copy import Copy
from gotdata.errors import DeliveryError
from gotdata.measure import size
from gotdata.snapshot import MTIME


class Bake(Copy):
    name = "bake"
    ordered = True

    def refusal(self) -> str:
        return "data is baked while an image is built, by `gotdata bake`"

    def down(self, root: Path, receipt: Receipt, lazy: bool = False) -> None:
        try:
            super().down(root, receipt, lazy)
        except OSError as error:
            raise DeliveryError(
                f"{receipt.name} is a part of the image, and can't be taken away by this user: {error.strerror}"
            ) from error


def check_room(sizes: Mapping[str, int], root: Path, store: Path, limit: int) -> None:
    """Before the first byte comes: whether data of these ``sizes`` may be added to the image, and can be.

    Raises:
        DeliveryError: it is more than ``limit``, or than the disks of the repository and the store hold.
    """
    total = sum(sizes.values())
    listed = ", ".join(f"{name} {size(bytes)}" for name, bytes in sizes.items())
    if total > limit:
        raise DeliveryError(
            f"this would add {size(total)} to the image ({listed}), and {size(limit)} is the limit: every machine "
            f"pulls all of it before a container starts; allow it with --max-size {-(-total // 10**6)}MB, or let it be "
            "mounted: `as: mount`"
        )
    # For a while all of it is in the store, too.
    shared = root.stat().st_dev == store.stat().st_dev
    for place, due in ((root, total * (2 if shared else 1)), (store, total)):
        if due > (free := shutil.disk_usage(place).free):
            raise DeliveryError(f"{listed}: the build needs {size(due)} at {place}, and {size(free)} is free there")


@contextmanager
def build_store(root: Path, asked: Path) -> Iterator[Path]:
    """The store of a build. ``asked`` is taken where it is no part of the image: on a mount, of a cache or of memory.
    Else it is one beside our records, whose folder is surely the builder's own, and nothing is left of it, nor of one
    that the repository brought: a store is believed, and that one is a stranger's."""
    if _mount(asked) != _mount(root):
        yield asked
        return
    with _settling([root]):
        store = state_folder(root) / "store"
        _clear(store)
        try:
            yield store
        finally:
            _clear(store)
            os.utime(store.parent, (MTIME, MTIME))


def _clear(store: Path) -> None:
    if store.exists():
        shutil.rmtree(store)


def _mount(place: Path) -> str:
    """Where what a place lies on is mounted. (A cache may be a folder of the same file system.)"""
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""
    points = {line.split(" ")[4] for line in lines}
    real = Path(os.path.realpath(place))
    return next((str(folder) for folder in (real, *real.parents) if str(folder) in points), "")


@contextmanager
def settled(root: Path, targets: Iterable[Path], texts: Path) -> Iterator[None]:
    """What is made gets the snapshot's time: the folders on the way to the ``targets``, our records, of which only the
    receipts stay, and what was fetched of the lock's ``texts``."""
    way = {root, texts, *(folder for target in targets for folder in target.parents if folder.is_relative_to(root))}
    with _settling(way):
        yield
        records = state_folder(root)
        (records / "busy").unlink(missing_ok=True)
        with suppress(OSError):
            (records / "staging").rmdir()
        for made in filter(Path.is_dir, (records, texts / "shards")):
            for place in (made, *made.rglob("*")):
                os.utime(place, (MTIME, MTIME), follow_symlinks=False)


@contextmanager
def _settling(folders: Iterable[Path]) -> Iterator[None]:
    """Folders in which something was made meanwhile get the snapshot's time; the others are not touched, so that they
    are no part of a layer."""
    before = {folder: folder.stat().st_mtime_ns if folder.exists() else 0 for folder in folders}
    try:
        yield
    finally:
        for folder, time in before.items():
            with suppress(FileNotFoundError, PermissionError):  # to set it, one must own the folder
                if folder.stat().st_mtime_ns != time:
                    os.utime(folder, (MTIME, MTIME))

"""Copies: every file of a tree, verified, as ordinary files. Complete or absent.

All that a copy makes carries the snapshot's one modification time: whatever in it has another was changed or added by
a person, and is never deleted.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from gotdata.deliver.base import Job, Receipt, clear_way, make_way, state_folder
from gotdata.errors import DeliveryError
from gotdata.model import Kind, Node
from gotdata.outcome import State
from gotdata.report import Event
from gotdata.snapshot import MTIME
from gotdata.store.base import Held, pieces
from gotdata.tree.base import walk

_CHUNK = 8 << 20
_FICLONE = 0x40049409


class Copy:
    name = "copy"
    ordered = False
    """Whether names are made in the order of the tree, as some file systems list them; it costs parallelism."""
    lasting = True
    """Whether it must be there after the machine went down."""

    def refusal(self) -> str:
        return ""

    def up(self, job: Job) -> Receipt:
        folders = make_way(job.root, job.target) if not job.target.exists() else ()
        staging = _staging(job)
        try:
            _check_space(staging, job)
            _fill(staging, job, self.ordered, self.bring)
            _settle(staging, self.lasting)
            job.clear()
            # What was cleared may have taken some of these along.
            folders = tuple(dict.fromkeys((*folders, *make_way(job.root, job.target))))
            staging.rename(job.target)
        except BaseException:
            _remove(staging)
            clear_way(job.root, folders)
            raise
        _freeze(job.target)
        return Receipt(job.name, self.name, str(job.target.relative_to(job.root)), job.tree.snapshot, folders)

    def bring(self, job: Job, node: Node, place: Path, mode: str) -> None:
        """Makes one file. ``mode``: whether it is there already, empty."""
        held = job.whole(node.id)
        try:
            with place.open(mode) as file:
                write(held, file.fileno())
        finally:
            held.close()
        place.chmod(0o555 if node.executable else 0o444)
        os.utime(place, (MTIME, MTIME))
        job.reporter(Event("delivered", dataset=job.name, path=place.name, bytes=node.size, files=1))

    def state(self, root: Path, receipt: Receipt) -> tuple[State, str]:
        target = root / receipt.target
        if not target.is_dir():
            return State.BROKEN, f"{receipt.target} is gone"
        touched = next(_touched(target), None)
        return (State.BROKEN, f"changed by hand: {touched}") if touched else (State.UP, "")

    def down(self, root: Path, receipt: Receipt, lazy: bool = False) -> None:
        target = root / receipt.target
        if target.is_dir() and not target.is_symlink() and any(target.iterdir()):
            touched = [path for path, _ in zip(_touched(target), range(5), strict=False)]
            if touched:
                raise DeliveryError(
                    f"{receipt.name}: {receipt.target} was changed by hand and stays: {', '.join(map(str, touched))}; "
                    "move what you want to keep, delete the folder, then run this again"
                )
            records = state_folder(root)
            doomed = records / "staging" / f"{receipt.name}.old"
            if doomed.exists() or target.stat().st_dev != records.stat().st_dev:
                doomed = target.with_name(f".{target.name}.gotdata-old")
            doomed.parent.mkdir(exist_ok=True)
            target.chmod(0o755)
            target.rename(doomed)
            _remove(doomed)
        clear_way(root, receipt.folders)


def _staging(job: Job) -> Path:
    """An empty folder on the target's file system, below .gotdata where that is possible."""
    parent, records = job.target if job.target.exists() else job.target.parent, state_folder(job.root)
    if parent.stat().st_dev == records.stat().st_dev:
        staging = records / "staging" / job.name
    else:
        staging = job.target.with_name(f".{job.target.name}.gotdata")
    _remove(staging)
    staging.mkdir(parents=True)
    return staging


def _check_space(staging: Path, job: Job) -> None:
    free = shutil.disk_usage(staging).free
    if job.bytes > free:
        raise DeliveryError(
            f"{job.name} is {job.bytes:,} bytes and {job.target.parent} has {free:,} free; mount it instead"
        )


def _fill(staging: Path, job: Job, ordered: bool, bring: Callable[[Job, Node, Path, str], None]) -> None:
    """Brings every entry, a few files at a time, in the order of the tree."""
    pending: set[Future[None]] = set()
    pool = ThreadPoolExecutor(job.connections, thread_name_prefix="copy")
    try:
        for path, node in walk(job.tree):
            place = staging / path
            if node.kind is Kind.DIR:
                place.mkdir()
            elif node.kind is Kind.LINK:
                place.symlink_to(node.target)
                os.utime(place, (MTIME, MTIME), follow_symlinks=False)
            else:
                if ordered:
                    place.touch(exist_ok=False)
                pending.add(pool.submit(bring, job, node, place, "r+b" if ordered else "xb"))
            while len(pending) >= 4 * job.connections:
                pending = _reap(pending)
        while pending:
            pending = _reap(pending)
    finally:
        pool.shutdown(cancel_futures=True)


def _reap(pending: set[Future[None]]) -> set[Future[None]]:
    done, rest = wait(pending, return_when=FIRST_COMPLETED)
    for future in done:
        future.result()
    return rest


def write(held: Held, out: int) -> None:
    """Fills an empty file: a reflink where the file system can, else a copy inside the kernel. Never a hard link: a
    writable path must not share an inode with the store."""
    if not held.in_place:
        if sys.platform == "linux":
            import fcntl

            try:
                fcntl.ioctl(out, _FICLONE, held.fd)
                return
            except OSError:
                pass
        if _copy_in_kernel(held, out):
            return
    with os.fdopen(os.dup(out), "wb") as file:
        for data in pieces(held, _CHUNK):
            file.write(data)


def _copy_in_kernel(held: Held, out: int) -> bool:
    if not hasattr(os, "copy_file_range"):
        return False
    done = 0
    try:
        while done < held.size:
            count = os.copy_file_range(held.fd, out, held.size - done, done, done)
            if not count:
                break
            done += count
    except OSError:
        if done:
            raise
    return done == held.size


def _settle(staging: Path, lasting: bool) -> None:
    """Gives the folders their mode and time, children first, and sees that all of it is on the disk."""
    for folder, _, _ in os.walk(staging, topdown=False):
        if folder != str(staging):
            os.utime(folder, (MTIME, MTIME))
            os.chmod(folder, 0o555)
    if lasting and sys.platform == "linux":
        fd = os.open(staging, os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).syncfs(fd):
                raise OSError(ctypes.get_errno(), "syncfs", str(staging))
        finally:
            os.close(fd)


def _freeze(target: Path) -> None:
    os.utime(target, (MTIME, MTIME))
    target.chmod(0o555)


def _touched(target: Path) -> Iterator[Path]:
    """What in a copy was changed or added since: everything else carries the snapshot's time."""
    if int(os.lstat(target).st_mtime) != MTIME:
        yield target
    for folder, folders, files in os.walk(target):
        for name in folders + files:
            path = Path(folder, name)
            if int(os.lstat(path).st_mtime) != MTIME:
                yield path.relative_to(target.parent)


def _remove(folder: Path) -> None:
    """Deletes a tree whose folders may be read-only."""
    if not folder.exists():
        return
    for place, _, _ in os.walk(folder):
        if not stat.S_IMODE(os.lstat(place).st_mode) & stat.S_IWUSR:
            os.chmod(place, 0o755)
    shutil.rmtree(folder)

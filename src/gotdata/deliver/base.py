"""The seam behind which data appears, and the receipts by which it is undone."""

from __future__ import annotations

import json
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import msgspec

from gotdata.errors import DeliveryError, ManifestError
from gotdata.outcome import State
from gotdata.paths import target, target_path
from gotdata.report import Reporter, silent
from gotdata.store.base import Held
from gotdata.tree.base import Lazy


@dataclass(frozen=True, slots=True)
class Receipt:
    """The record of a delivery, by which it is undone.

    Attributes:
        target: relative to the root.
        folders: those that were made on the way to the target, outermost first, relative to the root.
        pid: of the process that must keep running; 0 where there is none.
        made_of: a digest of all that the delivery was told, by which a change of it is seen.
        run: it is there for the commands of `gotdata run` only, the last of which takes it away.
    """

    name: str
    delivery: str
    target: str
    snapshot: str
    folders: tuple[str, ...] = ()
    pid: int = 0
    made_of: str = ""
    run: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """One dataset to deliver.

    Attributes:
        whole: fetches and verifies a file of the tree and opens it; the caller closes it.
        clear: takes away what an earlier ``up`` has put at the target. Called once, when its successor is ready.
        serving: what the processes of a mount are told, see ``fuse.spec``.
        alone: the files of a repository with this dataset only, for who makes it appear in our place.
    """

    name: str
    tree: Lazy
    root: Path
    target: Path
    files: int
    bytes: int
    whole: Callable[[int], Held]
    clear: Callable[[], None]
    serving: Callable[[], Any]
    alone: Callable[[], Mapping[str, Any]]
    connections: int = 8
    reporter: Reporter = field(default=silent)


class Delivery(Protocol):
    """A way to make a tree appear at a path."""

    name: str

    def refusal(self) -> str:
        """Why this machine can't; empty where it can. Found by looking, without leaving anything behind."""

    def up(self, job: Job) -> Receipt:
        """Makes the tree appear. All or nothing: on an error the target is as it was.

        Raises: DeliveryError and whatever reading the tree raises.
        """

    def state(self, root: Path, receipt: Receipt) -> tuple[State, str]:
        """Whether it still stands, and what is wrong with it."""

    def down(self, root: Path, receipt: Receipt, lazy: bool = False) -> None:
        """Takes it away. Idempotent. What a person has put there or changed is never deleted: then nothing is, and
        DeliveryError says what is in the way. ``lazy``: even while it is in use."""


def state_folder(root: Path) -> Path:
    """``.gotdata/`` of a repository: receipts, logs, staging. It hides itself from git. Where this user can't write
    there, because an image is read-only or another made it, it is a folder of their own.

    Raises:
        DeliveryError: a stranger's repository brought something else by that name, or links in it: what we write to
            them would go where they point, a shell's start-up file maybe.
    """
    folder = _records(root)
    if folder.parent != root:
        _claim(folder.parent)
    _refuse_links(folder)
    folder.mkdir(exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")
    return folder


def _records(root: Path) -> Path:
    beside = root / ".gotdata"
    if sys.platform == "win32" or os.access(beside if beside.is_dir() else root, os.W_OK):
        return beside
    name = sha256(os.fsencode(root)).hexdigest()[:16]
    try:
        return Path(tempfile.gettempdir(), f"gotdata-{os.getuid()}", name)
    except FileNotFoundError:
        return beside  # where nothing at all can be written to, what came with an image can still be looked up


def _claim(folder: Path) -> None:
    """Makes a folder that is ours alone, where others may have been first."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if sys.platform == "win32":
        return
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o077:
        raise DeliveryError(f"{folder} is not this user's own folder: gotdata keeps its records there; remove it")


def _refuse_links(folder: Path) -> None:
    # Deeper there are only datasets that are being copied, which may hold links of their own.
    for place in (folder, *folder.glob("*"), *folder.glob("*/*")):
        if place.is_symlink():
            raise DeliveryError(f"{place} is a link: gotdata keeps its records there, and follows none; remove it")


class Receipts:
    """The receipts of one repository, a file each. Those that came with an image which this user can't change count,
    until there is another of theirs."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = _records(root) / "receipts"

    def all(self) -> dict[str, Receipt]:
        """By dataset. A receipt that can't be read is an error: what it stands for could not be undone."""
        found: dict[str, Receipt] = {}
        for folder in dict.fromkeys((self._root / ".gotdata" / "receipts", self._folder)):
            if folder.is_dir():
                _refuse_links(folder.parent)
                found |= {path.stem: self._load(path) for path in sorted(folder.glob("*.json"))}
        return found

    def _load(self, path: Path) -> Receipt:
        try:
            receipt = msgspec.json.decode(path.read_bytes(), type=Receipt)
            way = [receipt.target, *map(str, Path(receipt.target).parents)]
            if (
                receipt.name != path.stem
                or target_path(receipt.target) != receipt.target
                or target(self._root, receipt.target) != self._root / receipt.target
                or set(receipt.folders) - {*way}
            ):
                raise ValueError("it names another place")
            return receipt
        except (OSError, ValueError, ManifestError, DeliveryError, msgspec.MsgspecError) as error:
            raise DeliveryError(
                f"{path}: not a receipt ({error}); undo what it stands for by hand, then delete it"
            ) from error

    def write(self, receipt: Receipt) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{receipt.name}.json"
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(asdict(receipt), indent=2) + "\n")
        temporary.replace(path)

    def forget(self, name: str) -> None:
        (self._folder / f"{name}.json").unlink(missing_ok=True)


def check_free(target: Path) -> None:
    """Raises DeliveryError where something that gotdata did not make is at a target: nothing there, or an empty folder,
    is free."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise DeliveryError(f"{target} exists and is no folder; move it away or choose another `to:`")
    if target.is_dir() and any(target.iterdir()):
        raise DeliveryError(f"{target} is not empty, and gotdata did not make it; move it away or choose another `to:`")


def make_way(root: Path, target: Path) -> tuple[str, ...]:
    """Makes a target, which is free, and the folders above it; gives those that were made, relative to ``root``."""
    check_free(target)
    made: list[str] = []
    for folder in [*reversed(target.relative_to(root).parents), target.relative_to(root)]:
        if not (root / folder).exists():
            try:
                (root / folder).mkdir()
            except OSError as error:
                clear_way(root, tuple(made))
                raise DeliveryError(
                    f"{root / folder} can't be made: {error.strerror}; make room for it, or choose another `to:`"
                ) from error
            made.append(str(folder))
    return tuple(made)


def clear_way(root: Path, folders: tuple[str, ...]) -> None:
    """Removes what ``make_way`` made, as far as it is there and empty."""
    for folder in reversed(folders):
        with suppress(OSError):
            (root / folder).rmdir()

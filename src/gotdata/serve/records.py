"""What a daemon remembers: its volumes, and who holds them. A file each, written whole or not at all; so a daemon that
was killed at any moment finds them again."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import msgspec

from gotdata.errors import DeliveryError, NotFound
from gotdata.serve.order import Found, Places
from gotdata.snapshot_text import replacing

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Record:
    """A volume: what was asked, by whom, and what it is.

    Attributes:
        digest: of all that was asked, by which another wish under the same name is seen.
        root: the folder where it was asked for; empty where an engine decides.
    """

    name: str
    options: Mapping[str, str]
    who: Mapping[str, object]
    found: Found
    scratch: int = 0
    digest: str = ""
    root: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """Somebody who has a volume mounted.

    Attributes:
        key: of the shared mount.
        rule: the policy's, by which it was granted, and the bytes a day that it allows; 0: no limit.
    """

    volume: str
    holder: str
    key: str
    scratch: bool = False
    rule: str = ""
    bytes_a_day: int = 0


class Records:
    def __init__(self, places: Places) -> None:
        self._places = places
        for folder in (places.volumes, places.holds, places.mounts, places.scratch):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)

    def folder(self, name: str) -> Path:
        return self._places.volumes / name

    def repository(self, name: str) -> Path:
        """The folder of the repository that is kept for a volume."""
        return self.folder(name) / "repository"

    def volumes(self) -> Iterator[Record]:
        for path in sorted(self._places.volumes.glob("*/volume.json")):
            with suppress(FileNotFoundError):  # removed meanwhile
                yield _load(path, Record)

    def known(self, name: str) -> bool:
        return (self.folder(name) / "volume.json").is_file()

    def volume(self, name: str) -> Record:
        """Raises NotFound."""
        path = self.folder(name) / "volume.json"
        if not self.known(name):
            raise NotFound(f"there is no volume '{name}'; `docker volume create -d gotdata -o from=… {name}` makes it")
        return _load(path, Record)

    def keep(self, record: Record) -> None:
        with replacing(self.folder(record.name) / "volume.json") as file:
            file.write(msgspec.json.encode(record))

    def forget(self, name: str) -> None:
        """The record goes first: what is left after a crash is no volume."""
        (self.folder(name) / "volume.json").unlink(missing_ok=True)
        shutil.rmtree(self.folder(name), ignore_errors=True)
        for folder in (self._places.holds / name, self._places.scratch / name):
            with suppress(OSError):
                folder.rmdir()

    def tidy(self) -> None:
        """Removes what a crash left of volumes that were being made, or removed."""
        for folder in self._places.volumes.iterdir():
            if not (folder / "volume.json").is_file():
                shutil.rmtree(folder, ignore_errors=True)
        for folder in self._places.holds.iterdir():
            with suppress(OSError):  # somebody holds it
                folder.rmdir()

    def holds(self, volume: str = "*") -> list[Hold]:
        found = []
        for path in sorted(self._places.holds.glob(f"{volume}/*.json")):
            with suppress(FileNotFoundError):  # given back meanwhile
                found.append(_load(path, Hold))
        return found

    def hold(self, volume: str, holder: str) -> Hold | None:
        path = self._hold(volume, holder)
        return _load(path, Hold) if path.is_file() else None

    def take(self, hold: Hold) -> None:
        path = self._hold(hold.volume, hold.holder)
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as file:
            file.write(msgspec.json.encode(hold))

    def drop(self, hold: Hold) -> None:
        self._hold(hold.volume, hold.holder).unlink(missing_ok=True)

    def age(self, hold: Hold) -> float:
        """Seconds since it was taken."""
        return time.time() - self._hold(hold.volume, hold.holder).stat().st_mtime

    def scratch(self, hold: Hold) -> Path:
        """The folder of a holder's writable layer."""
        return self._places.scratch / hold.volume / _word(hold.holder)

    def _hold(self, volume: str, holder: str) -> Path:
        return self._places.holds / volume / f"{_word(holder)}.json"


def _word(holder: str) -> str:
    """A holder's word may be a path, or anything that an engine sends."""
    return sha256(holder.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _load(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        raise NotFound(f"{path} is not there any more") from None
    except (OSError, msgspec.MsgspecError) as error:
        raise DeliveryError(f"{path}: can't be read ({error}); remove it, and create its volume again") from error

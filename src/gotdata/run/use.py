"""Who uses what runs have made to appear: a shared lock for each dataset, that ends with whoever holds it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gotdata.deliver.base import state_folder

if sys.platform != "win32":
    import fcntl


class Use:
    """One run's use of a dataset. All is done while the repository's lock is held."""

    def __init__(self, root: Path, name: str) -> None:
        folder = state_folder(root) / "runs"
        folder.mkdir(exist_ok=True)
        self._path = folder / name
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        if sys.platform != "win32":
            fcntl.flock(self._fd, fcntl.LOCK_SH)

    def end(self) -> bool:
        """Whether it was the last."""
        os.close(self._fd)
        last = not in_use(self._path)
        if last:
            self._path.unlink(missing_ok=True)
        return last


def forget(root: Path, name: str) -> None:
    """What a run that was killed has left of its use."""
    (root / ".gotdata" / "runs" / name).unlink(missing_ok=True)


def used(root: Path, name: str) -> bool:
    """Whether a run that is under way uses this dataset."""
    return in_use(state_folder(root) / "runs" / name)


def in_use(path: Path) -> bool:
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False

"""A process that dies between two steps: from some call on, nothing reaches the disk any more."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

STEPS = ("rename", "replace", "unlink", "chmod", "fsync", "fdatasync", "symlink", "truncate", "mkdir", "utime")


class Died(BaseException):
    pass


@contextmanager
def dying(after: int) -> Iterator[list[bool]]:
    """Step number ``after`` of those that change the disk is the last that is done; of a write, half. Gives whether it
    came to that."""
    lock = threading.Lock()
    left = [after]
    died = [False]

    def dead() -> bool:
        with lock:
            left[0] -= 1
            died[0] = died[0] or left[0] < 0
            return left[0] < 0

    def step(real: Any) -> Any:
        def call(*words: Any, **named: Any) -> Any:
            if dead():
                raise Died
            return real(*words, **named)

        return call

    pwrite = os.pwrite

    def torn(fd: int, data: memoryview, offset: int) -> int:
        if dead():
            if left[0] == -1:
                pwrite(fd, memoryview(data)[: len(data) // 2], offset)
            raise Died
        return pwrite(fd, data, offset)

    with pytest.MonkeyPatch.context() as patch:
        for name in STEPS:
            patch.setattr(os, name, step(getattr(os, name)))
        patch.setattr(os, "pwrite", torn)
        yield died


def lose_power(store: Path, at: int) -> None:
    """What was written and never synced is gone: a block of every file that is not whole."""
    for data in (store / "partial").glob("*/*.data"):
        with data.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(at % size)
                file.write(bytes(min(4096, size - at % size)))

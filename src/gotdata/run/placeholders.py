"""Placeholders: each file's name and size, and nothing to read. They fail closed: who is not given the file itself,
because nobody answers for it or it is asked for in another way, is refused, and never reads zeros."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from gotdata.deliver.base import Job, Receipt
from gotdata.deliver.copy import Copy
from gotdata.model import Kind, Node
from gotdata.outcome import State
from gotdata.run.use import used
from gotdata.snapshot import MTIME
from gotdata.tree.base import walk


class Placeholders(Copy):
    """As a copy, whose time stamps tell what gotdata made: they are of the same make, without the bytes."""

    name = "open"
    lasting = False

    def up(self, job: Job) -> Receipt:
        return super().up(replace(job, bytes=0))

    def bring(self, job: Job, node: Node, place: Path, mode: str) -> None:
        fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.truncate(fd, node.size)
        finally:
            os.close(fd)
        os.utime(place, (MTIME, MTIME))
        # Of an empty file there is nothing to wait for.
        place.chmod(0o000 if node.size else 0o444)

    def state(self, root: Path, receipt: Receipt) -> tuple[State, str]:
        if not used(root, receipt.name):
            return State.BROKEN, "its `gotdata run` was killed; `gotdata down` tidies up"
        return super().state(root, receipt)


def files(job: Job) -> Iterator[tuple[os.stat_result, str, Node]]:
    """Each placeholder that lies at a job's target, and the file that it stands for."""
    for path, node in walk(job.tree):
        if node.kind is Kind.FILE and node.size:
            found = os.lstat(job.target / path)
            if stat.S_ISREG(found.st_mode) and found.st_size == node.size and int(found.st_mtime) == MTIME:
                yield found, path, node

"""An empty folder, over which a run's mount lies that nobody outside sees."""

from __future__ import annotations

from pathlib import Path

from gotdata.deliver.base import Job, Receipt, clear_way, make_way
from gotdata.outcome import State
from gotdata.run.use import used


class Folder:
    name = "namespace"

    def refusal(self) -> str:
        return ""

    def up(self, job: Job) -> Receipt:
        job.clear()
        folders = make_way(job.root, job.target)
        return Receipt(job.name, self.name, str(job.target.relative_to(job.root)), job.tree.snapshot, folders)

    def state(self, root: Path, receipt: Receipt) -> tuple[State, str]:
        if used(root, receipt.name):
            return State.UP, "only the command of a `gotdata run` sees it"
        return State.BROKEN, "its `gotdata run` was killed; `gotdata down` tidies up"

    def down(self, root: Path, receipt: Receipt, lazy: bool = False) -> None:
        clear_way(root, receipt.folders)

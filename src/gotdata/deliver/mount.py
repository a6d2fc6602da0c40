"""Mounts: the tree appears at once, its bytes come as they are read."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from gotdata.deliver.base import Job, Receipt, clear_way, make_way
from gotdata.errors import DeliveryError
from gotdata.outcome import State


class Mount:
    name = "mount"

    def refusal(self) -> str:
        """Found by mounting for a moment, in a folder of its own, what nobody serves."""
        if sys.platform != "linux":
            return f"mounts need Linux, this is {sys.platform}"
        from gotdata.fuse import mounting

        with tempfile.TemporaryDirectory(prefix="gotdata-") as folder:
            try:
                os.close(mounting.mount(folder))
            except DeliveryError as error:
                return str(error)
            mounting.unmount(folder, lazy=True)
        return ""

    def heal(self, target: Path) -> None:
        """Clears away a mount of ours whose process died and whose receipt is lost."""
        if sys.platform == "linux":
            from gotdata.fuse import launch

            launch.heal(target)

    def up(self, job: Job) -> Receipt:
        from gotdata.fuse import launch

        job.clear()
        folders = make_way(job.root, job.target)
        try:
            pid = launch.start(job.serving(), job.target)
        except BaseException:
            clear_way(job.root, folders)
            raise
        return Receipt(job.name, self.name, str(job.target.relative_to(job.root)), job.tree.snapshot, folders, pid)

    def state(self, root: Path, receipt: Receipt) -> tuple[State, str]:
        from gotdata.fuse import mounting

        target = root / receipt.target
        if not mounting.is_mounted(target):
            return State.BROKEN, f"nothing is mounted at {receipt.target} any more"
        if mounting.is_dead(target):
            return State.BROKEN, f"the process behind {receipt.target} is gone"
        return State.UP, ""

    def down(self, root: Path, receipt: Receipt, lazy: bool = False) -> None:
        from gotdata.fuse import launch

        launch.stop(root / receipt.target, receipt.pid, lazy=lazy)
        clear_way(root, receipt.folders)

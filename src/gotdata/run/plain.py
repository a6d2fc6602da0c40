"""A command that needs nothing of its own: its data lies at its place for everybody, as long as it runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from gotdata.deliver.base import Delivery, Job
from gotdata.run import process

if sys.platform != "linux":
    raise ImportError("gotdata.run needs Linux")


class Plain:
    def __init__(self, delivery: Delivery) -> None:
        self.name, self.delivery = delivery.name, delivery

    def refusal(self) -> str:
        return self.delivery.refusal()

    def run(self, jobs: Sequence[Job], command: Sequence[str]) -> int:
        pids: list[int] = []
        with process.attended(lambda: pids[0] if pids else 0):
            try:
                started = subprocess.Popen(command, close_fds=False)
            except OSError as error:
                return process.unstartable(command, error.errno or 0)
            pids.append(started.pid)
            status = started.wait()
        return status if status >= 0 else 128 - status

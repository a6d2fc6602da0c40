"""The seam between a run and the ways in which data appears for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gotdata.deliver.base import Delivery, Job


class Rung(Protocol):
    """A way to have data for one command, of a ladder of them, best first."""

    @property
    def name(self) -> str: ...

    @property
    def delivery(self) -> Delivery:
        """What lies at the target while the command runs, and how it is taken away. It never hides a person's file."""

    def refusal(self) -> str:
        """Why this machine can't; empty where it can. Found by doing it, without leaving anything behind."""

    def run(self, jobs: Sequence[Job], command: Sequence[str]) -> int:
        """Runs a command for which the jobs, that ``delivery`` delivered, have their data: it and its children have the
        terminal, the environment and the open files of this process. Gives its exit code, as shells do: 128 and its
        number for a signal, 127 for a command that is not there, 126 for one that can't be started.

        Raises: DeliveryError where the command was not started.
        """

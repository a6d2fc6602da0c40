"""``gotdata run``: a repository's data, for one command and its children."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Self

from gotdata.choice import BAKE, COPY, LAZY, MOUNT, SHARED
from gotdata.deliver.base import Delivery, Job, Receipt, check_free
from gotdata.errors import DeliveryError, GotdataError
from gotdata.manifest import Dataset
from gotdata.measure import count, size
from gotdata.outcome import Plan
from gotdata.paths import target
from gotdata.project import Project, uncovered
from gotdata.run.base import Rung
from gotdata.run.folder import Folder
from gotdata.run.ladder import bare, choose
from gotdata.run.placeholders import Placeholders
from gotdata.run.use import Use, used

_FOR_ALL = (*LAZY, COPY.name, BAKE.name)
"""Deliveries that everybody sees: another run may use them as they are."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Data that is there for a command: ``rung.run(jobs, command)`` runs it. ``lines`` are for people."""

    rung: Rung
    jobs: tuple[Job, ...]
    lines: tuple[str, ...]


class Running(Project):
    """A project whose data is there as long as a command runs. Several at once share what is there."""

    @classmethod
    def of(cls, project: Project) -> Self:
        return cls(project.manifest, project.bench)

    def plans(self, names: Sequence[str] = (), demand: str = "") -> list[Plan]:
        """What a run would do."""
        rung, why = choose(demand)
        by = {one.name: self._delivery(one, rung, demand) for one in self._chosen(names)}
        return [_planned(one, by[one.name], rung, why) for one in self.plan(names, COPY.name)]

    @contextmanager
    def ready(self, names: Sequence[str] = (), demand: str = "", locked: bool = False) -> Iterator[Ready]:
        """Has data appear for the length of the block.

        Raises:
            IntegrityError: ``locked``, and something is new or changed.
            DeliveryError: a target is taken, or the way that is demanded is not possible.
        """
        rung, why = choose(demand)
        chosen = self._chosen(names)
        if stale := self._stale(chosen):
            if locked:
                raise uncovered(stale)
            self.lock([one.name for one in stale])
        with ExitStack() as stack:
            with self._alone():
                jobs = {one.name: self._appear(one, rung, self._delivery(one, rung, demand), stack) for one in chosen}
            lines = [self._line(one, rung.name, why, jobs[one.name] is not None) for one in chosen]
            own = tuple(job for job in jobs.values() if job)
            yield Ready(rung if own else bare(), own, tuple(lines))

    def _delivery(self, dataset: Dataset, rung: Rung, demand: str) -> Delivery:
        """The rung's, but where the manifest wishes a copy, or the machine's daemon serves it."""
        if demand:
            return rung.delivery
        if dataset.as_ == COPY.name:
            return COPY
        return self._choice.daemon(self._places(dataset), target(self._root, dataset.to)) or rung.delivery

    def _appear(self, dataset: Dataset, rung: Rung, delivery: Delivery, stack: ExitStack) -> Job | None:
        """Gives the job where the rung has to do something more for the command to have its data."""
        receipt = self._receipts.all().get(dataset.name)
        if receipt and not receipt.run:
            self._up(dataset, "")  # it was there before, and stays; as `up` would have it
            return None
        if receipt and used(self._root, dataset.name):
            self._check_shared(receipt, delivery)
        else:
            if receipt:
                self._clear(receipt)
            job = self._job(dataset, None)
            MOUNT.heal(job.target)
            check_free(job.target)
            receipt = replace(delivery.up(job), run=True)
            self._receipts.write(receipt)
        stack.callback(self._leave, dataset.name, Use(self._root, dataset.name))
        return None if receipt.delivery in _FOR_ALL else self._job(dataset, None)

    def _check_shared(self, receipt: Receipt, delivery: Delivery) -> None:
        """Another run has put something there, which this one has to do with."""
        if receipt.snapshot != self._lock.data[receipt.name].snapshot:
            raise DeliveryError(
                f"{receipt.name}: another `gotdata run` uses an earlier snapshot of it; wait for its end"
            )
        if receipt.delivery == delivery.name or receipt.delivery in _FOR_ALL:
            return
        if receipt.delivery == Placeholders.name and delivery.name == Folder.name:
            return  # the mount lies over them
        raise DeliveryError(
            f"{receipt.name}: another `gotdata run` has it as {receipt.delivery}; wait for its end, or use `--as "
            f"{receipt.delivery}`"
        )

    def _leave(self, name: str, use: Use) -> None:
        with self._alone():
            if not use.end():
                return
            receipt = self._receipts.all().get(name)
            if receipt and receipt.run:
                try:
                    self._take_down(receipt, lazy=True)
                except GotdataError as error:
                    self._say("warning", name, str(error))

    def _line(self, dataset: Dataset, rung: str, why: str, own: bool) -> str:
        known, receipt = self._lock.data[dataset.name], self._receipts.all()[dataset.name]
        what = f"{count(known.files, 'file')}, {size(known.bytes)}"
        if own and rung == Placeholders.name:
            largest = max((node.size for _, node in self._index(dataset.name).files()), default=0)
            what += f", each whole when it is opened first, the largest {size(largest)}"
        as_ = rung if own else receipt.delivery
        return f"{dataset.name} → {dataset.to}  as {as_}, {what}" + (f" ({why})" if why and as_ == rung else "")


def _planned(plan: Plan, by: Delivery, rung: Rung, why: str) -> Plan:
    """The plan of a copy, as a run has it instead."""
    if by is COPY:
        return replace(plan, why=why)
    name, why = (rung.name, why) if by is rung.delivery else (by.name, SHARED)
    return replace(plan, delivery=name, why=why, fetch=0, lazy=plan.fetch)

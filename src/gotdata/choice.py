"""Which delivery a dataset gets on this machine, and why not a better one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gotdata.deliver.bake import Bake
from gotdata.deliver.base import Delivery, Receipt
from gotdata.deliver.copy import Copy
from gotdata.deliver.mount import Mount
from gotdata.errors import DeliveryError
from gotdata.manifest import Dataset
from gotdata.run.folder import Folder
from gotdata.run.placeholders import Placeholders
from gotdata.serve.client import Shared

MOUNT, COPY, BAKE = Mount(), Copy(), Bake()
LAZY = ("volume", "mount")
"""Deliveries whose bytes come as they are read. Whoever wishes a mount is content with either."""

SHARED = "this machine's daemon serves it, to all who want it"


class Choice:
    """``daemon`` is the socket of this machine's daemon, where there is one."""

    def __init__(self, daemon: Path) -> None:
        self._shared = Shared(daemon)
        self._all: dict[str, Delivery] = {one.name: one for one in (self._shared, MOUNT, COPY, BAKE)}
        self._of_runs: dict[str, Delivery] = {one.name: one for one in (Folder(), Placeholders())}

    def check(self, demand: str) -> None:
        """Raises DeliveryError: there is no such delivery."""
        if demand and demand not in self._all:
            raise DeliveryError(f"`{demand}` can't be done by this gotdata; there are {', '.join(self._all)}")

    def of(self, receipt: Receipt) -> Delivery:
        """The delivery by which a receipt is undone. Raises DeliveryError."""
        found = self._all.get(receipt.delivery) or self._of_runs.get(receipt.delivery)
        if found is None:
            raise DeliveryError(
                f"{receipt.name} was delivered as {receipt.delivery}, by another gotdata; undo it with that one"
            )
        return found

    def content(self, receipt: Receipt, dataset: Dataset, demand: str) -> bool:
        """Whether what is up is of a kind that was asked for. What came with the image needs nobody's wish."""
        if receipt.delivery == BAKE.name and not demand:
            return True
        if demand or dataset.as_ == COPY.name:
            return receipt.delivery == (demand or dataset.as_)
        return dataset.as_ != MOUNT.name or receipt.delivery in LAZY

    def daemon(self, places: Sequence[str], target: Path) -> Delivery | None:
        """The daemon's delivery, where it would make this appear."""
        return None if self._shared.may(places, target) else self._shared

    def best(self, dataset: Dataset, demand: str, places: Sequence[str], target: Path) -> tuple[Delivery, str]:
        """The delivery, and why not a better one. ``places`` is where its references lead.

        Raises:
            DeliveryError: the one that is demanded is not possible.
        """
        self.check(demand)
        shared = self._shared.may(places, target)
        if demand:
            refusal = shared if demand == self._shared.name else self._all[demand].refusal()
            if refusal:
                raise DeliveryError(f"{dataset.name} can't appear as {demand}: {refusal}")
            return self._all[demand], "it was asked for"
        if dataset.as_ == COPY.name:
            return COPY, "it was asked for"
        if not shared:
            return self._shared, SHARED
        if refusal := MOUNT.refusal():
            return COPY, f"no mount here: {refusal}"
        why = "it was asked for" if dataset.as_ == MOUNT.name else "it appears at once, and bytes come as they are read"
        return MOUNT, f"{why}; not by the daemon: {shared}" if self._shared.there() else why

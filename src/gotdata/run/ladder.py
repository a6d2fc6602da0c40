"""Which way a run's data comes on this machine, and why not a better one."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from gotdata.deliver.copy import Copy
from gotdata.deliver.mount import Mount
from gotdata.errors import DeliveryError
from gotdata.run.base import Rung

NAMES = ("mount", "namespace", "open", "copy")


def rungs() -> Sequence[Rung]:
    """Best first. Two may have one name: what differs is who may.

    Raises:
        DeliveryError: there are none for this system.
    """
    if sys.platform != "linux":
        raise DeliveryError(f"`gotdata run` needs Linux, this is {sys.platform}; `gotdata up` brings copies")
    from gotdata.run.namespace import Namespace
    from gotdata.run.opened import Opened
    from gotdata.run.plain import Plain

    return Namespace("mount", False), Plain(Mount()), Namespace("namespace", True), Opened(), Plain(Copy())


def choose(demand: str = "") -> tuple[Rung, str]:
    """The best that works here, or the one that is demanded; and why not a better one.

    Raises:
        DeliveryError: what is demanded is not possible.
    """
    refusals: dict[str, str] = {}
    for rung in rungs():
        if demand in ("", rung.name):
            refusal = rung.refusal()
            if not refusal:
                return rung, _why(refusals) if not demand else "it was asked for"
            refusals[rung.name] = refusal
    raise DeliveryError(f"data can't appear as {demand} for a command: {refusals.get(demand, 'there is no such way')}")


def _why(refusals: dict[str, str]) -> str:
    return "; ".join(f"no {name}: {refusal}" for name, refusal in refusals.items())


def bare() -> Rung:
    """For a command whose data is there for everybody."""
    return rungs()[-1]

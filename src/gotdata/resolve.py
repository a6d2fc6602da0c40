"""From a reference to a pin: one source may send on to the next (a DOI to its repository)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gotdata.context import Context
from gotdata.errors import ResolveError
from gotdata.model import Pin, Ref
from gotdata.paths import redact

HOPS = 5


class Resolver(Protocol):
    """The part of ``sources.base.Source`` that resolving needs."""

    def resolve(self, ref: Ref, ctx: Context) -> Pin | Ref: ...


def resolve(ref: Ref, ctx: Context, pick: Callable[[Ref], Resolver]) -> Pin:
    """The pin behind ``ref``, asking the source that ``pick`` names at each hop.

    Raises:
        ResolveError: no source knows it, the hops lead in a circle, or a remote answer points into this machine.
    """
    asked = [ref]
    while len(asked) <= HOPS:
        found = pick(asked[-1]).resolve(asked[-1], ctx)
        if isinstance(found, Pin):
            return found
        if found.url.startswith("file:"):
            raise ResolveError(
                f"{redact(ref.url)} leads to {found.url}: a remote answer never names files of this machine"
            )
        if found in asked:
            break
        asked.append(found)
    way = " → ".join(redact(hop.url) for hop in asked)
    raise ResolveError(f"{redact(ref.url)} leads nowhere: {way}; give the repository's own page or file URL instead")

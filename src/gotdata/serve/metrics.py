"""How the daemon stands, for people and for Prometheus (its text format 0.0.4)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from gotdata.errors import NotFound
from gotdata.serve.mounts import Mounts
from gotdata.serve.node import LocalNode

if sys.platform != "linux":
    raise ImportError("gotdata.serve needs Linux")

_COUNTERS = {
    "reads": "READs answered",
    "read_bytes": "bytes answered; what the kernel reads by passthrough is not among them",
    "fetched_bytes": "bytes that came from origins",
    "refused": "READs refused",
    "opens": "OPENs answered",
}


class Metrics:
    def __init__(self, node: LocalNode, mounts: Mounts) -> None:
        self._node, self._mounts = node, mounts

    def health(self) -> dict[str, Any]:
        """``ok``, or ``degraded`` where a mount has no server now."""
        kept = self._mounts.kept()
        alone = sorted(one.name for one in kept if not one.server_pid)
        return {"status": "degraded" if alone else "ok", "mounts": len(kept), "without_server": alone}

    def text(self) -> str:
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        volumes, kept = self._node.volumes(), self._mounts.kept()
        yield from _gauge("volumes", "volumes known", len(volumes))
        yield from _gauge("holders", "containers and folders that have a volume", sum(len(v.holders) for v in volumes))
        yield from _gauge("mounts", "mounts kept", len(kept))
        yield from _gauge("mounts_without_server", "mounts that nobody serves now", sum(not k.server_pid for k in kept))
        yield "# HELP gotdata_server_restarts_total servers started for mounts that stood already"
        yield "# TYPE gotdata_server_restarts_total counter"
        yield f"gotdata_server_restarts_total {self._mounts.restarts}"
        tallies = {}
        for one in kept:
            with suppress(NotFound):
                tallies[one.name] = self._mounts.tally(one.name)
        for name, help in _COUNTERS.items():
            yield f"# HELP gotdata_{name}_total {help}"
            yield f"# TYPE gotdata_{name}_total counter"
            for key, tally in tallies.items():
                yield f'gotdata_{name}_total{{mount="{key}"}} {getattr(tally, name)}'


def _gauge(name: str, help: str, value: int) -> Iterator[str]:
    yield f"# HELP gotdata_{name} {help}"
    yield f"# TYPE gotdata_{name} gauge"
    yield f"gotdata_{name} {value}"

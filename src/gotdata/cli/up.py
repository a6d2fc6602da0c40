"""``gotdata up``"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from gotdata.cli import verb
from gotdata.cli.call import Call
from gotdata.measure import duration, size
from gotdata.outcome import Delivered
from gotdata.paths import redact


@verb.verb("up")
@verb.names
@verb.demand
@click.option("--locked", is_flag=True, help="Refuse (exit 3) where the lock does not cover the manifest.")
@click.option("--foreground", is_flag=True, help="Stay until a signal comes, then take the data away again.")
@click.option("--boot", is_flag=True, help="Have it appear at every boot of this machine too, by a systemd unit.")
@verb.as_json
def run(call: Call, names: tuple[str, ...], demand: str | None, locked: bool, foreground: bool, boot: bool) -> None:
    """Locks what is new or changed, then delivers all datasets, or those named. Mounts keep running in the background;
    `gotdata down` ends them. Each dataset gets a line, and one of Python or R that opens it."""
    project = call.project()
    if not foreground:
        delivered = project.up(names, demand=demand or "", locked=locked)
        call.answer(delivered, lines(delivered))
        if boot:
            from gotdata.serve import units

            unit = units.boot(project.manifest.root, names)
            print(f"gotdata: at every boot by {unit}; `systemctl disable {unit.name}` undoes it", file=sys.stderr)
        return
    waiting = False
    try:
        with _ending(signal.getsignal(signal.SIGINT), "SIGTERM", "SIGHUP"):
            delivered = project.up(names, demand=demand or "", locked=locked)
        with _ending(signal.default_int_handler, "SIGTERM", "SIGHUP", "SIGINT"):
            waiting = True
            call.answer(delivered, lines(delivered))
            threading.Event().wait()
    except KeyboardInterrupt:
        if not waiting:
            raise
    finally:
        # Lazily: what is in use elsewhere, in another container say, would else stay there as a dead mount.
        project.down(names, lazy=True)


def lines(delivered: list[Delivered]) -> Iterator[str]:
    if not delivered:
        yield "gotdata.yml names no data yet: `gotdata add REF` adds some"
    for one in delivered:
        facts = (
            f"{size(one.bytes)} there",
            f"{size(one.moved)} moved",
            duration(one.seconds),
            redact(one.source),
            one.licence,
        )
        yield f"{one.name} → {one.to}  {', '.join(filter(None, facts))}"
        if one.hint:
            yield f"  {one.hint}"


@contextmanager
def _ending(handler: Any, *names: str) -> Iterator[None]:
    """What being asked to end means for a while, in those signals that this system has."""
    asked = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, handler) for number in asked}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)

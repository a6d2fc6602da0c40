"""``gotdata status``"""

from __future__ import annotations

from collections.abc import Iterator

import click

from gotdata.cli import front, show, verb
from gotdata.cli.call import Call
from gotdata.measure import size
from gotdata.outcome import State, Status


@verb.verb("status", exits=verb.LOCAL)
@verb.names
@click.option("--check", is_flag=True, help="Exit 1 unless all of them are up: for a container's health check.")
@verb.as_json
def run(call: Call, names: tuple[str, ...], check: bool) -> None:
    """State is up, down or broken (a mount whose server died: `gotdata up` heals it). Level says how far bytes can be
    held to the lock: verified, bound (to a version or ETag) or unverified. HERE is what the store has."""
    found = call.project().status(names)
    call.answer(found, lines(found))
    if check and any(one.state != State.UP for one in found):
        raise click.exceptions.Exit(front.FAILED)


def lines(found: list[Status]) -> Iterator[str]:
    head = ("NAME", "STATE", "AS", "SNAPSHOT", "LEVEL", "FILES", "SIZE", "HERE", "TO")
    rows = (
        (
            one.name,
            one.state,
            one.delivery or "-",
            show.snapshot(one.snapshot),
            one.level or "-",
            f"{one.files:,}",
            size(one.bytes),
            size(one.cached_bytes),
            one.to,
        )
        for one in found
    )
    yield from show.table(head, rows, right=(5, 6, 7))
    for one in found:
        if one.why:
            yield f"{one.name}: {one.why}"

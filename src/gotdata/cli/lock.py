"""``gotdata lock``"""

from __future__ import annotations

from collections.abc import Iterator

import click

from gotdata.cli import show, verb
from gotdata.cli.call import Call
from gotdata.measure import size
from gotdata.outcome import Drift, Locked

DRIFTED = 3


@verb.verb("lock")
@verb.names
@click.option("--check", is_flag=True, help="Change nothing: say what drifted, exit 3 if anything did.")
@click.option("--update", is_flag=True, help="Resolve again what is locked already.")
@click.option("--hash", "hashed", is_flag=True, help="Read every file and lock its sha256, and its blocks'.")
@verb.as_json
def run(call: Call, names: tuple[str, ...], check: bool, update: bool, hashed: bool) -> None:
    """Only what is new or changed is resolved, unless --update says otherwise. All datasets, or those named."""
    project = call.project()
    if not check:
        locked = project.lock(names, update=update, hash=hashed)
        call.answer(locked, lines(locked))
        return
    if update or hashed:
        raise click.UsageError("--check changes nothing: it goes without --update and --hash")
    drifts = project.check(names)
    call.answer(drifts, drifted(drifts))
    if drifts:
        raise click.exceptions.Exit(DRIFTED)


def lines(locked: list[Locked]) -> Iterator[str]:
    head = ("NAME", "LOCK", "SNAPSHOT", "LEVEL", "FILES", "SIZE", "FROM")
    rows = (
        (one.name, one.change, show.snapshot(one.snapshot), one.level, f"{one.files:,}", size(one.bytes), one.reference)
        for one in locked
    )
    yield from show.table(head, rows, right=(4, 5))
    for one in locked:
        for warning in one.warnings:
            yield f"{one.name}: {warning}"


def drifted(drifts: list[Drift]) -> Iterator[str]:
    for drift in drifts:
        yield f"{drift.name}  {drift.kind}  {drift.text}"
    if not drifts:
        yield "gotdata.lock is what gotdata.yml and the origins say."

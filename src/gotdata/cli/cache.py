"""``gotdata cache``"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import click

from gotdata.cli import front, verb
from gotdata.cli.call import Call
from gotdata.measure import size


@verb.verb("info", exits=verb.LOCAL)
@verb.as_json
def info(call: Call) -> None:
    """Where the store is, and what it holds."""
    found = call.loose().store.info()
    call.answer(found, lines(found))


@verb.verb("gc", exits=verb.LOCAL)
@verb.as_json
def gc(call: Call) -> None:
    """Remove what nothing needs, and what is beyond the quota; never what is being read."""
    found = call.loose().store.gc()
    call.answer(found, lines(found))


@verb.verb("clear", exits=verb.LOCAL)
@verb.as_json
def clear(call: Call) -> None:
    """Remove everything but what is being read. It can be fetched again."""
    found = call.loose().store.clear()
    call.answer(found, lines(found))


@verb.verb("fsck", exits=(0, 1, 2, 3, 130))
@click.option("--check", is_flag=True, help="Repair nothing.")
@verb.as_json
def fsck(call: Call, check: bool) -> None:
    """Read everything again, and remove what is damaged. Exit 3 if anything was."""
    found = call.loose().store.fsck(repair=not check)
    call.answer(found, lines(found))
    if not found.sound:
        raise click.exceptions.Exit(3)


def lines(found: Any) -> Iterator[str]:
    """A fact in a line, as the store names it."""
    facts = {item.name: getattr(found, item.name) for item in fields(found)}
    width = max(map(len, facts))
    for name, value in facts.items():
        if isinstance(value, bool):
            value = "yes" if value else "no"
        elif isinstance(value, int):
            value = size(value) if name.endswith("bytes") or name in {"quota", "keep_free", "free"} else f"{value:,}"
        yield f"{name.replace('_', ' '):{width}}  {value}"


run = click.Group(
    "cache",
    help=front.VERBS["cache"],
    commands=[info, gc, clear, fsck],
    context_settings=verb.SETTINGS,
    subcommand_metavar="VERB",
)

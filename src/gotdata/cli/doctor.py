"""``gotdata doctor``"""

from __future__ import annotations

from collections.abc import Iterator

import click

from gotdata.cli import verb
from gotdata.cli.call import Call
from gotdata.outcome import Finding


@verb.verb("doctor", exits=(0, 1, 2, 130))
@verb.as_json
def run(call: Call) -> None:
    """Mounts, passthrough, user namespaces, the store's file system, space, ports, optional packages: each is tried,
    and for what is missing the way to get it is named. Fails only where gotdata can't work at all."""
    from gotdata import doctor, settings

    found = list(doctor.examine(settings.load(call.flags)))
    call.answer(found, lines(found))
    if doctor.hopeless(found):
        raise click.exceptions.Exit(1)


def lines(found: list[Finding]) -> Iterator[str]:
    width = max(len(one.topic) for one in found)
    for one in found:
        yield f"{'ok' if one.ok else '--'}  {one.topic:{width}}  {one.seen}"
        if one.cure:
            yield f"    {'':{width}}  → {one.cure}"

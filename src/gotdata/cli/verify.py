"""``gotdata verify``"""

from __future__ import annotations

from collections.abc import Iterator

import click

from gotdata.cli import verb
from gotdata.cli.call import Call
from gotdata.measure import count, size
from gotdata.outcome import Verified

MISMATCH = 3


@verb.verb("verify", exits=(*verb.LOCAL[:3], 3, 130))
@verb.names
@verb.as_json
def run(call: Call, names: tuple[str, ...]) -> None:
    """Reads what the store holds and what was copied, and compares it with gotdata.lock. What is not here is not
    fetched, but counted. Exit 3 if any byte is not what was locked."""
    found = call.project().verify(names)
    call.answer(found, lines(found))
    if any(one.bad for one in found):
        raise click.exceptions.Exit(MISMATCH)


def lines(found: list[Verified]) -> Iterator[str]:
    for one in found:
        verdict = f"{len(one.bad):,} BAD" if one.bad else "all as locked" if one.files else "nothing to read"
        yield f"{one.name}: {count(one.files, 'file')} read, {size(one.bytes)}, {one.absent:,} not here: {verdict}"
        for path in one.bad:
            yield f"  bad: {path}"

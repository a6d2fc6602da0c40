"""``gotdata diff``"""

from __future__ import annotations

from collections.abc import Iterator

import click

from gotdata.cli import verb
from gotdata.cli.call import Call
from gotdata.measure import count
from gotdata.outcome import Changes


@verb.verb("diff", exits=verb.LOCAL)
@click.argument("revision", metavar="[GIT_REV]", default="HEAD")
@verb.as_json
def run(call: Call, revision: str) -> None:
    """Compares gotdata.lock with the one of a git revision (HEAD if none is named), file by file."""
    found = call.project().diff(revision)
    call.answer(found, lines(found))


def lines(found: list[Changes]) -> Iterator[str]:
    for one in found:
        added, changed, removed = len(one.added), len(one.changed), len(one.removed)
        yield f"{one.name}: +{count(added, 'file')}, {changed:,} changed, −{removed:,}"
        for mark, paths in (("+", one.added), ("~", one.changed), ("−", one.removed)):
            for path in paths:
                yield f"  {mark} {path}"
    if not found:
        yield "no data changed"

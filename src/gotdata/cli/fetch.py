"""``gotdata fetch``"""

from __future__ import annotations

import click

from gotdata.cli import show, verb
from gotdata.cli.call import Call


@verb.verb("fetch")
@verb.name
@click.argument("globs", metavar="[GLOB]…", nargs=-1)
@verb.as_json
def run(call: Call, name: str, globs: tuple[str, ...]) -> None:
    """Before a class or a flight: reads the files whole into the store, so that they need no network afterwards. All
    files, or those that a GLOB matches, written as in `files:`."""
    fetched = call.project().fetch(name, globs)
    call.answer(fetched, [show.fetched(fetched)])

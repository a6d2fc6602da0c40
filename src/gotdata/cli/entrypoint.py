"""``gotdata entrypoint``"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gotdata.cli import verb
from gotdata.cli.call import Call


@verb.verb("entrypoint")
@click.option(
    "--repository",
    default=".",
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Else it is sought from here.",
)
@click.option("--strict", is_flag=True, help="Wait for all data; without it, exit instead of starting COMMAND.")
@click.argument("command", metavar="-- COMMAND [ARG]…", nargs=-1, required=True, type=click.UNPROCESSED)
def run(call: Call, repository: str, strict: bool, command: tuple[str, ...]) -> None:
    """Becomes COMMAND, as the entrypoint of a container: at once where there is no gotdata.yml, else when the data is
    there, and after 5 seconds in any case. What takes longer goes on behind it and appears when it is complete; what
    can't be had is told on standard error. 127: there is no such COMMAND; 126: it can't be executed."""
    if sys.platform != "linux":
        raise click.UsageError("an entrypoint is for containers, and needs Linux")
    from gotdata import entrypoint

    raise click.exceptions.Exit(entrypoint.start(Path(repository), call.flags, strict, command))

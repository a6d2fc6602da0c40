"""``gotdata export``"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gotdata.cli import verb
from gotdata.cli.call import Call

FORMATS = ("croissant", "datapackage")


@verb.verb("export")
@verb.name
@click.option("--to", "format", type=click.Choice(FORMATS), required=True, help="The format.")
@click.option("--relative", is_flag=True, help="Name files by their places here, not by their URLs.")
@click.option("--output", metavar="FILE", type=click.Path(dir_okay=False), help="Instead of standard output.")
def run(call: Call, name: str, format: str, relative: bool, output: str | None) -> None:
    """A document that other tools read: Croissant, or a Frictionless Data Package. It names each file of the lock by
    its URL, with size and checksum. Places are relative to the repository's root: put the document there."""
    from gotdata.export import export
    from gotdata.snapshot_text import replacing

    pieces = export(call.project(), name, format, relative)
    if output is None:
        call.clear()
        for piece in pieces:
            sys.stdout.write(piece)
        sys.stdout.flush()
        return
    with replacing(Path(output)) as file:
        for piece in pieces:
            file.write(piece.encode())
    call.answer({"output": output}, [f"{name} is described in {output}"])

"""``gotdata export``"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from gotdata.cli import verb
from gotdata.cli.call import Call
from gotdata.errors import DeliveryError
from gotdata.paths import shown

FORMATS = ("croissant", "datapackage")
_HEAD = 1 << 20
"""Bytes by which an earlier export is known: what it says of the dataset stands before its files."""


@verb.verb("export")
@verb.name
@click.option("--to", "format", type=click.Choice(FORMATS), required=True, help="The format.")
@click.option("--relative", is_flag=True, help="Name files by their places here, not by their URLs.")
@click.option("--output", metavar="FILE", type=click.Path(dir_okay=False), help="Instead of standard output.")
@click.option("--force", is_flag=True, help="Replace FILE, where an earlier export wrote it.")
def run(call: Call, name: str, format: str, relative: bool, output: str | None, force: bool) -> None:
    """A document that other tools read: Croissant, or a Frictionless Data Package. It names each file of the lock by
    its URL, with size and checksum. Places are relative to the repository's root: put the document there."""
    from gotdata.export import export
    from gotdata.snapshot_text import replacing

    if output is not None:
        _check_free(Path(output), force)
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


def _check_free(path: Path, force: bool) -> None:
    """What stands at ``path`` is nobody's work but ours. Raises DeliveryError."""
    from gotdata.export import ours

    if not os.path.lexists(path):
        return
    where = shown(str(path))
    try:
        with path.open("rb") as file:
            own = not path.is_symlink() and ours(file.read(_HEAD).decode("utf-8", "replace"))
    except OSError as error:
        raise DeliveryError(f"{where} is there already, and can't be read: {error.strerror}") from None
    if not own:
        raise DeliveryError(f"{where} is there already, and no earlier export wrote it: choose another name")
    if not force:
        raise DeliveryError(f"{where} is there already: --force replaces an earlier export")

"""``gotdata get``"""

from __future__ import annotations

import re
from pathlib import Path

import click

from gotdata.cli import show, verb, where
from gotdata.cli.call import Call


def _sha256(ctx: click.Context, parameter: click.Parameter, given: str) -> str:
    if given and not re.fullmatch(r"[0-9a-fA-F]{64}", given):
        raise click.BadParameter("64 hexadecimal digits are due", ctx, parameter)
    return given.lower()


@verb.verb("get")
@click.argument("reference", metavar="REF")
@click.argument("dest", metavar="[DEST]", required=False, type=click.Path(path_type=Path))
@click.option("--sha256", metavar="HEX", default="", callback=_sha256, help="What the file must be, else exit 3.")
@verb.options
@verb.as_json
def run(call: Call, reference: str, dest: Path | None, sha256: str, options: where.Options) -> None:
    """Needs no manifest. A file or a folder, in several streams; after a cut the same command goes on where it broke
    off. It appears in its place when all of it was verified, as far as the origin lets us. DEST is by default the
    reference's own name, here."""
    got = call.loose().get(where.ref(reference, options), dest, sha256)
    call.answer(got, [show.fetched(got)])

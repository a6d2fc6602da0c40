"""``gotdata add``"""

from __future__ import annotations

import os
from pathlib import Path

import click

from gotdata import manifest
from gotdata.cli import verb, where
from gotdata.cli.call import Call
from gotdata.paths import redact
from gotdata.sources import registry


@verb.verb("add", exits=verb.LOCAL)
@click.argument("reference", metavar="REF")
@click.option("--name", metavar="NAME", default="", help="Else made from the reference.")
@click.option("--to", metavar="PATH", default="", help="Where it appears; else data/NAME.")
@click.option("--as", "wish", type=click.Choice(["auto", "mount", "copy", "bake"]), help="A wish; else auto.")
@verb.options
@verb.as_json
def run(call: Call, reference: str, name: str, to: str, wish: str | None, options: where.Options) -> None:
    """REF may be pasted from a page or a mail. Comments and order of the file stay as they are. The place where the
    data will appear goes into .gitignore."""
    path = manifest.find(Path())
    text = _from_root(manifest.tidy(reference), manifest.root_of(path))
    source = registry.pick(manifest.reference(text, dict(options))).name
    made = manifest.add(path, name, text, to, wish or "", dict(options))
    said = {"name": made.name, "from": redact(made.refs[0].url), "source": source, "to": made.to, "as": made.as_}
    line = f"{made.name}: {said['from']} ({source}) will appear at {made.to}; next: `gotdata up {made.name}`"
    call.answer(said, [line])


def _from_root(reference: str, root: Path) -> str:
    """A relative path is one of the working folder; in the manifest it is one of the root."""
    if reference not in {".", ".."} and not reference.startswith(("./", "../")):
        return reference
    path = os.path.relpath(reference, root)
    return path if path.startswith("..") else f"./{path}"

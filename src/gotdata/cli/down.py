"""``gotdata down``"""

from __future__ import annotations

import click

from gotdata.cli import verb
from gotdata.cli.call import Call


@verb.verb("down", exits=verb.LOCAL)
@verb.names
@click.option("--lazy", is_flag=True, help="Detach mounts that are in use; they end with their last reader.")
@verb.as_json
def run(call: Call, names: tuple[str, ...], lazy: bool) -> None:
    """All datasets, or those named. Only what gotdata delivered is removed; the store keeps its blocks."""
    gone = call.project().down(names, lazy=lazy)
    call.answer([{"name": name, "state": "down"} for name in gone], (f"{name}  down" for name in gone))

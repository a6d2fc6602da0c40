"""``gotdata schema``"""

from __future__ import annotations

from gotdata.cli import verb
from gotdata.cli.call import Call, write_json


@verb.verb("schema", exits=(0,))
def run(call: Call) -> None:
    """Editors complete and check gotdata.yml by it."""
    from gotdata.manifest import schema

    write_json(schema())

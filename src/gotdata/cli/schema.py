"""``gotdata schema``"""

from __future__ import annotations

import click

from gotdata.cli import verb
from gotdata.cli.call import Call, write_json


@verb.verb("schema", exits=(0,))
@click.option("--policy", is_flag=True, help="That of policy.yml, the operator's rules.")
def run(call: Call, policy: bool) -> None:
    """Editors complete and check gotdata.yml by it."""
    if policy:
        from gotdata.policy_file import schema
    else:
        from gotdata.manifest import schema
    write_json(schema())

"""``gotdata run``"""

from __future__ import annotations

import sys

import click

from gotdata.cli import plan, verb
from gotdata.cli.call import Call
from gotdata.paths import shown
from gotdata.run.ladder import NAMES


@verb.verb("run")
@click.option(
    "--data",
    "names",
    metavar="NAME",
    multiple=True,
    shell_complete=verb.complete_names,
    help="This dataset, not all; repeatable.",
)
@click.option("--as", "demand", type=click.Choice(NAMES), help="This way or none.")
@click.option("--locked", is_flag=True, help="Refuse (exit 3) where the lock does not cover the manifest.")
@click.option("--plan", "only_plan", is_flag=True, help="Only say what would be done, and why.")
@verb.as_json
@click.argument("command", metavar="-- COMMAND…", nargs=-1, type=click.UNPROCESSED)
def run(
    call: Call, names: tuple[str, ...], demand: str | None, locked: bool, only_plan: bool, command: tuple[str, ...]
) -> None:
    """The data is at its place as long as COMMAND runs, for it and its children. By the best way that works here: a
    mount (namespace: in a user namespace), files that come when they are opened, or a copy.

    Exits with COMMAND's code (128 and its number for a signal, 127: not found, 126: can't be started) unless the data
    can't be had."""
    from gotdata.running import Running

    project = Running.of(call.project())
    if only_plan:
        plans = project.plans(names, demand or "")
        call.answer(plans, plan.lines(plans))
        return
    if not command:
        raise click.UsageError("which command? `gotdata run -- COMMAND…`")
    with project.ready(names, demand or "", locked) as ready:
        call.clear()
        if not call.quiet:
            for line in ready.lines:
                print(f"gotdata: {shown(line)}", file=sys.stderr)
        code = ready.rung.run(ready.jobs, command)
    raise click.exceptions.Exit(code)


run.allow_interspersed_args = False
"""What follows COMMAND is its own, with `--` or without."""

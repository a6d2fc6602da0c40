"""How a verb is made: its help from one table, its exit codes, and the options that several share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import getdoc
from pathlib import Path
from typing import Any

import click

from gotdata.cli import front
from gotdata.cli.call import Call

LOCAL = (0, 1, 2, 130)
"""Exit codes of a verb that asks no origin."""
ALL = tuple(front.EXITS)

SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Verb(click.Command):
    """A command whose help ends with the exit codes that it can give."""

    exits: tuple[int, ...] = ALL

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        formatter.write_text(f"Exit codes: {front.exits(self.exits)}")


def verb(name: str, exits: tuple[int, ...] = ALL) -> Callable[[Callable[..., None]], Verb]:
    """Makes a function of a ``Call`` and its parameters into the verb ``name``. Its help is the line on the first page,
    where it has one, and the function's docstring."""

    def make(run: Callable[..., None]) -> Verb:
        @wraps(run)
        def called(**given: Any) -> None:
            run(click.get_current_context().ensure_object(Call), **given)

        said = "\n\n".join(filter(None, (front.VERBS.get(name), getdoc(run))))
        made = click.command(name, cls=Verb, help=said, context_settings=SETTINGS)(called)
        made.exits = exits
        return made

    return make


def complete_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The datasets of the manifest, for completion: which never fails."""
    from gotdata import manifest
    from gotdata.errors import GotdataError

    try:
        found = manifest.load(manifest.find(Path(ctx.find_root().params.get("directory") or ".")))
    except (GotdataError, OSError):
        return []
    return [name for name in found.data if name.startswith(incomplete)]


def _json(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    ctx.ensure_object(Call).json |= value


def _pairs(ctx: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    pairs = [text.partition("=") for text in given]
    if wrong := next((key for key, equals, _ in pairs if not (key and equals)), None):
        raise click.BadParameter(f"{wrong!r} is not key=value", ctx, parameter)
    return tuple(sorted((key, value) for key, _, value in pairs))


names = click.argument("names", metavar="[NAME]…", nargs=-1, shell_complete=complete_names)
name = click.argument("name", metavar="NAME", shell_complete=complete_names)


def place(metavar: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Where a dataset of the manifest may stand, or a reference."""
    return click.argument("place", metavar=metavar, shell_complete=complete_names)


as_json = click.option(
    "--json", is_flag=True, expose_value=False, callback=_json, help="Print one JSON document; errors too."
)
options = click.option(
    "-o", "options", metavar="KEY=VALUE", multiple=True, callback=_pairs, help="An option of the reference; repeatable."
)
demand = click.option(
    "--as",
    "demand",
    type=click.Choice(["mount", "copy", "bake"]),
    help="This delivery or none, whatever the manifest wishes.",
)

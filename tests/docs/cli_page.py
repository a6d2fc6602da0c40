"""The page docs/cli.md, out of the commands' own help: `python -m tests.docs.cli_page` writes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from gotdata.cli import front
from gotdata.cli.root import root

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"

HEAD = """# The command line

Every verb's own help, as `gotdata VERB --help` prints it. The settings behind it are in [settings](settings.md).
"""


def page() -> str:
    parts = [HEAD, "```text\n" + front.page() + "```\n"]
    parts += [f"## {name}\n\n```text\n{text}\n```\n" for name, text in helps()]
    return "\n".join(parts)


def helps() -> Iterator[tuple[str, str]]:
    top = click.Context(root, info_name="gotdata")
    for verb in root.list_commands(top):
        command = root.get_command(top, verb)
        assert command is not None, verb
        yield from _helps(command, verb, top)


def _helps(command: click.Command, name: str, parent: click.Context) -> Iterator[tuple[str, str]]:
    own = click.Context(command, parent, info_name=name, **(command.context_settings | {"terminal_width": 100}))
    yield own.command_path.partition(" ")[2], own.get_help()
    if isinstance(command, click.Group):
        for inner, below in command.commands.items():
            yield from _helps(below, inner, own)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")

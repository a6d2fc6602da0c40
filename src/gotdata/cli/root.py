"""The parser's root: the global flags, and the verbs, each loaded when it is called."""

from __future__ import annotations

import os
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

import click
from click.shell_completion import get_completion_class, shell_complete

from gotdata import __version__
from gotdata.cli import front
from gotdata.cli.call import Call


class Root(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(front.VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in front.VERBS:
            return None
        found: click.Command = import_module(f"gotdata.cli.{cmd_name}").run
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in front.VERBS and (near := get_close_matches(args[0], [*front.VERBS], 1)):
            ctx.fail(f"no verb {args[0]!r}; did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    def get_help(self, ctx: click.Context) -> str:
        return front.page().rstrip("\n")


@click.command("gotdata", cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-C", "directory", type=click.Path(exists=True, file_okay=False))
@click.option("--store", type=click.Path(file_okay=False))
@click.option("-q", "--quiet", is_flag=True)
@click.option("--debug", is_flag=True)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_obj
def root(call: Call, directory: str | None, store: str | None, quiet: bool, debug: bool) -> None:
    call.quiet |= quiet
    call.debug |= debug or bool(os.environ.get("GOTDATA_DEBUG"))
    if directory:
        os.chdir(directory)
    if store:
        call.flags["store"] = str(Path(store).absolute())


def complete(instruction: str) -> int:
    """Answers a shell's completion script."""
    return shell_complete(root, {}, "gotdata", front.COMPLETE, instruction)


def script(shell: str) -> str:
    """What makes ``shell`` complete the words of gotdata."""
    kind = get_completion_class(shell)
    assert kind is not None, shell
    return kind(root, {}, "gotdata", front.COMPLETE).source()

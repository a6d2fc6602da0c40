"""``python -m gotdata.cli.docs > docs/cli.md``: every verb with its help, as the verb itself prints it."""

from __future__ import annotations

import click

from gotdata.cli import front
from gotdata.cli.root import root

WIDTH = 100

HEAD = """\
# The command line

Written by `python -m gotdata.cli.docs > docs/cli.md`; don't edit it by hand.

Answers go to standard output, progress, warnings and errors to standard error. Progress is bars on a terminal, and
otherwise a plain line every few seconds; `--quiet` leaves the warnings. With `--json` the answer is one JSON document:
a list of objects with a line for each, or one object. Its keys are those of `gotdata.outcome`, where `delivery` is
called `as`. An error is then a JSON object too, on standard error: `error`, `exit_code`, `message`, and `transient`
(whether the same call may succeed later). Sizes for people are in SI units (1 kB = 1000 bytes), in JSON they are bytes.

Where a word may be a dataset or a reference, it is a dataset unless it begins like a path (`./`, `../`, `/`), has a
scheme (`https:`, `s3:`, `doi:`) or is a bare DOI (`10.5281/…`).
"""

COMPLETION = """
## Completion

`gotdata completion bash|zsh|fish` prints what makes the shell complete verbs, options and the names of datasets:

```
eval "$(gotdata completion bash)"        # in ~/.bashrc
eval "$(gotdata completion zsh)"         # in ~/.zshrc, after compinit
gotdata completion fish > ~/.config/fish/completions/gotdata.fish
```
"""


def page() -> str:
    sections = [HEAD, _block("gotdata", front.page())]
    with click.Context(root, info_name="gotdata") as top:
        for name in front.VERBS:
            sections += _verb(root, name, top)
    return "".join([*sections, COMPLETION])


def _verb(group: click.Command, name: str, outer: click.Context) -> list[str]:
    """The help of a verb, and of those below it."""
    command = group.get_command(outer, name) if isinstance(group, click.Group) else None
    assert command is not None, name
    inner = click.Context(command, outer, name, **command.context_settings, terminal_width=WIDTH)
    below = command.commands if isinstance(command, click.Group) else {}
    sections = [_block(inner.command_path, command.get_help(inner))]
    return sections + [text for verb in below for text in _verb(command, verb, inner)]


def _block(title: str, text: str) -> str:
    return f"\n## {title}\n\n```\n{text.rstrip()}\n```\n"


if __name__ == "__main__":
    print(page(), end="")

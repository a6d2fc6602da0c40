"""``gotdata completion``"""

from __future__ import annotations

import click

from gotdata.cli import verb
from gotdata.cli.call import Call


@verb.verb("completion", exits=(0, 2))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def run(call: Call, shell: str) -> None:
    """Verbs, options and the names of datasets. For bash: eval "$(gotdata completion bash)" in ~/.bashrc; for zsh the
    same in ~/.zshrc; for fish: gotdata completion fish > ~/.config/fish/completions/gotdata.fish"""
    from gotdata.cli.root import script

    print(script(shell))

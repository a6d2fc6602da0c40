"""Help: complete, short, and what docs/cli.md says."""

from __future__ import annotations

import re

import click
import pytest

from gotdata.cli import docs, front
from gotdata.cli.root import root
from tests.cli.fakes import Line

LINES = 24
"""What a terminal shows at once."""


def verbs() -> list[tuple[str, ...]]:
    top = click.Context(root)
    found = {name: root.get_command(top, name) for name in front.VERBS}
    groups = {name: made.commands for name, made in found.items() if isinstance(made, click.Group)}
    return [(name,) for name in found] + [(name, inner) for name, commands in groups.items() for inner in commands]


@pytest.mark.parametrize("words", verbs(), ids=" ".join)
def test_help_fits_a_screen_and_names_the_exit_codes(gotdata: Line, words: tuple[str, ...]) -> None:
    said = gotdata(*words, "-h")
    assert said.code == 0
    assert len(said.out.splitlines()) <= LINES
    assert max(map(len, said.out.splitlines())) <= 80
    if words not in (("cache",), ("policy",)):
        assert "Exit codes: 0 done" in said.out
    assert front.VERBS[words[0]].split()[0] in said.out or len(words) > 1


def test_the_first_page_names_every_verb_and_every_flag() -> None:
    page = front.page()
    for name in root.list_commands(click.Context(root)):
        assert re.search(rf"^  {name}  ", page, re.M)
    for flag in (mark for option in root.params for mark in option.opts):
        assert re.search(rf"(^|\s){flag}\b", page), flag


def test_the_page_of_the_docs_has_every_verb_whatever_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    page = docs.page()
    for words in verbs():
        assert f"\n## gotdata {' '.join(words)}\n" in page
    monkeypatch.setenv("COLUMNS", "40")
    assert docs.page() == page


def test_exit_codes_are_all_explained_on_the_first_page() -> None:
    text = " ".join(front.page().split())
    for code, meaning in front.EXITS.items():
        assert f"{code} {meaning}" in text

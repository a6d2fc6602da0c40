"""How values are read from nodes, going on after what is wrong, so that people see all of it at once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from gotdata.errors import ManifestError
from gotdata.manifest.text import Mapping, Node, Problem, Scalar, Sequence, parse
from gotdata.paths import shown

PROBLEMS_SHOWN = 50
T = TypeVar("T")


class Reading:
    """One pass over a manifest. ``text``, ``choice`` and ``items`` raise ManifestError, which ``at`` puts to its
    place."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.who = ""
        """The entry that is being read, as messages begin."""

    def wrong(self, node: Node, message: str) -> None:
        self.problems.append(Problem(node.line, node.column, self.who + message))

    @contextmanager
    def at(self, node: Node) -> Iterator[None]:
        """Where a judgement that knows no places is made."""
        try:
            yield
        except ManifestError as error:
            self.wrong(node, str(error))

    def keys(self, node: Mapping, known: dict[str, tuple[str, ...]]) -> Iterator[tuple[str, Node]]:
        """The known keys of a mapping (with the words that people write for them); tells of the others. Those that
        begin with x- are other tools'."""
        seen: dict[str, int] = {}
        for key, value in node.items:
            if key.text in seen:
                self.wrong(key, f"'{shown(key.text)}' stands twice, first in line {seen[key.text]}")
            elif key.text in known:
                yield key.text, value
            elif not key.text.startswith("x-"):
                self.wrong(key, f"unknown key '{shown(key.text)[:60]}'{meant(key.text, known)}")
            seen.setdefault(key.text, key.line)

    def text(self, node: Node) -> str:
        if not isinstance(node, Scalar):
            raise ManifestError(f"this is {kind(node)}: text is due")
        if node.empty or not node.text.strip():
            raise ManifestError("nothing is written here: give a value, or take the line out")
        return node.text

    def choice(self, node: Node, words: Iterable[str]) -> str:
        known: dict[str, tuple[str, ...]] = {word: () for word in words}
        if (text := self.text(node)) not in known:
            raise ManifestError(f"'{shown(text)[:60]}' can't be here{meant(text, known)}")
        return text

    def items(self, node: Node) -> tuple[Node, ...]:
        """One value may stand for a list of one."""
        if isinstance(node, Sequence) and not node.items:
            raise ManifestError("an empty list: give a value, or take the line out")
        return node.items if isinstance(node, Sequence) else (node,)


def document(text: str, path: str, read: Callable[[Reading, Node | None], T]) -> T:
    """What ``read`` makes of a text.

    Raises:
        ManifestError: all that is wrong, a line each: ``path:line:column: what, and what to do``.
    """
    reading = Reading()
    try:
        found = read(reading, parse(text.removeprefix("\ufeff")))
        problems = reading.problems
    except Problem as problem:  # what was found until there may only follow from it
        problems = [problem]
    if not problems:
        return found
    problems.sort(key=lambda problem: (problem.line, problem.column))
    lines = [f"{path}:{problem.line}:{problem.column}: {problem}" for problem in problems[:PROBLEMS_SHOWN]]
    if len(problems) > PROBLEMS_SHOWN:
        lines.append(f"{path}: and {len(problems) - PROBLEMS_SHOWN} more")
    raise ManifestError("\n".join(lines))


def check_format(reading: Reading, root: Node, node: Node | None, newest: int) -> None:
    """``node`` is the value of ``gotdata:``."""
    number = re.fullmatch(r"[1-9][0-9]{0,8}", node.text) if isinstance(node, Scalar) else None
    if node is None:
        reading.wrong(root, "the line 'gotdata: 1' is missing: it says which format this is")
    elif not number:
        reading.wrong(node, "the format is a number: gotdata: 1")
    elif int(number[0]) > newest:
        raise Problem(node.line, node.column, f"format {number[0]} is newer than this gotdata: update it")


def kind(node: Node) -> str:
    return {Scalar: "text", Sequence: "a list", Mapping: "a mapping"}[type(node)]


def meant(wrote: str, known: dict[str, tuple[str, ...]]) -> str:
    """What was probably meant, else what there is."""
    word = wrote.strip().lower()[:60]
    close = next((right for right, wrong in known.items() if word in wrong), None) or next(
        iter(difflib.get_close_matches(word, known, n=1)), None
    )
    return f": did you mean '{close}'?" if close else f": there are {', '.join(known)}"

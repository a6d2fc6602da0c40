"""The text of a gotdata.yml as nodes that know their place: the part of YAML that a manifest needs, bounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

SIZE_LIMIT = 1 << 20
DEPTH_LIMIT = 16


class Problem(Exception):
    """``line`` and ``column`` count from 1."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line, self.column, self.message = line, column, message


@dataclass(frozen=True, slots=True)
class Scalar:
    """``text`` as written: ``1.10`` stays ``1.10``. ``plain`` says that no quotes stood around it."""

    line: int
    column: int
    start: int
    end: int
    text: str
    plain: bool

    @property
    def empty(self) -> bool:
        """Nothing was written, or YAML's words for nothing."""
        return self.plain and self.text in ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True, slots=True)
class Sequence:
    line: int
    column: int
    start: int
    end: int
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """``flow`` says that it stands in braces. Of a key that stands twice, both are here."""

    line: int
    column: int
    start: int
    end: int
    items: tuple[tuple[Scalar, Node], ...]
    flow: bool


Node = Scalar | Sequence | Mapping
"""``start`` and ``end`` are offsets into the text; ``end`` is where the last written character was, comments apart."""


def parse(text: str) -> Node | None:
    """The one document in ``text``, or None where it holds nothing.

    Raises:
        Problem: not YAML, or YAML that a manifest has no use for (aliases, tags, a second document), or too deep.
    """
    try:
        events = iter(YAML(typ="safe", pure=True).parse(text))
        root: Node | None = None
        for event in events:
            if isinstance(event, DocumentStartEvent):
                if root is not None:
                    raise _problem(event, "a second document: a manifest is one document, take the '---' line out")
                root = _node(next(events), events, 0)
            elif isinstance(event, DocumentEndEvent) and isinstance(root, Scalar) and root.empty:
                root = None
        return root
    except MarkedYAMLError as error:
        raise _translated(error, text) from error
    except ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise Problem(line, column, "a control character: no text editor shows it, take it out") from error
    except (YAMLError, ValueError) as error:  # a number in a %YAML directive that is none
        raise Problem(1, 1, f"not YAML: {error}") from error


def plain(node: Node | None) -> Any:
    """Nodes as dicts, lists and texts; None for what holds nothing. Of a key that stands twice, the last."""
    if isinstance(node, Mapping):
        return {key.text: plain(value) for key, value in node.items}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return None if node is None or node.empty else node.text


def _node(event: Event, events: Iterator[Event], depth: int) -> Node:
    if isinstance(event, AliasEvent):
        raise _problem(event, "an alias (*): write the value out")
    if isinstance(event, NodeEvent) and getattr(event, "tag", None):
        raise _problem(event, "a tag (!): values are read as written, take it out")
    if depth > DEPTH_LIMIT:
        raise _problem(event, f"more than {DEPTH_LIMIT} levels deep")
    line, column = event.start_mark.line + 1, event.start_mark.column + 1
    start, end = event.start_mark.index, event.end_mark.index
    if isinstance(event, ScalarEvent):
        return Scalar(line, column, start, end, event.value, event.style is None)
    flow = bool(getattr(event, "flow_style", False))
    if isinstance(event, SequenceStartEvent):
        items: list[Node] = []
        while not isinstance(event := next(events), SequenceEndEvent):
            items.append(_node(event, events, depth + 1))
            end = items[-1].end
        return Sequence(line, column, start, event.end_mark.index if flow else end, tuple(items))
    pairs: list[tuple[Scalar, Node]] = []
    while not isinstance(event := next(events), MappingEndEvent):
        key = _node(event, events, depth + 1)
        if not isinstance(key, Scalar):
            raise _problem(event, "a key that is no text")
        value = _node(next(events), events, depth + 1)
        if value.start == value.end:  # not written: the parser places it after the comments that follow
            after = key.column + key.end - key.start + 1
            value = Scalar(key.line, after, key.end + 1, key.end + 1, "", True)
        pairs.append((key, value))
        end = value.end
    return Mapping(line, column, start, event.end_mark.index if flow else end, tuple(pairs), flow)


def _problem(event: Event, message: str) -> Problem:
    return Problem(event.start_mark.line + 1, event.start_mark.column + 1, message)


def _translated(error: MarkedYAMLError, text: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    rows = text.splitlines()
    if line < len(rows) and "\t" in rows[line][: column + 1]:
        return Problem(line + 1, rows[line].index("\t") + 1, "a tab: YAML indents by spaces only")
    what = " ".join(filter(None, (error.context, error.problem)))
    return Problem(line + 1, column + 1, f"not YAML: {what}")

"""Events: what every stage says while it works. Progress, logs, provenance and audit are listeners."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    ``kind`` is one of: ``step`` (a stage began; ``text`` says which), ``plan`` (``bytes`` and ``files`` still to come),
    ``fetched`` (``bytes`` came from an origin), ``delivered`` (a file is in its place, of ``bytes``), ``read`` (someone
    read ``bytes`` of ``path``), ``warning`` (``text`` says what, where and what next).
    """

    kind: str
    dataset: str = ""
    path: str = ""
    bytes: int = 0
    files: int = 0
    text: str = ""
    detail: Mapping[str, str] = field(default_factory=dict)


class Reporter(Protocol):
    def __call__(self, event: Event, /) -> None:
        """Called from any thread; must not block and must not raise."""


def silent(event: Event, /) -> None:
    """The Reporter that says nothing."""

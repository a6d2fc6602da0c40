"""What a source is held to, by the words of the conformance table (docs/sources/index.md), which the test run makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., None])

COLUMNS = (
    "resolve",
    "pin",
    "list 10,000",
    "nested",
    "odd names",
    "empty file",
    "empty folder",
    "range",
    "verify",
    "changed",
    "removed",
    "auth refused",
    "rate limited",
    "cut connection",
    "hostile listing",
)


def shows(*columns: str) -> Callable[[F], F]:
    """Marks a test of a contract suite: where it passes, its source has these columns of the table."""
    assert set(columns) <= set(COLUMNS), columns

    def mark(test: F) -> F:
        test.shows = columns  # type: ignore[attr-defined]
        return test

    return mark

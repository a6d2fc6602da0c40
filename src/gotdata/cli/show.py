"""Answers as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from gotdata.measure import count, duration, size
from gotdata.outcome import Fetched


def snapshot(id: str) -> str:
    """As much of a snapshot's id as tells it from others."""
    return id[:12] or "-"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> Iterator[str]:
    """Aligned columns; those in ``right`` to the right. Free text belongs into the last column."""
    cells = [head, *rows]
    if len(cells) == 1:
        return
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    numbers = set(right)
    for row in cells:
        yield "  ".join(
            cell.rjust(width) if at in numbers else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()


def fetched(one: Fetched) -> str:
    return (
        f"{one.name}  {count(one.files, 'file')}, {size(one.bytes)} there, "
        f"{size(one.moved)} moved, {duration(one.seconds)}"
    )

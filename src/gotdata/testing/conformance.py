"""The conformance table of docs/sources/index.md: what each source was shown to do, against what. The tests that show
it say so by ``shows``; a run of them makes the table, or holds it to what it claims."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
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
DOUBLE = "double"
_BEGIN, _END = "<!-- conformance: made by the tests -->\n", "<!-- end -->\n"
_YES, _NO = "✓", "–"


def shows(*columns: str) -> Callable[[F], F]:
    """Marks a test of a contract suite: where it passes, its source has these columns of the table."""
    assert set(columns) <= set(COLUMNS), columns

    def mark(test: F) -> F:
        test.shows = columns  # type: ignore[attr-defined]
        return test

    return mark


@dataclass
class Table:
    """What a run of tests showed.

    Attributes:
        rows: by source and what answered it: the columns that were tried, and whether all tests of each passed.
        clients: by source, the packages of others that read its double.
    """

    rows: dict[tuple[str, str], dict[str, bool]] = field(default_factory=lambda: defaultdict(dict))
    clients: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def note(self, source: str, against: str, columns: tuple[str, ...], passed: bool) -> None:
        row = self.rows[source, against]
        for column in columns:
            row[column] = row.get(column, True) and passed

    def text(self) -> str:
        lines = [f"| source | against | {' | '.join(COLUMNS)} |", "|---|---|" + ":-:|" * len(COLUMNS)]
        for (source, against), row in sorted(
            self.rows.items(), key=lambda item: (item[0][0], item[0][1] != DOUBLE, item[0][1])
        ):
            cells = (_YES if row.get(column) else _NO for column in COLUMNS)
            lines.append(f"| [{source}]({source}.md) | {self._against(source, against)} | {' | '.join(cells)} |")
        return "\n".join(lines) + "\n"

    def _against(self, source: str, against: str) -> str:
        if against != DOUBLE:
            return against
        named = ", ".join(sorted(self.clients[source], key=str.lower))
        return f"our double, which {named} reads too" if named else "our double"

    def broken(self, page: str) -> list[str]:
        """What the table of a page claims and this run did not show, or lacks. A cell that was not tried here, for want
        of a server, is let stand."""
        held = dict(_rows(_between(page)[1]))
        found = []
        for (source, against), row in self.rows.items():
            claimed = held.get((source, self._against(source, against)))
            if claimed is None:
                found.append(f"{source} against {against}: no such row")
                continue
            found += [
                f"{source} against {against}: '{column}' is claimed to be {claimed[column]}, and is not"
                for column, passed in row.items()
                if claimed[column] != passed
            ]
        return found

    def written(self, page: str) -> str:
        """The page with this table."""
        before, _, after = _between(page)
        return before + self.text() + after


def _between(page: str) -> tuple[str, str, str]:
    before, begin, rest = page.partition(_BEGIN)
    table, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError("the page has no place for the table")
    return before + begin, table, end + after


def _rows(table: str) -> Iterator[tuple[tuple[str, str], dict[str, bool]]]:
    for line in table.splitlines()[2:]:
        source, against, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        name = source.removeprefix("[").partition("]")[0]
        yield (name, against), {column: cell == _YES for column, cell in zip(COLUMNS, cells, strict=True)}

"""With the internet: a small public dataset of Mendeley Data, and what differs from what the tests believe."""

from __future__ import annotations

from gotdata.model import Ref
from tests.live.reading import check


def test_a_dataset_by_its_doi() -> None:
    """The Aluminium alloy dataset, a table."""
    check(Ref("doi:10.17632/b6br4yk6r3.1"), source="mendeley", checks="sha256")

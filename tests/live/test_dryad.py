"""With the internet: the small files of a public dataset of Dryad, and what differs from what the tests believe. Where
a wall against programs stands before its downloads, this fails and says so."""

from __future__ import annotations

from gotdata.model import Ref
from tests.live.reading import check


def test_a_dataset_by_its_doi() -> None:
    check(Ref("doi:10.5061/dryad.j1fd7"), source="dryad")

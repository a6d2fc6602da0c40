"""With the internet: small public articles of Figshare and 4TU.ResearchData, and what differs from what the tests
believe."""

from __future__ import annotations

from gotdata.model import Ref
from tests.live.reading import check


def test_an_article_by_its_doi() -> None:
    """The test data of the Pooch library."""
    check(Ref("doi:10.6084/m9.figshare.14763051.v1"), source="figshare", checks="md5")


def test_the_address_of_a_download() -> None:
    check(Ref("https://figshare.com/ndownloader/files/28369770"), source="figshare")


def test_a_dataset_of_4tu() -> None:
    """BPI Challenge 2012, an event log."""
    check(Ref("https://data.4tu.nl/articles/dataset/BPI_Challenge_2012/12689204"), source="figshare", checks="md5")

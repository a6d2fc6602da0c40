"""With the internet: a Data Package, and what differs from what the tests believe."""

from __future__ import annotations

from gotdata.model import Ref
from tests.live.reading import check


def test_a_package_of_the_formats_authors() -> None:
    check(
        Ref("https://raw.githubusercontent.com/datasets/country-codes/main/datapackage.json"), "datapackage", "sha256"
    )

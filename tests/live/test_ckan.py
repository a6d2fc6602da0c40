"""With the internet: small public files of a CKAN portal, and what differs from what the tests believe."""

from __future__ import annotations

from gotdata.model import Ref
from tests.live.reading import check


def test_a_file_of_ckan_s_own_demonstration() -> None:
    """The dataset that its makers keep there."""
    check(Ref("https://demo.ckan.org/dataset/sample-dataset-1"), source="ckan")

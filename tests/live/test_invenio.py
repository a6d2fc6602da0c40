"""With the internet: small public files of Zenodo, and what differs from what the tests believe."""

from __future__ import annotations

from gotdata.model import Ref
from tests.live.reading import check


def test_a_file_of_a_record() -> None:
    """Two small files that pooch made for its tests."""
    check(Ref("https://zenodo.org/records/4924875"), "invenio", "md5")


def test_a_key_with_a_slash() -> None:
    check(Ref("https://zenodo.org/records/3463499"), "invenio", "md5", largest=32 << 20)


def test_a_doi_leads_to_it() -> None:
    check(Ref("doi:10.5281/zenodo.4924875"), "invenio", "md5")

"""With the internet: small files of the CERN Open Data portal, and what differs from what the tests believe."""

from __future__ import annotations

from gotdata.model import Ref
from tests.live.reading import check


def test_the_smallest_file_of_a_record() -> None:
    """The example code of a Higgs analysis: small texts beside bigger files."""
    check(Ref("https://opendata.cern.ch/record/5500"), "cernopendata", "adler32")

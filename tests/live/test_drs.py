"""With the internet: a public object of a DRS server, and what differs from what the tests believe."""

from __future__ import annotations

from gotdata.model import Ref
from tests.live.reading import check


def test_an_object_of_the_sequence_read_archive() -> None:
    """Most servers want accounts; this one of the NCBI was public. Whether it still is, is unverified."""
    check(Ref("drs://locate.be-md.ncbi.nlm.nih.gov/72ff6ff882ec447f12df018e6183de59"), "drs", "md5")

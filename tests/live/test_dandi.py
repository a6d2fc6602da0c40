"""With the internet: a small public file of DANDI, and what differs from what the tests believe."""

from __future__ import annotations

from gotdata.model import Ref
from tests.live.reading import check


def test_a_file_of_a_published_version() -> None:
    """Dandiset 000027, made for tests: one small NWB file."""
    check(Ref("https://dandiarchive.org/dandiset/000027/0.210831.2033"), source="dandi", checks="dandi-etag")

"""With the internet: a public share of a Nextcloud, named in ``GOTDATA_LIVE_SHARE``: those that are public for long are
few, and nobody's promise."""

from __future__ import annotations

import os

import pytest

from gotdata.model import Ref
from tests.live.reading import check


def test_the_smallest_file_of_a_share() -> None:
    share = os.environ.get("GOTDATA_LIVE_SHARE", "")
    if not share:
        pytest.skip("GOTDATA_LIVE_SHARE names no share of a Nextcloud")
    check(Ref(share), "webdav")

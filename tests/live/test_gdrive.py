"""With the internet: a small public file in Google Drive, and what differs from what the tests believe."""

from __future__ import annotations

from gotdata.model import Ref
from tests.live.reading import check


def test_a_shared_file() -> None:
    """The file that gdown's manual downloads."""
    check(Ref("https://drive.google.com/uc?id=0B9P1L--7Wd2vU3VUVlFnbTgtS2c"), source="gdrive")

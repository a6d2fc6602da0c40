"""With the internet: a small public file in Dropbox, and what differs from what the tests believe."""

from __future__ import annotations

from gotdata.model import Ref
from tests.live.reading import check


def test_a_shared_file() -> None:
    """A classifier that CaImAn, an analysis of calcium imaging, brings with it."""
    check(Ref("https://www.dropbox.com/s/oypj1ejyvb14efd/cnn_model.h5?dl=1"), source="dropbox")

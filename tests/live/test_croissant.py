"""With the internet: a Croissant document of its authors, and what differs from what the tests believe."""

from __future__ import annotations

from gotdata.model import Ref
from tests.live.reading import check

DATASETS = "https://raw.githubusercontent.com/mlcommons/croissant/main/datasets/1.0"


def test_files_beside_the_document() -> None:
    check(Ref(f"croissant:{DATASETS}/titanic/metadata.json", (("absent", "skip"),)), "croissant", "sha256")

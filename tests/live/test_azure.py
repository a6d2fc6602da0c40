"""With the internet: a small public file of Azure Blob Storage, and what differs from what the tests believe."""

from __future__ import annotations

from gotdata.model import Ref
from tests.live.reading import check


def test_a_file_of_the_examples_of_machine_learning() -> None:
    check(Ref("https://azuremlexamples.blob.core.windows.net/datasets/iris.csv"), source="azure")

"""With the internet: a page with a Dataset in JSON-LD, and what differs from what the tests believe."""

from __future__ import annotations

from gotdata.model import Ref
from tests.live.reading import check


def test_a_dataset_of_an_observatory() -> None:
    check(Ref("schemaorg:https://doi.pangaea.de/10.1594/PANGAEA.820334", (("absent", "skip"),)), "schemaorg")

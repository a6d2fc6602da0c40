"""With the internet: a public file of a collection, and what differs from what the tests believe."""

from __future__ import annotations

from gotdata.model import Ref
from tests.live.reading import check

GENES = "https://g-a8b222.dd271.03c0.data.globus.org/pub/databases/genenames/hgnc/json/hgnc_complete_set.json"


def test_a_file_by_its_address() -> None:
    """The names of human genes, at the EBI."""
    check(Ref(GENES), source="globus", largest=128 << 20)

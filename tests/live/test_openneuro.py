"""With the internet: a small public file of OpenNeuro, and what differs from what the tests believe."""

from __future__ import annotations

from gotdata.model import Ref
from tests.live.reading import check


def test_a_file_of_a_snapshot() -> None:
    """One participant's events, a table."""
    name = "sub-01:func:sub-01_task-balloonanalogrisktask_run-01_events.tsv"
    check(Ref(f"https://openneuro.org/datasets/ds000001/versions/1.0.0/file-display/{name}"), source="openneuro")

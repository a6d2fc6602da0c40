"""With the internet: pages that name their files for programs, and what differs from what the tests believe."""

from __future__ import annotations

from gotdata.model import Ref
from tests.live.reading import check


def test_a_benchmark_page_with_items_in_its_header() -> None:
    at = "https://s11.no/2022/a2a-fair-metrics/28-http-linkset-json-only/"
    check(Ref(f"signposting:{at}", (("absent", "skip"),)), "signposting")

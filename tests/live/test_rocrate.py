"""With the internet: an RO-Crate, and what differs from what the tests believe."""

from __future__ import annotations

from gotdata.model import Ref
from tests.live.reading import check


def test_the_crate_that_the_specification_is() -> None:
    ref = Ref("https://www.researchobject.org/ro-crate/1.1/ro-crate-metadata.json", (("absent", "skip"),))
    check(ref, "rocrate", "sha256")

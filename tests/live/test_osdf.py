"""With the internet: a small public file of the OSDF, and what differs from what the tests believe."""

from __future__ import annotations

from gotdata.model import Ref
from tests.live.reading import check


def test_the_file_of_its_documentation() -> None:
    check(Ref("pelican://osg-htc.org/pelicanplatform/test/hello-world.txt"), "osdf")

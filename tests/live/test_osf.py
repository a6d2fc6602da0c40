"""With the internet: a small public file of the OSF, and what differs from what the tests believe."""

from __future__ import annotations

from gotdata.model import Ref
from tests.live.reading import check


def test_a_file_of_a_public_project() -> None:
    """The results of the Reproducibility Project: Psychology, a table."""
    check(Ref("https://osf.io/fgjvw/?action=download"), source="osf", checks="sha256")

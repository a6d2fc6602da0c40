"""With the internet: a small public file of GitHub, and what differs from what the tests believe."""

from __future__ import annotations

from gotdata.model import Ref
from tests.live.reading import check


def test_a_table_that_courses_use() -> None:
    check(Ref("https://github.com/mwaskom/seaborn-data/blob/master/iris.csv"), "github", "git-sha1")

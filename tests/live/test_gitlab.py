"""With the internet: a small public file of GitLab, and what differs from what the tests believe."""

from __future__ import annotations

from gotdata.model import Ref
from tests.live.reading import check


def test_the_readme_of_a_test_project() -> None:
    check(Ref("https://gitlab.com/gitlab-org/gitlab-test/-/blob/master/README.md"), "gitlab", "git-sha1")

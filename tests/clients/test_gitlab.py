"""python-gitlab reads our GitLab: its address is an argument."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gotdata.testing.git_objects import Repository, pointer
from gotdata.testing.gitlab_double import GitLab
from gotdata.testing.source_contract import BODY

CLIENT = ("gitlab", "python-gitlab")

gitlab = pytest.importorskip("gitlab", reason="python-gitlab is not installed")

FILES = {"README.md": b"# Cells\n", "data/a b.bin": BODY, "data/deep/empty": b"", "big": pointer(BODY)}
PROJECT = "lab/imaging/cells"


@pytest.fixture
def project() -> Iterator[object]:
    with GitLab() as double:
        double.page = 2
        double.lfs(BODY)
        double.projects[PROJECT] = Repository()
        double.projects[PROJECT].commit(FILES)
        with gitlab.Gitlab(double.root) as client:
            yield client.projects.get(PROJECT)


def test_it_lists_the_tree_page_by_page(project: object) -> None:
    entries = project.repository_tree(recursive=True, pagination="keyset", per_page=2, get_all=True)
    files = {entry["path"]: entry["id"] for entry in entries if entry["type"] == "blob"}
    assert files.keys() == FILES.keys()
    assert files["data/a b.bin"] == project.files.get("data/a b.bin", ref="main").blob_id


def test_it_reads_the_bytes(project: object) -> None:
    commit = project.commits.get("main").id
    assert project.files.raw("data/a b.bin", ref=commit) == BODY
    assert project.files.raw("big", ref=commit) == FILES["big"]
    assert project.files.raw("big", ref=commit, lfs="true") == BODY


def test_it_knows_the_refusal(project: object) -> None:
    with pytest.raises(gitlab.exceptions.GitlabGetError, match="404"):
        project.manager.gitlab.projects.get("lab/none")

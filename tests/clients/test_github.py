"""PyGithub reads our GitHub as an Enterprise Server's, and git-lfs its objects: both have a setting for the address."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gotdata.testing.git_objects import EXECUTABLE, Blob, pointer
from gotdata.testing.github_double import GitHub
from gotdata.testing.source_contract import BODY
from tests.e2e.servers import program

CLIENT = ("github", "PyGithub")

github = pytest.importorskip("github", reason="PyGithub is not installed")

REPO = "lab/cells"


@pytest.fixture
def double() -> Iterator[GitHub]:
    with GitHub() as double:
        repo = double.repo(REPO)
        repo.commit({"README.md": b"# Cells\n", "data/a b.bin": BODY, "run": Blob(b"#!", EXECUTABLE)})
        double.release(REPO, "v1", {f"f{number}.bin": BODY[:number] for number in range(7)})
        yield double


def client(double: GitHub) -> object:
    return github.Github(base_url=f"{double.root}/api/v3", retry=None).get_repo(REPO)


def test_it_lists_a_tree_and_reads_its_blobs(double: GitHub) -> None:
    repo = client(double)
    assert (repo.full_name, repo.default_branch, repo.private) == (REPO, "main", False)
    commit = repo.get_commit("main").sha
    entries = {entry.path: entry for entry in repo.get_git_tree(commit, recursive=True).tree}
    assert [*entries] == ["README.md", "data", "data/a b.bin", "run"]
    assert (entries["run"].mode, entries["data"].type, entries["data/a b.bin"].size) == ("100755", "tree", len(BODY))
    blob = repo.get_git_blob(entries["data/a b.bin"].sha)
    assert base64.b64decode(blob.content) == BODY


def test_it_lists_a_release_page_by_page(double: GitHub) -> None:
    """It can't fetch from an Enterprise Server: where it is sent on to must begin with ``/api/v3`` too."""
    double.page = 3
    release = client(double).get_latest_release()
    assets = {asset.name: asset for asset in release.get_assets()}
    assert {name: asset.size for name, asset in assets.items()} == {f"f{number}.bin": number for number in range(7)}
    assert assets["f6.bin"].digest == f"sha256:{hashlib.sha256(BODY[:6]).hexdigest()}"


def test_it_knows_the_refusals(double: GitHub) -> None:
    with pytest.raises(github.UnknownObjectException):
        github.Github(base_url=f"{double.root}/api/v3", retry=None).get_repo("lab/none")
    double.limit = 1
    with pytest.raises(github.RateLimitExceededException):
        client(double)


@pytest.mark.parametrize("header", ["", "RemoteAuth abc"])
def test_git_lfs_follows_a_pointer(double: GitHub, tmp_path: Path, header: str) -> None:
    git = program("git", package="apt-get install git")
    program("git-lfs", package="apt-get install git-lfs")
    double.lfs_header = header
    double.lfs(BODY)
    subprocess.run([git, "init", "-q", tmp_path], check=True)
    lfs = [git, "-c", f"lfs.url={double.root}/{REPO}.git/info/lfs", "lfs", "smudge"]
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0"}
    made = subprocess.run(lfs, cwd=tmp_path, env=environ, input=pointer(BODY), capture_output=True, timeout=60)
    assert made.stdout == BODY, made.stderr

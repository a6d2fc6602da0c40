"""What GitHub and GitLab are read for is what a real git says of the same files: the names of branches and tags as git
tells them over HTTP, the ids of blobs, trees' modes, pointers as git-lfs writes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gotdata.model import Kind, Pin, Ref, RemoteFile
from gotdata.sources import git_lfs, registry
from gotdata.testing.git_objects import EXECUTABLE, LINK, Blob, Repository, pointer
from gotdata.testing.github_double import GitHub
from gotdata.testing.gitlab_double import GitLab
from gotdata.testing.source_contract import BODY, ODD_NAMES, context
from tests.e2e.git_http import git, made, served
from tests.e2e.servers import program

FILES = {
    **{f"odd/{name}": Blob(name.encode()) for name in ODD_NAMES},
    "run": Blob(b"#!/bin/sh\n", EXECUTABLE),
    "deep/er/link": Blob(b"../../run", LINK),
    "deep/er-/f": Blob(BODY),
    "empty": Blob(b""),
}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    """The address of a repository, its commit, and a clone of it that came over HTTP."""
    folder = tmp_path_factory.mktemp("git")
    commit = made(folder / "served" / "cells", FILES)
    with served(folder / "served") as url:
        git("clone", "-q", f"{url}/cells/.git", "clone", folder=folder)
        yield f"{url}/cells/.git", commit, folder / "clone"


def ours(name: str) -> tuple[Pin, dict[str, RemoteFile]]:
    """The same files as a source of ours lists them, from a double that has them."""
    source = registry.source(name)
    with GitHub() if name == "github" else GitLab() as double:
        repo = double.repo("lab/cells") if isinstance(double, GitHub) else Repository()
        repo.commit(FILES)
        if isinstance(double, GitLab):
            double.projects["lab/cells"] = repo
        ctx = context()
        pin = source.resolve(Ref(f"{name}:{double.root}/lab/cells"), ctx)
        assert isinstance(pin, Pin)
        return pin, {file.path: file for file in source.files(pin, ctx)}


def tree(clone: Path) -> dict[str, tuple[str, str]]:
    """Mode and id of each file, as git has them."""
    lines = git("ls-tree", "-r", "-z", "HEAD", folder=clone).split("\0")
    found = {}
    for line in filter(None, lines):
        said, _, path = line.partition("\t")
        mode, _, id = said.split()
        found[path] = (mode, id)
    return found


@pytest.mark.parametrize("name", ["github", "gitlab"])
def test_files_have_the_ids_that_git_gives_them(real: tuple[str, str, Path], name: str) -> None:
    _, files = ours(name)
    known = tree(real[2])
    assert files.keys() == known.keys()
    plain = {path: file for path, file in files.items() if file.kind is Kind.FILE}
    assert {path: file.checks[0].hex for path, file in plain.items()} == {path: known[path][1] for path in plain}
    assert {path for path, file in files.items() if file.executable} == {"run"}
    assert files["deep/er/link"].target == (real[2] / "deep/er/link").readlink().as_posix()


def test_the_double_names_trees_as_git_does(real: tuple[str, str, Path]) -> None:
    repo = Repository()
    commit = repo.commit(FILES)
    assert repo.roots[commit] == git("rev-parse", "HEAD^{tree}", folder=real[2]).strip()


def test_names_mean_the_commits_that_git_tells_over_http(real: tuple[str, str, Path], tmp_path: Path) -> None:
    """An annotated tag is an object of its own; what it stands for is told beside it, as ``^{}``."""
    url, commit, _ = real
    lines = git("ls-remote", url, folder=tmp_path).splitlines()
    refs = {ref: id for id, ref in (line.split("\t") for line in lines)}
    assert refs["refs/heads/main"] == refs["refs/tags/v1^{}"] == commit
    assert refs["refs/tags/v1"] != commit


def test_pointers_are_those_of_git_lfs(tmp_path: Path) -> None:
    program("git-lfs", package="apt-get install git-lfs")
    (tmp_path / "big.bin").write_bytes(BODY)
    git("init", "-q", folder=tmp_path)
    text = git("lfs", "pointer", "--file", "big.bin", folder=tmp_path)
    written = text[text.index("version ") :]
    assert written.encode() == pointer(BODY)
    oid, size = git_lfs.pointer(written) or ("", 0)
    assert (size, len(oid)) == (len(BODY), 64)


def test_attributes_name_what_git_says_they_name(tmp_path: Path) -> None:
    attributes = {
        ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\nkeep.bin !filter\n/top/** filter=lfs\n"
        '"a b.dat" filter=lfs\nx[[:space:]]y filter=lfs\n# *.txt filter=lfs\n',
        "deep/.gitattributes": "*.csv filter=lfs\nplain.bin -filter\n",
    }
    paths = ["a.bin", "q/w/a.bin", "keep.bin", "q/keep.bin", "top/x/y", "q/top/x", "a b.dat", "q/a b.dat", "x y"]
    paths += ["a.txt", "x.csv", "deep/x.csv", "deep/er/x.csv", "deep/plain.bin", "deep/other.bin"]
    git("init", "-q", folder=tmp_path)
    tracked = git_lfs.Tracked()
    for path, text in attributes.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
        tracked.learn(path.rpartition("/")[0], text)
    said = git("check-attr", "-z", "filter", "--", *paths, folder=tmp_path).split("\0")
    wanted = {path for path, value in zip(said[::3], said[2::3], strict=False) if value == "lfs"}
    assert {path for path in paths if path in tracked} == wanted

"""Where a manifest is looked for, and which folder its paths are relative to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gotdata import manifest
from gotdata.errors import ManifestError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository without a manifest."""
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    return tmp_path / "repo"


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("gotdata: 1\n", "utf-8")
    return path


@pytest.mark.parametrize("place", ["gotdata.yml", "binder/gotdata.yml", ".binder/gotdata.yml"])
@pytest.mark.parametrize("start", ["", "a/b", "binder", ".binder", "a/binder"])
def test_found_from_any_folder_below_the_root(root: Path, place: str, start: str) -> None:
    path = write(root / place)
    (root / start).mkdir(parents=True, exist_ok=True)
    assert manifest.find(root / start) == path
    assert manifest.load(path).root == root
    assert manifest.load(path).path == path


def test_a_binder_without_a_manifest_leaves_the_roots(root: Path) -> None:
    (root / "binder").mkdir()
    path = write(root / "gotdata.yml")
    assert manifest.find(root) == path


@pytest.mark.parametrize("second", ["binder/gotdata.yml", ".binder/gotdata.yml"])
def test_two_manifests_are_an_error(root: Path, second: str) -> None:
    write(root / "gotdata.yml")
    write(root / second)
    with pytest.raises(ManifestError, match=r"two manifests: .*keep one of them"):
        manifest.find(root)


def test_the_nearest_wins(root: Path) -> None:
    write(root / "gotdata.yml")
    inner = write(root / "part" / "gotdata.yml")
    assert manifest.find(root / "part") == inner


def test_nothing_above_gits_root_is_taken(root: Path) -> None:
    write(root.parent / "gotdata.yml")
    (root / "a").mkdir()
    with pytest.raises(ManifestError, match=rf"no gotdata\.yml in {root}/a, nor above it up to {root}: `gotdata init`"):
        manifest.find(root / "a")


def test_a_worktree_whose_git_is_a_file_is_a_root(tmp_path: Path) -> None:
    write(tmp_path / "gotdata.yml")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / ".git").write_text("gitdir: elsewhere", "utf-8")
    with pytest.raises(ManifestError, match=r"no gotdata\.yml"):
        manifest.find(tmp_path / "tree")


def test_a_repository_named_binder_is_its_own_root(tmp_path: Path) -> None:
    (tmp_path / "binder" / ".git").mkdir(parents=True)
    path = write(tmp_path / "binder" / "gotdata.yml")
    assert manifest.find(tmp_path / "binder") == path
    assert manifest.load(path).root == tmp_path / "binder"


def test_a_relative_start(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(root / "gotdata.yml")
    monkeypatch.chdir(root)
    assert manifest.find(Path()) == path
    assert manifest.load(Path("gotdata.yml")).root == root


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this platform has no named pipes")
def test_what_is_no_file_is_no_manifest(root: Path) -> None:
    os.mkfifo(root / "gotdata.yml")
    with pytest.raises(ManifestError, match=r"no gotdata\.yml"):
        manifest.find(root)

"""Copies: complete or absent, people's files untouched."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from gotdata.errors import DeliveryError
from gotdata.outcome import State
from gotdata.project import Project
from gotdata.report import Event
from gotdata.snapshot import MTIME

FILES = {"a.csv": b"a,b\n1,2\n", "deep/er/b.bin": os.urandom(3_000_000), "empty": b""}


@pytest.fixture
def root(tmp_path: Path, store: Path) -> Path:
    for path, data in FILES.items():
        (tmp_path / "src" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "src" / path).write_bytes(data)
    (tmp_path / "src/hollow").mkdir()
    (tmp_path / "src/run").write_text("#!/bin/sh\n")
    (tmp_path / "src/run").chmod(0o755)
    (tmp_path / "src/link").symlink_to("deep/er/b.bin")
    (tmp_path / "gotdata.yml").write_text("gotdata: 1\ndata:\n  cells:\n    from: ./src\n    as: copy\n")
    return tmp_path


@pytest.fixture
def project(root: Path) -> Iterator[Project]:
    with Project.find(root) as project:
        yield project


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_copy_has_the_bytes_the_modes_and_the_time_of_the_snapshot(project: Project, root: Path) -> None:
    project.up()
    copy = root / "data/cells"
    assert contents(copy) == {**FILES, "run": b"#!/bin/sh\n", "link": FILES["deep/er/b.bin"]}
    assert (copy / "link").readlink() == Path("deep/er/b.bin")
    assert (copy / "hollow").is_dir()
    modes = {name: stat.S_IMODE((copy / name).lstat().st_mode) for name in ("a.csv", "run", "deep", "")}
    assert modes == {"a.csv": 0o444, "run": 0o555, "deep": 0o555, "": 0o555}
    assert {path.lstat().st_mtime for path in [copy, *copy.rglob("*")]} == {MTIME}


def test_up_twice_is_up_once(project: Project, root: Path) -> None:
    project.up()
    before = (root / "data/cells/a.csv").stat()
    (again,) = project.up()
    assert again.change == "same"
    assert (root / "data/cells/a.csv").stat().st_ino == before.st_ino


def test_a_copy_shares_no_inode_with_store_or_origin(project: Project, root: Path) -> None:
    project.up()
    assert (root / "data/cells/a.csv").stat().st_nlink == 1
    assert (root / "data/cells/a.csv").stat().st_ino != (root / "src/a.csv").stat().st_ino


def test_down_leaves_nothing_behind(project: Project, root: Path) -> None:
    project.up()
    assert project.down() == ["cells"]
    assert not (root / "data").exists()
    assert not list((root / ".gotdata/receipts").iterdir())
    assert not list((root / ".gotdata").glob("staging/*"))
    assert project.down() == []


def test_down_keeps_a_folder_that_was_there_before(project: Project, root: Path) -> None:
    (root / "data").mkdir()
    project.up()
    project.down()
    assert (root / "data").is_dir()


@pytest.mark.parametrize("change", ["edited", "added", "removed"])
def test_a_copy_that_was_changed_by_hand_is_never_deleted(project: Project, root: Path, change: str) -> None:
    project.up()
    copy = root / "data/cells"
    copy.chmod(0o755)
    if change == "edited":
        (copy / "a.csv").chmod(0o644)
        (copy / "a.csv").write_text("mine")
    elif change == "added":
        (copy / "notes.txt").write_text("mine")
    else:
        (copy / "a.csv").unlink()
    with pytest.raises(DeliveryError, match="changed by hand"):
        project.down()
    assert copy.is_dir()
    assert project.status()[0].state is State.BROKEN
    with pytest.raises(DeliveryError, match="changed by hand"):
        project.up()
    assert (copy / "deep/er/b.bin").exists()


@pytest.mark.parametrize("what", ["folder", "file", "link"])
def test_what_people_have_at_the_target_stays(project: Project, root: Path, what: str) -> None:
    target = root / "data/cells"
    target.parent.mkdir()
    if what == "folder":
        target.mkdir()
        (target / "thesis.tex").write_text("mine")
    elif what == "file":
        target.write_text("mine")
    else:
        target.symlink_to(root / "src")
    before = contents(root / "src") if what == "link" else None
    with pytest.raises(DeliveryError, match=r"did not make it|is no folder"):
        project.up()
    if what == "folder":
        assert contents(target) == {"thesis.tex": b"mine"}
    elif what == "file":
        assert target.read_text() == "mine"
    else:
        assert target.is_symlink()
        assert contents(root / "src") == before
    assert project.status()[0].state is State.DOWN


def test_a_target_behind_a_link_out_of_the_repository_is_refused(
    project: Project, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (root / "data").symlink_to(outside)
    with pytest.raises(DeliveryError, match="leads out"):
        project.up()
    assert not list(outside.iterdir())


def test_a_failure_leaves_the_target_as_it_was(project: Project, root: Path) -> None:
    project.lock()
    (root / "src/a.csv").write_text("another text, of another size")
    with pytest.raises(Exception, match="changed"):
        project.up()
    assert not (root / "data").exists()
    assert not list((root / ".gotdata").glob("staging/*"))


def test_a_new_snapshot_takes_the_place_of_the_old_one(project: Project, root: Path) -> None:
    project.up()
    (root / "src/a.csv").write_text("new")
    (root / "src/empty").unlink()
    project.lock(update=True)
    (done,) = project.up()
    assert done.change == "up"
    assert (root / "data/cells/a.csv").read_text() == "new"
    assert not (root / "data/cells/empty").exists()


def test_a_failed_update_keeps_the_old_copy(project: Project, root: Path) -> None:
    project.up()
    (root / "src/a.csv").write_text("new")
    project.lock(update=True)
    (root / "src/a.csv").write_text("newer, and longer")
    with pytest.raises(Exception, match="changed"):
        project.up()
    assert (root / "data/cells/a.csv").read_bytes() == FILES["a.csv"]


def test_a_moved_target_is_followed(project: Project, root: Path) -> None:
    project.up()
    (root / "gotdata.yml").write_text("gotdata: 1\ndata:\n  cells: {from: ./src, as: copy, to: input/x}\n")
    with Project.find(root) as moved:
        moved.up(locked=True)
    assert (root / "input/x/a.csv").exists()
    assert not (root / "data").exists()


def test_too_little_space_is_said_before_anything_is_copied(
    project: Project, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10))
    with pytest.raises(DeliveryError, match="10 free"):
        project.up()
    assert not (root / "data").exists()


@pytest.mark.parametrize("first", [["a"], ["b"], []])
def test_a_folder_that_two_datasets_share_goes_with_the_last(project: Project, root: Path, first: list[str]) -> None:
    (root / "gotdata.yml").write_text("gotdata: 1\ndata:\n  a: {from: ./src, as: copy}\n  b: {from: ./src, as: copy}\n")
    with Project.find(root) as both:
        both.up()
        assert both.down(first) == (first or ["a", "b"])
        for name in {"a", "b"} - {*(first or "ab")}:
            assert (root / "data" / name / "a.csv").exists()
        both.down()
    assert not (root / "data").exists()


def test_verify_finds_what_was_changed_in_a_copy_and_says_the_way_out(root: Path) -> None:
    said: list[Event] = []
    with Project.find(root, reporter=said.append) as project:
        project.up()
        assert project.verify()[0].bad == ()
        path = root / "data/cells/a.csv"
        path.chmod(0o644)
        path.write_bytes(bytes(len(FILES["a.csv"])))
        assert project.verify()[0].bad == ("a.csv",)
        assert [event.text.split("; ")[1] for event in said if event.kind == "warning" and event.path == "a.csv"] == [
            f"delete {root}/data/cells, and `gotdata up` brings it anew"
        ]
        shutil.rmtree(root / "data/cells")
        project.up()
        assert path.read_bytes() == FILES["a.csv"]

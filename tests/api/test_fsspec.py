"""gotdata:// held to fsspec's own abstract suite, as far as a read-only file system can be."""

from __future__ import annotations

import errno
import pickle
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.tests.abstract import AbstractFixtures, AbstractGetTests

from gotdata.fs import GotdataFileSystem

SCENARIOS = {
    "bulk": ["file1", "file2", "subdir/subfile1", "subdir/subfile2", "subdir/nesteddir/nestedfile"],
    "glob": [
        *("file1", "file2"),
        *(f"subdir{n}/{name}" for n in (0, 1) for name in ("subfile1", "subfile2", "nesteddir/nestedfile")),
    ],
    "prefix": ["subdir.txt", "subdir/subfile.txt"],
    "hashed": [],
}


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose one dataset holds the scenarios of the suite."""
    root = tmp_path_factory.mktemp("repository")
    for scenario, paths in SCENARIOS.items():
        for path in paths:
            file = root / "src" / scenario / "source" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    hashed = root / "src/hashed/source"
    hashed.mkdir(parents=True)
    for number in range(10):
        (hashed / f"{md5(str(number).encode(), usedforsecurity=False).hexdigest()}.txt").write_text(str(number))
    (root / "src/src").mkdir()
    (root / "src/src/file").touch()
    (root / "src/text.txt").write_text("first\nsecond\n")
    (root / "gotdata.yml").write_text("gotdata: 1\ndata:\n  all:\n    from: ./src\n")
    return root


@pytest.fixture
def fs(repository: Path, store: Path) -> Iterator[GotdataFileSystem]:
    from gotdata.project import Project

    with Project.find(repository) as project:
        project.lock()
    GotdataFileSystem.clear_instance_cache()
    fs = GotdataFileSystem(root=str(repository))
    yield fs
    fs.project.bench.close()


class ReadOnlyFixtures(AbstractFixtures):
    """The scenarios stand in the data set already: nothing is written and nothing removed."""

    @pytest.fixture
    def fs(self, fs: GotdataFileSystem) -> GotdataFileSystem:
        return fs

    @pytest.fixture
    def fs_path(self) -> str:
        return "all"

    @pytest.fixture
    def fs_bulk_operations_scenario_0(self) -> str:
        return "all/bulk/source"

    @pytest.fixture
    def fs_glob_edge_cases_files(self) -> str:
        return "all/glob/source"

    @pytest.fixture
    def fs_dir_and_file_with_same_name_prefix(self) -> str:
        return "all/prefix/source"

    @pytest.fixture
    def fs_10_files_with_hashed_names(self) -> str:
        return "all/hashed/source"


class TestGet(AbstractGetTests, ReadOnlyFixtures):
    @pytest.fixture
    def fs(self, fs: GotdataFileSystem, monkeypatch: pytest.MonkeyPatch) -> GotdataFileSystem:
        """One test makes, by the file system itself, a folder ``src`` that holds ``file``: it stands there already."""
        for change in ("mkdir", "touch"):
            monkeypatch.setattr(fs, change, lambda path: None)
        return fs


def test_a_file_is_opened_by_url(fs: GotdataFileSystem, repository: Path) -> None:
    with fsspec.open("gotdata://all/text.txt", "rt", root=str(repository)) as file:
        assert file.readlines() == ["first\n", "second\n"]


def test_parts_are_read(fs: GotdataFileSystem) -> None:
    assert fs.cat_file("all/text.txt", 6, 9) == b"sec"
    assert fs.cat_file("all/text.txt", -7, None) == b"second\n"
    with fs.open("all/text.txt") as file:
        file.seek(6)
        assert file.read(6) == b"second"


def test_folders_are_listed(fs: GotdataFileSystem) -> None:
    assert fs.ls("", detail=False) == ["all"]
    assert "all/text.txt" in fs.find("all")
    assert fs.info("all/bulk")["type"] == "directory"
    with pytest.raises(FileNotFoundError):
        fs.info("all/absent")


def test_it_and_its_files_are_pickled(fs: GotdataFileSystem) -> None:
    again = pickle.loads(pickle.dumps(fs))
    assert again.cat_file("all/text.txt") == b"first\nsecond\n"
    with pickle.loads(pickle.dumps(fs.open("all/text.txt"))) as file:
        assert file.read() == b"first\nsecond\n"
    again.project.bench.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda fs: fs.pipe("all/new", b""),
        lambda fs: fs.rm("all/text.txt"),
        lambda fs: fs.mkdir("all/new"),
        lambda fs: fs.makedirs("all/new"),
        lambda fs: fs.touch("all/new"),
        lambda fs: fs.mv("all/text.txt", "all/new"),
        lambda fs: fs.copy("all/text.txt", "all/new"),
        lambda fs: fs.open("all/new", "wb"),
    ],
)
def test_nothing_is_written(fs: GotdataFileSystem, change: Any) -> None:
    with pytest.raises(OSError, match="read-only") as raised:
        change(fs)
    assert raised.value.errno == errno.EROFS

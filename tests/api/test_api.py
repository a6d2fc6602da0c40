"""What a notebook calls."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import gotdata
from gotdata.errors import ManifestError, NotFound


@pytest.fixture
def repository(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "src/deep").mkdir(parents=True)
    (tmp_path / "src/table.csv").write_text("a,b\n1,2\n")
    (tmp_path / "src/deep/bytes.bin").write_bytes(bytes(range(256)) * 4096)
    (tmp_path / "gotdata.yml").write_text("gotdata: 1\ndata:\n  cells:\n    from: ./src\n    as: copy\n")
    monkeypatch.chdir(tmp_path)
    from gotdata.project import Project

    with Project.find(tmp_path) as project:
        project.lock()
    return tmp_path


def test_open_reads_bytes_at_any_offset(repository: Path) -> None:
    with gotdata.open("cells/deep/bytes.bin") as file:
        file.seek(1_000_000)
        assert file.read(3) == (bytes(range(256)) * 4096)[1_000_000:1_000_003]
        file.seek(-1, 2)
        assert file.read() == b"\xff"


def test_open_reads_text(repository: Path) -> None:
    with gotdata.open("cells/table.csv", "r") as file:
        assert list(file) == ["a,b\n", "1,2\n"]


def test_open_needs_nothing_to_be_up(repository: Path) -> None:
    with gotdata.open("cells/table.csv") as file:
        assert file.read() == b"a,b\n1,2\n"
    assert not (repository / "data").exists()


def test_open_refuses_to_write(repository: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        gotdata.open("cells/table.csv", "w")


def test_open_names_what_is_not_there(repository: Path) -> None:
    with pytest.raises(NotFound, match=r"absent\.csv"):
        gotdata.open("cells/absent.csv")
    with pytest.raises(ManifestError, match="no dataset cell"):
        gotdata.open("cell/table.csv")


def test_path_brings_the_data_up(repository: Path) -> None:
    place = gotdata.path("cells")
    assert place == repository / "data/cells"
    assert gotdata.path("cells/table.csv").read_text() == "a,b\n1,2\n"


def test_path_names_what_is_not_there(repository: Path) -> None:
    with pytest.raises(NotFound, match="absent"):
        gotdata.path("cells/absent")


def test_up_delivers(repository: Path) -> None:
    (done,) = gotdata.up()
    assert (done.name, done.delivery, done.change, done.files) == ("cells", "copy", "up", 2)
    (again,) = gotdata.up("cells")
    assert again.change == "same"


def test_import_loads_nothing_heavy() -> None:
    code = "import sys, gotdata; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"urllib3", "msgspec", "click", "rich", "sqlite3", "ruamel"} & set(loaded)

"""init, add and schema, on real files."""

from __future__ import annotations

from pathlib import Path

import pytest

from gotdata import manifest
from tests.cli.fakes import Line


def test_init_writes_a_manifest_that_loads(gotdata: Line, tmp_path: Path) -> None:
    said = gotdata("init", start=tmp_path)
    assert said.code == 0
    path = tmp_path / "gotdata.yml"
    assert path.read_text() == manifest.init_text()
    assert manifest.load(path).data == {}
    assert said.out.startswith("gotdata.yml: written; next: ")


@pytest.mark.parametrize("folder", ["binder", ".binder"])
def test_init_goes_where_the_manifest_is_looked_for(gotdata: Line, tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    assert gotdata("init", "--json", start=tmp_path).json == {"path": str(tmp_path / folder / "gotdata.yml")}
    assert manifest.find(tmp_path) == tmp_path / folder / "gotdata.yml"


def test_init_overwrites_nothing(gotdata: Line, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "sub").mkdir()
    (tmp_path / "gotdata.yml").write_text("mine")
    for folder in (tmp_path, tmp_path / "sub"):
        said = gotdata("init", start=folder)
        assert said.code == 2
        assert "is there already" in said.err
    assert (tmp_path / "gotdata.yml").read_text() == "mine"
    assert not (tmp_path / "sub" / "gotdata.yml").exists()


def test_add(gotdata: Line, tmp_path: Path) -> None:
    gotdata("init", start=tmp_path)
    args = ["s3://bucket/cells/", "--name", "cells", "--to", "input/cells", "--as", "copy", "-o", "anonymous=true"]
    said = gotdata("add", *args, start=tmp_path)
    assert said.out == "cells: s3://bucket/cells/ (s3) will appear at input/cells; next: `gotdata up cells`\n"
    (cells,) = manifest.load(tmp_path / "gotdata.yml").data.values()
    assert (cells.name, cells.to, cells.as_) == ("cells", "input/cells", "copy")
    assert cells.refs[0].options == (("anonymous", "true"),)
    assert "/input/cells" in (tmp_path / ".gitignore").read_text()


def test_add_names_what_has_no_name(gotdata: Line, tmp_path: Path) -> None:
    gotdata("init", start=tmp_path)
    assert gotdata("add", "https://example.org/x/matrix.h5", "--json", start=tmp_path).json == {
        "name": "matrix",
        "from": "https://example.org/x/matrix.h5",
        "source": "http",
        "to": "data/matrix",
        "as": "auto",
    }


@pytest.mark.parametrize(
    ("start", "written", "meant"),
    [
        ("", "./big", "file:big"),
        ("sub", "./big", "file:sub/big"),
        ("sub", "../big", "file:big"),
        ("sub", "/m", "file:///m"),
    ],
)
def test_add_takes_a_relative_path_as_the_shell_means_it(
    gotdata: Line, tmp_path: Path, start: str, written: str, meant: str
) -> None:
    gotdata("init", start=tmp_path)
    (tmp_path / "sub").mkdir()
    assert gotdata("add", written, start=tmp_path / start).code == 0
    (made,) = manifest.load(tmp_path / "gotdata.yml").data.values()
    assert made.refs[0].url == meant


def test_add_without_a_manifest_says_what_to_do(gotdata: Line, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    said = gotdata("add", "https://example.org/x", start=tmp_path)
    assert said.code == 2
    assert "gotdata init" in said.err


def test_add_of_a_secret_is_refused_and_not_told(gotdata: Line, tmp_path: Path) -> None:
    gotdata("init", start=tmp_path)
    said = gotdata("add", "https://me:hunter2@example.org/x", start=tmp_path)
    assert said.code == 2
    assert "hunter2" not in said.err


def test_schema(gotdata: Line) -> None:
    assert gotdata("schema").json == manifest.schema()


def test_add_writes_no_option_that_nobody_knows(gotdata: Line, tmp_path: Path) -> None:
    gotdata("init", start=tmp_path)
    before = (tmp_path / "gotdata.yml").read_bytes()
    for option, why in (
        ("unpak=true", "did you mean unpack?"),
        ("unpack=maybe", "true or false"),
        ("x=1", "there are"),
    ):
        said = gotdata("add", "https://example.org/x.zip", "-o", option, start=tmp_path)
        assert said.code == 1
        assert why in said.err
    assert (tmp_path / "gotdata.yml").read_bytes() == before

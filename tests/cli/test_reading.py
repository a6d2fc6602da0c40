"""ls and cat: of datasets and of references."""

from __future__ import annotations

from pathlib import Path

import pytest

from gotdata.cli import cat
from gotdata.model import Ref
from gotdata.testing.trees import MemoryTree
from tests.cli.fakes import Line


@pytest.fixture
def tree(tmp_path: Path) -> MemoryTree:
    return MemoryTree.plant(
        tmp_path / "tree",
        {
            "a.txt": b"hello",
            "deep/er/b.bin": bytes(2000),
            "deep/run": b"#!",
            "empty": None,
            "link": "a.txt",
            "x\x1b": b"",
        },
        executable={"deep/run"},
    )


@pytest.fixture
def cells(gotdata: Line, tree: MemoryTree) -> Line:
    gotdata.project.answers["tree"] = tree
    return gotdata


def test_ls_lists_a_folder(cells: Line) -> None:
    assert cells("ls", "cells").out == "a.txt\ndeep/\nempty/\nlink -> a.txt\nx\\x1b\n"
    assert cells("ls", "cells/deep/").out == "er/\nrun\n"
    assert cells("ls", "cells/deep/er/b.bin").out == "b.bin\n"
    assert cells.project.asked[0] == ("tree", "cells", {})


def test_ls_long(cells: Line) -> None:
    rows = [line.split()[:3] for line in cells("ls", "-l", "cells/deep").out.splitlines()]
    assert rows[0] == ["dr-xr-xr-x", "-", "er/"]
    assert rows[1][:3] == ["-r-xr-xr-x", "2", "B"]
    assert cells("ls", "-l", "cells/link").out.startswith("lrwxrwxrwx")


def test_ls_json_has_whole_paths_and_exact_sizes(cells: Line) -> None:
    found = cells("ls", "cells/deep/er", "--json").json
    assert found == [
        {
            "path": "deep/er/b.bin",
            "kind": "file",
            "size": 2000,
            "executable": False,
            "target": "",
            "identity": found[0]["identity"],
        }
    ]
    assert [one["kind"] for one in cells("ls", "cells", "--json").json] == ["file", "dir", "dir", "link", "file"]


def test_ls_of_what_is_not_there(cells: Line) -> None:
    said = cells("ls", "cells/deep/no")
    assert said.code == 1
    assert "Traceback" not in said.err


def test_ls_of_a_reference(gotdata: Line, tree: MemoryTree, tmp_path: Path) -> None:
    gotdata.loose.answers["tree"] = tree
    assert gotdata("ls", "s3://bucket/cells/").out.startswith("a.txt\n")
    assert gotdata("ls", "10.5281/zenodo.1").code == 0
    assert gotdata("ls", "./big", start=tmp_path).code == 0
    assert [asked[1] for asked in gotdata.loose.asked] == [
        Ref("s3://bucket/cells/"),
        Ref("doi:10.5281/zenodo.1"),
        Ref((tmp_path / "big").as_uri()),
    ]
    assert gotdata.project.asked == []


def test_cat_gives_the_bytes(cells: Line) -> None:
    said = cells("cat", "cells/deep/er/b.bin")
    assert (said.code, said.raw) == (0, bytes(2000))


def test_cat_of_several_chunks_is_whole(gotdata: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytes(range(256)) * 10
    gotdata.project.answers["tree"] = MemoryTree.plant(tmp_path / "t", {"f": content})
    monkeypatch.setattr(cat, "CHUNK", 1000)
    assert gotdata("cat", "cells/f").raw == content


def test_cat_of_a_folder_says_so(cells: Line) -> None:
    for place in ("cells", "cells/deep"):
        said = cells("cat", place)
        assert said.code == 1
        assert "not a file" in said.err


def test_cat_of_a_reference_that_is_one_file(gotdata: Line, tree: MemoryTree, tmp_path: Path) -> None:
    gotdata.loose.answers["tree"] = MemoryTree.plant(tmp_path / "t", {"only.txt": b"hello"})
    assert gotdata("cat", "https://example.org/only.txt").out == "hello"
    gotdata.loose.answers["tree"] = tree
    assert gotdata("cat", "https://example.org/").code == 1

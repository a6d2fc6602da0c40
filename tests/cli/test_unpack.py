"""``unpack: true`` by the command line: locked here, brought up there, mounted and copied."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.test_whole_way import Repository, gotdata, server  # noqa: F401
from tests.sources.test_archive import PACK, Files, tarred, zipped

FILES: Files = {"counts/a.csv": b"1,2\n" * 40_000, "counts/deep/b.bin": bytes(range(256)) * 3000, "readme": b"hello\n"}
MAKE: dict[str, Callable[[Files], bytes]] = {
    "zip": zipped,
    "tar": tarred,
    "tar.gz": lambda files: PACK["gz"](tarred(files)),
    "tar.zst": lambda files: PACK["zst"](tarred(files)),
}


def manifest(url: str) -> str:
    return f"gotdata: 1\ndata:\n  cells:\n    from: {url}\n    unpack: true\n"


def found(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("as_", ["mount", "copy"])
@pytest.mark.parametrize("kind", MAKE)
def test_an_archive_appears_as_the_folder_in_it(
    gotdata: Repository,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    kind: str,
    as_: str,
) -> None:
    url = gotdata.server.put(f"cells.{kind}", MAKE[kind](FILES))
    Path("gotdata.yml").write_text(manifest(url))
    assert gotdata.json("lock")[0]["level"] == ("verified" if kind.startswith("tar.") else "bound")
    monkeypatch.setenv("GOTDATA_STORE", str(tmp_path / "another machine"))
    if as_ == "mount" and not Path("/dev/fuse").exists():
        pytest.skip("no /dev/fuse")
    try:
        gotdata("up", "--locked", "--as", as_)
        assert found(Path("data/cells")) == FILES
        assert gotdata.json("verify")[0]["bad"] == []
    finally:
        gotdata("down")


def test_only_some_of_its_files(gotdata: Repository) -> None:  # noqa: F811
    url = gotdata.server.put("cells.zip", zipped(FILES))
    Path("gotdata.yml").write_text(manifest(url) + "    files: counts/**\n    as: copy\n")
    gotdata("up")
    assert found(Path("data/cells")).keys() == {"counts/a.csv", "counts/deep/b.bin"}


def test_an_archive_of_the_repository_itself(gotdata: Repository) -> None:  # noqa: F811
    """Its lock names no path of this machine."""
    Path("cells.tar.gz").write_bytes(PACK["gz"](tarred(FILES)))
    Path("gotdata.yml").write_text(manifest("./cells.tar.gz") + "    as: copy\n")
    gotdata("up")
    assert found(Path("data/cells")) == FILES
    held = "".join(path.read_text() for path in (Path("gotdata.lock"), *Path("gotdata.lock.d").rglob("*.jsonl")))
    assert str(gotdata.root) not in held


def test_a_reference_is_unpacked_by_an_option(gotdata: Repository) -> None:  # noqa: F811
    url = gotdata.server.put("cells.zip", zipped(FILES))
    assert gotdata("cat", url, "-o", "unpack=true", code=1).err
    assert gotdata("ls", url, "-o", "unpack=true").out == "counts/\nreadme\n"
    subprocess.run(["test", "!", "-e", "cells.zip"], check=True)

"""The quickstart, run as `make run` runs it, in a copy: what it says is so, and it leaves nothing behind."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("h5py", reason="h5py is not installed: pip install h5py")

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart"
MADE = (".cache", ".gotdata", "data", "__pycache__")


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, QUICKSTART / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh checkout's folder, with what was prepared before (the download, the gigabyte) at hand."""
    folder = tmp_path_factory.mktemp("examples") / "quickstart"
    shutil.copytree(QUICKSTART, folder, ignore=shutil.ignore_patterns(*MADE))
    (QUICKSTART / ".cache").mkdir(exist_ok=True)
    (folder / ".cache").symlink_to(QUICKSTART / ".cache")
    return folder


@pytest.fixture(scope="module")
def said(copy: Path) -> str:
    done = subprocess.run([sys.executable, "run.py"], cwd=copy, capture_output=True, text=True)
    if "pip could not download" in done.stderr:
        pytest.skip("scanpy's wheel can't be downloaded: no package index within reach")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_reads_what_it_delivered(said: str) -> None:
    assert "700 cells × 765 genes" in said
    assert "16384 × 16384 synthetic numbers, mean of the middle row 32761.756" in said


def test_it_leaves_nothing_behind(said: str, copy: Path) -> None:
    assert files(copy) == files(QUICKSTART)
    assert not list((copy / "data").rglob("*"))


def test_a_mount_moves_only_what_is_read(said: str) -> None:
    if re.search(r"^field +up +copy ", said, re.M):
        pytest.skip("this machine can't mount (see `gotdata doctor`)")
    moved = re.search(r"([\d,.]+) MiB there, ([\d,.]+) MiB moved", said)
    assert moved, said
    there, here = (float(number.replace(",", "")) for number in moved.groups())
    assert there > 1024
    assert here < 8


def test_the_lock_has_the_sums_of_the_files() -> None:
    sums = module("prepare").expected()
    texts = "".join(path.read_text("utf-8") for path in (QUICKSTART / "gotdata.lock.d").glob("*.content.jsonl"))
    locked = {line["path"]: line["id"] for line in map(json.loads, texts.splitlines())}
    assert locked == {Path(path).name: f"sha256:{digest}" for path, digest in sums.items()}


def test_the_synthetic_file_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("one.h5", "two.h5"):
        module("prepare").write_field(tmp_path / name, side=64)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, bytes]]:
    content = bytes(range(256)) * 40
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(content)
    digests = {"folder/file": hashlib.sha256(content).hexdigest()}
    with module("serve").serving(tmp_path, digests, port=0) as server:
        yield f"http://127.0.0.1:{server.server_address[1]}", content


@pytest.mark.parametrize(
    ("asked", "part"), [("bytes=0-0", slice(1)), ("bytes=100-", slice(100, None)), ("bytes=-7", slice(-7, None))]
)
def test_the_server_sends_the_range_that_was_asked(served: tuple[str, bytes], asked: str, part: slice) -> None:
    url, content = served
    with urllib.request.urlopen(urllib.request.Request(f"{url}/folder/file", headers={"Range": asked})) as answer:
        assert (answer.status, answer.read()) == (206, content[part])


def test_the_server_refuses_a_range_beyond_the_end(served: tuple[str, bytes]) -> None:
    request = urllib.request.Request(f"{served[0]}/folder/file", headers={"Range": "bytes=99999-"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    refused.value.close()
    assert refused.value.code == 416


def test_the_server_lists_its_folders(served: tuple[str, bytes]) -> None:
    with urllib.request.urlopen(f"{served[0]}/folder/") as page:
        assert 'href="file"' in page.read().decode()

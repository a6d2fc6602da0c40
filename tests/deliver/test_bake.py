"""Baking: the same bytes each time, nothing but the data and its receipts, and what becomes of it in a container."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import stat
import tarfile
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gotdata.cli.call import Call
from gotdata.cli.main import run
from gotdata.deliver.base import Receipts
from gotdata.outcome import State
from gotdata.project import Project
from gotdata.snapshot import MTIME
from gotdata.testing.server import Server
from tests.cli.fakes import Said

FILES = {"a.csv": b"a,b\n1,2\n", "deep/er/b.bin": os.urandom(3_000_000), "deep/c": b"c", "empty": b""}
MANIFEST = """\
gotdata: 1
data:
  cells: {{from: {url}cells/, as: bake}}
  mice: {{from: {url}mice/, as: mount}}
"""


@dataclass
class Repository:
    root: Path
    server: Server
    capsys: pytest.CaptureFixture[bytes]

    def __call__(self, *args: str, code: int = 0) -> Said:
        given = run(["-C", str(self.root), *args], Call())
        said = Said(given, *self.capsys.readouterr())
        assert given == code, said.err
        return said

    def tar(self) -> str:
        """The digest of all that lies in it, as a layer would have it."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.add(self.root, ".")
        return hashlib.sha256(packed.getvalue()).hexdigest()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as served:
        for path, body in FILES.items():
            served.put(f"cells/{path}", body)
        served.put("mice/m", b"m")
        yield served


@pytest.fixture
def gotdata(
    tmp_path: Path,
    server: Server,
    store: Path,
    capsysbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> Repository:
    """A repository with a lock, as a build has it. The server's network is one that the operator allows."""
    monkeypatch.setenv("GOTDATA_RETRIES", "0")
    monkeypatch.setenv("GOTDATA_NETWORKS", "127.0.0.0/8")
    monkeypatch.chdir(tmp_path)
    return _repository(tmp_path / "one", server, capsysbinary)


def _repository(root: Path, server: Server, capsys: pytest.CaptureFixture[bytes]) -> Repository:
    root.mkdir()
    made = Repository(root, server, capsys)
    (root / "gotdata.yml").write_text(MANIFEST.format(url=server.url))
    made("lock")
    for path in (root / ".gotdata").iterdir():
        path.unlink()
    (root / ".gotdata").rmdir()
    for path in (root, *root.rglob("*")):
        os.utime(path, (1e9, 1e9))
    return made


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_wishes_it_is_there_with_the_bytes_the_modes_and_the_time_of_the_snapshot(gotdata: Repository) -> None:
    gotdata("bake")
    baked = gotdata.root / "data/cells"
    assert contents(baked) == FILES
    assert not (gotdata.root / "data/mice").exists()
    assert {path.lstat().st_mtime for path in [baked, baked.parent, *baked.rglob("*")]} == {MTIME}
    assert {stat.S_IMODE(path.stat().st_mode) for path in [baked, baked / "deep"]} == {0o555}
    assert stat.S_IMODE((baked / "a.csv").stat().st_mode) == 0o444


def test_two_builds_are_one_tar(
    gotdata: Repository, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = _repository(tmp_path / "two", gotdata.server, capsysbinary)
    assert gotdata.tar() == other.tar()
    gotdata("bake")
    monkeypatch.setenv("GOTDATA_STORE", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GOTDATA_CONNECTIONS", "1")
    os.umask(0o022)
    other("bake")
    assert gotdata.tar() == other.tar()


def test_all_that_is_left_is_the_data_and_its_receipt(gotdata: Repository, store: Path) -> None:
    before = set(contents(gotdata.root))
    untouched = {path: path.stat() for path in (gotdata.root / "gotdata.lock.d", gotdata.root / "gotdata.lock")}
    gotdata("bake")
    added = set(contents(gotdata.root)) - before
    assert added == {".gotdata/.gitignore", ".gotdata/receipts/cells.json", *(f"data/cells/{path}" for path in FILES)}
    assert {path.name for path in (gotdata.root / ".gotdata").iterdir()} == {".gitignore", "receipts"}
    assert {path: path.stat() for path in untouched} == untouched
    assert gotdata.root.stat().st_mtime == MTIME
    assert {path.stat().st_mtime for path in (gotdata.root / ".gotdata").rglob("*")} == {MTIME}
    assert not any(store.iterdir())


def test_a_store_on_a_mount_is_used_and_kept(
    gotdata: Repository, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == gotdata.root.stat().st_dev:
        pytest.skip("there is no second file system at /dev/shm")
    cache = memory / f"gotdata-test-{os.getpid()}"
    monkeypatch.setenv("GOTDATA_STORE", str(cache))
    try:
        gotdata("bake")
        assert any(path.is_file() for path in (cache / "objects").rglob("*"))
    finally:
        shutil.rmtree(cache)


def test_a_store_that_a_repository_brings_is_not_believed(gotdata: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    brought = gotdata.root / ".gotdata/store"
    monkeypatch.setenv("GOTDATA_STORE", str(brought))
    gotdata("fetch", "cells")
    for place in (path for path in (brought / "objects").rglob("*") if path.is_file()):
        place.chmod(0o644)
        place.write_bytes(b"\0" * place.stat().st_size)
    monkeypatch.delenv("GOTDATA_STORE")
    gotdata("bake")
    assert contents(gotdata.root / "data/cells") == FILES
    assert not brought.exists()


def test_names_are_made_in_the_order_of_the_tree(gotdata: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    touch = Path.touch
    monkeypatch.setattr(Path, "touch", lambda path, **_: (made.append(path.name), touch(path))[1])
    gotdata("bake")
    assert made == ["a.csv", "c", "b.bin", "empty"]


def test_more_than_the_limit_is_refused_before_a_byte_comes_and_the_way_out_is_named(gotdata: Repository) -> None:
    asked = len(gotdata.server.requests)
    said = gotdata("bake", "--max-size", "1MB", code=1).err
    assert "this would add 3.0 MB to the image (cells 3.0 MB), and 1.0 MB is the limit" in said
    assert "--max-size 4MB" in said
    assert len(gotdata.server.requests) == asked
    assert not (gotdata.root / "data").exists()
    gotdata("bake", "--max-size", "4MB")


def test_a_disk_that_is_too_small_is_told_before_a_byte_comes(
    gotdata: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = len(gotdata.server.requests)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**9, 0, 5_000_000))
    said = gotdata("bake", code=1).err
    assert "the build needs 6.0 MB" in said
    assert "5.0 MB is free" in said
    assert len(gotdata.server.requests) == asked


def test_an_image_is_built_of_what_is_locked_only(gotdata: Repository) -> None:
    (gotdata.root / "gotdata.lock").unlink()
    assert "run `gotdata lock`" in gotdata("bake", code=3).err
    assert not (gotdata.root / "gotdata.lock").exists()


def test_what_changed_upstream_is_not_baked(gotdata: Repository) -> None:
    gotdata.server.put("cells/a.csv", b"a,b\n3,4\n")
    gotdata("bake", code=3)
    assert not (gotdata.root / "data").exists()
    assert not (gotdata.root / ".gotdata/store").exists()


def test_a_private_address_is_not_asked_unless_the_settings_allow_it(
    gotdata: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOTDATA_NETWORKS")
    asked = len(gotdata.server.requests)
    assert "127.0.0.1" in gotdata("bake", code=5).err
    assert len(gotdata.server.requests) == asked


def test_the_operators_key_is_nowhere_in_what_is_baked(
    gotdata: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coded = base64.b64encode(b"ada:lovelace-1815")
    for path, body in FILES.items():
        gotdata.server.put(f"cells/{path}", body, auth=f"Basic {coded.decode()}")
    gotdata("bake", code=5)
    keys = tmp_path / "credentials.toml"
    keys.write_text(f'["{gotdata.server.url}cells/"]\nbasic = "ada:lovelace-1815"\n')
    keys.chmod(0o600)
    monkeypatch.setenv("GOTDATA_CREDENTIALS", str(keys))
    gotdata("bake")
    assert contents(gotdata.root / "data/cells") == FILES
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(gotdata.root, ".")
    assert b".gotdata/receipts/cells.json" in layer.getvalue()
    assert [word for word in (b"lovelace-1815", coded, bytes(keys)) if word in layer.getvalue()] == []


@pytest.mark.parametrize("how", ["file", "link"])
def test_files_of_the_machine_that_builds_are_not_baked(gotdata: Repository, tmp_path: Path, how: str) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_text("s3cret")
    (gotdata.root / "inside").symlink_to(tmp_path / "secret")
    gotdata("add", (tmp_path / "secret").as_uri() if how == "file" else "./inside", "--name", "x")
    gotdata("lock")
    assert "machine" in gotdata("bake", "x", code=5).err
    assert not (gotdata.root / "data").exists()


def test_what_lies_here_in_place_of_an_origin_is_not_taken_for_it(
    gotdata: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "archive/mice").mkdir(parents=True)
    (tmp_path / "archive/mice/m").write_bytes(b"X")
    (tmp_path / "settings.toml").write_text(f'[here]\n"{gotdata.server.url}" = "{tmp_path}/archive"\n')
    monkeypatch.setenv("GOTDATA_SETTINGS", str(tmp_path / "settings.toml"))
    gotdata("bake", "mice")
    assert (gotdata.root / "data/mice/m").read_bytes() == b"m"


@pytest.fixture
def image(gotdata: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Repository:
    """A repository in a container of the image: baked, without the origin, with an empty store."""
    gotdata("bake")
    for path in FILES:
        gotdata.server.remove(f"cells/{path}")
    gotdata.server.requests.clear()
    monkeypatch.setenv("GOTDATA_STORE", str(tmp_path / "another"))
    return gotdata


def test_in_a_container_all_verbs_know_what_is_baked(image: Repository) -> None:
    assert image("up", "cells", "--json").json[0] | {"seconds": 0} == {
        **image("up", "cells", "--as", "bake", "--json").json[0],
        "seconds": 0,
    }
    [status] = image("status", "cells", "--json").json
    assert (status["state"], status["as"], status["why"]) == ("up", "bake", "")
    assert image("verify", "cells", "--json").json[0] | {"bytes": 0} == {
        "name": "cells",
        "files": len(FILES),
        "bytes": 0,
        "absent": 0,
        "bad": [],
    }
    assert image.server.requests == []


def forbid(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """A file system that can't be written to, which root would not notice."""
    may = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: not (mode == os.W_OK and str(path).startswith(str(root))) and may(path, mode)
    )


def test_what_is_baked_needs_no_store_and_no_place_to_write(image: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOTDATA_STORE", "/proc/nowhere")
    forbid(monkeypatch, Path("/"))
    monkeypatch.setattr("tempfile.tempdir", "/proc/nowhere")
    assert image("up", "cells", "--json").json[0]["change"] == "same"
    assert image("status", "cells", "--json").json[0]["state"] == "up"


def test_bytes_that_changed_since_the_build_are_found(image: Repository) -> None:
    path = image.root / "data/cells/a.csv"
    path.chmod(0o644)
    path.write_bytes(b"A,b\n1,2\n")
    os.utime(path, (MTIME, MTIME))
    image("verify", "cells", code=0)  # bound by its size and time alone
    os.utime(path)
    assert "changed by hand" in image("verify", "cells", code=3).err
    assert image("status", "cells", "--json").json[0]["state"] == State.BROKEN


def test_down_leaves_it_unless_it_is_named(image: Repository) -> None:
    assert image("down", "--json").json == []
    assert contents(image.root / "data/cells") == FILES
    image("down", "cells")
    assert not (image.root / "data").exists()


def test_what_was_named_for_baking_stands_though_the_manifest_wishes_a_mount(gotdata: Repository) -> None:
    gotdata("bake", "mice")
    gotdata.server.remove("mice/m")
    assert gotdata("up", "mice", "--json").json[0]["as"] == "bake"
    assert (gotdata.root / "data/mice/m").read_bytes() == b"m"


def test_a_new_lock_has_it_replaced(gotdata: Repository) -> None:
    gotdata("bake")
    gotdata.server.put("cells/a.csv", b"new\n")
    gotdata("lock", "--update", "cells")
    assert "another snapshot" in gotdata("status", "cells", "--json").json[0]["why"]
    gotdata("bake")
    assert (gotdata.root / "data/cells/a.csv").read_bytes() == b"new\n"
    gotdata.server.put("cells/a.csv", b"newer\n")
    gotdata("lock", "--update", "cells")
    assert gotdata("up", "cells", "--as", "copy", "--json").json[0]["as"] == "copy"
    assert (gotdata.root / "data/cells/a.csv").read_bytes() == b"newer\n"


def test_up_bakes_nothing_and_says_who_does(gotdata: Repository) -> None:
    assert "by `gotdata bake`" in gotdata("up", "cells", "--as", "bake", code=1).err


def test_people_who_may_not_change_the_image_have_records_of_their_own(
    image: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid(monkeypatch, image.root)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    image("up", "mice", "--as", "copy")
    assert [path.name for path in (image.root / ".gotdata/receipts").iterdir()] == ["cells.json"]
    assert set(Receipts(image.root).all()) == {"cells", "mice"}
    image("down", "mice")
    with Project.find(image.root) as project:
        assert [one.name for one in project.status() if one.state is State.UP] == ["cells"]


def test_a_folder_for_records_that_others_own_is_refused(
    image: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid(monkeypatch, image.root)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / f"gotdata-{os.getuid()}").mkdir(mode=0o777)
    (tmp_path / f"gotdata-{os.getuid()}").chmod(0o777)
    assert "not this user's own folder" in image("up", "mice", "--as", "copy", code=1).err

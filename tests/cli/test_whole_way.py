"""The command line on real repositories: from a server of ours to files in their place, and every way to fail."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gotdata.cli.call import Call
from gotdata.cli.main import run
from gotdata.testing.server import Server
from tests.cli.fakes import Said

CONTENT = {"cells/a.txt": b"hello\n", "cells/deep/b.bin": bytes(range(256)) * 5000}


@dataclass
class Repository:
    """The working folder is its root."""

    root: Path
    server: Server
    capsys: pytest.CaptureFixture[bytes]

    def __call__(self, *args: str, code: int = 0) -> Said:
        given = run(args, Call())
        said = Said(given, *self.capsys.readouterr())
        assert "Traceback" not in said.err
        assert given == code, said.err
        return said

    def json(self, *args: str, code: int = 0) -> Any:
        return self(*args, "--json", code=code).json


class Hold(threading.Event):
    """Holds a body back; ``reached`` is set when one is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.reached.set()
        return super().wait(timeout)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as served:
        for path, body in CONTENT.items():
            served.put(path, body)
        yield served


@pytest.fixture
def gotdata(
    tmp_path: Path, server: Server, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Repository:
    root = tmp_path / "repository"
    root.mkdir()
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    monkeypatch.chdir(root)
    monkeypatch.setenv("GOTDATA_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("GOTDATA_RETRIES", "0")
    return Repository(root, server, capsysbinary)


@pytest.fixture
def cells(gotdata: Repository) -> Repository:
    """A repository whose manifest names the server's folder, as a copy."""
    gotdata("init")
    gotdata("add", f"{gotdata.server.url}cells/", "--as", "copy")
    return gotdata


def test_from_init_to_down(cells: Repository) -> None:
    total = sum(map(len, CONTENT.values()))
    (plan,) = cells.json("plan")
    assert (plan["as"], plan["files"], plan["bytes"], plan["fetch"], plan["lazy"]) == ("copy", 2, total, total, 0)
    (up,) = cells.json("up")
    assert (up["name"], up["as"], up["bytes"], up["moved"], up["change"]) == ("cells", "copy", total, total, "up")
    for path, body in CONTENT.items():
        assert (cells.root / "data" / path).read_bytes() == body
    (status,) = cells.json("status")
    assert (status["state"], status["cached_bytes"], status["level"]) == ("up", total, "bound")
    assert cells("up").out.startswith("cells → data/cells  1.3 MB there, 0 B moved, ")
    assert cells("ls", "cells/deep").out == "b.bin\n"
    assert cells("cat", "cells/deep/b.bin").raw == CONTENT["cells/deep/b.bin"]
    assert cells.json("lock", "--check") == []
    assert cells.json("verify")[0]["bad"] == []
    assert cells.json("down") == [{"name": "cells", "state": "down"}]
    assert not (cells.root / "data").exists()
    assert cells.json("status")[0]["state"] == "down"


def test_what_is_stored_needs_no_network(cells: Repository) -> None:
    cells("lock")
    cells("fetch", "cells")
    for path in CONTENT:
        cells.server.change(path, always=503)
    asked = len(cells.server.requests)
    cells("up", "--locked")
    assert (cells.root / "data/cells/a.txt").read_bytes() == b"hello\n"
    assert len(cells.server.requests) == asked


def test_a_lock_that_does_not_cover_the_manifest_is_3(cells: Repository) -> None:
    said = cells("up", "--locked", code=3)
    assert "gotdata lock" in said.err
    assert not (cells.root / "data").exists()


def test_drift_upstream_is_3(cells: Repository) -> None:
    cells("lock")
    cells.server.put("cells/a.txt", b"other\n")
    (drift,) = cells.json("lock", "--check", code=3)
    assert (drift["name"], drift["kind"]) == ("cells", "upstream")
    cells("up", code=3)
    assert not (cells.root / "data").exists()


def test_bytes_changed_on_the_disk_are_3(cells: Repository) -> None:
    cells("lock", "--hash")
    cells("up")
    path = cells.root / "data/cells/a.txt"
    path.chmod(0o644)
    path.write_bytes(b"Hello\n")
    (verified,) = cells.json("verify", code=3)
    assert verified["bad"]


@pytest.mark.parametrize(
    ("faults", "code", "said"),
    [
        ({"always": 503}, 4, "503"),
        ({"always": 401}, 5, "401"),
        ({"always": 403}, 5, "403"),
        ({"always": 404}, 1, "404"),
        ({"login": True}, 1, "HTML"),
    ],
    ids=["503", "401", "403", "404", "login page"],
)
def test_what_a_server_may_answer(
    gotdata: Repository, tmp_path: Path, faults: dict[str, Any], code: int, said: str
) -> None:
    gotdata.server.put("f.h5", b"x" * 100, **faults)
    done = gotdata("get", f"{gotdata.server.url}f.h5", str(tmp_path / "f.h5"), code=code)
    assert said.lower() in done.err.lower()
    assert not (tmp_path / "f.h5").exists()


def test_a_server_that_is_not_there_is_4(gotdata: Repository) -> None:
    done = gotdata("ls", "http://127.0.0.1:1/x/", "--json", code=4)
    assert json.loads(done.err.splitlines()[-1])["transient"] is True


def test_a_reference_that_no_source_knows_names_those_there_are(gotdata: Repository) -> None:
    said = gotdata("get", "gopher://example.org/x", code=1).err
    assert "http" in said
    assert "s3" in said


def test_get_holds_a_file_to_its_sha256(gotdata: Repository, tmp_path: Path) -> None:
    url = f"{gotdata.server.url}cells/a.txt"
    gotdata("get", url, str(tmp_path / "bad"), "--sha256", "0" * 64, code=3)
    assert not (tmp_path / "bad").exists()
    right = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
    gotdata("get", url, str(tmp_path / "good"), "--sha256", right)
    assert (tmp_path / "good").read_bytes() == b"hello\n"


def test_get_of_a_folder_works_in_the_folder_of_C(gotdata: Repository, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    got = gotdata.json("-C", "../other", "get", f"{gotdata.server.url}cells/")
    assert (got["files"], got["bytes"]) == (2, 1280006)
    assert (tmp_path / "other/cells/deep/b.bin").read_bytes() == CONTENT["cells/deep/b.bin"]


def test_get_of_a_folder_goes_on_where_it_broke_off(gotdata: Repository, tmp_path: Path) -> None:
    gotdata.server.change("cells/deep/b.bin", cut=1000)
    call = ["get", f"{gotdata.server.url}cells/", str(tmp_path / "got")]
    gotdata(*call, code=4)
    assert (tmp_path / "got/a.txt").read_bytes() == b"hello\n"
    gotdata.server.change("cells/deep/b.bin", cut=None)
    assert gotdata.json(*call)["moved"] <= len(CONTENT["cells/deep/b.bin"])
    assert sorted(path.name for path in (tmp_path / "got").rglob("*")) == ["a.txt", "b.bin", "deep"]
    assert "not known to be what was asked for" in gotdata(*call, code=1).err


def test_get_does_not_take_a_persons_file_for_its_own(gotdata: Repository, tmp_path: Path) -> None:
    (tmp_path / "got").mkdir()
    (tmp_path / "got/a.txt").write_bytes(b"mine!\n")
    for _ in range(2):
        gotdata("get", f"{gotdata.server.url}cells/", str(tmp_path / "got"), code=1)
    assert (tmp_path / "got/a.txt").read_bytes() == b"mine!\n"


def test_get_of_more_than_the_disk_holds_moves_nothing(
    gotdata: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    for name in ("cells/", "cells/deep/b.bin"):
        said = gotdata("get", f"{gotdata.server.url}{name}", str(tmp_path / "got"), code=1).err
        assert "1,000 free" in said
    assert not any(path.is_file() for path in tmp_path.rglob("got*/*"))


@pytest.mark.parametrize("manifest", ["data: [", "gotdata: 1\ndata:\n  x: {form: ./y}\n", "gotdata: 99\n"])
def test_a_manifest_with_faults_is_2_and_its_place_is_named(gotdata: Repository, manifest: str) -> None:
    (gotdata.root / "gotdata.yml").write_text(manifest)
    for verb in ("up", "status", "lock", "plan"):
        assert "gotdata.yml:" in gotdata(verb, code=2).err


def test_no_manifest_is_2_and_names_init(gotdata: Repository) -> None:
    for verb in ("up", "status", "lock", "plan", "down", "verify", "diff"):
        assert "gotdata init" in gotdata(verb, code=2).err


def test_a_wrong_setting_is_2(cells: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOTDATA_RETRIES", "many")
    assert "GOTDATA_RETRIES" in cells("status", code=2).err


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
@pytest.mark.parametrize("verb", ["up", "lock --hash", "fetch cells", "get"])
def test_ctrl_c_while_bytes_come_is_130_and_leaves_nothing_half_done(cells: Repository, verb: str) -> None:
    cells("lock")
    hold = Hold()
    cells.server.change("cells/deep/b.bin", hold=hold)
    reference = [f"{cells.server.url}cells/deep/b.bin", str(cells.root / "b.bin")] if verb == "get" else []
    command = [sys.executable, "-m", "gotdata", *verb.split(), *reference]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert hold.reached.wait(30)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        hold.set()
        process.kill()
    # A slow machine may have told how far it was.
    assert process.returncode == 130
    assert err.endswith("gotdata: interrupted\n")
    assert "Traceback" not in err
    assert not (cells.root / "data").exists()
    assert not (cells.root / "b.bin").exists()
    cells("up")
    assert (cells.root / "data/cells/deep/b.bin").read_bytes() == CONTENT["cells/deep/b.bin"]


def test_up_of_an_empty_manifest_says_what_is_next(gotdata: Repository) -> None:
    gotdata("init")
    assert "gotdata add" in gotdata("up").out
    assert gotdata.json("up") == []


def test_a_demand_that_cannot_be_met_is_refused_though_the_data_is_up(cells: Repository) -> None:
    cells("up")
    assert "can't appear as bake: data is baked while an image is built" in cells("up", "--as", "bake", code=1).err


def test_status_tells_that_the_lock_has_another_snapshot(cells: Repository) -> None:
    cells("up")
    assert cells.json("status")[0]["why"] == ""
    cells("lock", "--hash")
    assert "another snapshot" in cells.json("status")[0]["why"]
    cells("up")
    assert cells.json("status")[0]["why"] == ""


def test_what_is_not_in_a_dataset_is_named(cells: Repository) -> None:
    cells("lock")
    assert "'deep/no'" in cells("cat", "cells/deep/no", code=1).err


@pytest.mark.parametrize("way", ["data", "data/cells"])
def test_a_file_in_the_way_of_a_target_is_named(cells: Repository, way: str) -> None:
    (cells.root / way).parent.mkdir(exist_ok=True)
    (cells.root / way).write_bytes(b"mine")
    assert "choose another `to:`" in cells("up", code=1).err
    assert (cells.root / way).read_bytes() == b"mine"


def test_verify_of_a_damaged_store_names_the_way_out(cells: Repository, tmp_path: Path) -> None:
    cells("lock")
    cells("fetch", "cells")
    stored = next(path for path in (tmp_path / "store/objects").rglob("*") if path.is_file())
    stored.chmod(0o644)
    with stored.open("r+b") as file:
        file.write(b"X")
    assert "`gotdata cache fsck`" in cells("verify", code=3).err
    cells("cache", "fsck", code=3)
    cells("fetch", "cells")
    cells("verify")


@pytest.fixture
def shards(cells: Repository, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the texts of a lock lie that were too long to commit. They are published as soon as they are at the URL."""
    monkeypatch.setenv("GOTDATA_LOCK_TEXT_LIMIT", "1")
    monkeypatch.setenv("GOTDATA_SHARDS_URL", f"{cells.server.url}shards/")
    cells("lock")
    return cells.root / "gotdata.lock.d/shards"


def test_a_listing_is_the_last_resort_for_texts_that_are_gone(shards: Path, cells: Repository, tmp_path: Path) -> None:
    before = (cells.root / "gotdata.lock").read_bytes()
    _forget(shards, tmp_path)
    cells("up")
    assert (cells.root / "data/cells/a.txt").read_bytes() == b"hello\n"
    assert (cells.root / "gotdata.lock").read_bytes() == before


def test_a_last_resort_that_lists_other_data_says_so(shards: Path, cells: Repository, tmp_path: Path) -> None:
    _forget(shards, tmp_path)
    cells.server.put("cells/new.txt", b"new")
    said = cells("up", code=3).err
    assert "its origin's is another" in said
    assert "`gotdata lock --update cells`" in said
    assert not (cells.root / "data").exists()


def test_diff_fetches_texts_that_were_too_long_to_commit(shards: Path, cells: Repository) -> None:
    git = ["git", "-C", str(cells.root), "-c", "user.name=n", "-c", "user.email=n@example.org"]
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "first"], check=True)
    for shard in shards.glob("*.zst"):
        cells.server.put(f"shards/{shard.name}", shard.read_bytes())
    cells.server.put("cells/new.txt", b"new")
    cells("lock", "--update")
    assert cells.json("diff")[0]["added"] == ["new.txt"]


def test_diff_names_a_revision_that_is_not_there(cells: Repository) -> None:
    assert "nope" in cells("diff", "nope", code=2).err


def _forget(shards: Path, tmp_path: Path) -> None:
    """As another machine has it: without the shards, and without an index made of them."""
    for path in [*shards.glob("*.zst"), *(tmp_path / "store/index").rglob("*")]:
        if path.is_file():
            path.unlink()


def test_a_target_that_git_would_take_in_is_told_of(cells: Repository) -> None:
    assert ".gitignore" not in cells("up").err
    cells("down")
    (cells.root / ".gitignore").unlink()
    assert "put the line /data/cells into .gitignore" in cells("up").err
    assert ".gitignore" not in cells("up").err

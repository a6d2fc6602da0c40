from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gotdata import doctor
from gotdata.outcome import Finding
from gotdata.settings import Settings
from gotdata.store import disk


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(store=str(tmp_path / "store"))


def examined(settings: Settings) -> dict[str, Finding]:
    return {one.topic: one for one in doctor.examine(settings)}


def test_every_topic_is_tried_and_what_is_missing_has_a_cure(settings: Settings) -> None:
    found = examined(settings)
    assert [*found][:5] == ["python", "store", "store: holes", "store: reflinks", "store: space"]
    assert {"mount", "run", "loopback port", *(f"package {name}" for name in doctor.PACKAGES)} <= {*found}
    for one in found.values():
        assert one.seen
        assert one.ok or one.cure or ";" in one.seen, one


def test_it_leaves_nothing_behind(settings: Settings) -> None:
    table, mine = Path("/proc/self/mountinfo"), Path("/proc/self/fd")
    open_files = len(list(mine.iterdir())) if mine.exists() else 0
    examined(settings)
    first = sorted(path.name for path in settings.store_path.iterdir())
    examined(settings)
    assert sorted(path.name for path in settings.store_path.iterdir()) == first
    if mine.exists():
        assert "gotdata-doctor" not in table.read_text()
        assert len(list(mine.iterdir())) == open_files


def test_a_store_that_cant_be_made_is_hopeless_and_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = list(doctor.examine(Settings(store=str(tmp_path / "file" / "store"))))
    assert doctor.hopeless(found)
    (store,) = [one for one in found if one.topic == doctor.STORE]
    assert not store.ok
    assert str(tmp_path) in store.seen


def test_missing_parts_are_not_hopeless(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    found = list(doctor.examine(settings))
    assert not doctor.hopeless(found)
    missing = {one.topic: one for one in found if not one.ok}
    assert missing["package botocore"].cure == "pip install 'gotdata[s3]'"


def test_too_little_space(settings: Settings) -> None:
    found = examined(Settings(store=settings.store, store_keep_free=1 << 60))["store: space"]
    assert not found.ok
    assert "GOTDATA_STORE_KEEP_FREE" in found.cure


def test_a_file_system_without_holes(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "keeps_holes", lambda folder: False)
    assert not examined(settings)["store: holes"].ok


def test_a_network_file_system(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "file_system", lambda folder: "nfs4")
    store = examined(settings)["store"]
    assert store.ok
    assert "nfs4, over the network" in store.seen
    assert "GOTDATA_STORE" in store.cure


def test_no_port(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(socket, "create_server", refuse)
    assert not examined(settings)["loopback port"].ok


def test_no_user_namespaces(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform != "linux":
        pytest.skip("user namespaces are Linux's")
    monkeypatch.setattr(doctor, "_UNSHARE", f"import sys; sys.exit({errno.EPERM})")
    found = examined(settings)["user namespaces"]
    assert not found.ok
    assert os.strerror(errno.EPERM) in found.seen


@pytest.fixture
def _as_root() -> None:
    if sys.platform != "linux" or os.geteuid() != 0 or not Path("/dev/fuse").exists():
        pytest.skip("needs root and /dev/fuse")


@pytest.mark.usefixtures("_as_root")
def test_root_mounts_by_itself_and_the_kernel_greets(settings: Settings) -> None:
    found = examined(settings)
    assert found["mount"] == Finding("mount", True, "by mount(2), as root")
    assert "mount: kernel" not in found
    assert {"passthrough", "keeper"} <= found.keys()


@pytest.mark.usefixtures("_as_root")
def test_a_kernel_without_passthrough(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from gotdata.fuse import protocol
    from gotdata.fuse.connection import Connection

    def refuse(self: Connection, fd: int) -> int:
        raise OSError(errno.ELOOP, "Too many levels of symbolic links")

    monkeypatch.setattr(Connection, "backing_open", refuse)
    assert "Too many levels" in examined(settings)["passthrough"].seen
    monkeypatch.setattr(protocol, "greeting", lambda body: protocol.Greeting(7, 31, 0, protocol.Init(0)))
    assert examined(settings)["passthrough"].cure == "Linux 6.9 or newer has it"


@pytest.mark.usefixtures("_as_root")
def test_a_kernel_that_says_nothing_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from gotdata import doctor

    monkeypatch.setattr(doctor, "says_again", lambda fuse: False)
    found = examined(settings)["keeper"]
    assert not found.ok
    assert found.cure == "Linux 6.9 or newer says them again"


@pytest.mark.usefixtures("_as_root")
def test_no_device(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from gotdata.fuse import mounting

    monkeypatch.setattr(mounting, "DEVICE", "/dev/no-fuse")
    found = examined(settings)
    assert not found["mount"].ok
    assert "/dev/no-fuse" in found["mount"].seen
    assert "passthrough" not in found


@pytest.mark.usefixtures("_as_root")
@pytest.mark.parametrize(("mode", "ok"), [(0o755, False), (0o4755, True), (None, False)])
def test_fusermount3(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int | None, ok: bool
) -> None:
    program = tmp_path / "bin" / "fusermount3"
    program.parent.mkdir()
    if mode is not None:
        program.write_text("#!/bin/sh\n")
        program.chmod(mode)
    monkeypatch.setenv("PATH", str(program.parent))
    found = examined(settings)["fusermount3"]
    assert found.ok is ok
    assert bool(found.cure) is not ok


def test_the_verb_ends_well_whatever_is_missing(tmp_path: Path) -> None:
    environ = {**os.environ, "GOTDATA_STORE": str(tmp_path / "store")}
    command = [sys.executable, "-m", "gotdata", "doctor"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ok  python")


def test_credentials_are_counted_and_one_that_ran_out_is_named(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOTDATA_CREDENTIALS", str(tmp_path / "credentials.toml"))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    entry = '["https://h.example/"]\nbearer = "s3cr3t"\n'
    (tmp_path / "credentials.toml").write_text(entry)
    assert examined(settings)["credentials"].ok
    (tmp_path / "credentials.toml").write_text(f"{entry}expires = 2020-01-01")
    found = examined(settings)["credentials"]
    assert (found.ok, found.cure) == (False, "gotdata login https://h.example/")
    (tmp_path / "credentials.toml").write_text("s3cr3t")
    found = examined(settings)["credentials"]
    assert not found.ok
    assert "s3cr3t" not in found.seen


def test_a_package_within_one_that_is_missing_is_missing() -> None:
    assert not doctor._is_there("no_such_package.at_all")
    assert doctor._is_there("xml.etree")

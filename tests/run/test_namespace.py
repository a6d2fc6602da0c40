"""Mounts for one command: in namespaces that nobody else sees, or in their ordinary place until it ends."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if sys.platform != "linux":
    pytest.skip("`gotdata run` needs Linux", allow_module_level=True)

from gotdata.fuse import mounting

if TYPE_CHECKING:
    from gotdata.testing.server import Server
    from tests.run.conftest import Place

MOUNTED = 'grep -c "$PWD/data/cells fuse.gotdata ro,nosuid,nodev" /proc/self/mounts'


@pytest.fixture
def device(fresh: Place) -> Place:
    """With a /dev/fuse that everybody may open; only what runs there has it."""
    if os.geteuid():
        pytest.skip("a device for others needs root")
    node = fresh.root.parent / "fuse"
    try:
        os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(10, 229))
    except OSError as error:
        pytest.skip(f"no device can be made here: {error}")
    node.chmod(0o666)
    bind = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /dev/fuse && exec "$@"', str(node)]
    there = replace(fresh, prefix=[*bind, *fresh.prefix])
    if subprocess.run(there.command("sh", "-c", "exec < /dev/fuse"), env=there.env, capture_output=True).returncode:
        pytest.skip("devices can't be opened here")
    return there


@pytest.fixture
def user(device: Place) -> Place:
    """Who may enter a user namespace."""
    words = [*device.prefix[device.prefix.index("setpriv") :], "unshare", "-Ur", "true"]
    if subprocess.run(words, env=device.env, capture_output=True).returncode:
        pytest.skip("user namespaces are refused here")
    return device


@pytest.fixture
def root(fresh: Place, can_mount: None) -> Place:
    if os.geteuid():
        pytest.skip("needs root")
    return replace(fresh, prefix=[], env={**fresh.env, "GOTDATA_STORE": str(fresh.root.parent / "store")})


@pytest.fixture
def can_mount(tmp_path: Path) -> None:
    try:
        os.close(mounting.mount(tmp_path))
    except mounting.DeliveryError as error:
        pytest.skip(f"no mounts here: {error}")
    mounting.unmount(tmp_path, lazy=True)


def run(place: Place, way: str, script: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = place.run(*place.gotdata("run", *(["--as", way] if way else []), "--", "sh", "-c", script), code=code)
    assert place.left() == []
    return done


def test_who_is_not_root_mounts_in_a_user_namespace(user: Place) -> None:
    look = "cat data/cells/a.txt; stat -c '%a %u' data/cells/a.txt; grep CapEff /proc/self/status"
    script = f"{MOUNTED}; id -u; {look}; exit 6"
    uid = str(user.root.stat().st_uid)
    out = run(user, "namespace", script, code=6).stdout.split()
    assert out == ["1", uid, "hello", "444", uid, "CapEff:", "0" * 16]


def test_who_is_not_root_mounts_by_fusermount3(device: Place) -> None:
    if not device.has("fusermount3"):
        pytest.skip("no fusermount3 here")
    done = run(device, "", f"{MOUNTED}; cat data/cells/a.txt")
    assert done.stdout.split() == ["1", "hello"]
    assert "as mount" in done.stderr


@pytest.mark.parametrize("way", ["", "mount"])
def test_root_mounts_where_nobody_else_sees_it(root: Place, way: str) -> None:
    script = f"{MOUNTED}; echo go > go; read x < done; cat data/cells/a.txt"
    for name in ("go", "done"):
        os.mkfifo(root.root / name)
    process = root.popen(*root.gotdata("run", *(["--as", way] if way else []), "--", "sh", "-c", script))
    assert (root.root / "go").read_text() == "go\n"
    assert list((root.root / "data/cells").iterdir()) == []
    assert not mounting.is_mounted(root.root / "data/cells")
    (root.root / "done").write_text("\n")
    out, err = process.communicate(timeout=60)
    assert out.split() == ["1", "hello"], err
    assert root.left() == []


def test_two_at_once_have_a_mount_each(root: Place) -> None:
    os.mkfifo(root.root / "go")
    first = root.popen(*root.gotdata("run", "--", "sh", "-c", "read x < go; cat data/cells/a.txt"))
    words = root.gotdata("run", "--", "sh", "-c", "cat data/cells/a.txt; echo > go; cat data/cells/empty")
    assert root.run(*words).stdout == "hello\n"
    assert first.communicate(timeout=60)[0] == "hello\n"
    assert root.left() == []


def test_bytes_come_as_they_are_read(root: Place, origin: Server) -> None:
    before = len(origin.requests)
    run(root, "", "head -c 10 data/cells/deep/er/b.bin; ls -lR data")
    assert {request.path for request in origin.requests[before:]} == {"/cells/deep/er/b.bin"}


def test_a_working_folder_below_the_data_is_that_of_the_mount(root: Place) -> None:
    keeps = root.popen(
        *root.gotdata("run", "--as", "mount", "--", "sh", "-c", "echo; read x; cat data/cells/a.txt"), stdin=-1
    )
    assert keeps.stdout
    keeps.stdout.readline()
    there = replace(root, root=root.root / "data/cells")
    assert there.run(*there.gotdata("run", "--", "cat", "a.txt")).stdout == "hello\n"
    assert keeps.communicate("\n", timeout=60)[0] == "hello\n"
    assert root.left() == []


def test_no_server_outlives_its_command(root: Place) -> None:
    run(root, "", "cat data/cells/a.txt")
    target = os.fsencode(root.root / "data/cells")
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        assert not (b"gotdata.fuse" in words and target in words)


def test_a_killed_run_leaves_what_the_next_tidies_up(root: Place) -> None:
    process = root.popen(*root.gotdata("run", "--", "sh", "-c", "kill -9 $PPID; cat data/cells/a.txt"))
    assert process.communicate(timeout=60)[0] == "hello\n"
    assert "data" in root.left()
    assert run(root, "", "cat data/cells/a.txt").stdout == "hello\n"


def test_without_a_device_it_is_said(fresh: Place) -> None:
    if os.access("/dev/fuse", os.R_OK | os.W_OK) and os.geteuid():
        pytest.skip("/dev/fuse is open to this user")
    said = fresh.run(*fresh.gotdata("run", "--as", "namespace", "--", "true"), code=1).stderr
    assert "can't appear as namespace" in said
    assert "/dev/fuse" in said or "user namespace is refused" in said

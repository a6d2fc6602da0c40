"""Who may mount, how, and what is said where it can't be done."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gotdata.errors import DeliveryError

if sys.platform != "linux":
    pytest.skip("mounts need Linux", allow_module_level=True)

from gotdata.fuse import mounting, spec

if TYPE_CHECKING:
    from conftest import Mounted


@pytest.mark.parametrize("name", ["plain", "a b", "tab\there", "new\nline", "back\\slash", "oct\\040al", "é", "\udce9"])
def test_any_name_of_a_mount_point_is_found(can_mount: None, tmp_path: Path, name: str) -> None:
    point = tmp_path / name
    point.mkdir()
    assert not mounting.is_mounted(point)
    fd = mounting.mount(point)
    try:
        assert mounting.is_mounted(point)
        assert not mounting.is_mounted(tmp_path)
    finally:
        os.close(fd)
        mounting.unmount(point, lazy=True)
    assert not mounting.is_mounted(point)


def test_a_mount_is_found_through_a_link_to_its_parent(can_mount: None, tmp_path: Path) -> None:
    (tmp_path / "real/point").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    os.close(mounting.mount(tmp_path / "link/point"))
    assert mounting.is_mounted(tmp_path / "real/point")
    assert mounting.is_dead(tmp_path / "link/point")
    mounting.unmount(tmp_path / "link/point", lazy=True)
    assert not mounting.is_mounted(tmp_path / "real/point")


def test_other_peoples_mounts_are_not_ours(root: None, tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path], check=True)
    try:
        assert not mounting.is_mounted(tmp_path)
        mounting.unmount(tmp_path)
        assert os.path.ismount(tmp_path)
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_mount_is_read_only_without_suid_and_devices(mounted: Callable[..., Mounted]) -> None:
    found = mounting.find(mounted({"a": b"a"}).point)
    assert found is not None
    assert {"ro", "nosuid", "nodev"} <= set(found.options.split(","))
    assert found.fstype == "fuse.gotdata"


def test_read_ahead_is_raised(root: None, mounted: Callable[..., Mounted]) -> None:
    found = mounting.find(mounted({"a": b"a"}).point)
    assert found is not None
    assert Path(f"/sys/class/bdi/{found.device}/read_ahead_kb").read_text() == "1024\n"


def test_without_the_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mounting, "DEVICE", str(tmp_path / "fuse"))
    with pytest.raises(DeliveryError, match=r"there is no .*/fuse here; .*`as: copy`"):
        mounting.mount(tmp_path)


def test_without_the_right_to_the_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "fuse").mkdir()
    monkeypatch.setattr(mounting, "DEVICE", str(tmp_path / "fuse"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(DeliveryError, match=r"can't be opened .*--cap-add SYS_ADMIN.*`as: copy`"):
        mounting.mount(tmp_path)


def test_without_fusermount3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeliveryError, match=r"fusermount3 is not installed; `apt install fuse3`.*`as: copy`"):
        mounting.mount(tmp_path)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            "echo 'fusermount3: mount failed: Operation not permitted' >&2; exit 1",
            "Operation not permitted; run as root",
        ),
        ("exit 1", "failed without a word"),
        ("exit 0", "sent no descriptor"),
    ],
)
def test_what_fusermount3_says_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, said: str) -> None:
    (tmp_path / "fusermount3").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "fusermount3").chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(mounting, "DEVICE", "/dev/null")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(DeliveryError, match=said):
        mounting.mount(tmp_path)


AS_A_USER = """
set -e
mount --make-rprivate /
mknod {tmp}/fuse c 10 229
chmod 666 {tmp}/fuse
mount --bind {tmp}/fuse /dev/fuse
# This interpreter may lie in a home that others can't enter: show it there alone.
mkdir {tmp}/base
mount --bind {base} {tmp}/base
mount -t tmpfs tmpfs {home}
mkdir -p {base}
mount --bind {tmp}/base {base}
exec setpriv --reuid 1000 --regid 1000 --clear-groups {python} -c {program}
"""

ROUND = """
import os, pathlib, signal, sys
from gotdata.fuse import launch, mounting, spec
told, point = spec.read({told!r}), {point!r}
pid = launch.start(told, point)
found = mounting.find(point)
print(found.fstype, "nosuid" in found.options, pathlib.Path(point, "a").read_bytes(), os.stat(point).st_uid)
with open(point + "/a"):
    try:
        launch.stop(point, pid)
    except mounting.Busy as error:
        print("busy", f"process {{os.getpid()}} (" in str(error))
launch.stop(point, pid)
print(mounting.is_mounted(point))
pid = launch.start(told, point)
os.kill(pid, signal.SIGKILL)
while not mounting.is_dead(point):
    pass
print("healed", launch.heal(point), mounting.is_mounted(point))
pid = launch.start(told, point)
with open(point + "/a") as file:
    launch.stop(point, pid, lazy=True)
    print(mounting.is_mounted(point), file.read())
"""


def test_by_fusermount3_as_a_user(root: None, planted: Callable[..., Mounted]) -> None:
    """Start, busy, stop, death, healing, and a lazy stop, all without any right of root."""
    for program in ("fusermount3", "unshare", "setpriv"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    mount = planted({"a": b"hello"})
    place = mount.point.parent
    for path in [place, *place.rglob("*")]:
        os.chown(path, 1000, 1000)
    for parent in [place, *place.parents]:
        parent.chmod(parent.stat().st_mode | 0o011)
    (place / "private").mkdir()
    program = ROUND.format(told=spec.write(mount.spec), point=str(mount.point))
    base = Path(sys.base_prefix)
    script = AS_A_USER.format(
        tmp=place / "private", base=base, home=f"/{base.parts[1]}", python=sys.executable, program='"$PROGRAM"'
    )
    command = ["unshare", "--mount", "sh", "-c", script]
    done = subprocess.run(command, env={**os.environ, "PROGRAM": program}, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "fuse.gotdata True b'hello' 1000",
        "busy True",
        "False",
        "healed True False",
        "False hello",
    ]

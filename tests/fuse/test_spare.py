"""Servers by a spare; keepers that are started twice, are dead, or die."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gotdata.errors import DeliveryError

if sys.platform != "linux":
    pytest.skip("mounts need Linux", allow_module_level=True)


from gotdata.fuse import launch, mounting
from gotdata.fuse.keeper import Keeper
from tests.fuse.keepers import BIG, NAME, cat, keeper_pid, kill, lost, wait_end

if TYPE_CHECKING:
    from conftest import Mounted


def test_a_spare_becomes_a_server_and_does_without_when_it_is_dead(
    keeper: Keeper, planted: Callable[..., Mounted]
) -> None:
    mount = planted({"a": b"a"})
    with contextlib.closing(launch.Spare(mount.spec.opens)) as spare:
        assert spare._process is not None
        first = spare._process.pid
        pid = launch.start_kept(keeper, NAME, mount.spec, mount.point, spare)
        assert b"\0spare\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert cat(mount.point / "a") == b"a"
        os.kill(first, signal.SIGKILL)
        os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
        pid = launch.serve_kept(keeper, NAME, spare)
        assert b"\0spare\0" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert spare._process.pid != first
        pid = launch.serve_kept(keeper, NAME, spare)
        assert b"\0spare\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert cat(mount.point / "a") == b"a"


def test_the_worker_of_a_spare_holds_nothing_of_the_mount_and_may_die(
    keeper: Keeper, planted: Callable[..., Mounted]
) -> None:
    mount = planted({"big": BIG, "a": b"a"})
    with contextlib.closing(launch.Spare(mount.spec.opens)) as spare:
        pid = launch.start_kept(keeper, NAME, mount.spec, mount.point, spare)
    [worker] = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    assert cat(mount.point / "a") == b"a"
    opened = [os.readlink(fd) for fd in Path(f"/proc/{worker}/fd").iterdir()]
    assert not any("fuse" in name or "ledger" in name for name in opened)
    assert sum("socket" in name for name in opened) == 1
    os.kill(worker, signal.SIGKILL)
    assert cat(mount.point / "big") == BIG
    assert "the process that fetches ended (-9)" in mount.log()


def test_the_worker_of_a_spare_ends_with_its_server(keeper: Keeper, planted: Callable[..., Mounted]) -> None:
    mount = planted({"a": b"a"})
    with contextlib.closing(launch.Spare(mount.spec.opens)) as spare:
        pid = launch.start_kept(keeper, NAME, mount.spec, mount.point, spare)
    [worker] = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    kill(pid)
    wait_end(worker)


def test_started_twice_there_is_one(keepers: Callable[..., Keeper], tmp_path: Path) -> None:
    first = keepers()
    assert keeper_pid(keepers()) == keeper_pid(first)
    command = [sys.executable, "-m", "gotdata.fuse", "keep", first.path]
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert first.list() == []


def test_started_by_several_at_once_there_is_one(keepers: Callable[..., Keeper], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gotdata.fuse", "keep", tmp_path / "keeper" / "socket"]
    started = [subprocess.Popen(command) for _ in range(4)]
    for _ in started[1:]:
        assert os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT) is not None
        [ended] = [process for process in started if process.poll() is not None]
        assert ended.returncode == 0
        started.remove(ended)
    assert keeper_pid(keepers()) == started[0].pid
    started[0].kill()
    started[0].wait()


def test_a_socket_whose_keeper_is_dead_is_taken_over(keepers: Callable[..., Keeper], tmp_path: Path) -> None:
    first = keepers()
    kill(keeper_pid(first))
    with pytest.raises(DeliveryError, match="no keeper answers at"):
        Keeper.connect(first.path)
    with pytest.raises(DeliveryError, match=r"the keeper at .* does not answer|ended the conversation"):
        first.list()
    assert keepers().list() == []
    assert first.list() == []  # whoever asked before asks the new one


def test_without_its_keeper_a_mount_goes_on(keeper: Keeper, planted: Callable[..., Mounted]) -> None:
    mount = planted({"big": BIG})
    pid = launch.start_kept(keeper, NAME, mount.spec, mount.point)
    keeper.fileno()
    kill(keeper_pid(keeper))
    with pytest.raises(DeliveryError, match="no keeper answers"):
        lost(keeper)
    assert cat(mount.point / "big") == BIG
    mounting.unmount(mount.point)
    wait_end(pid)

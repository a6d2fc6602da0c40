"""Starting, stopping and healing mounts: nothing is left behind, whatever ends first."""

from __future__ import annotations

import errno
import os
import random
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gotdata.errors import DeliveryError
from gotdata.model import BLOCK

if sys.platform != "linux":
    pytest.skip("mounts need Linux", allow_module_level=True)

from gotdata.fuse import launch, mounting, spec
from gotdata.fuse.ledger import Ledger

if TYPE_CHECKING:
    from conftest import Mounted

BIG = random.Random(5).randbytes(4 * BLOCK)


def children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


@pytest.fixture
def older() -> list[str]:
    """Children that were there before: servers of other tests."""
    return children()


def ended(pid: int) -> None:
    """Waits for a process that is not our child."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    select.select([fd], [], [])
    os.close(fd)


def test_nothing_is_left_after_stop(mounted: Callable[..., Mounted], older: list[str]) -> None:
    before = set(os.listdir("/proc/self/fd"))
    mount = mounted({"big": BIG})
    assert launch.serving(mount.pid, mount.point)
    assert (mount.point / "big").read_bytes() == BIG
    workers = [int(pid) for pid in Path(f"/proc/{mount.pid}/task/{mount.pid}/children").read_text().split()]
    assert len(workers) == 1
    launch.stop(mount.point, mount.pid)
    assert not mounting.is_mounted(mount.point)
    assert list(mount.point.iterdir()) == []
    assert not launch.serving(mount.pid, mount.point)
    assert not Path(f"/proc/{workers[0]}").exists()
    assert children() == older
    assert set(os.listdir("/proc/self/fd")) == before
    assert mount.log() == ""


def test_stop_twice_is_stop_once(mounted: Callable[..., Mounted]) -> None:
    mount = mounted({"a": b"a"})
    launch.stop(mount.point, mount.pid)
    launch.stop(mount.point, mount.pid)
    assert not mounting.is_mounted(mount.point)


def test_the_server_is_nobodys_child_and_in_a_session_of_its_own(
    mounted: Callable[..., Mounted], older: list[str]
) -> None:
    mount = mounted({"a": b"a"})
    assert children() == older
    assert os.getsid(mount.pid) not in (os.getsid(0), 0)
    assert os.readlink(f"/proc/{mount.pid}/cwd") == "/"


def test_it_outlives_the_one_who_started_it(planted: Callable[..., Mounted]) -> None:
    mount = planted({"a": b"a"})
    told = mount.point.parent / "spec"
    told.write_bytes(spec.write(mount.spec))
    program = (
        "import sys, pathlib; from gotdata.fuse import launch, spec;"
        "print(launch.start(spec.read(pathlib.Path(sys.argv[1]).read_bytes()), sys.argv[2]))"
    )
    done = subprocess.run([sys.executable, "-c", program, told, mount.point], capture_output=True, check=True)
    mount.pid = int(done.stdout)
    assert (mount.point / "a").read_bytes() == b"a"


def test_a_second_start_is_refused_and_harms_nothing(mounted: Callable[..., Mounted]) -> None:
    mount = mounted({"a": b"a"})
    with pytest.raises(DeliveryError, match="already mounted"):
        launch.start(mount.spec, mount.point)
    assert (mount.point / "a").read_bytes() == b"a"


@pytest.mark.parametrize("factory", ["no.such.module:tree", "gotdata.testing.trees:nothing", "nonsense"])
def test_a_tree_that_can_not_be_opened(planted: Callable[..., Mounted], factory: str, older: list[str]) -> None:
    mount = planted({"a": b"a"})
    with pytest.raises(DeliveryError, match=f"no tree can be made by '{factory}'"):
        launch.start(replace(mount.spec, opens=factory), mount.point)
    assert not mounting.is_mounted(mount.point)
    assert children() == older


def test_a_server_that_crashes_while_it_starts(planted: Callable[..., Mounted]) -> None:
    mount = planted({"a": b"a"})
    with pytest.raises(DeliveryError, match=r"unexpected FileNotFoundError.*log: "):
        launch.start(replace(mount.spec, arguments={"folder": "/nowhere"}), mount.point)
    assert not mounting.is_mounted(mount.point)


def test_an_interrupted_start_leaves_nothing(planted: Callable[..., Mounted], monkeypatch: pytest.MonkeyPatch) -> None:
    mount = planted({"a": b"a"})

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(launch, "_wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        launch.start(mount.spec, mount.point)
    monkeypatch.undo()
    assert not mounting.is_mounted(mount.point)


def test_a_target_that_is_no_folder(planted: Callable[..., Mounted]) -> None:
    mount = planted({"a": b"a"})
    for target in (mount.point / "missing", mount.point.parent / "tree/index.json"):
        with pytest.raises(DeliveryError, match="it is not a folder"):
            launch.start(mount.spec, target)


def test_a_killed_server_is_seen_and_healed(mounted: Callable[..., Mounted]) -> None:
    mount = mounted({"big": BIG})
    assert not mounting.is_dead(mount.point)
    os.kill(mount.pid, signal.SIGKILL)
    ended(mount.pid)
    assert mounting.is_mounted(mount.point)
    assert mounting.is_dead(mount.point)
    with pytest.raises(OSError, match=os.strerror(errno.ENOTCONN)):
        mount.point.stat()
    mount.up()
    assert not mounting.is_dead(mount.point)
    assert (mount.point / "big").read_bytes() == BIG
    assert [each.point for each in mounting.mounts()].count(str(mount.point)) == 1


def test_a_killed_server_takes_its_workers_with_it(mounted: Callable[..., Mounted]) -> None:
    mount = mounted({"big": BIG})
    assert (mount.point / "big").read_bytes() == BIG
    worker = int(Path(f"/proc/{mount.pid}/task/{mount.pid}/children").read_text())
    os.kill(mount.pid, signal.SIGKILL)
    ended(worker)


def test_stop_of_a_dead_mount_that_is_in_use(mounted: Callable[..., Mounted]) -> None:
    mount = mounted({"big": BIG})
    fd = os.open(mount.point / "big", os.O_RDONLY)
    os.kill(mount.pid, signal.SIGKILL)
    ended(mount.pid)
    launch.stop(mount.point, mount.pid)
    assert not mounting.is_mounted(mount.point)
    with pytest.raises(OSError, match=os.strerror(errno.ENOTCONN)):
        os.close(fd)


def test_a_busy_mount_stays_and_its_users_are_named(mounted: Callable[..., Mounted]) -> None:
    mount = mounted({"d/big": BIG})
    uses = {
        "open": "f = open('d/big')",
        "folder": "import os; os.chdir('d')",
        "map": "import mmap; f = open('d/big'); m = mmap.mmap(f.fileno(), 0, prot=1); f.close()",
    }
    for use in uses.values():
        program = f"import os; os.chdir({str(mount.point)!r}); {use}; os.path.isdir('d') and "
        program += "os.getcwd().endswith('mnt') and os.chdir('/'); print('in', flush=True); input()"
        with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as user:
            assert user.stdout is not None
            assert user.stdout.readline() == b"in\n"
            with pytest.raises(mounting.Busy, match=rf"in use by process {user.pid} \(python"):
                launch.stop(mount.point, mount.pid)
            assert (mount.point / "d/big").read_bytes() == BIG
            user.communicate(b"\n")
    launch.stop(mount.point, mount.pid)


def test_a_running_program_keeps_the_mount_busy(mounted: Callable[..., Mounted]) -> None:
    """Mapped, and not open."""
    mount = mounted({"sleep": Path("/bin/sleep").resolve().read_bytes()}, executable=("sleep",))
    with subprocess.Popen([mount.point / "sleep", "60"], cwd="/") as user:
        with pytest.raises(mounting.Busy, match=f"in use by process {user.pid} "):
            launch.stop(mount.point, mount.pid)
        user.kill()


def test_a_lazy_stop_lets_the_users_finish(mounted: Callable[..., Mounted]) -> None:
    mount = mounted({"big": BIG})
    with (mount.point / "big").open("rb") as file:
        launch.stop(mount.point, mount.pid, lazy=True)
        assert not mounting.is_mounted(mount.point)
        assert file.read() == BIG
    ended(mount.pid)


def test_asked_to_end_the_server_unmounts(mounted: Callable[..., Mounted]) -> None:
    mount = mounted({"a": b"a"})
    os.kill(mount.pid, signal.SIGTERM)
    ended(mount.pid)
    assert not mounting.is_mounted(mount.point)


def test_a_foreign_process_of_that_number_is_left_alone(mounted: Callable[..., Mounted]) -> None:
    mount = mounted({"a": b"a"})
    with subprocess.Popen(["sleep", "60"]) as other:
        assert not launch.serving(other.pid, mount.point)
        launch.stop(mount.point, other.pid)
        assert other.poll() is None
        other.kill()
    ended(mount.pid)


def test_another_server_takes_over_where_one_was_killed(
    root: None, planted: Callable[..., Mounted], ledger: Ledger
) -> None:
    """Whoever holds the descriptor can do that: a reader of the killed server gets its bytes from the next."""
    mount = planted({"big": BIG})
    fuse = mounting.mount(mount.point)
    with mount.tree.gate():
        first = spawn(mount, fuse, ledger)
        # A process: in a thread of ours, the next fork's child would close its file, and wait for an answer to that.
        reader = subprocess.Popen(["cat", mount.point / "big"], stdout=subprocess.PIPE)
        while not Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text():
            os.sched_yield()  # it has asked a worker, so the READ is with it
        first.kill()
        first.wait()
    second = spawn(mount, fuse, ledger)
    os.close(fuse)
    try:
        assert reader.communicate(timeout=20)[0] == BIG
        launch.stop(mount.point, 0)
        assert second.wait() == 0
    finally:
        second.kill()  # or the reader of a failed test would wait for ever


def spawn(mount: Mounted, fuse: int, ledger: Ledger) -> subprocess.Popen[bytes]:
    program = (
        "import sys; from gotdata.fuse import spec; from gotdata.fuse.connection import Connection;"
        "from gotdata.fuse.ledger import Ledger; from gotdata.fuse.log import Log;"
        "from gotdata.fuse.server import Server;"
        "told = spec.read(sys.argv[1].encode()); tree = spec.tree(told.opens, told.arguments);"
        f"ready = lambda: print('ready', flush=True); ledger = Ledger({ledger.fd});"
        f"Server(Connection({fuse}), ledger, tree, told, Log(), ready).run()"
    )
    command = [sys.executable, "-c", program, spec.write(mount.spec).decode()]
    process = subprocess.Popen(command, pass_fds=(fuse, ledger.fd), stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as said:
        assert said.readline() == b"ready\n"
    return process

"""Mounts outlive their servers: whoever has a file open reads on, whatever was killed."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import select
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gotdata.errors import DeliveryError, NotFound
from gotdata.model import BLOCK

if sys.platform != "linux":
    pytest.skip("mounts need Linux", allow_module_level=True)

import socket

from gotdata.fuse import launch, message, mounting, spec
from gotdata.fuse.keeper import Keeper
from gotdata.fuse.ledger import Ledger
from gotdata.fuse.message import Kind
from gotdata.fuse.resend import HAS_RESEND

if TYPE_CHECKING:
    from conftest import Mounted

BIG = random.Random(8).randbytes(4 * BLOCK)
NAME = "cells"
SOON = 0.2
"""A grace after which readers give up at once."""


def keeper_pid(keeper: Keeper) -> int:
    assert keeper._sock is not None
    return int.from_bytes(keeper._sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 4), "little")


def wait_end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        fd = os.pidfd_open(pid)
        select.select([fd], [], [])
        os.close(fd)


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        wait_end(pid)


def stuck(folder: Path) -> list[str]:
    """Processes that were told of a folder and can't be killed now, seen twice."""
    found = set[str]()
    for last in (False, True):
        now = set()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.fsencode(folder) in (process / "cmdline").read_bytes():
                    state = (process / "stat").read_text().rpartition(")")[2].split()[0]
                    now |= {process.name} if state == "D" else set()
        found = found & now if last else now
    return sorted(found)


@pytest.fixture
def keepers(tmp_path: Path) -> Iterator[Callable[..., Keeper]]:
    """``keepers(grace)``: one, started, and in the end killed."""
    made: list[Keeper] = []

    def start(grace: float = 15.0) -> Keeper:
        made.append(Keeper.start(tmp_path / "keeper" / "socket", tmp_path / "keeper.log", grace))
        return made[-1]

    yield start
    assert not stuck(tmp_path)
    pids = {keeper_pid(keeper) for keeper in made}
    for keeper in made:
        with contextlib.suppress(DeliveryError):
            for kept in keeper.list():
                mounting.unmount(launch.told(kept.note)[1], lazy=True)
        keeper.close()
    for pid in pids:
        kill(pid)


@pytest.fixture
def keeper(keepers: Callable[..., Keeper]) -> Keeper:
    return keepers()


@contextlib.contextmanager
def shell(script: str, *arguments: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has said a line, and waits for one."""
    program = ["bash", "-c", script, "-", *map(str, arguments)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        try:
            yield process
        finally:
            process.kill()


def cat(path: Path) -> bytes:
    """Read by another process: one of ours that forks while it reads would wait for itself."""
    done = subprocess.run(["cat", path], capture_output=True, cwd="/")
    if done.returncode:
        raise OSError(done.stderr.decode())
    return done.stdout


def lost(keeper: Keeper) -> list[str]:
    """Waits until the keeper has something to tell."""
    select.select([keeper], [], [])
    return list(keeper.gone())


def counted(keeper: Keeper, mount: Mounted) -> Ledger:
    """The ledger, once what was released before is counted: the mount is asked something after it."""
    os.statvfs(mount.point)
    fuse, ledger, _ = keeper.take(NAME)
    os.close(fuse)
    return ledger


def test_an_open_file_is_read_on_after_its_server_was_killed(keeper: Keeper, planted: Callable[..., Mounted]) -> None:
    mount = planted({"big": BIG})
    pid = launch.start_kept(keeper, NAME, mount.spec, mount.point)
    with shell('exec 3<"$1"; echo in; read; cat <&3', mount.point / "big") as reader:
        kill(pid)
        launch.serve_kept(keeper, NAME)
        assert reader.communicate(b"\n")[0] == BIG
    with contextlib.closing(counted(keeper, mount)) as ledger:
        assert mount.id("big") not in ledger
    launch.stop_kept(keeper, NAME, mount.point)
    assert keeper.list() == []
    assert not mounting.is_mounted(mount.point)


MAPPED = """
import mmap, sys
file = open(sys.argv[1], "rb")
data = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
file.close()
half = len(data) // 2
begin = data[:half]
print("in", flush=True)
sys.stdin.readline()
sys.stdout.buffer.write(begin + data[half:])
"""


@pytest.mark.parametrize("whole", [True, False])
def test_a_mapped_file_is_read_on(whole: bool, keeper: Keeper, planted: Callable[..., Mounted]) -> None:
    mount = planted({"big": BIG})
    if whole:
        mount.tree.complete(mount.id("big"))
    pid = launch.start_kept(keeper, NAME, mount.spec, mount.point)
    with shell('exec "$1" -c "$2" "$3"', sys.executable, MAPPED, mount.point / "big") as reader:
        kill(pid)
        launch.serve_kept(keeper, NAME)
        assert reader.communicate(b"\n")[0] == BIG


def test_a_file_that_was_handed_through_is_opened_again_by_the_next_server(
    root: None, keeper: Keeper, planted: Callable[..., Mounted]
) -> None:
    """The kernel takes no other backing file for it while one has it open."""
    mount = planted({"big": BIG})
    mount.tree.complete(mount.id("big"))
    pid = launch.start_kept(keeper, NAME, mount.spec, mount.point)
    with shell('exec 3<"$1"; echo in; read; cat <&3', mount.point / "big") as reader:
        with contextlib.closing(counted(keeper, mount)) as ledger:
            if not ledger.passthrough:
                pytest.skip("this kernel takes no backing files here")
        kill(pid)
        launch.serve_kept(keeper, NAME)
        assert cat(mount.point / "big") == BIG
        assert reader.communicate(b"\n")[0] == BIG
    with contextlib.closing(counted(keeper, mount)) as ledger:
        assert ledger.tally().opens == 2
        assert mount.id("big") not in ledger
    assert cat(mount.point / "big") == BIG


def test_a_file_that_became_whole_stays_as_it_was_opened(keeper: Keeper, planted: Callable[..., Mounted]) -> None:
    mount = planted({"big": BIG})
    pid = launch.start_kept(keeper, NAME, mount.spec, mount.point)
    with shell('exec 3<"$1"; echo in; read; cat <&3', mount.point / "big") as reader:
        kill(pid)
        mount.tree.complete(mount.id("big"))
        launch.serve_kept(keeper, NAME)
        assert cat(mount.point / "big") == BIG
        assert reader.communicate(b"\n")[0] == BIG


def test_without_passthrough_too(stacked: Path, keeper: Keeper, planted: Callable[..., Mounted]) -> None:
    """There the kernel was told to open without asking, which the next server must bear."""
    mount = planted({"big": BIG, "a": b"a"})
    mount.tree = type(mount.tree).plant(stacked / "tree", {"big": BIG, "a": b"a"})
    mount.spec = replace(mount.spec, arguments={"folder": str(stacked / "tree")})
    pid = launch.start_kept(keeper, NAME, mount.spec, mount.point)
    with shell('exec 3<"$1"; echo in; read; cat <&3', mount.point / "big") as reader:
        kill(pid)
        launch.serve_kept(keeper, NAME)
        assert cat(mount.point / "a") == b"a"
        assert reader.communicate(b"\n")[0] == BIG


READER = """
import os, random, sys
folder, other, seed = sys.argv[1:]
names = sorted(os.listdir(other))
pick = random.Random(seed)
print("in", flush=True)
while not os.path.exists(other + "/../stop"):
    name = pick.choice(names)
    with open(f"{folder}/{name}", "rb", 0) as file, open(f"{other}/{name}", "rb", 0) as origin:
        size = os.fstat(origin.fileno()).st_size
        for _ in range(3):
            start = pick.randrange(size)
            length = pick.randrange(300_000)
            found, due = (os.pread(end.fileno(), length, start) for end in (file, origin))
            if found != due:
                sys.exit(f"{name} differs at {start}: {len(found)} bytes, where {len(due)} were due")
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    print(".", end="", flush=True)
"""


def test_twenty_kills_under_four_readers(keeper: Keeper, planted: Callable[..., Mounted]) -> None:
    pick = random.Random(11)
    mount = planted({f"f{number}": pick.randbytes(pick.randrange(1, 3 * BLOCK)) for number in range(40)})
    originals = Path(mount.spec.arguments["folder"], "files")
    originals.mkdir()
    for number in range(40):
        id = mount.id(f"f{number}")
        (originals / f"f{number}").hardlink_to(originals.parent / "origin" / str(id))
        if number % 4 == 0:
            mount.tree.complete(id)
    pid = launch.start_kept(keeper, NAME, mount.spec, mount.point)
    with contextlib.ExitStack() as stack:
        readers = [
            stack.enter_context(shell('exec "$@"', sys.executable, "-c", READER, mount.point, originals, str(number)))
            for number in range(4)
        ]
        for shot in range(20):
            for reader in readers:
                assert reader.stdout is not None
                assert reader.stdout.read(pick.randrange(1, 6))
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            if children and shot % 3:  # a server gives up on workers that die again and again
                os.kill(int(pick.choice(children)), signal.SIGKILL)
            else:
                kill(pid)
                pid = launch.serve_kept(keeper, NAME)
        (originals.parent / "stop").touch()
        for reader in readers:
            assert b"differs" not in reader.communicate()[0]
            assert reader.returncode == 0
    with contextlib.closing(counted(keeper, mount)) as ledger:
        assert ledger.tally().opens > 100
    launch.stop_kept(keeper, NAME, mount.point)


@contextlib.contextmanager
def dying_server(keeper: Keeper, mount: Mounted, patch: str, script: str = 'cat "$1"') -> Iterator[None]:
    """A server that kills itself, as ``patch`` has it (there ``die`` does it), under a reader that gets all of ``big``.
    Goes on when another server is there; in the end the reader gets a line."""
    fuse = mounting.mount(mount.point)
    with contextlib.closing(Ledger.create()) as ledger:
        keeper.hold(NAME, fuse, ledger.fd, launch.note(mount.spec, str(mount.point)))
    os.close(fuse)
    tie, fuse, counts, _ = keeper.serve(NAME)
    program = f"""
import os, signal, sys
from gotdata.fuse import spec
from gotdata.fuse.connection import Connection
from gotdata.fuse.ledger import Ledger
from gotdata.fuse.log import Log
from gotdata.fuse.opens import Opens
from gotdata.fuse.server import Server
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
{patch}
told = spec.read(sys.argv[1].encode())
Dying(Connection({fuse}), Ledger({counts}), spec.tree(told.opens, told.arguments), told, Log(), lambda: None).run()
"""
    command = [sys.executable, "-c", program, spec.write(mount.spec).decode()]
    process = subprocess.Popen(command, pass_fds=(fuse, counts, tie.fileno()))
    tie.close()
    os.close(fuse)
    os.close(counts)
    keeper.fileno()
    copy = mount.point.with_name("copy")
    command = ["bash", "-c", script, "-", str(mount.point / "big")]
    with copy.open("wb") as file, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file, cwd="/") as reader:
        try:
            assert process.wait(30) == -signal.SIGKILL
            assert lost(keeper) == [NAME]
            launch.serve_kept(keeper, NAME)
            yield
            reader.communicate(b"\n", 30)
            assert reader.returncode == 0
        finally:
            process.kill()
            reader.kill()
    assert copy.read_bytes() == BIG


COUNTED = """
class Dying(Server):
    def _open(self, request):
        super()._open(request)
        die()
"""
NOT_COUNTED = """
class Dying(Server):
    def _open(self, request):
        die()
"""
ANSWERED = """
class Dying(Server):
    def _dispatch(self, request):
        super()._dispatch(request)
        if request.op == 14:
            die()
"""
READING = """
class Dying(Server):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._operations[15] = die
"""
GREETED = """
class Dying(Server):
    def _init(self, request):
        die()
"""
RELEASED = """
class Dying(Server):
    def _release(self, request):
        super()._release(request)
        die()
"""


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("patch", [COUNTED, NOT_COUNTED, ANSWERED], ids=["counted", "not counted", "answered"])
def test_an_open_is_counted_once_wherever_its_server_died(
    patch: str, whole: bool, root: None, keeper: Keeper, planted: Callable[..., Mounted]
) -> None:
    mount = planted({"big": BIG})
    if whole:
        mount.tree.complete(mount.id("big"))
    with dying_server(keeper, mount, patch):
        pass
    with contextlib.closing(counted(keeper, mount)) as ledger:
        if ledger.passthrough is False:
            pytest.skip("this kernel takes no backing files here, so nothing is counted")
        assert ledger.tally().opens == 1
        assert mount.id("big") not in ledger


def test_a_read_of_a_server_that_died_is_answered_by_the_next(
    root: None, keeper: Keeper, planted: Callable[..., Mounted]
) -> None:
    with dying_server(keeper, planted({"big": BIG}), READING):
        pass


def test_a_release_is_counted_once(root: None, keeper: Keeper, planted: Callable[..., Mounted]) -> None:
    mount = planted({"big": BIG})
    script = 'exec 3<"$1" 4<"$1" 4<&-; read; cat <&3'
    with dying_server(keeper, mount, RELEASED, script), contextlib.closing(counted(keeper, mount)) as ledger:
        if ledger.passthrough is False:
            pytest.skip("this kernel takes no backing files here, so nothing is counted")
        assert mount.id("big") in ledger
    with contextlib.closing(counted(keeper, mount)) as ledger:
        assert mount.id("big") not in ledger


def test_a_server_that_dies_before_it_greets_the_kernel(
    root: None, keeper: Keeper, planted: Callable[..., Mounted]
) -> None:
    with dying_server(keeper, planted({"big": BIG}), GREETED):
        pass


def test_when_no_server_comes_readers_get_an_error_until_one_does(
    keepers: Callable[..., Keeper], planted: Callable[..., Mounted], tmp_path: Path
) -> None:
    keeper = keepers(grace=SOON)
    mount = planted({"big": BIG, "a": b"a"})
    pid = launch.start_kept(keeper, NAME, mount.spec, mount.point)
    script = 'exec 3<"$1" 4<"$1"; echo in; read; cat <&3; exec 4<&-; echo gone; read; cat <&3'
    with shell(script, mount.point / "big") as reader, mount.tree.gate():
        waiting = subprocess.Popen(["cat", mount.point / "a"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while not Path(f"/proc/{pid}/task/{pid}/children").read_text():
            os.sched_yield()
        kill(pid)
        # What the server left unanswered, what comes after, and what was open before.
        assert os.strerror(errno.EIO).encode() in waiting.communicate()[1]
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            cat(mount.point / "a")
        assert reader.stdin is not None
        assert reader.stdout is not None
        reader.stdin.write(b"\n")
        reader.stdin.flush()
        assert reader.stdout.readline() == b"gone\n"
        pid = launch.serve_kept(keeper, NAME)
        counts = counted(keeper, mount)
    with contextlib.closing(counts):
        assert (mount.id("big") in counts) == (counts.passthrough is not False)
    with contextlib.closing(counted(keeper, mount)) as ledger:
        assert mount.id("big") not in ledger
    assert cat(mount.point / "a") == b"a"
    assert cat(mount.point / "big") == BIG
    assert f"{NAME}: no server came within {SOON:g} s" in (tmp_path / "keeper.log").read_text()


def test_where_the_kernel_says_nothing_again_nobody_hangs(keeper: Keeper, planted: Callable[..., Mounted]) -> None:
    """Before Linux 6.9. What it reads ahead it asks for once more by itself."""
    mount = planted({"big": BIG})
    pid = launch.start_kept(keeper, NAME, mount.spec, mount.point)
    with mount.tree.gate():
        reader = subprocess.Popen(["cat", mount.point / "big"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with contextlib.closing(counted(keeper, mount)) as ledger:
            while not mount.tree.asked:
                os.sched_yield()
            ledger.greet(39, ledger.flags & ~HAS_RESEND)
            ledger.take(1 << 12, 2)  # it was not noted, since this kernel can do better
        kill(pid)
    pid = launch.serve_kept(keeper, NAME)
    assert reader.communicate() == (BIG, b"")
    with contextlib.closing(counted(keeper, mount)) as ledger:
        before = ledger.taken
        os.statvfs(mount.point)
        assert len(before) == len(ledger.taken) == 1
        assert 0 < before.start < ledger.taken.start < 1 << 12


def test_a_ledger_that_was_spoilt_does_not_stop_the_keeper(
    keepers: Callable[..., Keeper], planted: Callable[..., Mounted]
) -> None:
    keeper = keepers(grace=SOON)
    mount, other = planted({"a": b"a"}), planted({"a": b"b"})
    pid = launch.start_kept(keeper, NAME, mount.spec, mount.point)
    launch.start_kept(keeper, "other", other.spec, other.point)
    with contextlib.closing(counted(keeper, mount)) as ledger:
        os.pwrite(ledger.fd, random.Random(2).randbytes(1 << 16), 0)
    kill(pid)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        cat(mount.point / "a")
    assert cat(other.point / "a") == b"b"
    mounting.unmount(mount.point)
    launch.stop_kept(keeper, "other", other.point)


def test_unmounted_while_no_server_is_there(keeper: Keeper, planted: Callable[..., Mounted]) -> None:
    mount = planted({"a": b"a"})
    pid = launch.start_kept(keeper, NAME, mount.spec, mount.point)
    keeper.fileno()
    kill(pid)
    assert lost(keeper) == [NAME]
    assert [kept.server_pid for kept in keeper.list()] == [0]
    mounting.unmount(mount.point)
    assert lost(keeper) == [NAME]
    assert keeper.list() == []


def test_unmounted_by_somebody_else_while_it_is_served(keeper: Keeper, planted: Callable[..., Mounted]) -> None:
    mount = planted({"a": b"a"})
    launch.start_kept(keeper, NAME, mount.spec, mount.point)
    keeper.fileno()
    mounting.unmount(mount.point)
    assert lost(keeper) == [NAME]
    assert keeper.list() == []
    launch.stop_kept(keeper, NAME, mount.point)


def test_a_busy_mount_stays_and_a_lazy_stop_lets_its_users_finish(
    keeper: Keeper, planted: Callable[..., Mounted]
) -> None:
    mount = planted({"big": BIG})
    pid = launch.start_kept(keeper, NAME, mount.spec, mount.point)
    keeper.fileno()
    with shell('exec 3<"$1"; echo in; read; cat <&3', mount.point / "big") as reader:
        with pytest.raises(mounting.Busy, match="in use by process"):
            launch.stop_kept(keeper, NAME, mount.point)
        assert keeper.server(NAME) == pid
        launch.stop_kept(keeper, NAME, mount.point, lazy=True)
        assert not mounting.is_mounted(mount.point)
        kill(pid)  # even now
        launch.serve_kept(keeper, NAME)
        assert reader.communicate(b"\n")[0] == BIG
    while keeper.list():
        lost(keeper)


def test_asked_to_end_a_kept_server_leaves_the_mount(keeper: Keeper, planted: Callable[..., Mounted]) -> None:
    mount = planted({"a": b"a"})
    pid = launch.start_kept(keeper, NAME, mount.spec, mount.point)
    os.kill(pid, signal.SIGTERM)
    wait_end(pid)
    assert mounting.is_mounted(mount.point)
    assert launch.serve_kept(keeper, NAME) != pid
    assert cat(mount.point / "a") == b"a"


def test_a_server_that_does_not_answer_is_replaced(keeper: Keeper, planted: Callable[..., Mounted]) -> None:
    mount = planted({"a": b"a"})
    pid = launch.start_kept(keeper, NAME, mount.spec, mount.point)
    os.kill(pid, signal.SIGSTOP)
    launch.serve_kept(keeper, NAME)
    assert cat(mount.point / "a") == b"a"
    wait_end(pid)


def test_a_start_that_fails_leaves_nothing(keeper: Keeper, planted: Callable[..., Mounted]) -> None:
    mount = planted({"a": b"a"})
    with pytest.raises(DeliveryError, match="no tree can be made by 'nowhere:none'"):
        launch.start_kept(keeper, NAME, replace(mount.spec, opens="nowhere:none"), mount.point)
    assert keeper.list() == []
    assert not mounting.is_mounted(mount.point)


def test_a_name_is_held_once(keeper: Keeper, planted: Callable[..., Mounted]) -> None:
    first, second = planted({"a": b"a"}), planted({"a": b"b"})
    pid = launch.start_kept(keeper, NAME, first.spec, first.point)
    with pytest.raises(DeliveryError, match="refuses HOLD 'cells': File exists"):
        launch.start_kept(keeper, NAME, second.spec, second.point)
    assert not mounting.is_mounted(second.point)
    assert [(kept.name, kept.server_pid) for kept in keeper.list()] == [(NAME, pid)]
    assert launch.told(keeper.list()[0].note) == (first.spec, str(first.point))
    assert cat(first.point / "a") == b"a"


def test_a_mount_that_is_not_held_is_not_found(keeper: Keeper) -> None:
    for ask in (keeper.take, keeper.serve, keeper.drop, keeper.server):
        with pytest.raises(NotFound, match="the keeper holds no mount 'nobody'"):
            ask("nobody")


def test_a_second_server_is_refused_while_one_is_there(keeper: Keeper, planted: Callable[..., Mounted]) -> None:
    mount = planted({"a": b"a"})
    launch.start_kept(keeper, NAME, mount.spec, mount.point)
    with pytest.raises(DeliveryError, match="refuses SERVE 'cells': Device or resource busy"):
        keeper.serve(NAME)
    assert cat(mount.point / "a") == b"a"


def test_the_operators_limit_outlives_a_server(keeper: Keeper, planted: Callable[..., Mounted]) -> None:
    mount = planted({"big": BIG, "a": b"a"})
    pid = launch.start_kept(keeper, NAME, mount.spec, mount.point)
    assert cat(mount.point / "a") == b"a"
    with contextlib.closing(counted(keeper, mount)) as ledger:
        ledger.allow(0)
    kill(pid)
    launch.serve_kept(keeper, NAME)
    with pytest.raises(OSError, match=r"Permission denied|Input/output error"):
        cat(mount.point / "big")
    assert "the operator's policy allows no more of them now" in mount.log()
    with contextlib.closing(counted(keeper, mount)) as ledger:
        assert ledger.tally().refused > 0
        ledger.allow(None)
    assert cat(mount.point / "big") == BIG


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


def test_a_folder_that_others_may_reach_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(DeliveryError, match="others may reach this folder"):
        Keeper.start(tmp_path / "open" / "socket", tmp_path / "log")


def test_signals_end_it_only_when_it_holds_nothing(keeper: Keeper, planted: Callable[..., Mounted]) -> None:
    mount = planted({"a": b"a"})
    launch.start_kept(keeper, NAME, mount.spec, mount.point)
    pid = keeper_pid(keeper)
    assert os.getsid(pid) != os.getsid(0)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
        assert len(keeper.list()) == 1
    launch.stop_kept(keeper, NAME, mount.point)
    os.kill(pid, signal.SIGTERM)
    wait_end(pid)
    assert not Path(keeper.path).exists()


def test_a_watcher_that_does_not_listen_learns_it_later(keeper: Keeper, planted: Callable[..., Mounted]) -> None:
    mount = planted({"a": b"a"})
    keeper.fileno()
    pid = launch.start_kept(keeper, NAME, mount.spec, mount.point)
    fuse, ledger, _ = keeper.take(NAME)
    for number in range(600):
        # More than a socket takes: each of these servers ends at once.
        keeper.hold(f"other{number}", fuse, ledger.fd, b"")
        tie, *others, _ = keeper.serve(f"other{number}")
        tie.close()
        message.close(others)
    for number in range(600):
        keeper.drop(f"other{number}")
    kill(pid)
    assert NAME in keeper.gone()
    os.close(fuse)
    ledger.close()


def raw(keeper: Keeper, *packets: bytes, fds: Sequence[int] = ()) -> message.Packet | None:
    """What is answered to the last of some packets, None where the connection ends."""
    with message.connection() as sock:
        sock.connect(keeper.path)
        for packet in packets:
            with contextlib.suppress(BrokenPipeError):
                socket.send_fds(sock, [packet], fds)
        with contextlib.suppress(ConnectionResetError):
            return message.receive(sock)
    return None


def head(kind: int, version: int = message.VERSION) -> bytes:
    return struct.pack("<HHI", version, kind, 7)


@pytest.mark.parametrize(
    "packet",
    [
        b"x",
        head(Kind.LIST)[:7],
        head(Kind.LIST, version=2),
        head(Kind.TAKE) + b"\xff",
        head(Kind.TAKE) + b"a\nb",
        head(Kind.TAKE) + b"x" * 201,
        head(Kind.TAKE) + b"x" * 70_000,
        head(Kind.PID),
        head(Kind.HOLD) + b"no descriptors",
        random.Random(1).randbytes(100),
    ],
    ids=range(10),
)
def test_what_is_no_message_ends_its_connection_and_nothing_else(
    packet: bytes, keeper: Keeper, planted: Callable[..., Mounted]
) -> None:
    mount = planted({"a": b"a"})
    pid = launch.start_kept(keeper, NAME, mount.spec, mount.point)
    assert raw(keeper, packet) is None
    assert raw(keeper, packet, packet) is None
    assert [(kept.name, kept.server_pid) for kept in keeper.list()] == [(NAME, pid)]
    assert cat(mount.point / "a") == b"a"


def test_a_message_of_a_later_version_of_us_is_answered(keeper: Keeper) -> None:
    answer = raw(keeper, head(50))
    assert answer is not None
    assert (answer.kind, answer.number) == (Kind.DONE, errno.ENOSYS)


def descriptors(keeper: Keeper) -> int:
    """How many the keeper has open, once it has done all that was asked before."""
    with pytest.raises(NotFound):
        keeper.drop("nobody")
    return len(os.listdir(f"/proc/{keeper_pid(keeper)}/fd"))


def test_what_is_no_mount_is_not_held(root: None, keeper: Keeper, planted: Callable[..., Mounted]) -> None:
    device = os.open("/dev/fuse", os.O_RDWR)
    read, write = os.pipe()
    note, unsealed = message.file(b""), message.file(bytes(1 << 16))
    before = descriptors(keeper)
    try:
        with contextlib.closing(Ledger.create()) as ledger:
            for fds in (
                (read, ledger.fd, note),
                (note, ledger.fd, note),
                (device, unsealed, note),
                (device, read, note),
                (device, ledger.fd),
                (device,),
                (device, ledger.fd, note, note, note),
            ):
                assert raw(keeper, head(Kind.HOLD) + b"x", fds=fds) is None
            assert raw(keeper, head(Kind.HOLD), fds=(device, ledger.fd, note)) is None
    finally:
        message.close([device, read, write, note, unsealed])
    assert keeper.list() == []
    assert descriptors(keeper) == before


def test_other_users_are_not_heard(root: None, keeper: Keeper, tmp_path: Path) -> None:
    assert Path(keeper.path).stat().st_mode & 0o777 == 0o600
    assert Path(keeper.path).parent.stat().st_mode & 0o777 == 0o700
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        # Even where its folder were open to them: under a name that they can reach.
        Path(folder).chmod(0o755)
        os.link(keeper.path, f"{folder}/socket")
        Path(folder, "socket").chmod(0o666)
        program = (
            "import socket, sys; sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET);"
            "sock.connect(sys.argv[1]); print(sock.recv(10) == b'')"
        )
        done = subprocess.run(["/usr/bin/python3", "-c", program, f"{folder}/socket"], user=65534, capture_output=True)
        assert done.stdout == b"True\n", done.stderr
    assert keeper.list() == []

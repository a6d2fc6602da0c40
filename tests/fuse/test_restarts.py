"""Mounts outlive their servers: whoever has a file open reads on, whatever was killed."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gotdata.model import BLOCK

if sys.platform != "linux":
    pytest.skip("mounts need Linux", allow_module_level=True)


from gotdata.fuse import launch, mounting, spec
from gotdata.fuse.keeper import Keeper
from gotdata.fuse.ledger import Ledger
from gotdata.fuse.resend import HAS_RESEND
from tests.fuse.keepers import BIG, NAME, SOON, cat, counted, kill, lost, shell

if TYPE_CHECKING:
    from conftest import Mounted


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

"""The keeper: what it holds, what it tells, and what it does not listen to."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gotdata.errors import DeliveryError, NotFound

if sys.platform != "linux":
    pytest.skip("mounts need Linux", allow_module_level=True)

import socket

from gotdata.fuse import launch, message, mounting
from gotdata.fuse.keeper import Keeper
from gotdata.fuse.ledger import Ledger
from gotdata.fuse.message import Kind
from tests.fuse.keepers import BIG, NAME, SOON, cat, counted, keeper_pid, kill, lost, shell, wait_end

if TYPE_CHECKING:
    from conftest import Mounted


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

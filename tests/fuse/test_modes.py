"""How files are open: through the kernel's cache or handed through, and when that may change."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gotdata.fuse import protocol
from gotdata.model import BLOCK, Span

if sys.platform != "linux":
    pytest.skip("mounts need Linux", allow_module_level=True)

from gotdata.fuse import mounting
from gotdata.fuse.ledger import Ledger
from gotdata.fuse.opens import Opens
from gotdata.testing.trees import MemoryTree

if TYPE_CHECKING:
    from conftest import Mounted

BIG = random.Random(4).randbytes(3 * BLOCK)
CACHED = protocol.opened(protocol.Fopen.KEEP_CACHE)


def handed(id: int) -> bytes:
    return protocol.opened(protocol.Fopen.PASSTHROUGH, id)


class Kernel:
    """Takes backing files, or refuses them, as the ioctls of a Connection do."""

    def __init__(self, refusal: int = 0) -> None:
        self.refusal = refusal
        self.backing: dict[int, int] = {}
        self.given = 0

    def backing_open(self, fd: int) -> int:
        if self.refusal or fd < 0:
            raise OSError(self.refusal or errno.EBADF, "refused")
        self.given += 1
        self.backing[self.given] = fd
        return self.given

    def backing_close(self, id: int) -> None:
        del self.backing[id]


class Held:
    size = 1
    in_place = False

    def __init__(self, whole: bool, in_place: bool = False) -> None:
        self.whole, self.in_place, self.fd = whole, in_place, 77 if whole or in_place else -1


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def opens(kernel: Kernel, ledger: Ledger) -> Opens:
    ledger.greet(45, protocol.Init.PASSTHROUGH)
    return Opens(kernel, ledger)  # type: ignore[arg-type]


def test_a_whole_file_is_handed_through_and_let_go_at_the_last_release(opens: Opens, kernel: Kernel) -> None:
    assert opens.open(2, 5, Held(whole=True)) == handed(1)
    assert opens.open(4, 5, None) == handed(1)
    opens.release(6, 5)
    assert kernel.backing == {1: 77}
    opens.release(8, 5)
    assert kernel.backing == {}
    assert 5 not in opens


def test_a_file_that_becomes_whole_switches_when_nobody_has_it_open(opens: Opens) -> None:
    assert opens.open(2, 5, Held(whole=False)) == CACHED
    assert opens.open(4, 5, Held(whole=True)) == CACHED
    opens.release(6, 5)
    assert opens.open(8, 5, Held(whole=True)) == CACHED
    opens.release(10, 5)
    opens.release(12, 5)
    assert opens.open(14, 5, Held(whole=True)) == handed(1)


def test_what_a_server_that_died_had_open_stays_as_it_is(opens: Opens, kernel: Kernel, ledger: Ledger) -> None:
    assert opens.open(2, 5, Held(whole=True)) == handed(1)
    assert opens.open(4, 6, Held(whole=False)) == CACHED
    with contextlib.closing(Ledger(os.dup(ledger.fd))) as read_again:
        after = Opens(kernel, read_again)  # type: ignore[arg-type]
        assert after.open(6, 5, None) == handed(1)
        assert after.open(8, 6, Held(whole=True)) == CACHED
        assert kernel.backing == {1: 77}
        after.release(10, 5)
        after.release(12, 5)
        assert kernel.backing == {}


def test_a_file_in_place_is_never_handed_over(opens: Opens, kernel: Kernel) -> None:
    assert opens.open(2, 5, Held(whole=False, in_place=True)) == CACHED
    assert kernel.given == 0


@pytest.mark.parametrize("refusal", [errno.EPERM, errno.ELOOP, errno.ENOTTY])
@pytest.mark.parametrize("whole", [True, False])
def test_a_kernel_that_takes_no_files_is_told_to_open_without_us(refusal: int, whole: bool, ledger: Ledger) -> None:
    ledger.greet(45, protocol.Init.PASSTHROUGH)
    opens = Opens(Kernel(refusal), ledger)  # type: ignore[arg-type]
    assert opens.open(2, 5, Held(whole)) == errno.ENOSYS
    assert opens.open(4, 6, Held(whole=True)) == errno.ENOSYS
    assert 5 not in opens
    # The next server gives the same answer, whatever it is allowed to: the kernel may still ask, and never releases.
    assert Opens(Kernel(), ledger).open(6, 5, Held(whole)) == errno.ENOSYS  # type: ignore[arg-type]


def test_a_file_that_can_not_be_handed_over_though_others_can(opens: Opens, kernel: Kernel) -> None:
    assert opens.open(2, 5, Held(whole=True)) == handed(1)
    kernel.refusal = errno.ENOMEM
    assert opens.open(4, 6, Held(whole=True)) == CACHED


def test_a_kernel_without_passthrough(ledger: Ledger) -> None:
    ledger.greet(31, 0)
    opens = Opens(Kernel(), ledger)  # type: ignore[arg-type]
    assert opens.open(2, 5, Held(whole=True)) == errno.ENOSYS


def test_a_release_that_belongs_to_no_open_is_ignored(opens: Opens) -> None:
    opens.release(2, 5)
    assert opens.open(4, 5, Held(whole=False)) == CACHED


def held_open(point: Path) -> int:
    return os.open(point / "big", os.O_RDONLY)


@contextlib.contextmanager
def alone(mount: Mounted) -> Iterator[int]:
    """An open file whose server is gone, and of which the kernel's cache has nothing."""
    fd = held_open(mount.point)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.kill(mount.pid, signal.SIGKILL)
    while not mounting.is_dead(mount.point):
        os.sched_yield()
    yield fd
    with contextlib.suppress(OSError):
        os.close(fd)


def test_switching_in_a_real_mount(root: None, mounted: Callable[..., Mounted]) -> None:
    mount = mounted({"big": BIG})
    first = held_open(mount.point)
    assert os.pread(first, 100, 0) == BIG[:100]
    mount.tree.complete(mount.id("big"))
    second = held_open(mount.point)  # while it is open through the cache
    assert os.pread(second, len(BIG), 0) == BIG
    view = mmap.mmap(second, 0, prot=mmap.PROT_READ)
    os.close(first)
    os.close(second)
    third = held_open(mount.point)  # the map alone keeps it as it is
    assert os.pread(third, len(BIG), 0) == BIG
    assert view[:] == BIG
    os.close(third)
    view.close()
    with alone(mount) as last:
        assert os.pread(last, len(BIG), 0) == BIG  # handed through: nobody is asked


def test_a_whole_file_is_read_without_the_server(root: None, planted: Callable[..., Mounted]) -> None:
    mount = planted({"big": BIG})
    mount.tree.complete(mount.id("big"))
    mount.up()
    with alone(mount) as fd:
        assert os.pread(fd, len(BIG), 0) == BIG
        with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as view:
            assert view[:] == BIG


def test_a_partial_file_is_not(mounted: Callable[..., Mounted]) -> None:
    mount = mounted({"big": BIG})
    mount.tree.ensure(mount.id("big"), Span(0, len(BIG)))
    with alone(mount) as fd, pytest.raises(OSError, match=r"not connected|aborted"):
        os.pread(fd, len(BIG), 0)


def test_without_passthrough_files_are_opened_without_the_server(
    stacked: Path, planted: Callable[..., Mounted]
) -> None:
    mount = planted({}, arguments={"folder": str(stacked / "tree")})
    mount.tree = MemoryTree.plant(stacked / "tree", {"big": BIG})
    mount.tree.complete(mount.id("big"))
    mount.up()
    first = held_open(mount.point)
    assert os.pread(first, len(BIG), 0) == BIG
    os.close(first)
    os.kill(mount.pid, signal.SIGKILL)
    again = held_open(mount.point)
    assert os.pread(again, len(BIG), 0) == BIG  # name, OPEN and bytes from the kernel's memory
    os.close(again)

"""What readers get when something goes wrong: the right bytes or an error in time, never anything else."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gotdata.errors import AccessDenied, GotdataError, IntegrityError, SourceUnavailable, UpstreamChanged
from gotdata.model import BLOCK

if sys.platform != "linux":
    pytest.skip("mounts need Linux", allow_module_level=True)

if TYPE_CHECKING:
    from conftest import Mounted

BIG = random.Random(3).randbytes(8 * BLOCK)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def later(call: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=call)
    thread.start()
    return thread


def wait_for_worker(mount: Mounted, but: int = 0) -> int:
    """Without end: the test's own limit stops it."""
    while not (found := [child for child in children(mount.pid) if child != but]):
        os.sched_yield()
    return found[0]


def read_error(path: Path) -> int | None:
    try:
        path.read_bytes()
    except OSError as error:
        return error.errno
    return None


def test_a_killed_worker_is_replaced_and_its_readers_get_their_bytes(mounted: Callable[..., Mounted]) -> None:
    mount = mounted({"big": BIG})
    got = []
    with mount.tree.gate():
        reader = later(lambda: got.append((mount.point / "big").read_bytes()))
        first = wait_for_worker(mount)
        os.kill(first, signal.SIGKILL)
        wait_for_worker(mount, but=first)
    reader.join()
    assert got == [BIG]
    assert "the process that fetches ended (-9)" in mount.log()


def test_a_worker_that_always_dies_gives_errors(planted: Callable[..., Mounted]) -> None:
    mount = planted({"big": BIG})
    mount.spec = replace(mount.spec, fetches="gotdata.testing.trees:no_such_factory")
    mount.up()
    assert read_error(mount.point / "big") == errno.EIO
    assert "no_such_factory" in mount.log()
    assert "died 5 times in a minute" in mount.log()


@pytest.mark.parametrize("where", ["worker", "in place"])
def test_a_read_ends_at_its_deadline(mounted: Callable[..., Mounted], where: str) -> None:
    mount = mounted({"big": BIG, "small": b"small"}, timeout=0.5)
    if where == "in place":
        mount.tree.in_place()
    with mount.tree.gate():
        assert read_error(mount.point / "big") == errno.EIO
        assert (mount.point / "small").stat().st_size == 5  # others are served meanwhile
    assert "cells/big: bytes 0-" in mount.log()
    assert mount.log().count("did not come within 0.5 s") == 1  # the reader waited once, however often the kernel asks
    while read_error(mount.point / "big"):
        pass  # as soon as bytes come again, the next reads go well
    assert (mount.point / "big").read_bytes() == BIG


@pytest.mark.parametrize(
    ("kind", "number"),
    [(UpstreamChanged, errno.EIO), (SourceUnavailable, errno.EIO), (AccessDenied, errno.EACCES)],
)
def test_an_error_of_the_origin_is_the_readers_and_the_logs(
    mounted: Callable[..., Mounted], kind: type[GotdataError], number: int
) -> None:
    mount = mounted({"d/big": BIG})
    mount.tree.fault(kind, "cells/d/big: https://example.org/big?token=abc is another now")
    assert read_error(mount.point / "d/big") == number
    assert "cells/d/big: https://example.org/big?token=… is another now" in mount.log()
    mount.tree.no_fault()
    assert (mount.point / "d/big").read_bytes() == BIG


def test_a_mapped_reader_of_a_failing_file_gets_a_signal_and_not_zeros(mounted: Callable[..., Mounted]) -> None:
    mount = mounted({"big": BIG})
    mount.tree.fault(UpstreamChanged, "another now")
    program = "import mmap,sys; f=open(sys.argv[1]); print(mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)[:10])"
    done = subprocess.run([sys.executable, "-c", program, mount.point / "big"], capture_output=True)
    assert (done.returncode, done.stdout) == (-signal.SIGBUS, b"")
    assert (mount.point / "big").stat().st_size == len(BIG)


def until_it_is_asked(fd: int) -> None:
    """Reads a page until the kernel has it no more, and what is asked fails. The test's own limit stops it."""
    while True:
        try:
            os.pread(fd, 4096, 0)
        except OSError:
            return


def test_bytes_found_wrong_leave_the_kernels_cache(mounted: Callable[..., Mounted]) -> None:
    mount = mounted({"big": BIG})
    fd = os.open(mount.point / "big", os.O_RDONLY)
    try:
        assert os.pread(fd, 4096, 0) == BIG[:4096]
        mount.tree.fault(IntegrityError, "not what was locked")
        with pytest.raises(OSError, match="Input/output error"):
            os.pread(fd, 4096, 6 * BLOCK)
        mount.tree.lose(mount.id("big"))
        until_it_is_asked(fd)
    finally:
        os.close(fd)


def test_bytes_that_are_gone_leave_the_kernels_cache_when_others_are_asked(mounted: Callable[..., Mounted]) -> None:
    """Another process may have found them wrong."""
    mount = mounted({"big": BIG})
    fd = os.open(mount.point / "big", os.O_RDONLY)
    try:
        assert os.pread(fd, 4096, 0) == BIG[:4096]
        mount.tree.lose(mount.id("big"))
        assert os.pread(fd, 4096, 6 * BLOCK) == BIG[6 * BLOCK : 6 * BLOCK + 4096]
        mount.tree.fault(UpstreamChanged, "another now")
        until_it_is_asked(fd)
    finally:
        os.close(fd)


def test_bytes_reported_wrong_later_leave_the_kernels_cache(mounted: Callable[..., Mounted]) -> None:
    """As where a file is hashed after its last block came, and nobody reads it any more."""
    mount = mounted({"d/big": BIG, "other": b"other"})
    with (mount.point / "d/big").open("rb", buffering=0) as file:
        assert file.read(BLOCK) == BIG[:BLOCK]
        mount.tree.lose(mount.id("d/big"))
        mount.tree.doubt("d/big")
        assert (mount.point / "other").read_bytes() == b"other"
        mount.tree.fault(UpstreamChanged, "another now")
        until_it_is_asked(file.fileno())
    assert "warning: d/big is wrong" in mount.log()


def test_what_the_store_lost_is_fetched_again(mounted: Callable[..., Mounted]) -> None:
    mount = mounted({"big": BIG})
    fd = os.open(mount.point / "big", os.O_RDONLY)
    try:
        assert os.pread(fd, 4096, 0) == BIG[:4096]
        mount.tree.lose(mount.id("big"))
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        assert os.pread(fd, len(BIG), 0) == BIG
    finally:
        os.close(fd)


def test_thirty_readers_fetch_once(mounted: Callable[..., Mounted]) -> None:
    mount = mounted({"big": BIG})
    with ThreadPoolExecutor(30) as pool:
        read = [pool.submit((mount.point / "big").read_bytes) for _ in range(30)]
        assert all(each.result() == BIG for each in read)
    assert Counter(mount.tree.fetched()) == {(mount.id("big"), block): 1 for block in range(8)}


def test_a_small_read_fetches_one_block(mounted: Callable[..., Mounted]) -> None:
    mount = mounted({"big": BIG})
    fd = os.open(mount.point / "big", os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        assert os.pread(fd, 4096, 3 * BLOCK) == BIG[3 * BLOCK : 3 * BLOCK + 4096]
    finally:
        os.close(fd)
    assert mount.tree.fetched() == [(mount.id("big"), 3)]


def test_nothing_is_fetched_before_a_read(mounted: Callable[..., Mounted]) -> None:
    mount = mounted({"d/big": BIG, "small": b"small"})
    subprocess.run(["find", mount.point, "-ls"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["du", "-s", mount.point], check=True, stdout=subprocess.DEVNULL)
    (mount.point / "d/big").open("rb", buffering=0).close()
    assert mount.tree.fetched() == []


def test_a_mount_stops_fetching_at_max_fetch(mounted: Callable[..., Mounted]) -> None:
    mount = mounted({"a": BIG[:BLOCK], "b": BIG[:BLOCK]}, max_fetch=BLOCK)
    assert (mount.point / "a").read_bytes() == BIG[:BLOCK]
    assert read_error(mount.point / "b") == errno.EIO
    assert f"max_fetch is {BLOCK}" in mount.log()
    assert (mount.point / "a").read_bytes() == BIG[:BLOCK]


def test_a_process_that_walks_everything_is_named_once(mounted: Callable[..., Mounted]) -> None:
    mount = mounted({name: BIG[:BLOCK] for name in "abcd"}, warn_walk=2 * BLOCK)
    subprocess.run("cat *", shell=True, cwd=mount.point, check=True, stdout=subprocess.DEVNULL)
    assert mount.log().count("warning: cells: process ") == 1
    assert "(cat) has read more than" in mount.log()


def test_many_waiting_readers_hold_up_nobody_else(mounted: Callable[..., Mounted]) -> None:
    """More than a worker takes at once, and each a file of its own."""
    files = {f"f{number}": BIG[number : number + 100] for number in range(200)}
    mount = mounted(files)
    with ThreadPoolExecutor(200) as pool:
        with mount.tree.gate():
            read = {name: pool.submit((mount.point / name).read_bytes) for name in files}
            wait_for_worker(mount)
            assert len(os.listdir(mount.point)) == 200
        assert {name: each.result() for name, each in read.items()} == files

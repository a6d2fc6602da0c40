"""What people's programs do with a mount, on each of the ways in which bytes can be there."""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import random
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gotdata.model import BLOCK, Kind

if sys.platform != "linux":
    pytest.skip("mounts need Linux", allow_module_level=True)

from gotdata.testing.trees import MemoryTree
from gotdata.tree.base import walk

if TYPE_CHECKING:
    from conftest import Entries, Mounted

ODD = {
    "new\nline": b"1",
    "latin-\udce9": b"2",
    " space ": b"3",
    "back\\slash": b"4",
    "é" * 127: b"5",
    "-rf": b"6",
    "$(id)": b"7",
}
BIG = random.Random(1).randbytes(5 * BLOCK + 12345)


def entries() -> Entries:
    return {
        "big.bin": BIG,
        "empty.txt": b"",
        "hollow": None,
        "deep/er/est/file": b"deep\n",
        "deep/link": "er/est/file",
        "dangling": "nowhere",
        "bin/run": b"#!/bin/sh\necho ran\n",
        **ODD,
    }


@pytest.fixture(params=["lazy", "whole", "in_place", "stacked", "two workers"])
def mount(request: pytest.FixtureRequest, planted: Callable[..., Mounted]) -> Mounted:
    """Fetched as they are read; passthrough; the origin's own; through the cache with OPEN unsupported."""
    if request.param == "stacked":
        folder = request.getfixturevalue("stacked") / "tree"
        made = planted({}, executable=(), arguments={"folder": str(folder)})
        made.tree = MemoryTree.plant(folder, entries(), ["bin/run"])
    else:
        made = planted(entries(), executable=("bin/run",), workers=2 if request.param == "two workers" else 1)
    if request.param in ("whole", "stacked"):
        for _, node in walk(made.tree):
            if node.kind is Kind.FILE:
                made.tree.complete(node.id)
    if request.param == "in_place":
        made.tree.in_place()
    made.up()
    return made


def contents(folder: Path) -> dict[str, bytes | str | None]:
    """A folder, in the words of ``MemoryTree.plant``."""
    found: dict[str, bytes | str | None] = {}
    for place, folders, files in os.walk(folder):
        for name in [*files, *folders]:
            path = Path(place, name)
            if path.is_symlink():
                found[str(path.relative_to(folder))] = str(path.readlink())
            elif path.is_file():
                found[str(path.relative_to(folder))] = path.read_bytes()
            elif not any(path.iterdir()):
                found[str(path.relative_to(folder))] = None
    return found


def test_everything_is_there_and_nothing_else(mount: Mounted) -> None:
    assert contents(mount.point) == entries()


def test_copied_by_cp_and_by_tar(mount: Mounted, tmp_path: Path) -> None:
    subprocess.run(["cp", "-r", mount.point, tmp_path / "copy"], check=True)
    assert contents(tmp_path / "copy") == entries()
    (tmp_path / "untar").mkdir()
    subprocess.run(f"tar -C {mount.point} -c . | tar -C {tmp_path}/untar -x", shell=True, check=True)
    assert contents(tmp_path / "untar") == entries()


def test_found_by_find(mount: Mounted) -> None:
    listed = subprocess.run(["find", ".", "-type", "f", "-print0"], cwd=mount.point, capture_output=True, check=True)
    due = {os.fsencode(f"./{path}") for path, content in entries().items() if isinstance(content, bytes)}
    assert set(listed.stdout.split(b"\0")) - {b""} == due


def test_hashed_by_sha256sum(mount: Mounted) -> None:
    done = subprocess.run(["sha256sum", "big.bin"], cwd=mount.point, capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == hashlib.sha256(BIG).hexdigest()


def test_mapped(mount: Mounted) -> None:
    with (mount.point / "big.bin").open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view:
        assert view[:] == BIG


def test_sent_by_sendfile(mount: Mounted) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, (mount.point / "big.bin").open("rb") as file:
        sender = threading.Thread(target=lambda: (ours.sendfile(file), ours.shutdown(socket.SHUT_WR)))
        sender.start()
        got = b"".join(iter(lambda: theirs.recv(1 << 20), b""))
        sender.join()
    assert got == BIG


def test_read_around_the_cache(mount: Mounted) -> None:
    fd = os.open(mount.point / "big.bin", os.O_RDONLY | os.O_DIRECT)
    try:
        with mmap.mmap(-1, 1 << 16) as buffer:
            assert os.preadv(fd, [buffer], 4096) == 1 << 16
            assert buffer[:] == BIG[4096 : 4096 + (1 << 16)]
    finally:
        os.close(fd)


def test_random_reads_of_random_lengths_one_after_another_and_at_once(mount: Mounted) -> None:
    dice = random.Random(2)
    spans = [(dice.randrange(len(BIG) + 10), int(2 ** dice.uniform(0, 19))) for _ in range(2000)]
    fd = os.open(mount.point / "big.bin", os.O_RDONLY)
    try:

        def right(span: tuple[int, int]) -> bool:
            start, size = span
            return os.pread(fd, size, start) == BIG[start : start + size]

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(right, spans))
        assert all(map(right, spans))
    finally:
        os.close(fd)


def test_attributes_are_constants(mount: Mounted) -> None:
    big, folder, run = ((mount.point / name).stat() for name in ("big.bin", "deep", "bin/run"))
    assert (big.st_size, big.st_blocks, big.st_nlink) == (len(BIG), -(-len(BIG) // 512), 1)
    assert [stat.filemode(each.st_mode) for each in (big, folder, run)] == ["-r--r--r--", "dr-xr-xr-x", "-r-xr-xr-x"]
    assert {each.st_mtime for each in (big, folder, run)} == {1_600_000_000}
    assert (big.st_uid, big.st_gid) == (os.getuid(), os.getgid())
    assert big.st_ino == mount.id("big.bin")


def test_programs_in_it_run(mount: Mounted) -> None:
    assert subprocess.run([mount.point / "bin/run"], capture_output=True, check=True).stdout == b"ran\n"


def test_links(mount: Mounted) -> None:
    assert (mount.point / "deep/link").read_bytes() == b"deep\n"
    assert os.readlink(mount.point / "dangling") == "nowhere"
    with pytest.raises(FileNotFoundError):
        (mount.point / "dangling").read_bytes()


def test_what_is_not_there_is_not_found(mount: Mounted) -> None:
    for name in ("nope", "deep/nope", "BIG.BIN"):
        for _ in range(2):  # the second time from the kernel's memory
            with pytest.raises(FileNotFoundError):
                (mount.point / name).stat()
    with pytest.raises(OSError, match="too long"):
        (mount.point / ("x" * 300)).stat()


WRITES: dict[str, Callable[[Path], object]] = {
    "open to write": lambda point: (point / "file").open("r+b"),
    "append": lambda point: (point / "file").open("ab"),
    "create": lambda point: (point / "new").touch(),
    "mkdir": lambda point: (point / "new").mkdir(),
    "mknod": lambda point: os.mkfifo(point / "new"),
    "symlink": lambda point: (point / "new").symlink_to("x"),
    "link": lambda point: os.link(point / "file", point / "new"),
    "unlink": lambda point: (point / "file").unlink(),
    "rmdir": lambda point: (point / "hollow").rmdir(),
    "rename": lambda point: (point / "file").rename(point / "new"),
    "chmod": lambda point: (point / "file").chmod(0o600),
    "utime": lambda point: os.utime(point / "file"),
    "truncate": lambda point: os.truncate(point / "file", 0),
    "setxattr": lambda point: os.setxattr(point / "file", "user.x", b"x"),
    "removexattr": lambda point: os.removexattr(point / "file", "user.gotdata.identity"),
}


def refusals(point: Path) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for name, write in WRITES.items():
        found[name] = None
        try:
            write(point)
        except OSError as error:
            found[name] = error.errno
    return found


def test_writing_is_refused(mounted: Callable[..., Mounted]) -> None:
    mount = mounted({"file": b"content", "hollow": None})
    assert refusals(mount.point) == dict.fromkeys(WRITES, errno.EROFS)


def test_writing_is_refused_where_root_made_the_mount_writable(root: None, mounted: Callable[..., Mounted]) -> None:
    mount = mounted({"file": b"content", "hollow": None})
    subprocess.run(["mount", "-i", "-o", "remount,rw", mount.point], check=True)
    assert refusals(mount.point) == dict.fromkeys(WRITES, errno.EROFS)


def test_a_folder_of_ten_thousand(mounted: Callable[..., Mounted]) -> None:
    names = [f"file {number}" for number in range(10_000)]
    mount = mounted(dict.fromkeys(names, b""))
    for _ in range(2):  # asked, then from the kernel's memory
        assert sorted(os.listdir(mount.point)) == sorted(names)
    with os.scandir(mount.point) as listing:
        assert all(entry.is_file() and entry.stat().st_size == 0 for entry in listing)


def test_extended_attributes(mounted: Callable[..., Mounted]) -> None:
    mount = mounted({"d/a": b"hello"}, xattrs={"user.gotdata.dataset": "cells", "user.gotdata.snapshot": "ab" * 32})
    file = mount.point / "d/a"
    assert sorted(os.listxattr(file)) == ["user.gotdata.dataset", "user.gotdata.identity", "user.gotdata.snapshot"]
    assert sorted(os.listxattr(mount.point / "d")) == ["user.gotdata.dataset", "user.gotdata.snapshot"]
    assert os.getxattr(file, "user.gotdata.identity").decode() == f"sha256:{hashlib.sha256(b'hello').hexdigest()}"
    assert os.getxattr(mount.point, "user.gotdata.dataset") == b"cells"
    with pytest.raises(OSError, match="No data"):
        os.getxattr(file, "user.gotdata.source")
    with pytest.raises(OSError, match="No data"):
        os.getxattr(file, "security.selinux")


def test_statfs_tells_the_size_of_the_data(mounted: Callable[..., Mounted]) -> None:
    mount = mounted({"a": b"x" * 10_000}, bytes=10_000, files=1)
    told = os.statvfs(mount.point)
    assert (told.f_blocks * told.f_frsize, told.f_bavail, told.f_files, told.f_namemax) == (3 * 4096, 0, 1, 255)


def test_an_empty_dataset(mounted: Callable[..., Mounted]) -> None:
    assert list(mounted({}).point.iterdir()) == []

"""A writable layer over a mount of ours: what is done there stays there, ends at its limit, and leaves nothing."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("scratch needs Linux", allow_module_level=True)

from gotdata.errors import DeliveryError
from gotdata.fuse import launch, mounting
from gotdata.fuse.spec import Spec
from gotdata.serve import scratch
from gotdata.testing.trees import MemoryTree

MIB = 1 << 20
SIZE = 32 * MIB
FACTORY = "gotdata.testing.trees:open_tree"
BIG = bytes(range(256)) * (8 * MIB // 256)
ENTRIES = {"a": b"the data", "bin/tool": b"#!/bin/sh\n", "folder/b": b"b", "folder/deep/c": b"c", "big": BIG}


@pytest.fixture(scope="module")
def can_scratch() -> None:
    if os.geteuid():
        pytest.skip("scratch needs root")
    if why := scratch.refusal():
        pytest.skip(why)


@pytest.fixture(scope="module")
def planted(can_scratch: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree") / "tree"
    MemoryTree.plant(folder, ENTRIES, executable=("bin/tool",))
    return folder


@pytest.fixture
def tree(planted: Path) -> MemoryTree:
    return MemoryTree(planted)


@pytest.fixture(scope="module")
def lower(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data, mounted for all tests here: none can change it."""
    place = tmp_path_factory.mktemp("lower")
    spec = Spec(
        dataset="cells",
        log=str(place / "log"),
        opens=FACTORY,
        fetches=FACTORY,
        arguments={"folder": str(planted)},
        mtime=1_600_000_000,
        writable=True,
    )
    (place / "mnt").mkdir()
    pid = launch.start(spec, place / "mnt")
    yield place / "mnt"
    launch.stop(place / "mnt", pid, lazy=True)


@pytest.fixture
def up(lower: Path, tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """``up(holder, size)``: that holder's scratch. Folders on the way are open to the users that tests act as."""
    holders = set()

    def make(holder: str = "one", size: int = SIZE) -> Path:
        holders.add(holder)
        return scratch.up(lower, tmp_path / holder, size)

    yield make
    for holder in holders:
        scratch.down(tmp_path / holder)


def backing_files(folder: Path) -> list[str]:
    """Of loop devices, the files below a folder. The kernel frees a device a moment after its mount."""
    return [text for text in map(_text, Path("/sys/block").glob("loop*/loop/backing_file")) if f"{folder}/" in text]


def _text(path: Path) -> str:
    with suppress(OSError):  # Freed by now.
        return path.read_text()
    return ""


def left(folder: Path) -> list[str]:
    """What of scratch is still there below a folder, when the kernel is done."""
    end = time.monotonic() + 20
    while backing_files(folder) and time.monotonic() < end:
        time.sleep(0.01)
    return [*points(folder), *backing_files(folder), *map(str, folder.iterdir())]


def points(folder: Path) -> list[str]:
    return [mount.point for mount in mounting.mounts() if mount.point.startswith(f"{folder}/")]


def fill(path: Path) -> int:
    """Bytes written until the file system is full."""
    written = 0
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                written += file.write(b"x" * MIB)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    return written


def test_what_is_written_is_seen_there_and_nowhere_else(up: Callable[..., Path], lower: Path) -> None:
    one, two = up("one"), up("two")
    (one / "a").write_text("mine")
    (one / "new").write_text("new")
    (one / "folder/b").unlink()
    assert (one / "a").read_text() == "mine"
    assert {path.name for path in one.iterdir()} == {"a", "bin", "folder", "big", "new"}
    assert not (one / "folder/b").exists()
    for other in (two, lower):
        assert (other / "a").read_bytes() == ENTRIES["a"]
        assert {path.name for path in other.iterdir()} == {"a", "bin", "folder", "big"}
        assert (other / "folder/b").read_bytes() == b"b"


def test_the_limit_is_met_with_no_space_left_and_the_other_writes_on(up: Callable[..., Path]) -> None:
    one, two = up("one"), up("two")
    written = fill(one / "filler")
    assert 0.8 * SIZE < written <= SIZE
    (two / "new").write_bytes(BIG)
    assert (two / "new").read_bytes() == BIG
    (one / "filler").unlink()
    (one / "new").write_bytes(BIG)
    assert (one / "new").read_bytes() == BIG


def test_the_limit_is_set_aside_so_that_one_more_is_refused_and_the_first_has_all_of_its(
    lower: Path, tmp_path: Path
) -> None:
    disk, size = tmp_path / "disk", 64 * MIB
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=112m", "test", disk], check=True)
    try:
        with pytest.raises(DeliveryError, match="no space for scratch"):  # The daemon's own records need some.
            scratch.up(lower, disk / "all", 110 * MIB)
        one = scratch.up(lower, disk / "one", size)
        with pytest.raises(DeliveryError, match="no space for scratch: 64 MiB asked for, and the daemon's disk has 4"):
            scratch.up(lower, disk / "two", size)
        assert [path.name for path in disk.iterdir()] == ["one"]
        assert fill(one / "filler") > 0.8 * size
        scratch.down(disk / "one")
        scratch.up(lower, disk / "two", size)
    finally:
        for name in ("all", "one", "two"):
            scratch.down(disk / name)
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_user_who_is_not_root_may_write_everywhere(up: Callable[..., Path], tmp_path: Path) -> None:
    merged = up()
    for folder in (tmp_path, *tmp_path.parents[:-2], merged.parent):
        folder.chmod(0o755)
    words = """
        set -e; cd "$1"
        echo mine >a; echo more >>folder/b; echo new >folder/deep/new; rm folder/deep/c; mv folder moved
        rm bin/tool; mkdir bin/again; ln -s a link
        test "$(cat a moved/b moved/deep/new)" = "$(printf 'mine\\nbmore\\nnew')"
        test "$(ls moved/deep bin)" = "$(printf 'bin:\\nagain\\n\\nmoved/deep:\\nnew')"
    """
    done = subprocess.run(
        ["sh", "-c", words, "sh", merged], user=1000, group=1000, extra_groups=[], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_folder_made_anew_shows_nothing_of_the_old(up: Callable[..., Path]) -> None:
    merged = up()
    subprocess.run(["rm", "-r", merged / "folder"], check=True)
    (merged / "folder").mkdir()
    assert list((merged / "folder").iterdir()) == []


def test_a_folder_is_renamed_and_a_mode_changed_without_fetching_and_a_write_fetches_its_file(
    up: Callable[..., Path], tree: MemoryTree
) -> None:
    merged, before = up(), tree.fetched()
    (merged / "folder").rename(merged / "moved")
    (merged / "big").chmod(0o600)
    assert tree.fetched() == before
    with (merged / "big").open("r+b") as file:
        file.seek(5 * MIB)
        file.write(b"mine")
    assert len(tree.fetched()) > len(before)
    assert (merged / "big").read_bytes() == BIG[: 5 * MIB] + b"mine" + BIG[5 * MIB + 4 :]


def test_the_mount_table_tells_the_holder_no_path_and_no_suid_and_no_device(up: Callable[..., Path]) -> None:
    merged = up()
    [line] = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {merged} " in line]
    shown = line.replace(f" {merged} ", " ")
    assert str(merged.parent) not in shown
    assert "lower/" not in shown
    assert {"nosuid", "nodev", "rw"} <= set(shown.split()[4].split(","))


def test_asked_again_it_is_the_same(up: Callable[..., Path]) -> None:
    (up() / "new").write_text("new")
    assert (up() / "new").read_text() == "new"


def test_taken_down_it_leaves_nothing(up: Callable[..., Path], tmp_path: Path) -> None:
    (up() / "new").write_bytes(BIG)
    assert points(tmp_path)
    assert backing_files(tmp_path)
    assert {path.name for path in (tmp_path / "one").iterdir()} == {"layers", "merged"}, "the file has no name"
    scratch.down(tmp_path / "one")
    assert left(tmp_path) == []
    scratch.down(tmp_path / "one")


def test_who_still_has_a_file_open_does_not_keep_it(up: Callable[..., Path], tmp_path: Path) -> None:
    with (up() / "new").open("w+b", buffering=0) as file:
        file.write(b"new")
        scratch.down(tmp_path / "one")
        with pytest.raises(OSError, match="Input/output error"):
            file.write(b"more")
    assert left(tmp_path) == []


@pytest.mark.parametrize("half", ["disk", "layers", "empty"])
def test_what_a_crash_left_half_made_is_swept_and_what_stands_is_not(
    up: Callable[..., Path], tmp_path: Path, half: str
) -> None:
    (up("volume/one") / "new").write_text("new")
    up("volume/two")
    half_made = tmp_path / "volume/two"
    subprocess.run(["umount", half_made / "merged"], check=True)
    if half != "layers":
        subprocess.run(["umount", half_made / "layers"], check=True)
    if half == "empty":
        for name in ("layers", "merged"):
            (half_made / name).rmdir()
    else:
        (half_made / "disk").write_bytes(bytes(MIB))
    scratch.sweep(tmp_path)
    assert not half_made.exists()
    assert {Path(point).parent.name for point in points(tmp_path)} == {"one"}
    assert (tmp_path / "volume/one/merged/new").read_text() == "new"


def test_a_program_that_is_missing_is_named(
    lower: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_scratch: None
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    assert "scratch needs mkfs.ext4, which is not installed" in scratch.refusal()
    with pytest.raises(DeliveryError, match=r"mkfs\.ext4"):
        scratch.up(lower, tmp_path / "one", SIZE)
    assert list(tmp_path.iterdir()) == []


def test_an_overlay_can_not_be_laid_over_two_others(up: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="can't be laid over the data"):
        scratch.up(scratch.up(up(), tmp_path / "two", SIZE), tmp_path / "three", SIZE)
    scratch.down(tmp_path / "two")
    assert not (tmp_path / "three").exists()


def test_the_root_is_everyones_to_write(up: Callable[..., Path]) -> None:
    assert stat.S_IMODE(up().stat().st_mode) == 0o777

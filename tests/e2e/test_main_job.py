"""The main job on real servers and real mounts: a manifest's data appears, lazily, and is read as people read files."""

from __future__ import annotations

import hashlib
import mmap
import os
import random
import shutil
import subprocess
import sys
import tarfile
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from gotdata.errors import DeliveryError
from gotdata.outcome import State
from gotdata.project import MOUNT, Project
from tests.e2e import servers

if refusal := MOUNT.refusal():
    pytest.skip(f"no mounts here: {refusal}", allow_module_level=True)

GIB = 1 << 30


@dataclass
class Site:
    """An nginx that serves ``www``."""

    www: Path
    nginx: servers.Nginx


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    www = tmp_path_factory.mktemp("www")
    folder = www / "data"
    (folder / "tables").mkdir(parents=True)
    (folder / "tables/small.csv").write_text("cell,count\na,1\nb,2\n")
    for number in range(20):
        (folder / f"tables/{number}.bin").write_bytes(random.Random(number).randbytes(100_000 + number))
    (folder / "name with spaces & ümlauts.txt").write_text("odd")
    with (folder / "huge.bin").open("wb") as file:
        file.truncate(10 * GIB)
        file.seek(7 * GIB + 12_345)
        file.write(b"needle")
    with servers.nginx(www, tmp_path_factory.mktemp("nginx")) as nginx:
        yield Site(www, nginx)


@pytest.fixture
def project(tmp_path: Path, store: Path, site: Site) -> Iterator[Project]:
    yield from opened(tmp_path, f"{site.nginx.url}/data/")


def opened(root: Path, url: str) -> Iterator[Project]:
    (root / "gotdata.yml").write_text(f"gotdata: 1\ndata:\n  cells:\n    from: {url}\n    as: mount\n")
    with Project.find(root) as project:
        yield project
        project.down(lazy=True)


def test_four_kib_of_ten_gib_move_less_than_two_mib(project: Project, site: Site) -> None:
    (done,) = project.up()
    assert (done.bytes > 10 * GIB, done.moved) == (True, 0)
    before = len(site.nginx.answers())
    with (project.manifest.root / "data/cells/huge.bin").open("rb", buffering=0) as file:
        file.seek(7 * GIB + 12_345 - 100)
        data = file.read(4096)
    assert data == bytes(100) + b"needle" + bytes(4096 - 106)
    assert 0 < sum(answer.bytes for answer in site.nginx.answers()[before:]) < 2 << 20


def test_no_byte_of_a_file_is_asked_for_before_it_is_read(project: Project, site: Site) -> None:
    project.lock()
    before = len(site.nginx.answers())
    project.up()
    assert len(list((project.manifest.root / "data/cells").rglob("*"))) == 24
    assert site.nginx.answers()[before:] == []


def test_the_tools_of_every_day_work_on_it(project: Project, site: Site, tmp_path: Path) -> None:
    project.up()
    there, origin = project.manifest.root / "data/cells/tables", site.www / "data/tables"
    subprocess.run(["cp", "-r", there, tmp_path / "copied"], check=True)
    subprocess.run(["diff", "-r", origin, tmp_path / "copied"], check=True)
    found = subprocess.run(["find", ".", "-type", "f", "-size", "+1k"], cwd=there, capture_output=True, check=True)
    assert len(found.stdout.splitlines()) == 20
    sums = subprocess.run("sha256sum *", shell=True, cwd=there, capture_output=True, text=True, check=True).stdout
    assert dict(reversed(line.split("  ")) for line in sums.splitlines()) == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in origin.iterdir()
    }
    subprocess.run(["tar", "-cf", tmp_path / "all.tar", "-C", there, "."], check=True)
    with tarfile.open(tmp_path / "all.tar") as tar:
        assert len([member for member in tar if member.isfile()]) == 21


def test_it_is_mapped_into_memory(project: Project, site: Site) -> None:
    project.up()
    with (
        (project.manifest.root / "data/cells/tables/7.bin").open("rb") as file,
        mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view,
    ):
        assert view[:] == (site.www / "data/tables/7.bin").read_bytes()


def test_a_web_server_sends_from_it(project: Project, site: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    project.up()
    there = project.manifest.root / "data/cells"
    with servers.nginx(there, tmp_path_factory.mktemp("second")) as second:
        for name in ("tables/3.bin", "tables/small.csv"):
            with urllib.request.urlopen(f"{second.url}/{name}") as answer:
                assert answer.read() == (site.www / "data" / name).read_bytes()


def test_h5py_and_pandas_read_through_it(site: Site, tmp_path: Path, store: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    numpy = pytest.importorskip("numpy", reason="numpy is not installed")
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    folder = site.www / "science"
    folder.mkdir()
    matrix = numpy.arange(4_000_000, dtype="f8").reshape(2000, 2000)
    with h5py.File(folder / "matrix.h5", "w") as file:
        file.create_dataset("x", data=matrix, chunks=(100, 2000), compression="gzip")
    pandas.DataFrame({"a": range(1000), "b": range(1000)}).to_csv(folder / "table.csv", index=False)
    for project in opened(tmp_path, f"{site.nginx.url}/science/"):
        project.up()
        with h5py.File(tmp_path / "data/cells/matrix.h5") as file:
            assert (file["x"][700:703, 5:10] == matrix[700:703, 5:10]).all()
        assert pandas.read_csv(tmp_path / "data/cells/table.csv")["b"].sum() == sum(range(1000))


def test_ten_thousand_random_reads_of_two_gib(site: Site, tmp_path: Path, store: Path) -> None:
    size = 2 * GIB + 12_345
    folder = site.www / "big"
    folder.mkdir()
    pattern = random.Random(1).randbytes(64 << 20)
    with (folder / "file.bin").open("wb") as file:
        for turn in range(size // len(pattern) + 1):
            # Turned a little further each time, so that bytes of another place are other bytes.
            piece = pattern[turn * 4099 :] + pattern[: turn * 4099]
            file.write(piece[: min(len(piece), size - turn * len(pattern))])
    choice = random.Random(2)
    reads = [(choice.randrange(size), int(10 ** choice.uniform(0, 5.5))) for _ in range(10_000)]
    for project in opened(tmp_path, f"{site.nginx.url}/big/"):
        project.up()
        theirs = os.open(folder / "file.bin", os.O_RDONLY)
        ours = os.open(tmp_path / "data/cells/file.bin", os.O_RDONLY)

        def is_same(read: tuple[int, int], theirs: int = theirs, ours: int = ours) -> bool:
            return os.pread(ours, read[1], read[0]) == os.pread(theirs, read[1], read[0])

        assert all(map(is_same, reads[:2_000]))
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(is_same, reads[2_000:]))
        os.close(ours)
        os.close(theirs)
        subprocess.run(["cmp", folder / "file.bin", tmp_path / "data/cells/file.bin"], check=True)
    shutil.rmtree(folder)


def test_a_killed_server_is_seen_and_healed(project: Project) -> None:
    project.up()
    pid = project._receipts.all()["cells"].pid
    os.kill(pid, 9)
    status = project.status()[0]
    assert (status.state, "gone" in status.why) == (State.BROKEN, True)
    (healed,) = project.up()
    assert healed.change == "up"
    assert (project.manifest.root / "data/cells/tables/small.csv").read_text().startswith("cell")
    project.down()
    assert not (project.manifest.root / "data").exists()


def test_a_killed_mount_without_a_receipt_is_healed(project: Project) -> None:
    project.up()
    os.kill(project._receipts.all()["cells"].pid, 9)
    project._receipts.forget("cells")
    (healed,) = project.up()
    assert healed.change == "up"


def test_up_twice_is_up_once(project: Project) -> None:
    project.up()
    before = project._receipts.all()
    assert project.up()[0].change == "same"
    assert project._receipts.all() == before


def test_two_ups_at_once_are_one(project: Project) -> None:
    root = project.manifest.root
    command = [sys.executable, "-m", "gotdata", "-C", str(root), "up"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0], [process.communicate() for process in both]
    points = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {root}/data/cells " in line]
    assert len(points) == 1
    for process in both:
        process.communicate()


def test_down_while_it_is_used_says_by_whom(project: Project) -> None:
    project.up()
    with (project.manifest.root / "data/cells/tables/small.csv").open(), pytest.raises(DeliveryError, match="in use"):
        project.down()
    assert project.status()[0].state is State.UP
    project.down()
    assert project.status()[0].state is State.DOWN


def test_an_upstream_change_is_an_error_and_never_mixed_bytes(site: Site, tmp_path: Path, store: Path) -> None:
    folder = site.www / "fickle"
    folder.mkdir()
    (folder / "file.bin").write_bytes(b"A" * 3_000_000)
    for project in opened(tmp_path, f"{site.nginx.url}/fickle/"):
        project.up()
        with (tmp_path / "data/cells/file.bin").open("rb", buffering=0) as file:
            assert file.read(1000) == b"A" * 1000
            (folder / "file.bin").write_bytes(b"B" * 3_000_000)
            os.utime(folder / "file.bin", (1, 1))
            with pytest.raises(OSError, match="Input/output error"):
                os.pread(file.fileno(), 1000, 2_900_000)
        log = (tmp_path / ".gotdata/log/cells.log").read_text()
        assert "cells/file.bin" in log
        assert f"{site.nginx.url}/fickle/file.bin" in log


def test_everything_in_the_store_works_offline(tmp_path: Path, store: Path) -> None:
    www = tmp_path / "www"
    (www / "data").mkdir(parents=True)
    (www / "data/file.bin").write_bytes(random.Random(3).randbytes(2_000_000))
    root = tmp_path / "repository"
    root.mkdir()
    with servers.nginx(www, tmp_path / "nginx") as nginx:
        (root / "gotdata.yml").write_text(f"gotdata: 1\ndata:\n  cells:\n    from: {nginx.url}/data/\n")
        with Project.find(root) as project:
            project.lock()
            project.fetch("cells")
    for delivery in ("mount", "copy"):
        with Project.find(root) as project:
            project.up(demand=delivery, locked=True)
            assert (root / "data/cells/file.bin").read_bytes() == (www / "data/file.bin").read_bytes()
            project.down()

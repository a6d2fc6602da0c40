"""Data in images and containers that nobody prepared: baked while they are built, delivered when they start."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("containers need Linux", allow_module_level=True)

from gotdata.project import Project
from gotdata.snapshot import MTIME
from gotdata.testing.server import Server
from tests.e2e import images
from tests.e2e.bridge import Bridge, bridge
from tests.e2e.engine import Engine

pytestmark = pytest.mark.timeout(600)  # an image is built first
CELLS = b"cells of a mouse\n" * 60_000
DOCKERFILE = """\
ARG BASE
FROM ${BASE}
ARG USER
ARG GOTDATA_NETWORKS
USER root
RUN chown gotdata /work
COPY --chown=gotdata . /work
USER ${USER}
RUN gotdata bake cells
"""


@dataclass
class Place:
    """A repository, and where its containers reach its origin."""

    root: Path
    server: Server
    engine: Engine
    image: str
    network: Bridge

    @property
    def options(self) -> tuple[str, ...]:
        return (
            "--network",
            self.network.name,
            "-e",
            f"GOTDATA_NETWORKS={self.network.subnet}",
            "-e",
            "GOTDATA_RETRIES=0",
        )

    def run(self, *command: str, user: str = "1000", options: tuple[str, ...] = (), image: str = "") -> str:
        """What a container of it says, its log included."""
        words = [*self.options, *options]
        volumes = [] if image else [f"{self.root}:/work"]
        done = self.engine.run(
            image or self.image, "entrypoint", "--", *command, volumes=volumes, user=user, options=words, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def image(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    return images.gotdata(engine, tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def network(engine: Engine) -> Iterator[Bridge]:
    with bridge(engine, "containers") as made:
        yield made


@pytest.fixture
def place(engine: Engine, image: str, network: Bridge, tmp_path: Path, store: Path) -> Iterator[Place]:
    root = tmp_path / "work"
    root.mkdir()
    with Server(host=network.address) as server:
        server.put("cells/cells.txt", CELLS)
        server.put("cells/deep/more.txt", b"more\n")
        (root / "gotdata.yml").write_text(f"gotdata: 1\ndata:\n  cells:\n    from: {server.url}cells/\n")
        with Project.find(root) as project:
            project.lock()
        shutil.rmtree(root / ".gotdata")
        for path in (root, *root.rglob("*"), tmp_path):
            shutil.chown(path, 1000, 1000)
            path.chmod(0o755)
        yield Place(root, server, engine, image, network)


@pytest.fixture
def build(place: Place) -> Iterator[Callable[[str, str], str]]:
    """Bakes as some user, in an image of that name."""
    made: list[str] = []

    def bake(name: str, user: str) -> str:
        made.append(f"gotdata.test/{name}-{os.getpid()}:1")
        args = (f"BASE={place.image}", f"USER={user}", f"GOTDATA_NETWORKS={place.network.subnet}")
        (place.root.parent / "Dockerfile").write_text(DOCKERFILE)
        place.engine.docker(
            *("build", "--no-cache", "--network", place.network.name, "-t", made[-1]),
            *(word for arg in args for word in ("--build-arg", arg)),
            *("-f", place.root.parent / "Dockerfile", place.root),
        )
        return made[-1]

    yield bake
    place.engine.docker("rmi", "-f", *made, check=False)


SUM = hashlib.md5(CELLS).hexdigest()


def test_without_any_capability_files_come_when_they_are_opened(place: Place) -> None:
    said = place.run("sh", "-c", "ls -l data/cells; md5sum data/cells/cells.txt; id -u; touch data/cells/x || true")
    assert "as open, 2 files" in said
    assert SUM in said
    assert "\n1000\n" in said
    assert f" {len(CELLS)} " in said


def test_where_it_may_mount_it_mounts(place: Place) -> None:
    fuse = ("--device", "/dev/fuse", "--cap-add", "SYS_ADMIN", "--security-opt", "apparmor=unconfined")
    said = place.run("sh", "-c", "md5sum data/cells/cells.txt; echo I am $$", user="root", options=fuse)
    assert "cells is at data/cells: mount" in said
    assert SUM in said
    assert "I am 1" in said


def test_roots_command_is_the_first_process_and_copying_goes_on_behind_it(place: Place) -> None:
    said = place.run("sh", "-c", "md5sum data/cells/cells.txt; echo I am $$", user="root")
    assert "cells is at data/cells: copy" in said
    assert SUM in said
    assert "I am 1" in said


def test_an_image_that_can_not_be_written_to_with_a_place_that_can(place: Place) -> None:
    (place.root / "data").mkdir()
    places = ("--read-only", "--tmpfs", "/work/data:uid=1000", "--tmpfs", "/tmp", "-e", "GOTDATA_STORE=")
    done = place.engine.run(
        place.image,
        *("entrypoint", "--", "sh", "-c", "md5sum data/cells/cells.txt; gotdata status"),
        volumes=[f"{place.root}:/work:ro"],
        user="1000",
        options=(*places, *place.options),
        check=False,
    )
    assert SUM in done.stdout, done.stdout + done.stderr
    assert not (place.root / ".gotdata").exists()


def test_a_dead_origin_keeps_nobody_from_working(place: Place) -> None:
    place.server.change("cells/cells.txt", always=503)
    said = place.run("sh", "-c", "cat data/cells/cells.txt; echo on it goes")
    assert "on it goes" in said
    assert "503" in said
    assert "cells of a mouse" not in said


@pytest.mark.parametrize("user", ["gotdata", "root"])
def test_two_builds_have_one_layer(place: Place, build: Callable[[str, str], str], user: str) -> None:
    """Though that of the ``COPY`` before has the time of its folder."""
    last = "{{index .RootFS.Layers %d}}"
    number = len(json.loads(place.engine.docker("inspect", place.image, "-f", "{{json .RootFS.Layers}}").stdout)) + 2
    layers = [place.engine.docker("inspect", build(name, user), "-f", last % number).stdout for name in ("one", "two")]
    assert layers[0] == layers[1]


def test_the_layer_has_the_data_and_its_receipt_and_nothing_else(
    place: Place, build: Callable[[str, str], str], tmp_path: Path
) -> None:
    place.engine.docker("save", "-o", tmp_path / "image.tar", build("baked", "gotdata"))
    with tarfile.open(tmp_path / "image.tar") as image:
        last = json.load(image.extractfile("manifest.json"))[0]["Layers"][-1]
        with tarfile.open(fileobj=image.extractfile(last)) as layer:
            found = {member.name: (member.size, int(member.mtime)) for member in layer}
    assert {name for name in found if not name.startswith(("etc", "proc", "sys", "dev"))} == {
        "work",
        "work/.gotdata",
        "work/.gotdata/.gitignore",
        "work/.gotdata/receipts",
        "work/.gotdata/receipts/cells.json",
        "work/data",
        "work/data/cells",
        "work/data/cells/cells.txt",
        "work/data/cells/deep",
        "work/data/cells/deep/more.txt",
    }
    assert {time for _, time in found.values()} == {MTIME}


def test_what_root_baked_anybody_has_without_a_network_or_a_place_to_write(
    place: Place, build: Callable[[str, str], str]
) -> None:
    image = build("baked", "root")
    done = place.engine.run(
        image,
        *("entrypoint", "--", "sh", "-c", "md5sum data/cells/cells.txt; gotdata up --json; gotdata status --json"),
        user="1234",
        options=("--network=none", "--read-only"),
    )
    assert SUM in done.stdout
    assert done.stdout.count('"as": "bake"') == 2
    assert "cells is at data/cells: bake" in done.stderr

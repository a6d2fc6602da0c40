"""An image of a repository, built by the real repo2docker and a real engine, and its containers."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("repo2docker's images are Linux's", allow_module_level=True)
pytest.importorskip("repo2docker", reason="repo2docker is not installed: pip install 'gotdata[repo2docker]'")

from gotdata.project import Project
from gotdata.testing.server import Server
from tests.e2e.bridge import Bridge, bridge
from tests.e2e.engine import Engine
from tests.repo2docker.building import build

pytestmark = pytest.mark.timeout(600)
IMAGE = "gotdata.test/r2d:1"
CELLS, MICE = b"cells of a mouse\n" * 1000, b"m" * 3_000_000
START = '#!/bin/sh\necho started with $(ls data)\nexec "$@"\n'


@dataclass
class Built:
    engine: Engine
    server: Server
    network: Bridge
    said: str
    snapshots: dict[str, str]

    def run(self, *command: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        return self.engine.run(IMAGE, *command, options=options or ("--network", self.network.name))


@pytest.fixture(scope="module")
def built(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("r2d")
    with (
        bridge(engine, "r2d") as network,
        Server(host=network.address) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("GOTDATA_STORE", str(folder / "store"))
        server.put("cells/cells.txt", CELLS)
        server.put("mice/mice.bin", MICE)
        root = _repository(folder / "repository", server)
        with Project.find(root) as project:
            snapshots = {one.name: one.snapshot for one in project.lock()}
        shutil.rmtree(root / ".gotdata")  # of this machine, as git leaves it out
        said = build(engine, network, root, folder, IMAGE)
        try:
            yield Built(engine, server, network, said, snapshots)
        finally:
            engine.docker("rmi", "-f", IMAGE, check=False)


def _repository(root: Path, server: Server) -> Path:
    root.mkdir()
    (root / "gotdata.yml").write_text(
        f"gotdata: 1\ndata:\n  cells:\n    from: {server.url}cells/\n    as: bake\n"
        f"  mice:\n    from: {server.url}mice/\n    as: copy\n"
    )
    (root / "start").write_text(START)
    (root / "postBuild").write_text("#!/bin/sh\nwc -c data/cells/cells.txt\n")
    return root


def test_what_wishes_it_is_baked_before_postBuild(built: Built) -> None:
    assert f"{len(CELLS)} data/cells/cells.txt" in built.said


def test_no_layer_has_a_store_or_what_was_not_to_be_baked(built: Built, tmp_path: Path) -> None:
    built.engine.docker("save", "-o", tmp_path / "image.tar", IMAGE)
    names = set()
    with tarfile.open(tmp_path / "image.tar") as image:
        for layer in json.load(image.extractfile("manifest.json"))[0]["Layers"]:
            with tarfile.open(fileobj=image.extractfile(layer)) as files:
                names |= set(files.getnames())
    home = "home/jovyan/"
    committed = {"gotdata.yml", "gotdata.lock", "start", "postBuild"}
    own = {name.removeprefix(home) for name in names if name.startswith(home)}
    assert {name for name in own if not name.startswith(("gotdata.lock.d", ".bash", ".profile"))} - committed == {
        "data",
        "data/cells",
        "data/cells/cells.txt",
        ".gotdata",
        ".gotdata/.gitignore",
        ".gotdata/receipts",
        ".gotdata/receipts/cells.json",
    }
    assert not [name for name in names if name.startswith("tmp/")]


def test_labels_say_what_the_lock_says(built: Built) -> None:
    labels = json.loads(built.engine.docker("inspect", IMAGE, "-f", "{{json .Config.Labels}}").stdout)
    assert json.loads(labels["gotdata.manifest"])["cells"]["as"] == "bake"
    pinned = json.loads(labels["gotdata.lock"])
    assert {name: one["snapshot"] for name, one in pinned.items()} == built.snapshots


def test_data_is_there_before_the_repositorys_own_start_script(built: Built) -> None:
    done = built.run("sh", "-c", "id -u; md5sum < data/mice/mice.bin; gotdata status --json")
    assert "started with cells mice" in done.stdout
    assert hashlib.md5(MICE).hexdigest() in done.stdout
    assert "\n1000\n" in done.stdout
    assert '"as": "bake"' in done.stdout


def test_without_a_network_the_command_runs_with_what_was_baked(built: Built) -> None:
    done = built.run("sh", "-c", "cat data/cells/cells.txt; ls data; gotdata verify cells", options=("--network=none",))
    assert CELLS.decode() in done.stdout
    assert "data is still on its way; the command starts" in done.stdout
    assert "cells: 1 file read, 17 kB, 0 not here: all as locked" in done.stdout

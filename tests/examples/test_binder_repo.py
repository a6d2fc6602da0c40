"""The example's repository as Binder would have it: an image by the real repo2docker, and containers of it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("repo2docker's images are Linux's", allow_module_level=True)
pytest.importorskip("repo2docker", reason="repo2docker is not installed: pip install 'gotdata[repo2docker]'")

from tests.e2e import images
from tests.e2e.bridge import Bridge, bridge
from tests.e2e.engine import Engine
from tests.repo2docker.building import build

pytestmark = pytest.mark.timeout(600)
EXAMPLE = Path(__file__).parents[2] / "examples" / "binder-repo"
IMAGE = "gotdata.test/binder-repo:1"
SEEN = ["150,801 common swift", " 61,888 barn swallow", " 47,331 house martin", " 39,980 sand martin"]
NGINX = """\
events {}
http { default_type application/octet-stream; server { listen 80; root /srv/www; autoindex on; } }
"""


@dataclass
class Binder:
    engine: Engine
    network: Bridge
    said: str

    def run(self, *command: str, network: str = "") -> subprocess.CompletedProcess[str]:
        return self.engine.run(IMAGE, *command, options=("--network", network or self.network.name))


@pytest.fixture(scope="module")
def binder(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Binder]:
    folder = tmp_path_factory.mktemp("binder")
    folder.chmod(0o755)
    repository = folder / "repository"
    shutil.copytree(EXAMPLE, repository, ignore=shutil.ignore_patterns(".gotdata", "data", "__pycache__"))
    with bridge(engine, "binder") as network:
        origin = _origin(engine, network, folder)
        try:
            yield Binder(engine, network, build(engine, network, repository, folder, IMAGE))
        finally:
            engine.docker("rm", "-f", origin, check=False)
            engine.docker("rmi", "-f", IMAGE, check=False)


def _origin(engine: Engine, network: Bridge, folder: Path) -> str:
    spec = importlib.util.spec_from_file_location("prepare", EXAMPLE / "prepare.py")
    assert spec
    assert spec.loader
    prepare = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(prepare)
    prepare.write(folder / "served")
    (folder / "nginx.conf").write_text(NGINX)
    places = [f"{folder}/served:/srv/www:ro", f"{folder}/nginx.conf:/etc/nginx/nginx.conf:ro"]
    options = ("--network", network.name, "--network-alias", "origin")
    return engine.run(images.origin(engine), volumes=places, options=options, detach=True).stdout.strip()


def test_a_container_reads_what_is_baked_and_what_comes(binder: Binder) -> None:
    done = binder.run("python3", "summary.py")
    assert "species is at data/species: bake, 128 B" in done.stdout
    assert done.stdout.splitlines()[-4:] == SEEN


def test_without_a_network_it_has_what_is_baked(binder: Binder) -> None:
    done = binder.run("sh", "-c", "cat data/species/birds.csv; gotdata status species", network="none")
    assert "1,barn swallow" in done.stdout
    assert "verified" in done.stdout

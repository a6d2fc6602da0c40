"""gotdata's own image, and the daemon as containers, on a real engine."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e import images, servers
from tests.e2e.engine import Engine

if sys.platform != "linux":
    pytest.skip("containers need Linux", allow_module_level=True)

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("drivers")]
ROOT = Path(__file__).parents[2]
CONTENT = random.Random(1).randbytes(9_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def pinned(name: str) -> set[str]:
    lines = (ROOT / "requirements" / name).read_text("utf-8").replace("\\\n", "").splitlines()
    return {" ".join(line.split()) for line in lines if line and not line.lstrip().startswith("#")}


@pytest.fixture(scope="module")
def image(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    return images.gotdata(engine, tmp_path_factory.mktemp("context"))


def test_what_the_image_has_is_what_is_tested() -> None:
    assert pinned("image.txt") <= pinned("test.txt")
    assert all("--hash=sha256:" in line for line in pinned("image.txt"))


@pytest.mark.parametrize("user", ["", "4242:4242"])
def test_any_user_may_run_it_without_rights(engine: Engine, image: str, tmp_path: Path, user: str) -> None:
    (tmp_path / "there.csv").write_text("1,2\n")
    for folder in (tmp_path, *list(tmp_path.parents)[:1]):
        folder.chmod(0o755)
    options = ["--cap-drop=ALL", "--network=none"]
    done = engine.run(
        image, "get", "file:/in/there.csv", "here", volumes=[f"{tmp_path}:/in:ro"], user=user, options=options
    )
    assert done.returncode == 0
    inside = ("-c", "import os; print(os.getuid())")
    assert engine.run(image, *inside, user=user, options=[*options, "--entrypoint=python"]).stdout.strip() == (
        user.partition(":")[0] or "1000"
    )


def test_nothing_that_built_it_is_left_and_nothing_will_be_compiled(engine: Engine, image: str) -> None:
    script = r"""
import importlib.util, pathlib, sys
print([name for name in ("pip", "setuptools", "hatchling", "pluggy") if importlib.util.find_spec(name)])
print([str(path) for path in (pathlib.Path("/build"), pathlib.Path("/etc/ssl/ca.crt")) if path.exists()])
compiled = list(pathlib.Path("/opt/gotdata/lib").rglob("*.pyc"))
print(len(compiled) > 500, {path.read_bytes()[4] for path in compiled}, {path.stat().st_mtime for path in compiled})
"""
    done = engine.run(image, "-c", script, options=["--entrypoint=python"])
    assert done.stdout.splitlines() == ["[]", "[]", "True {1} {0.0}"]


@dataclass(frozen=True, slots=True)
class Node:
    """The daemon as containers, with places of its own."""

    engine: Engine
    name: str
    environ: dict[str, str]

    def container(self, service: str) -> str:
        return self.compose("ps", "--quiet", service).strip()

    def compose(self, *words: str) -> str:
        files = (str(ROOT / "container" / "compose.yaml"), self.environ["BESIDE"])
        command = ["docker-compose", *(word for file in files for word in ("-f", file)), *words]
        done = subprocess.run(command, env=self.environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def node(engine: Engine, own_engine: Engine, image: str, tmp_path: Path) -> Iterator[Node]:
    if not shutil.which("docker-compose"):
        pytest.skip("docker-compose is not installed: apt-get install docker-compose")
    if os.geteuid():
        pytest.skip("a folder that hands mounts on needs root")
    if not Path("/dev/fuse").exists():
        pytest.skip("there is no /dev/fuse here")
    name = f"gotdata-node-{os.getpid()}"
    places = {"RUN": tmp_path / "run", "STATE": tmp_path / "state", "CONFIG": tmp_path / "etc"}
    for place in places.values():
        place.mkdir()
    images_named = {"GOTDATA_IMAGE": image, "KEEPER_IMAGE": image, "PLUGIN": name, "COMPOSE_PROJECT_NAME": name}
    images.carried(engine, own_engine, image)
    # An engine that stands beside another hands no packets on.
    beside = tmp_path / "beside.yaml"
    beside.write_text("version: '3'\nservices:\n  daemon:\n    network_mode: host\n")
    run = places["RUN"]
    subprocess.run(["mount", "--bind", run, run], check=True)
    subprocess.run(["mount", "--make-shared", run], check=True)
    named = {**images_named, **{key: str(place) for key, place in places.items()}, "BESIDE": str(beside)}
    node = Node(own_engine, name, {**own_engine.environ, **named})
    try:
        yield node
    finally:
        node.compose("down", "--volumes", "--timeout=2")
        for point in [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text("utf-8").splitlines()][
            ::-1
        ]:
            if point.startswith(str(run)):
                subprocess.run(["umount", "--lazy", point], check=True)


READ = """
exec 3</data/a.bin
head -c 1000000 <&3 >/tmp/a
touch /tmp/reading
until [ -e /tmp/go ]; do sleep 0.05; done
cat <&3 >>/tmp/a
sha256sum </tmp/a
sha256sum </data/b.bin
"""


@pytest.fixture
def origin(node: Node, tmp_path: Path) -> Iterator[str]:
    """A server which asks for a password that only the daemon has."""
    (tmp_path / "www").mkdir()
    for name in ("a.bin", "b.bin"):
        (tmp_path / "www" / name).write_bytes(CONTENT)
    with servers.nginx(tmp_path / "www", tmp_path / "nginx") as server:
        url = f"{server.url}/auth/"
        rule = f"who: service:docker, from: '{url}', networks: 127.0.0.0/8, as: volume"
        (tmp_path / "etc" / "policy.yml").write_text(f"gotdata: 1\nrules:\n  - {{{rule}}}\n")
        credentials = tmp_path / "etc" / "credentials.toml"
        credentials.touch(mode=0o600)
        credentials.write_text(f'["{url}"]\nbasic = "ada:lovelace"\n')
        node.compose("up", "--detach")
        yield url


def test_the_daemon_is_replaced_below_a_container_that_reads(node: Node, origin: str) -> None:
    docker, volume, reader = node.engine.docker, f"{node.name}-cells", f"{node.name}-reader"
    wait(lambda: docker("volume", "create", "-d", node.name, "-o", f"from={origin}", volume, check=False))
    try:
        node.engine.run(
            node.engine.image,
            *("sh", "-ec", READ),
            volumes=[f"{volume}:/data:ro"],
            user="1000",
            detach=True,
            options=[f"--name={reader}", "--network=none"],
        )
        wait(lambda: docker("exec", reader, "test", "-e", "/tmp/reading", check=False))
        before = node.container("daemon"), node.container("keeper")
        node.compose("up", "--detach", "--no-deps", "--force-recreate", "daemon")
        assert node.container("daemon") != before[0]
        assert node.container("keeper") == before[1]
        docker("exec", reader, "touch", "/tmp/go")
        assert docker("wait", reader).stdout == "0\n"
        assert docker("logs", reader).stdout == 2 * f"{SHA256}  -\n"
    finally:
        docker("rm", "-f", reader, check=False)
        docker("volume", "rm", volume)


def wait(asked: Callable[[], subprocess.CompletedProcess[str]]) -> None:
    end = time.monotonic() + 60
    while (done := asked()).returncode:
        assert time.monotonic() < end, done.stderr
        time.sleep(0.1)

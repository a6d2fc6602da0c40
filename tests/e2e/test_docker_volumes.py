"""Docker volumes of a real daemon, on a real engine, as their users see them: in containers and in docker's errors."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("Docker volumes need Linux", allow_module_level=True)

from gotdata.fuse import mounting
from tests.e2e import engine as engines
from tests.e2e import node as nodes
from tests.e2e import servers
from tests.e2e.engine import Engine
from tests.e2e.node import Node

pytestmark = pytest.mark.timeout(600)  # others have a daemon before us: see engines.drivers

MIB = 1 << 20
BIG = os.urandom(8 * MIB)
SHA256 = hashlib.sha256(BIG).hexdigest()


@pytest.fixture(scope="module")
def engine(own_engine: Engine) -> Engine:
    return own_engine


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Nginx]:
    root = tmp_path_factory.mktemp("www")
    (root / "data/deep").mkdir(parents=True)
    (root / "data/a.txt").write_text("the data\n")
    (root / "data/deep/b.txt").write_text("b\n")
    (root / "data/big").write_bytes(BIG)
    with servers.nginx(root, tmp_path_factory.mktemp("nginx")) as server:
        yield server


@pytest.fixture(scope="module")
def node(site: servers.Nginx) -> Iterator[Node]:
    allowed = {"who": "service:docker", "from": f"{site.url}/", "as": "volume", "networks": "127.0.0.0/8"}
    with nodes.node({**allowed, "scratch": "1000TB"}) as found:
        yield found


class Volumes:
    """What a test makes with an engine, all of it removed in the end."""

    def __init__(self, engine: Engine, node: Node, reference: str) -> None:
        self.engine, self.node, self.reference = engine, node, reference
        self._names: list[str] = []
        self._containers: list[str] = []

    def name(self) -> str:
        self._names.append(f"{self.node.driver}-{uuid.uuid4().hex[:8]}")
        return self._names[-1]

    def create(self, name: str = "", check: bool = True, **options: str) -> str:
        """Gives the volume's name; what docker said if it is not to ``check``."""
        name = name or self.name()
        words = [word for key, value in options.items() for word in ("-o", f"{key.rstrip('_')}={value}")]
        done = self.engine.docker("volume", "create", "-d", self.node.driver, *words, name, check=check)
        return name if check else done.stderr

    def of(self, **options: str) -> str:
        return self.create(from_=self.reference, **options)

    def run(self, volume: str, script: str, user: str = "", check: bool = True) -> str:
        """What a shell in a container that has the volume at /data says."""
        done = self.engine.run(
            self.engine.image, "sh", "-ec", script, volumes=[volume], user=user, options=["--network=none"], check=check
        )
        return done.stdout if check else done.stdout + done.stderr

    def start(self, volume: str, script: str = "true") -> str:
        """A container that did ``script`` and stays; gives its id."""
        done = self.engine.run(
            self.engine.image,
            "sh",
            "-ec",
            f"{script}\necho ready\nexec sleep 1000",
            volumes=[volume],
            options=["--network=none", "--stop-signal=KILL"],
            detach=True,
        )
        self._containers.append(done.stdout.strip())
        self.wait(self._containers[-1])
        return self._containers[-1]

    def wait(self, container: str) -> None:
        """Until it said ready."""
        command = [shutil.which("docker") or "docker", "logs", "-f", container]
        with subprocess.Popen(
            command, env=self.engine.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as follow:
            assert follow.stdout
            said = []
            for line in follow.stdout:
                said.append(line)
                if line == "ready\n":
                    follow.kill()
                    return
        pytest.fail(f"the container ended: {''.join(said)}")

    def exec(self, container: str, script: str) -> str:
        return self.engine.docker("exec", container, "sh", "-ec", script).stdout

    def end(self, *containers: str) -> None:
        self.engine.docker("rm", "-f", *containers)

    def grow_old(self) -> None:
        """What is held, as if for long: a young hold may be that of a container which is about to start."""
        for hold in self.node.places.holds.glob("*/*"):
            os.utime(hold, (0, 0))

    def clear(self) -> None:
        if self._containers:
            self.engine.docker("rm", "-f", *self._containers, check=False)
        if known := [name for name in self._names if (self.node.places.volumes / name).exists()]:
            self.engine.docker("volume", "rm", *known, check=False)


@pytest.fixture
def volumes(engine: Engine, node: Node, site: servers.Nginx) -> Iterator[Volumes]:
    made = Volumes(engine, node, f"{site.url}/data/")
    yield made
    made.clear()


READ = "sha256sum /data/big | cut -c-64"


def test_root_and_a_user_read_the_right_bytes_and_nobody_writes(volumes: Volumes) -> None:
    name = volumes.of()
    for user in ("", "1000"):
        assert volumes.run(f"{name}:/data:ro", READ, user) == f"{SHA256}\n"
    writes = "cd /data; for word in 'touch new' 'rm a.txt' 'chmod 777 a.txt' 'mv a.txt b' 'mount -o remount,rw /data'"
    said = volumes.run(f"{name}:/data", f'{writes}; do $word 2>/dev/null && echo "$word: done"; done; ls /data')
    assert said == "a.txt\nbig\ndeep\n"


def test_a_mount_by_its_options_makes_its_volume(volumes: Volumes) -> None:
    words = f"type=volume,src={volumes.name()},dst=/data,readonly,volume-driver={volumes.node.driver}"
    words += f",volume-opt=from={volumes.reference},volume-opt=files=*.txt"
    done = volumes.engine.run(volumes.engine.image, "ls", "-R", "/data", options=["--mount", words])
    assert done.stdout == "/data:\na.txt\ndeep\n\n/data/deep:\nb.txt\n"


def test_compose(volumes: Volumes, tmp_path: Path) -> None:
    program = servers.program("docker-compose", package="apt-get install docker-compose")
    (tmp_path / "docker-compose.yml").write_text(f"""
version: "3.8"
services:
  notebook:
    image: {volumes.engine.image}
    command: [cat, /data/a.txt]
    network_mode: none
    volumes: ["cells:/data:ro"]
volumes:
  cells:
    driver: {volumes.node.driver}
    driver_opts:
      from: {volumes.reference}
""")

    def compose(*words: str) -> str:
        command = [program, "-p", "gotdata", *words]
        done = subprocess.run(command, cwd=tmp_path, env=volumes.engine.environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    try:
        assert "the data" in compose("up", "--no-color")
    finally:
        compose("down", "-v")
    assert not (volumes.node.places.volumes / "gotdata_cells").exists()


def test_two_containers_share_one_mount_and_each_block_is_fetched_once(volumes: Volumes, site: servers.Nginx) -> None:
    one, two = volumes.of(), volumes.of()
    before = len(site.answers("/data/big")), site.sent("/data/big")
    containers = [volumes.start(f"{name}:/data:ro") for name in (one, one, two)]
    assert len(site.answers("/data/big")) == before[0], "starting a container asks the origin for nothing"
    assert len([mount for mount in mounting.mounts() if mount.point.startswith(str(volumes.node.places.mounts))]) == 1
    assert {volumes.exec(container, READ) for container in containers} == {f"{SHA256}\n"}
    assert site.sent("/data/big") - before[1] <= 1.05 * len(BIG)


def test_the_facts_are_shown_to_who_inspects(volumes: Volumes) -> None:
    [shown] = json.loads(volumes.engine.docker("volume", "inspect", volumes.of()).stdout)
    assert shown["Status"]["files"] == "3"
    assert shown["Status"]["bytes"] == str(len(BIG) + len("the data\n") + len("b\n"))
    assert len(shown["Status"]["snapshot"]) == 64


def test_scratch_is_each_containers_own_with_its_limit_and_is_gone_with_it(volumes: Volumes) -> None:
    name = volumes.of(scratch="32MiB")
    one = volumes.start(f"{name}:/data", "echo mine >>/data/a.txt; rm -r /data/deep")
    volumes.grow_old()
    two = volumes.start(f"{name}:/data")
    full = volumes.exec(one, "dd if=/dev/zero of=/data/new bs=1M 2>&1 || true")
    assert "No space left on device" in full
    assert volumes.exec(one, "cat /data/a.txt; ls /data") == "the data\nmine\na.txt\nbig\nnew\n"
    assert (
        volumes.exec(two, "head -c 9000000 /dev/zero >/data/own; cat /data/a.txt /data/deep/b.txt") == "the data\nb\n"
    )
    assert volumes.exec(two, READ) == f"{SHA256}\n"
    table = volumes.exec(one, "grep /data /proc/self/mountinfo")
    assert str(volumes.node.folder) not in table
    assert volumes.reference not in table
    volumes.end(one, two)
    assert volumes.run(f"{name}:/data", "cat /data/a.txt; ls /data", "1000") == "the data\na.txt\nbig\ndeep\n"
    assert list(volumes.node.places.scratch.glob("*/*")) == []
    below = str(volumes.node.places.scratch)
    assert not any(mount.point.startswith(below) for mount in mounting.mounts())


def test_a_volume_that_is_in_use_is_not_removed(volumes: Volumes) -> None:
    name = volumes.of()
    container = volumes.start(f"{name}:/data:ro")
    done = volumes.engine.docker("volume", "rm", name, check=False)
    assert "in use" in done.stderr
    assert volumes.exec(container, "cat /data/a.txt") == "the data\n"
    volumes.end(container)
    volumes.engine.docker("volume", "rm", name)


def test_containers_read_and_write_on_when_the_daemon_is_killed_and_when_it_is_back(volumes: Volumes) -> None:
    plain, writable = volumes.of(), volumes.of(scratch="32MiB")
    hold = "exec 3</data/big; head -c 1000000 <&3 >/tmp/start; mkfifo /tmp/go; (read x </tmp/go; cat <&3 >/tmp/rest) &"
    reader = volumes.start(f"{plain}:/data:ro", hold)
    writer = volumes.start(f"{writable}:/data", "echo mine >/data/mine")
    volumes.node.kill()
    try:
        assert volumes.exec(writer, "echo more >>/data/mine; cat /data/mine /data/a.txt") == "mine\nmore\nthe data\n"
    finally:
        volumes.node.start()
    rest = "echo >/tmp/go; until [ $(cat /tmp/start /tmp/rest 2>/dev/null | wc -c) = 8388608 ]; do :; done"
    assert volumes.exec(reader, f"{rest}; cat /tmp/start /tmp/rest | sha256sum | cut -c-64") == f"{SHA256}\n"
    assert volumes.exec(writer, f"cat /data/mine; {READ}") == f"mine\nmore\n{SHA256}\n"
    volumes.end(reader, writer)
    volumes.engine.docker("volume", "rm", plain, writable)
    assert list(volumes.node.places.scratch.glob("*/*")) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_engine_that_ends_with_its_containers_finds_its_volumes_again(
    volumes: Volumes, engine_folder: Path, number: int
) -> None:
    plain, writable = volumes.of(), volumes.of(scratch="32MiB")
    containers = [volumes.start(f"{plain}:/data:ro"), volumes.start(f"{writable}:/data", "echo mine >/data/mine")]
    engines.again(engine_folder, *engines.ALONE, number=number)
    volumes.end(*containers)
    volumes.grow_old()
    assert volumes.run(f"{plain}:/data:ro", READ) == f"{SHA256}\n"
    assert volumes.run(f"{writable}:/data", "ls /data") == "a.txt\nbig\ndeep\n"
    volumes.engine.docker("volume", "rm", plain, writable)
    assert list(volumes.node.places.scratch.glob("*/*")) == []


def test_containers_read_and_write_on_while_an_engine_restarts_below_them(
    volumes: Volumes, engine_folder: Path
) -> None:
    engines.again(engine_folder, *engines.ALONE, "--live-restore")
    name = volumes.of(scratch="32MiB")
    container = volumes.start(f"{name}:/data", "echo mine >/data/mine")
    engines.again(engine_folder, *engines.ALONE, "--live-restore")
    assert volumes.exec(container, f"echo more >>/data/mine; cat /data/mine; {READ}") == f"mine\nmore\n{SHA256}\n"
    volumes.end(container)
    volumes.engine.docker("volume", "rm", name)
    assert list(volumes.node.places.scratch.glob("*/*")) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"form": "x"}, "there is no option 'form'; did you mean 'from'?"),
        ({"from": "{site}", "scratch": "lots"}, "scratch=lots: a number of bytes such as"),
        ({"from": "{site}", "scratch": "1k"}, "16 MiB is the least"),
        ({"from": "{site}", "snapshot": "0" * 64}, "was asked for"),
        ({"from": "{site}nothing/"}, "nothing/"),
        ({"from": "https://example.org/x"}, "docker may not have https://example.org/x"),
        ({"from": "/etc/passwd"}, "docker may not have file:"),
        ({"from": "http://127.0.0.1:1/"}, "docker may not have"),
        ({}, "say either from=REFERENCE"),
        ({"manifest": "gotdata.yml", "dataset": "a"}, "docker may not have the datasets of gotdata.yml"),
    ],
)
def test_what_can_not_be_is_told_by_docker_when_the_volume_is_made(
    volumes: Volumes, options: dict[str, str], said: str
) -> None:
    name = volumes.name()
    given = {key: value.format(site=volumes.reference) for key, value in options.items()}
    words = [word for key, value in given.items() for word in ("-o", f"{key}={value}")]
    done = volumes.engine.docker("volume", "create", "-d", volumes.node.driver, *words, name, check=False)
    assert done.returncode
    assert said in done.stderr
    assert not (volumes.node.places.volumes / name).exists()


@pytest.mark.parametrize("name", ["../etc", "a/b", "/etc", "-a", "a\nb", "x" * 300])
def test_a_name_that_is_a_path_makes_no_volume(volumes: Volumes, name: str) -> None:
    words = ["volume", "create", "-d", volumes.node.driver, "-o", f"from={volumes.reference}", "--", name]
    done = volumes.engine.docker(*words, check=False)
    assert done.returncode
    assert "can't be the name of a volume" in done.stderr
    assert {path.name[: len(volumes.node.driver)] for path in volumes.node.places.volumes.iterdir()} <= {
        volumes.node.driver
    }


def test_an_engine_keeps_the_first_volume_of_a_name(volumes: Volumes) -> None:
    """It asks no driver about the second: docs/docker.md says so."""
    name = volumes.of(files="*.txt")
    volumes.create(name, from_=volumes.reference)
    assert volumes.run(f"{name}:/data:ro", "ls /data") == "a.txt\ndeep\n"


def test_no_space_for_scratch_is_told_to_who_starts_the_container(volumes: Volumes) -> None:
    name = volumes.of(scratch="900TB")
    said = volumes.run(f"{name}:/data", "true", check=False)
    assert "no space for scratch" in said
    volumes.engine.docker("volume", "rm", name)


def test_a_driver_whose_socket_is_taken_ends_and_names_who_has_it(node: Node, tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "gotdata", "daemon", "--plugin", node.driver]
    command += ["--state", str(tmp_path / "state"), "--run", str(tmp_path / "run")]
    other = Node(tmp_path, (), {})
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=other.environ)
    other.clear()
    assert done.returncode == 1
    assert f"process {node.pid} " in done.stderr
    assert "answers there already" in done.stderr


def test_a_daemon_that_is_gone_is_told_by_docker(volumes: Volumes) -> None:
    name = volumes.of()
    volumes.node.stop()
    try:
        assert "no such file or directory" in volumes.run(f"{name}:/data", "true", check=False)
    finally:
        volumes.node.start()
    assert volumes.run(f"{name}:/data", READ) == f"{SHA256}\n"

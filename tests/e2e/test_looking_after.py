"""What an operator sees of a daemon: whether it is well, what it counts, and what it does without its keeper."""

from __future__ import annotations

import http.client
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("the daemon needs Linux", allow_module_level=True)

import socket

from gotdata.errors import PolicyError
from gotdata.serve.client import ask
from gotdata.serve.control import Control
from gotdata.serve.unix_http import Request
from tests.e2e import node as nodes
from tests.e2e import servers
from tests.e2e.node import Node

pytestmark = pytest.mark.timeout(600)  # others have a daemon before us: see engines.drivers

DATA = bytes(range(251)) * 100_000
LINE = re.compile(r'gotdata_([a-z_]+)(?:\{mount="([^"\\]+)"\})? (\d+)')


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Nginx]:
    www = tmp_path_factory.mktemp("www")
    (www / "data.bin").write_bytes(DATA)
    with servers.nginx(www, tmp_path_factory.mktemp("nginx")) as server:
        yield server


@pytest.fixture
def node(origin: servers.Nginx) -> Iterator[Node]:
    rule = {"who": "service:docker", "from": f"{origin.url}/", "as": "volume", "networks": "127.0.0.0/8"}
    with nodes.node(rule) as made:
        yield made


def health(node: Node) -> Any:
    return ask(node.places.control, "GET", "/health")


def metrics(node: Node) -> dict[str, int]:
    """As Prometheus reads them; each was announced with its type."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(node.places.control))
    try:
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4"
        lines = response.read().decode().splitlines()
    finally:
        connection.close()
    typed = {line.split()[2]: line.split()[3] for line in lines if line.startswith("# TYPE ")}
    found = {}
    for line in lines:
        if not line.startswith("#"):
            said = LINE.fullmatch(line)
            assert said, line
            assert typed[f"gotdata_{said[1]}"] == ("counter" if said[1].endswith("_total") else "gauge")
            found[said[1]] = int(said[3])
    return found


def test_the_metrics_follow_a_container_from_its_volume_to_its_end(node: Node, origin: servers.Nginx) -> None:
    assert health(node) == {"status": "ok", "mounts": 0, "without_server": []}
    assert node.ask("Create", Name="cells", Opts={"from": f"{origin.url}/"}) == {"Err": ""}
    assert (metrics(node)["volumes"], metrics(node)["mounts"]) == (1, 0)
    place = Path(node.ask("Mount", Name="cells", ID="one")["Mountpoint"])
    begun = metrics(node)
    assert (begun["holders"], begun["mounts"], begun["fetched_bytes_total"]) == (1, 1, 0)
    assert (place / "data.bin").read_bytes() == DATA
    while (read := metrics(node))["fetched_bytes_total"] < len(DATA):  # what came ahead is told a moment after
        pass
    assert read["fetched_bytes_total"] <= 1.05 * len(DATA)
    assert read["read_bytes_total"] >= len(DATA)
    nodes.kill(node.servers()[0])
    assert (place / "data.bin").stat().st_size == len(DATA)
    while metrics(node)["server_restarts_total"] == 0:
        (place / "missing").exists()
    assert health(node) == {"status": "ok", "mounts": 1, "without_server": []}
    assert node.ask("Unmount", Name="cells", ID="one") == {"Err": ""}
    while metrics(node)["mounts"]:
        assert metrics(node)["holders"] == 0
    assert node.mounts() == []


def test_metrics_and_volumes_are_roots() -> None:
    control: Any = Control
    routes = control(None, None).routes()
    for path in ("/metrics", "/volumes"):
        with pytest.raises(PolicyError):
            routes[f"GET {path}"](Request(path, {}, b"", 61_003, 61_003, 1))


def test_a_daemon_whose_keeper_is_a_service_of_its_own_starts_none(node: Node, tmp_path: Path) -> None:
    """Else a daemon's container that was the first to come would take all mounts with it at its upgrade."""
    command = [sys.executable, "-P", "-m", "gotdata", "daemon", "--no-plugin", "--keeper-apart"]
    places = ["--state", str(tmp_path / "state"), "--run", str(tmp_path / "run")]
    other = Node(tmp_path, (), {})
    try:
        done = subprocess.run([*command, *places], capture_output=True, text=True, timeout=60, env=other.environ)
        assert other.processes() == []
    finally:
        other.clear()
    assert done.returncode == 1
    assert "keeper" in done.stderr
    assert not (tmp_path / "run/keeper/keeper.sock").exists()

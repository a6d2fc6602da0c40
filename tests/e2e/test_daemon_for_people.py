"""What a person's own commands do where the machine has a daemon."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the daemon needs Linux", allow_module_level=True)

from gotdata.fuse import mounting
from tests.e2e import node as nodes
from tests.e2e import servers
from tests.e2e.node import Node

pytestmark = pytest.mark.timeout(600)  # others have a daemon before us: see engines.drivers


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Nginx]:
    www = tmp_path_factory.mktemp("www")
    (www / "a.txt").write_text("the data\n")
    with servers.nginx(www, tmp_path_factory.mktemp("nginx")) as server:
        yield server


@pytest.fixture
def node(origin: servers.Nginx) -> Iterator[Node]:
    rule = {"who": "user:root", "from": f"{origin.url}/", "as": "volume", "networks": "127.0.0.0/8", "roots": "/"}
    with nodes.node(rule) as made:
        yield made


class Repository:
    def __init__(self, root: Path, node: Node, url: str, store: Path) -> None:
        self.root, self._node, self._store = root, node, store
        root.mkdir()
        (root / "gotdata.yml").write_text(f"gotdata: 1\ndata:\n  web:\n    from: {url}/\n")

    def __call__(self, *words: str) -> str:
        daemon = {"GOTDATA_DAEMON": str(self._node.places.control), "GOTDATA_STORE": str(self._store)}
        command = [sys.executable, "-P", "-m", "gotdata", "-q", "-C", str(self.root), *words]
        done = subprocess.run(command, env={**os.environ, **daemon}, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def read(self) -> str:
        return (self.root / "data/web/a.txt").read_text()


@pytest.fixture
def repository(node: Node, origin: servers.Nginx, tmp_path: Path, store: Path) -> Iterator[Repository]:
    made = Repository(tmp_path / "project", node, origin.url, store)
    yield made
    made("down", "--lazy")


def test_up_has_the_daemon_bring_it_into_the_daemons_own_store(repository: Repository, node: Node, store: Path) -> None:
    [plan] = json.loads(repository("plan", "--json"))
    assert (plan["as"], plan["why"]) == ("volume", "this machine's daemon serves it, to all who want it")
    [up] = json.loads(repository("up", "--json"))
    assert (up["as"], repository.read()) == ("volume", "the data\n")
    assert not any((store / "objects").iterdir())
    assert any((node.places.state / "store/objects").iterdir())
    [again] = json.loads(repository("up", "--json"))
    assert again["change"] == "same"
    repository("down")
    assert not (repository.root / "data").exists()
    assert not list(node.places.volumes.iterdir())


def test_it_is_read_on_while_the_daemon_is_replaced(repository: Repository, node: Node) -> None:
    repository("up")
    with (repository.root / "data/web/a.txt").open() as file:
        node.kill()
        assert json.loads(repository("status", "--json"))[0]["state"] == "up"
        node.start()
        assert file.read() == "the data\n"
    repository("down")


def test_what_the_policy_refuses_is_brought_without_the_daemon_and_plan_says_why(
    repository: Repository, node: Node
) -> None:
    repository("lock")
    node.allow()
    [plan] = json.loads(repository("plan", "--json"))
    assert plan["as"] == "mount"
    assert "not by the daemon: root by control may not have" in plan["why"]
    [up] = json.loads(repository("up", "--json"))
    assert (up["as"], repository.read()) == ("mount", "the data\n")


def test_a_run_takes_what_the_daemon_serves_and_gives_it_back(repository: Repository, node: Node) -> None:
    repository("lock")
    [plan] = json.loads(repository("run", "--plan", "--json", "--", "true"))
    assert plan["as"] == "volume"
    said = repository("run", "--", "sh", "-c", "cat data/web/a.txt; cat /proc/self/mountinfo")
    assert said.startswith("the data\n")
    assert f" {repository.root}/data/web " in said
    assert mounting.find(repository.root / "data/web") is None
    assert not list(node.places.volumes.iterdir())

"""What somebody can do from inside a container that has a volume: read. Each way out is tried, on a real engine.

A container that was given SYS_ADMIN, or is privileged, is beyond this: it may mount over its own folder, unmount it,
and make its mount writable. The server still refuses each write, so nobody else sees a changed byte; but whoever gives
such containers to strangers gives them the machine.
"""

from __future__ import annotations

import base64
import json
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("Docker volumes need Linux", allow_module_level=True)

from tests.e2e import node as nodes
from tests.e2e import servers
from tests.e2e.engine import Engine
from tests.e2e.node import Node

pytestmark = pytest.mark.timeout(600)  # others have a daemon before us: see engines.drivers

PASSWORD = "lovelace"
INTRUDER = Path(__file__).with_name("intruder.py")
WHOLE = bytes(range(32, 127)) * 10_000
WHO = {
    "root": (),
    "root without capabilities": ("--cap-drop", "ALL"),
    "somebody": ("--user", "1000"),
    "somebody, and no new privileges": ("--user", "1000", "--security-opt", "no-new-privileges"),
}


@pytest.fixture(scope="module")
def engine(own_engine: Engine) -> Engine:
    return own_engine


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Nginx]:
    www = tmp_path_factory.mktemp("www")
    (www / "data/sub").mkdir(parents=True)
    (www / "data/whole.bin").write_bytes(WHOLE)
    (www / "data/sub/other.bin").write_bytes(b"other")
    (www / "data/broken.bin").write_bytes(b"there when it was listed")
    with servers.nginx(www, tmp_path_factory.mktemp("nginx")) as server:
        yield server


@pytest.fixture(scope="module")
def node(origin: servers.Nginx) -> Iterator[Node]:
    """With the operator's key for the origin."""
    rule = {"who": "service:docker", "from": f"{origin.url}/auth/", "as": "volume", "networks": "127.0.0.0/8"}
    with nodes.node({**rule, "hide": "source", "scratch": "64MiB"}, options=("--linger", "600")) as made:
        folder = made.folder / "home/.config/gotdata"
        folder.mkdir(parents=True)
        (folder / "credentials.toml").write_text(f'["{origin.url}/auth/"]\nbasic = "ada:{PASSWORD}"\n')
        (folder / "credentials.toml").chmod(0o600)
        yield made


@pytest.fixture(scope="module")
def volume(engine: Engine, node: Node, origin: servers.Nginx) -> Iterator[str]:
    """A file that is whole in the store, so that the kernel reads it there; and one that can't be had any more."""
    name = f"{node.driver}-data"
    engine.docker("volume", "create", "-d", node.driver, "-o", f"from={origin.url}/auth/data/", name)
    try:
        command, places = ("cat", "/data/whole.bin", "/data/sub/other.bin"), [f"{name}:/data:ro"]
        done = engine.run(engine.image, *command, volumes=places, options=["--network=none"])
        assert len(done.stdout) == len(WHOLE) + len("other")
        (origin.log.parent / "users").write_text("")
        yield name
    finally:
        engine.docker("volume", "rm", "-f", name)


Report = Mapping[str, Any]


@pytest.fixture(scope="module", params=list(WHO))
def report(engine: Engine, volume: str, request: pytest.FixtureRequest) -> Report:
    return intrude(engine, volume, *WHO[request.param])


def intrude(engine: Engine, volume: str, *options: str, before: str = "true") -> Report:
    """The volume is not even asked to be read-only: it is."""
    places = [f"{volume}:/data", f"{INTRUDER}:/intruder.py:ro"]
    command = ("sh", "-c", f"{before} && python3 /intruder.py /data whole.bin sub")
    done = engine.run(engine.image, *command, volumes=places, options=["--network=none", *options])
    report: Report = json.loads(done.stdout)
    return report


def test_nothing_can_be_written(report: Report, node: Node) -> None:
    assert [way for way, outcome in report["writes"].items() if outcome == "done"] == []
    for mount in node.places.mounts.iterdir():
        assert (mount / "whole.bin").read_bytes() == WHOLE


def test_nothing_can_be_mounted_or_taken_away(report: Report) -> None:
    assert [way for way, outcome in report["mounts"].items() if outcome == "done"] == []


def test_nothing_says_whence_it_comes(report: Report, origin: servers.Nginx, node: Node) -> None:
    told = report["told"]
    assert " /data " in told
    assert "user.gotdata.snapshot" in told
    secrets = [PASSWORD, base64.b64encode(f"ada:{PASSWORD}".encode()).decode(), "/auth/", origin.url.rpartition(":")[2]]
    assert [word for word in (*secrets, node.folder.name, str(origin.log.parent)) if word in told] == []


def test_it_looks_like_plain_files(report: Report) -> None:
    assert report["seen"] == {
        "kinds": [stat.S_IFDIR, stat.S_IFREG],
        "modes": [0o444, 0o555],
        "flags": os.ST_RDONLY | os.ST_NOSUID | os.ST_NODEV,
        "free": [0, 0, 0, 0],
        "above": True,
    }


def test_what_is_written_to_a_scratch_says_no_more(
    engine: Engine, node: Node, volume: str, origin: servers.Nginx
) -> None:
    """Its writes are its own, and of what lies under them nothing is seen."""
    name = f"{volume}-scratch"
    options = ("-o", f"from={origin.url}/auth/data/", "-o", "scratch=16MiB")
    (origin.log.parent / "users").write_text(f"ada:{{PLAIN}}{PASSWORD}\n")
    engine.docker("volume", "create", "-d", node.driver, *options, name)
    try:
        report = intrude(engine, name)
    finally:
        engine.docker("volume", "rm", name)
    assert report["writes"]["create"] == "done"
    test_nothing_can_be_mounted_or_taken_away(report)
    test_nothing_says_whence_it_comes(report, origin, node)
    for mount in node.places.mounts.iterdir():
        assert (mount / "whole.bin").read_bytes() == WHOLE


def test_sys_admin_gets_a_writable_mount_and_still_changes_nothing(engine: Engine, node: Node, volume: str) -> None:
    remount = "mount -i -o remount,rw /data && mount -i -o remount,bind,rw /data"
    report = intrude(engine, volume, "--cap-add", "SYS_ADMIN", before=remount)
    assert not report["seen"]["flags"] & os.ST_RDONLY
    test_nothing_can_be_written(report, node)

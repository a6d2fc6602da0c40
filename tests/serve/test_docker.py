"""Docker's volume plugin protocol, as an engine speaks it, over a node that only remembers."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("serve needs Linux", allow_module_level=True)

from gotdata.errors import DeliveryError, ManifestError, NotFound
from gotdata.policy import Who
from gotdata.serve.base import Volume
from gotdata.serve.docker import Plugin
from gotdata.serve.unix_http import Request


class MemoryNode:
    """Fulfils ``Node``; its messages are these tests' own."""

    def __init__(self) -> None:
        self.known: dict[str, Volume] = {}
        self.asked_by: list[Who] = []

    def create(self, name: str, options: Mapping[str, str], who: Who) -> Volume:
        self.asked_by.append(who)
        if "from" not in options:
            raise ManifestError("there is no option 'form';\n  did you mean https://ada:lovelace@example.org/?")
        return self.known.setdefault(name, Volume(name, options, facts={"level": "verified"}))

    def remove(self, name: str) -> None:
        if self.volume(name).holders:
            raise DeliveryError(f"volume '{name}' is in use")
        del self.known[name]

    def volume(self, name: str) -> Volume:
        if name not in self.known:
            raise NotFound(f"there is no volume '{name}'")
        return self.known[name]

    def volumes(self) -> list[Volume]:
        return list(self.known.values())

    def mount(self, name: str, holder: str) -> Path:
        holders = (*self.volume(name).holders, holder)
        self.known[name] = replace(self.volume(name), holders=holders, mountpoint=f"/mnt/{name}")
        return Path("/mnt", name)

    def unmount(self, name: str, holder: str) -> None:
        left = tuple(other for other in self.volume(name).holders if other != holder)
        self.known[name] = replace(self.volume(name), holders=left, mountpoint="")


@pytest.fixture
def node() -> MemoryNode:
    return MemoryNode()


def call(node: MemoryNode, verb: str, asked: object = None) -> Any:
    body = b"" if asked is None else json.dumps(asked).encode()
    response = Plugin(node).routes()[f"POST /{verb}"](Request(f"/{verb}", {}, body, 0, 0, 1))
    assert response.status == 200
    return json.loads(response.body)


def test_it_says_what_it_is(node: MemoryNode) -> None:
    assert call(node, "Plugin.Activate") == {"Implements": ["VolumeDriver"], "Err": ""}
    assert call(node, "VolumeDriver.Capabilities", {})["Capabilities"] == {"Scope": "local"}


def test_a_volume_from_its_making_to_its_end(node: MemoryNode) -> None:
    create = {"Name": "cells", "Opts": {"from": "doi:10.5281/zenodo.1"}}
    assert call(node, "VolumeDriver.Create", create) == {"Err": ""}
    assert node.asked_by == [Who(service="docker")]
    listed = {"Name": "cells", "Mountpoint": ""}
    assert call(node, "VolumeDriver.List", {}) == {"Volumes": [listed], "Err": ""}
    held = {"Name": "cells", "ID": "one"}
    assert call(node, "VolumeDriver.Mount", held) == {"Mountpoint": "/mnt/cells", "Err": ""}
    assert call(node, "VolumeDriver.Path", {"Name": "cells"}) == {"Mountpoint": "/mnt/cells", "Err": ""}
    got = call(node, "VolumeDriver.Get", {"Name": "cells"})["Volume"]
    assert got == {"Name": "cells", "Mountpoint": "/mnt/cells", "Status": {"level": "verified"}}
    assert "in use" in call(node, "VolumeDriver.Remove", {"Name": "cells"})["Err"]
    assert call(node, "VolumeDriver.Unmount", held) == {"Err": ""}
    assert call(node, "VolumeDriver.Remove", {"Name": "cells"}) == {"Err": ""}
    assert call(node, "VolumeDriver.Get", {"Name": "cells"}) == {"Err": "there is no volume 'cells'"}


def test_an_error_keeps_its_lines_and_no_secret(node: MemoryNode) -> None:
    said = call(node, "VolumeDriver.Create", {"Name": "cells", "Opts": {"form": "x"}})["Err"]
    assert said == "there is no option 'form';\n  did you mean https://example.org/?"


@pytest.mark.parametrize("verb", ["Get", "Path", "Mount", "Unmount", "Remove"])
def test_what_a_user_of_the_machine_has_is_not_dockers(node: MemoryNode, verb: str) -> None:
    node.known["up-1000-ab"] = Volume("up-1000-ab", {}, holders=("/home/ada/data",))
    assert call(node, "VolumeDriver.List", {})["Volumes"] == []
    told = call(node, f"VolumeDriver.{verb}", {"Name": "up-1000-ab", "ID": "/home/ada/data"})
    assert told == {"Err": "'up-1000-ab' is no volume of Docker's"}
    assert node.volume("up-1000-ab").holders == ("/home/ada/data",)


@pytest.mark.parametrize("options", [None, {}])
def test_a_volume_without_options_is_the_nodes_to_refuse(node: MemoryNode, options: object) -> None:
    assert "no option" in call(node, "VolumeDriver.Create", {"Name": "cells", "Opts": options})["Err"]


@pytest.mark.parametrize(
    "asked", [[], {"Name": 1}, {}, {"Name": "a", "Opts": {"from": 1}}, {"Name": "a", "Opts": "from=x"}]
)
def test_a_request_that_makes_no_sense_says_so(node: MemoryNode, asked: object) -> None:
    assert "the engine's request can't be read" in call(node, "VolumeDriver.Create", asked)["Err"]

"""The control socket's answers, over a node that only remembers."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

if sys.platform != "linux":
    pytest.skip("the daemon needs Linux", allow_module_level=True)

from gotdata.errors import DeliveryError, NotFound, PolicyError
from gotdata.serve.base import Volume
from gotdata.serve.control import AT_ONCE, Control
from gotdata.serve.unix_http import Request

UID = 61_003


class MemoryNode:
    def __init__(self) -> None:
        self.known: dict[str, Volume] = {}

    def create(self, name: str, *_: object) -> Volume:
        return self.known.setdefault(name, Volume(name, {}))

    def mount(self, name: str, holder: str) -> Path:
        self.known[name] = Volume(name, {}, (holder,))
        return Path("/nowhere")

    def unmount(self, name: str, holder: str) -> None:
        self.known[name] = Volume(name, {})

    def remove(self, name: str) -> None:
        assert not self.volume(name).holders
        del self.known[name]

    def volume(self, name: str) -> Volume:
        if name not in self.known:
            raise NotFound(f"no volume {name}")
        return self.known[name]

    def volumes(self) -> list[Volume]:
        return list(self.known.values())


def up(node: MemoryNode, target: Path, uid: int = UID) -> None:
    told = msgspec.json.encode({"target": str(target), "files": {}})
    control: Any = Control
    control(node, None).routes()["POST /up"](Request("/up", {}, told, uid, uid, os.getpid()))


def test_what_could_not_appear_is_held_no_more(tmp_path: Path) -> None:
    node = MemoryNode()
    (tmp_path / "link").symlink_to("/")
    for target in (tmp_path / "missing", tmp_path / "link", tmp_path / "link/etc"):
        with pytest.raises(DeliveryError, match="can't be entered"):
            up(node, target)
        assert node.known == {}


def test_one_user_has_so_many_datasets_up_and_no_more(tmp_path: Path) -> None:
    node = MemoryNode()
    node.known = {name: Volume(name, {}) for name in (f"up-{UID}-{number}" for number in range(AT_ONCE))}
    with pytest.raises(PolicyError, match=f"{AT_ONCE} datasets of yours are up already"):
        up(node, tmp_path / "missing")
    for other in (0, UID + 1):
        with pytest.raises(DeliveryError):
            up(node, tmp_path / "missing", other)
    assert len(node.known) == AT_ONCE

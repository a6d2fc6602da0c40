"""A stranger's repository in the hands of a service: what it names of this machine and its network is not asked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gotdata import manifest as manifests
from gotdata.errors import PolicyError
from gotdata.model import Span
from gotdata.reach import ANYWHERE, PUBLIC_ONLY, Reach
from gotdata.repository import Repository
from gotdata.testing.server import Server
from gotdata.tree.base import ROOT
from gotdata.wire import Workbench
from gotdata.wire_trees import fetching, held

BODY = b"data" * 1000


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def repository(tmp_path: Path, store: Path) -> Iterator[Callable[..., Repository]]:
    """Makes a repository of one dataset; or opens the one that is there."""
    benches: list[Workbench] = []

    def opened(reach: Reach, entry: Any = None) -> Repository:
        path = tmp_path / "root" / "gotdata.yml"
        if entry is not None:
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps({"gotdata": 1, "data": {"cells": entry}}))
        benches.append(Workbench.open(reach=reach))
        return Repository(manifests.load(path), benches[-1])

    yield opened
    for bench in benches:
        bench.close()


@pytest.mark.parametrize("mirrors", [False, True])
def test_locking_asks_nobody_inside(repository: Callable[..., Repository], server: Server, mirrors: bool) -> None:
    url = server.put("f", BODY)
    entry = {"from": [{"url": url}, {"url": f"{url}?again"}] if mirrors else url}
    with pytest.raises(PolicyError, match=r"cells: .*may not be reached"):
        repository(PUBLIC_ONLY, entry).lock()
    assert not server.requests
    assert repository(Reach(networks=("127.0.0.1/32",))).lock()


@pytest.mark.parametrize("reference", ["file:///etc", "./src", "./link"])
def test_locking_reads_no_file_of_the_machine(
    repository: Callable[..., Repository], tmp_path: Path, reference: str
) -> None:
    (tmp_path / "root" / "src").mkdir(parents=True)
    (tmp_path / "root" / "link").symlink_to("/etc")
    with pytest.raises(PolicyError, match="`local`"):
        repository(PUBLIC_ONLY, {"from": reference}).lock()
    folder = Reach(local=(str(tmp_path / "root"),))
    if reference == "./src":
        assert repository(folder).lock()
    else:
        with pytest.raises(PolicyError):
            repository(folder).lock()


def test_a_mounts_worker_asks_nobody_inside(repository: Callable[..., Repository], server: Server) -> None:
    """Of a lock that was made elsewhere, and of a name that has moved since."""
    made = repository(ANYWHERE, {"from": server.put("f", BODY)})
    made.lock()
    arguments = made.arguments("cells")
    asked = len(server.requests)
    tree = fetching(**arguments, reach=msgspec.to_builtins(PUBLIC_ONLY))
    [node] = tree.children(ROOT)
    with pytest.raises(PolicyError):
        tree.ensure(node.id, Span(0, 10))
    assert len(server.requests) == asked
    free = fetching(**arguments)
    free.ensure(node.id, Span(0, 10))
    assert len(server.requests) > asked


def test_a_mount_opens_no_file_of_the_machine(repository: Callable[..., Repository], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    made = repository(ANYWHERE, {"from": (tmp_path / "secret").as_uri()})
    made.lock()
    for factory in (held, fetching):
        tree = factory(**made.arguments("cells"), reach=msgspec.to_builtins(PUBLIC_ONLY))
        [node] = tree.children(ROOT)
        with pytest.raises(PolicyError):
            tree.held(node.id)
    tree = held(**made.arguments("cells"), reach=msgspec.to_builtins(Reach(local=(str(tmp_path),))))
    [node] = tree.children(ROOT)
    assert tree.held(node.id) is not None


def test_texts_are_fetched_from_nowhere_inside(
    repository: Callable[..., Repository], server: Server, tmp_path: Path, store: Path
) -> None:
    """Neither from where the lock says, nor, as the last resort, by listing the origin again."""
    repository(ANYWHERE, {"from": server.put("f", BODY)}).lock()
    for text in (tmp_path / "root" / "gotdata.lock.d").iterdir():
        text.unlink()
    shutil.rmtree(store / "index", ignore_errors=True)
    asked = len(server.requests)
    bounded = repository(PUBLIC_ONLY)
    with pytest.raises(PolicyError):
        bounded.bench.fetch(server.at("shards/x"))
    with pytest.raises(PolicyError):
        bounded.tree("cells")
    assert len(server.requests) == asked

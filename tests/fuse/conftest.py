"""Trees that are really mounted, served by real processes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("mounts need Linux", allow_module_level=True)

from gotdata.errors import DeliveryError
from gotdata.fuse import launch, mounting
from gotdata.fuse.keeper import Keeper
from gotdata.fuse.ledger import Ledger
from gotdata.fuse.spec import Spec
from gotdata.testing.trees import MemoryTree
from tests.fuse.keepers import keeper_pid, kill, stuck

FACTORY = "gotdata.testing.trees:open_tree"
Entries = Mapping[str, bytes | str | None]


@dataclass
class Mounted:
    tree: MemoryTree
    point: Path
    spec: Spec
    pid: int = 0

    def id(self, path: str) -> int:
        node = self.tree.node(1)
        for name in path.split("/"):
            node = self.tree.lookup(node.id, name)
        return node.id

    def up(self) -> None:
        self.pid = launch.start(self.spec, self.point)

    def log(self) -> str:
        return Path(self.spec.log).read_text()


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with contextlib.closing(Ledger.create()) as ledger:
        yield ledger


@pytest.fixture(scope="session")
def can_mount(tmp_path_factory: pytest.TempPathFactory) -> None:
    point = tmp_path_factory.mktemp("mount")
    try:
        os.close(mounting.mount(point))
    except DeliveryError as error:
        pytest.skip(f"no mounts here: {error}")
    mounting.unmount(point, lazy=True)


@pytest.fixture
def root(can_mount: None) -> None:
    if os.geteuid():
        pytest.skip("needs root")


@pytest.fixture
def planted(tmp_path: Path, can_mount: None) -> Iterator[Callable[..., Mounted]]:
    """``planted(entries, **spec)``: a tree, and where it would be mounted. Unmounted in the end, come what may."""
    made: list[Mounted] = []

    def plant(entries: Entries, /, executable: tuple[str, ...] = (), **changes: object) -> Mounted:
        place = tmp_path / str(len(made))
        tree = MemoryTree.plant(place / "tree", entries, executable)
        (place / "mnt").mkdir()
        spec = Spec(
            dataset="cells",
            log=str(place / "log"),
            opens=FACTORY,
            fetches=FACTORY,
            arguments={"folder": str(place / "tree")},
            mtime=1_600_000_000,
        )
        made.append(Mounted(tree, place / "mnt", replace(spec, **changes)))  # type: ignore[arg-type]
        return made[-1]

    yield plant
    for mount in made:
        launch.stop(mount.point, mount.pid, lazy=True)


@pytest.fixture
def mounted(planted: Callable[..., Mounted]) -> Callable[..., Mounted]:
    """As ``planted``, and mounted."""

    def mount(*arguments: object, **changes: object) -> Mounted:
        made = planted(*arguments, **changes)
        made.up()
        return made

    return mount


@pytest.fixture
def stacked(root: None, tmp_path: Path) -> Iterator[Path]:
    """A folder on a stacked file system, whose files the kernel does not take for passthrough."""
    for name in ("lower", "upper", "work", "stacked"):
        (tmp_path / name).mkdir()
    options = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    done = subprocess.run(
        ["mount", "-t", "overlay", "overlay", "-o", options, tmp_path / "stacked"], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no overlay here: {done.stderr.strip()}")
    yield tmp_path / "stacked"
    subprocess.run(["umount", "-l", tmp_path / "stacked"], check=True)


@pytest.fixture
def keepers(tmp_path: Path) -> Iterator[Callable[..., Keeper]]:
    """``keepers(grace)``: one, started, and in the end killed."""
    made: list[Keeper] = []

    def start(grace: float = 15.0) -> Keeper:
        made.append(Keeper.start(tmp_path / "keeper" / "socket", tmp_path / "keeper.log", grace))
        return made[-1]

    yield start
    assert not stuck(tmp_path)
    pids = {keeper_pid(keeper) for keeper in made}
    for keeper in made:
        with contextlib.suppress(DeliveryError):
            for kept in keeper.list():
                mounting.unmount(launch.told(kept.note)[1], lazy=True)
        keeper.close()
    for pid in pids:
        kill(pid)


@pytest.fixture
def keeper(keepers: Callable[..., Keeper]) -> Keeper:
    return keepers()

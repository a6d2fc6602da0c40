"""What the mount costs beside the store's own file system, on files that are whole there: handed through to the kernel,
and through its cache (as for users who are not root). As root: `python bench/fuse_warm.py [FOLDER]`, on a disk's file
system that is not stacked. Medians of rounds in which every way takes its turn; ratios to the same work done natively.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gotdata.fuse import launch
from gotdata.fuse.spec import Spec
from gotdata.model import Kind
from gotdata.testing.trees import MemoryTree
from gotdata.tree.base import walk

MIB = 1 << 20
SIZE = 512 * MIB
SMALL = 3_000
READS = 100_000
ROUNDS = 9
FACTORY = "gotdata.testing.trees:open_tree"


def sequential(folder: Path) -> float:
    buffer = bytearray(MIB)
    with (folder / "big").open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
    return SIZE


def random_reads(folder: Path) -> float:
    buffer = bytearray(4096)
    dice = random.Random(1)
    offsets = [4096 * dice.randrange(SIZE // 4096) for _ in range(READS)]
    with (folder / "big").open("rb", buffering=0) as file:
        for offset in offsets:
            os.preadv(file.fileno(), [buffer], offset)
    return READS


def small_files(folder: Path) -> float:
    for number in range(SMALL):
        with open(folder / f"small/{number}", "rb", buffering=0) as file:
            file.read()
    return SMALL


def look_ups(folder: Path) -> float:
    for number in range(SMALL):
        os.stat(folder / f"small/{number}")
    return SMALL


MEASURES: tuple[Callable[[Path], float], ...] = (sequential, random_reads, small_files, look_ups)


@contextmanager
def mounted(work: Path, name: str, tree: Path) -> Iterator[Path]:
    point = work / name
    point.mkdir()
    log = str(work / f"{name}.log")
    pid = launch.start(
        Spec(dataset=name, log=log, opens=FACTORY, fetches=FACTORY, arguments={"folder": str(tree)}), point
    )
    try:
        yield point
    finally:
        launch.stop(point, pid, lazy=True)


@contextmanager
def stacked(work: Path, lower: Path) -> Iterator[Path]:
    """The same files on a stacked file system, from which the kernel takes nothing for passthrough."""
    for name in ("upper", "work", "stacked"):
        (work / name).mkdir()
    options = f"lowerdir={lower},upperdir={work}/upper,workdir={work}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, work / "stacked"], check=True)
    try:
        yield work / "stacked"
    finally:
        subprocess.run(["umount", "-l", work / "stacked"], check=True)


def make(work: Path) -> Path:
    """The tree, whole in its store; and the same files as they would lie there without us."""
    files = {f"small/{number}": os.urandom(2048) for number in range(SMALL)}
    tree = MemoryTree.plant(work / "tree", {"big": os.urandom(SIZE), **files})
    (work / "native/small").mkdir(parents=True)
    for path, node in walk(tree):
        if node.kind is Kind.FILE:
            tree.complete(node.id)
            (work / "native" / path).hardlink_to(work / f"tree/store/{node.id}.data")
    return work / "native"


def main() -> None:
    with ExitStack() as stack:
        work = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="gotdata-", dir=(sys.argv[1:] or [None])[0]))
        )
        ways = {"native": make(work)}
        ways["handed through"] = stack.enter_context(mounted(work, "through", work / "tree"))
        ways["by the cache"] = stack.enter_context(
            mounted(work, "cache", stack.enter_context(stacked(work, work / "tree")))
        )
        for measure in MEASURES:
            rates: dict[str, list[float]] = {way: [] for way in ways}
            for turn in range(ROUNDS + 1):
                for way, folder in ways.items():
                    began = time.perf_counter()
                    amount = measure(folder)
                    if turn:  # the first warms
                        rates[way].append(amount / (time.perf_counter() - began))
            native = statistics.median(rates["native"])
            ratios = "  ".join(f"{way} {statistics.median(rate) / native:.2f}" for way, rate in rates.items())
            print(f"{measure.__name__:14} {native:12.4g} a second  {ratios}")


if __name__ == "__main__":
    main()

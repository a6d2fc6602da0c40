"""Side by side in one run: the local file system, gotdata's mount, `rclone mount`, on the same bytes of one nginx.

Rounds go through all systems in turn, so that a noisy machine is noisy for each; medians are compared."""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from bench import run_open
from tests.e2e import servers

MIB = 1 << 20
SMALL_FILES = 3_000
RANDOM_READS = 50_000


@dataclass(frozen=True, slots=True)
class System:
    """``data`` is where its files appear, ``cache`` where this disk holds them."""

    name: str
    data: Path
    cache: Path


@dataclass(frozen=True, slots=True)
class Measure:
    """``run`` gives an amount of ``unit`` per second, or seconds where ``unit`` is ``s``."""

    title: str
    unit: str
    run: Callable[[System], float]


def sequential(system: System) -> float:
    """GB/s through the whole big file, in reads of 1 MiB."""
    buffer = bytearray(MIB)
    began, done = time.perf_counter(), 0
    with (system.data / "big.bin").open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            done += count
    return done / 1e9 / (time.perf_counter() - began)


def random_reads(system: System) -> float:
    """Thousand reads of 4 KiB a second, all over the big file."""
    buffer = bytearray(4096)
    with (system.data / "big.bin").open("rb", buffering=0) as file:
        blocks = os.fstat(file.fileno()).st_size // 4096
        offsets = [4096 * random.randrange(blocks) for _ in range(RANDOM_READS)]
        began = time.perf_counter()
        for offset in offsets:
            os.preadv(file.fileno(), [buffer], offset)
        return RANDOM_READS / 1e3 / (time.perf_counter() - began)


def first_touch(system: System) -> float:
    """GB/s where the bytes are on this machine's disk, and not in memory."""
    for folder in (system.data, system.cache):
        for path in folder.rglob("*"):
            if path.is_file() and path.stat().st_size >= MIB:
                forget(path)
    return sequential(system)


def forget(path: Path) -> None:
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def small_files(system: System) -> float:
    """Seconds to list a folder, and to open and read each file in it."""
    began = time.perf_counter()
    for entry in os.scandir(system.data / "small"):
        with open(entry.path, "rb", buffering=0) as file:
            file.read()
    return time.perf_counter() - began


MEASURES = (
    Measure("sequential, warm", "GB/s", sequential),
    Measure("random 4 KiB, warm", "k/s", random_reads),
    Measure("sequential, first touch of the disk", "GB/s", first_touch),
    Measure(f"{SMALL_FILES:,} small files, again", "s", small_files),
)
FIRST = (
    Measure("sequential, first ever, from the origin", "GB/s", sequential),
    Measure(f"{SMALL_FILES:,} small files, first ever", "s", small_files),
)


def make_data(folder: Path, mib: int) -> None:
    (folder / "small").mkdir(parents=True)
    generator = random.Random(1)
    with (folder / "big.bin").open("wb") as file:
        for _ in range(mib):
            file.write(generator.randbytes(MIB))
    for number in range(SMALL_FILES):
        (folder / "small" / f"{number:05}.txt").write_bytes(generator.randbytes(2048))
    os.sync()


@contextmanager
def gotdata(work: Path, url: str) -> Iterator[System]:
    project = work / "project"
    project.mkdir()
    (project / "gotdata.yml").write_text(f"gotdata: 1\ndata:\n  bench:\n    from: {url}/\n    to: data\n", "utf-8")
    command = [Path(sys.executable).with_name("gotdata"), "--store", work / "store", "-C", project]
    subprocess.run([*command, "up", "--as", "mount"], check=True)
    try:
        yield System("gotdata", project / "data", work / "store")
    finally:
        subprocess.run([*command, "down"], check=True)


@contextmanager
def rclone(work: Path, url: str) -> Iterator[System]:
    target, cache = work / "rclone", work / "rclone-cache"
    target.mkdir()
    options = ["--read-only", "--vfs-cache-mode", "full", "--cache-dir", cache, "--dir-cache-time", "24h"]
    process = subprocess.Popen(["rclone", "mount", "--quiet", ":http:", target, "--http-url", f"{url}/", *options])
    try:
        while not target.is_mount():
            if process.poll() is not None:
                raise SystemExit(f"rclone mount ended with {process.returncode}")
            time.sleep(0.05)
        yield System("rclone", target, cache)
    finally:
        process.terminate()
        process.wait()


def settle(system: System) -> None:
    """Reads everything once, and waits until what is written behind has been written."""
    sequential(system)
    small_files(system)
    if system.name == "gotdata":
        project = system.data.parent
        command = [Path(sys.executable).with_name("gotdata"), "--store", system.cache, "-C", project]
        subprocess.run([*command, "fetch", "bench"], check=True, stdout=subprocess.DEVNULL)
    os.sync()


def measure(systems: list[System], rounds: int) -> dict[str, dict[str, float]]:
    """Title → system's name → median."""
    table = {what.title: {each.name: what.run(each) for each in systems if each.name != "local"} for what in FIRST}
    for system in systems:
        settle(system)
    for what in MEASURES:
        found: dict[str, list[float]] = {system.name: [] for system in systems}
        for number in range(rounds + 1):
            for system in systems:
                value = what.run(system)
                if number:  # The round before the first warms up.
                    found[system.name].append(value)
        table[what.title] = {name: statistics.median(values) for name, values in found.items()}
    return table


def report(table: dict[str, dict[str, float]], names: list[str], mib: int, load: float) -> str:
    units = {each.title: each.unit for each in (*MEASURES, *FIRST)}
    machine = f"{platform.system()} {platform.release()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    who = "root" if os.getuid() == 0 else "not root"
    lines = [
        f"{date.today()}, {machine}, {who}, load {load:.1f} when it began; big file {mib} MiB; medians.",
        "In brackets: speed relative to local.",
        "",
        f"| | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
    ]
    for title, values in table.items():
        cells = [cell(values.get(name), values.get("local"), units[title]) for name in names]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def cell(value: float | None, local: float | None, unit: str) -> str:
    if value is None:
        return "–"
    if local is None or local == value:
        return f"{value:.3g} {unit}"
    ratio = local / value if unit == "s" else value / local
    return f"{value:.3g} {unit} ({ratio:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=512, help="size of the big file")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path, help="a folder of the disk that is to be measured (default: the cache's)")
    given = parser.parse_args()
    load, _, _ = os.getloadavg()
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=given.work or cache, prefix="gotdata-bench-") as folder, ExitStack() as stack:
        work = Path(folder)
        make_data(work / "local", given.mib)
        try:
            server = stack.enter_context(servers.nginx(work / "local", work / "nginx"))
        except pytest.skip.Exception as missing:
            raise SystemExit(str(missing)) from None
        systems = [System("local", work / "local", work / "local"), stack.enter_context(gotdata(work, server.url))]
        if shutil.which("rclone"):
            systems.append(stack.enter_context(rclone(work, server.url)))
        else:
            print("rclone is not installed: its column is left out", file=sys.stderr)
        table = measure(systems, given.rounds)
    text = f"{report(table, [system.name for system in systems], given.mib, load)}\n{run_open.report()}"
    print(text)
    results = Path(__file__).with_name("RESULTS.md")
    _, mark, others = results.read_text("utf-8").partition("\n## ")  # what other programs have measured stays
    results.write_text(f"# The last run of `make bench`\n\n{text}{mark}{others}", "utf-8")


if __name__ == "__main__":
    main()

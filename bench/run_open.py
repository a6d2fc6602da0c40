"""What it costs a command that its opens are answered (`gotdata run --as open`): the same command without and with, in
turns, medians: `python -m bench.run_open`. `make bench` runs it, too."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from gotdata.deliver.base import Job
from gotdata.run.opened import Opened
from gotdata.store.held import WholeHeld
from gotdata.testing.trees import MemoryTree

ROUNDS = 7
FILES = 3_000
OPENS = """
import os, time
began = time.perf_counter()
for _ in range(5000):
    os.close(os.open("/etc/hostname", os.O_RDONLY))
print((time.perf_counter() - began) / 5000)
"""
IMPORTS = """
import subprocess, sys, time
began = time.perf_counter()
subprocess.run([sys.executable, "-c", "import asyncio, email, http.client, json, sqlite3, unittest"], check=True)
print(time.perf_counter() - began)
"""
SMALL = """
import os, sys, time
began = time.perf_counter()
for entry in os.scandir(sys.argv[1]):
    with open(entry.path, "rb", buffering=0) as file:
        file.read()
print(time.perf_counter() - began)
"""
WORK = {
    "open and close a file that is not data": OPENS,
    "start Python with imports": IMPORTS,
    f"{FILES:,} small files of the data": SMALL,
}


def measure() -> dict[str, tuple[float, float]]:
    """Title → seconds without, and with."""
    with tempfile.TemporaryDirectory(prefix="gotdata-bench-") as folder:
        root = Path(folder)
        tree = MemoryTree.plant(root / "tree", {f"{number:05}": b"x" * 2048 for number in range(FILES)})
        job = Job(
            name="bench",
            tree=tree,
            root=root,
            target=root / "data",
            files=FILES,
            bytes=0,
            whole=lambda id: WholeHeld(root / "tree/origin" / str(id)),
            clear=lambda: None,
            serving=dict,
            alone=dict,
        )
        way = Opened()
        receipt = way.delivery.up(job)
        try:
            return {title: _turns(way, job, script) for title, script in WORK.items()}
        finally:
            way.delivery.down(root, receipt)


def _turns(way: Opened, job: Job, script: str) -> tuple[float, float]:
    plain, answered = [], []
    out = job.root / "seconds"
    for _ in range(ROUNDS):
        command = [sys.executable, "-c", script, str(job.root / "tree/origin")]
        plain.append(float(subprocess.run(command, check=True, capture_output=True).stdout))
        words = ["sh", "-c", '"$@" > "$0"', str(out), sys.executable, "-c", script, str(job.target)]
        if way.run([job], words):
            raise SystemExit("the command failed")
        answered.append(float(out.read_text()))
    return statistics.median(plain), statistics.median(answered)


def report() -> str:
    lines = ["| a command's opens | the kernel's | answered | ratio |", "|---|---|---|---|"]
    for title, (plain, answered) in measure().items():
        lines.append(f"| {title} | {_time(plain)} | {_time(answered)} | {answered / plain:.2f} |")
    return "\n".join(lines) + "\n"


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} µs" if seconds < 1e-3 else f"{seconds:.3f} s"


if __name__ == "__main__":
    print(f"load {os.getloadavg()[0]:.1f}\n\n{report()}", end="")

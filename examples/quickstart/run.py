"""The quickstart: prepare, serve, `gotdata up`, read with h5py and pandas, `gotdata status`, `gotdata down`."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from prepare import HERE, SERVED, expected, prepare
from serve import Server, serving

GOTDATA = Path(sys.executable).with_name("gotdata")


def run(server: Server, *command: object) -> int:
    """Runs a command, then says what it moved over the wire and how long it took. Gives its exit code."""
    words = [Path(str(word)).name if isinstance(word, Path) else str(word) for word in command]
    print(f"\n$ {' '.join(words)}", flush=True)
    before, began = server.moved, time.perf_counter()
    code = subprocess.run([str(word) for word in command], cwd=HERE).returncode
    print(f"  [{mib(server.moved - before)} moved, {time.perf_counter() - began:.2f} s]")
    return code


def mib(count: int) -> str:
    return f"{count / 2**20:,.2f} MiB"


def main() -> int:
    prepare()
    began = time.perf_counter()
    with serving(SERVED, expected()) as server:
        try:
            code = run(server, GOTDATA, "up", "--locked")
            for name in () if code else ("cells", "field"):
                code = code or run(server, Path(sys.executable), HERE / "read.py", name)
            if not code:
                run(server, GOTDATA, "status")
                there = sum(path.stat().st_size for path in (HERE / "data").rglob("*") if path.is_file())
                seconds = time.perf_counter() - began
                kept = "" if server.moved else " (the store had what was read)"
                print(f"\n{mib(there)} there, {mib(server.moved)} moved{kept}, {seconds:.1f} s")
        finally:
            down = run(server, GOTDATA, "down")
    return code or down


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

"""gotdata in one container, a notebook in another: prepare, `docker compose up`, read, `docker compose down`.
`run.py prepare` and `run.py undo` do their part alone, `run.py` all of it."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = HERE / ".cache"
DATA = HERE / "data"
LAST = 2_000_000
MADE_AT = 1_600_000_000
FILE = "/data/numbers/numbers.txt"
WAIT = f"until [ -e {FILE} ]; do sleep 0.1; done"


def prepare() -> None:
    """The data and a password for it, and a folder that hands mounts on."""
    served = CACHE / "served" / "lab"
    served.mkdir(parents=True, exist_ok=True)
    write(served / "numbers.txt", "".join(f"{number}\n" for number in range(1, LAST + 1)))
    write(served / "about.txt", f"The numbers from 1 to {LAST:,}.\n")
    password = secrets.token_hex()
    digest = base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()
    (CACHE / "users").write_text(f"lab:{{SHA}}{digest}\n")
    credentials = CACHE / "credentials.toml"
    credentials.touch(mode=0o600)
    credentials.write_text(f'["http://origin/"]\nbasic = "lab:{password}"\n')
    DATA.mkdir(exist_ok=True)
    if not shared(DATA):
        # Where systemd runs, all is shared already. A mount over itself can be made so without touching the rest.
        asked("mount", "--bind", DATA, DATA)
        asked("mount", "--make-shared", DATA)


def undo() -> None:
    """What is mounted at or below the folder goes, a mount included whose container was killed."""
    for point in reversed([point for point, _ in mounts() if point == DATA or DATA in point.parents]):
        asked("umount", "--lazy", point)
    for folder in (DATA / "numbers", DATA):
        with suppress(OSError):
            folder.rmdir()


def write(file: Path, text: str) -> None:
    """At one time on every machine: the server makes its ETag of it, which the lock has."""
    file.write_text(text)
    os.utime(file, (MADE_AT, MADE_AT))


def shared(folder: Path) -> bool:
    """Whether what is mounted below a folder reaches others: it does if the mount that the folder lies on is shared."""
    around = [(point, shares) for point, shares in mounts() if point == folder or point in folder.parents]
    return sorted(around, key=lambda one: len(one[0].parts))[-1][1]


def mounts() -> list[tuple[Path, bool]]:
    """Each mount of this machine, and whether it is shared."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines():
        before, _, _ = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), before.split(" ")[4])
        found.append((Path(point), " shared:" in before))
    return found


def asked(*command: str | Path) -> None:
    """Runs what only root may."""
    words = [*(() if os.geteuid() == 0 else ("sudo",)), *map(str, command)]
    if subprocess.run(words).returncode:
        sys.exit(f"this machine refused: {' '.join(words)}")


def compose(*words: str) -> None:
    """Compose as this machine has it: docker's plugin, or the program of its own."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0
    command = ["docker", "compose"] if plugin else ["docker-compose"]
    print(f"\n$ {' '.join(command)} {' '.join(words)}", flush=True)
    began = time.perf_counter()
    if subprocess.run([*command, *words], cwd=HERE).returncode:
        raise subprocess.SubprocessError(" ".join(words))
    print(f"  [{time.perf_counter() - began:.1f} s]", flush=True)


def main() -> int:
    prepare()
    try:
        try:
            compose("up", "--detach")
            compose("exec", "-T", "notebook", "ls", "-l", "/data/numbers")
            compose("exec", "-T", "notebook", "tail", "-n", "1", FILE)
            compose("restart", "gotdata")
            compose("exec", "-T", "notebook", "sh", "-c", f"{WAIT}; wc -l {FILE}")
        finally:
            compose("down", "--volumes")
    except (OSError, subprocess.SubprocessError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    finally:
        undo()
    return 0


if __name__ == "__main__":
    sys.exit({"prepare": prepare, "undo": undo}[sys.argv[1]]() if sys.argv[1:] else main())

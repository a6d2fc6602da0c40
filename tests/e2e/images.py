"""Images that tests build: gotdata's own, of this checkout, and the examples', from the engine's base.

Each is built once; the engine's cache gives it to whoever asks again. Without a network the test is skipped.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.e2e.engine import Engine

ROOT = Path(__file__).parents[2]
COPIED = ("LICENSE", "README.md", "pyproject.toml", ".dockerignore", "requirements/image.txt", "container", "src")
NO_NETWORK = r"resolv|unreachable|Failed to fetch|Unable to locate package|No matching distribution|timed out"


def gotdata(engine: Engine, folder: Path) -> str:
    """The image of container/Dockerfile. It trusts whom this machine trusts while it is built."""
    for name in COPIED:
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, place, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            shutil.copyfile(ROOT / name, place)
    if bundle := ssl.get_default_verify_paths().cafile:
        shutil.copyfile(bundle, folder / "container" / "ca.crt")
    return built(engine, "gotdata.test/gotdata:1", folder, "-f", str(folder / "container" / "Dockerfile"))


def origin(engine: Engine) -> str:
    """The examples' nginx."""
    return built(engine, "gotdata.test/origin:1", ROOT / "examples" / "docker-compose" / "origin")


def carried(source: Engine, dest: Engine, tag: str) -> str:
    """An image of one engine, on another."""
    with subprocess.Popen(["docker", "save", tag], env=source.environ, stdout=subprocess.PIPE) as save:
        subprocess.run(
            ["docker", "load", "-q"], env=dest.environ, stdin=save.stdout, stdout=subprocess.DEVNULL, check=True
        )
    assert save.returncode == 0
    return tag


def built(engine: Engine, tag: str, context: Path, *options: str) -> str:
    command = ["build", *options, "--build-arg", f"BASE={engine.image}", "--label", "gotdata.test", "-t", tag, context]
    # Two builds of one image at a time would do all the work twice.
    with (ROOT / "container" / "Dockerfile").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = engine.docker(*command, check=False, timeout=600)
    said = done.stdout + done.stderr
    if done.returncode and re.search(NO_NETWORK, said):
        pytest.skip(f"an image can't be built without a network: {said.strip().splitlines()[-1]}")
    assert done.returncode == 0, said[-4000:]
    return tag

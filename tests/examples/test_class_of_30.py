"""The class of thirty on a real engine: all of them, and a smaller file. What is timed is printed, and not judged."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e import images
from tests.e2e.engine import Engine

if sys.platform != "linux":
    pytest.skip("containers need Linux", allow_module_level=True)

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("drivers")]
EXAMPLE = Path(__file__).parents[2] / "examples" / "class-of-30"
SIZE = 32


@pytest.fixture(scope="module")
def said(engine: Engine, own_engine: Engine) -> str:
    if os.geteuid():
        pytest.skip("the daemon needs root")
    if not Path("/dev/fuse").exists():
        pytest.skip("there is no /dev/fuse here")
    origin = images.carried(engine, own_engine, images.origin(engine))
    environ = {**own_engine.environ, "IMAGE": own_engine.image, "ORIGIN_IMAGE": origin}
    command = [sys.executable, EXAMPLE / "run.py", f"--size={SIZE}", "--pairs=1"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_thirty_containers_have_the_right_bytes_which_the_origin_sent_once(said: str) -> None:
    assert f"30 containers read a cold file of {SIZE} MiB at once" in said
    right = re.search(r"(\d+) of (\d+) have its sha256; the origin sent ([\d.]+) times its size", said)
    assert right, said
    assert right[1] == right[2] == "30"
    assert 1 <= float(right[3]) <= 1.05


def test_it_times_the_first_byte_beside_a_container_without_a_volume(said: str) -> None:
    assert len(re.findall(r"^docker run to the first byte of 5 TB, mounted", said, re.M)) == 2
    assert len(re.findall(r"^  without a volume .*: it costs [+-]\d+ ms$", said, re.M)) == 2


def test_it_leaves_nothing_behind(said: str, own_engine: Engine) -> None:
    assert said
    assert "gotdata-class" not in own_engine.docker("ps", "--all", "--format", "{{.Names}}").stdout
    assert "gotdata-class" not in Path("/proc/self/mountinfo").read_text("utf-8")
    assert not list(Path("/run/docker/plugins").glob("gotdata-class-*"))
    assert {path.name for path in EXAMPLE.iterdir()} == {"README.md", "gotdata.yml", "nginx.conf", "run.py"}

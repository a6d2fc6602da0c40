"""The compose example on a real engine: what a notebook in a container without any rights sees, and what it can't."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e import images
from tests.e2e.engine import Engine

if sys.platform != "linux":
    pytest.skip("containers need Linux", allow_module_level=True)

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("drivers")]
EXAMPLE = Path(__file__).parents[2] / "examples" / "docker-compose"
FILE = "/data/numbers/numbers.txt"
SHA256 = hashlib.sha256("".join(f"{number}\n" for number in range(1, 2_000_001)).encode()).hexdigest()
WAIT = f"timeout 60 sh -c 'until [ -e {FILE} ]; do sleep 0.05; done'"
LOOK = r"""
import glob, os
for path in ["/proc/self/mountinfo", *glob.glob("/proc/[0-9]*/environ"), *glob.glob("/proc/[0-9]*/cmdline")]:
    try:
        print(open(path, "rb").read().replace(b"\0", b"\n").decode(errors="replace"))
    except OSError:
        pass
for folder in ("/run/secrets", "/work", "/store"):
    print(folder, os.path.exists(folder))
"""


@dataclass(frozen=True, slots=True)
class Composed:
    """A copy of the example, and the project under whose name it runs."""

    engine: Engine
    folder: Path
    project: str
    environ: dict[str, str]

    def compose(self, *words: str) -> None:
        program = shutil.which("docker-compose")
        command = [program] if program else ["docker", "compose"]
        done = subprocess.run([*command, *words], cwd=self.folder, env=self.environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def script(self, *words: str) -> str:
        command = [sys.executable, "run.py", *words]
        done = subprocess.run(command, cwd=self.folder, env=self.environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def containers(self, service: str = "") -> list[str]:
        wanted = [f"label=com.docker.compose.project={self.project}"]
        wanted += [f"label=com.docker.compose.service={service}"] if service else []
        filters = [word for one in wanted for word in ("--filter", one)]
        return self.engine.docker("ps", "--all", "--quiet", *filters).stdout.split()

    def notebook(self, *command: str, options: tuple[str, ...] = ()) -> str:
        (container,) = self.containers("notebook")
        return self.engine.docker("exec", *options, container, *command).stdout

    def pid(self, container: str) -> int:
        return int(self.engine.docker("inspect", "--format", "{{.State.Pid}}", container).stdout)

    def other(self, *command: str, user: str, detach: bool = False) -> subprocess.CompletedProcess[str]:
        """A container with the engine's default privileges, on the same folder."""
        bind = f"type=bind,source={self.folder}/data,target=/data,readonly,bind-propagation=rslave"
        return self.engine.run(self.engine.image, *command, options=["--mount", bind], user=user, detach=detach)

    def mounted(self) -> list[str]:
        """What is mounted on this machine below the example's folder, itself left out."""
        lines = Path("/proc/self/mountinfo").read_text("utf-8").splitlines()
        return [line for line in lines if line.split(" ")[4].startswith(f"{self.folder}/data/")]


@pytest.fixture(scope="module")
def example(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Composed:
    if not shutil.which("docker-compose"):
        pytest.skip("docker-compose is not installed: apt-get install docker-compose")
    if os.geteuid():
        pytest.skip("a folder that hands mounts on needs root")
    if not Path("/dev/fuse").exists():
        pytest.skip("there is no /dev/fuse here")
    folder = tmp_path_factory.mktemp("compose") / "examples" / "docker-compose"
    # The engine's other users may enter it.
    for place in (folder.parents[1], folder.parents[2]):
        place.chmod(0o755)
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".cache", ".gotdata", "data", "__pycache__"))
    project = f"gotdata-test-{os.getpid()}"
    named = {
        "COMPOSE_PROJECT_NAME": project,
        "GOTDATA_IMAGE": images.gotdata(engine, tmp_path_factory.mktemp("context")),
        "ORIGIN_IMAGE": images.origin(engine),
        "NOTEBOOK_IMAGE": engine.image,
    }
    return Composed(engine, folder, project, {**engine.environ, **named})


@pytest.fixture(scope="module")
def prepared(example: Composed) -> Iterator[Composed]:
    example.script("prepare")
    try:
        yield example
    finally:
        example.compose("down", "--volumes", "--timeout", "2")
        example.script("undo")


@pytest.fixture
def up(prepared: Composed) -> Composed:
    """All of it runs; the notebook's container may have seen tests before."""
    prepared.compose("up", "--detach")
    return prepared


def test_the_tour_reads_all_and_leaves_nothing_behind(example: Composed) -> None:
    said = example.script()
    assert "about.txt" in said
    assert "\n2000000\n" in said
    assert f"2000000 {FILE}" in said
    assert not example.mounted()
    assert not (example.folder / "data").exists()
    assert not example.containers()
    kept = {path.name: path.read_bytes() for path in example.folder.iterdir() if path.is_file()}
    assert kept == {path.name: path.read_bytes() for path in EXAMPLE.iterdir() if path.is_file()}


def test_a_notebook_without_rights_reads_every_byte(up: Composed) -> None:
    assert up.notebook("sha256sum", FILE).split()[0] == SHA256
    assert up.notebook("id", "-u") == "1000\n"
    assert "CapEff:\t0000000000000000\n" in up.notebook("cat", "/proc/self/status")


def test_no_container_learns_a_secret(up: Composed) -> None:
    password = (up.folder / ".cache" / "credentials.toml").read_text().split(":")[-1].strip('"\n')
    assert len(password) == 64
    look = ("python3", "-c", LOOK)
    for seen in (up.notebook(*look), up.notebook(*look, options=("--user", "0")), up.other(*look, user="0").stdout):
        assert "fuse.gotdata" in seen
        assert not [secret for secret in (password, "http://origin", "credentials") if secret in seen]
        assert seen.endswith("/run/secrets False\n/work False\n/store False\n")


def test_root_with_default_privileges_can_change_nothing(up: Composed) -> None:
    attempts = [
        f"echo x > {FILE}",
        f"rm -f {FILE}",
        f"chmod 777 {FILE}",
        f"mv {FILE} /data/numbers/other",
        "touch /data/numbers/new",
        "touch /data/new",
        "mount -o remount,rw /data",
        "mount -o remount,rw,bind /data/numbers",
        "umount -l /data/numbers",
        "mknod /tmp/fuse c 10 229 && dd if=/tmp/fuse count=0 status=none",
        "unshare --mount true",
    ]
    script = "; ".join(f"({attempt}) 2>/dev/null && echo 'DONE: {attempt}'" for attempt in attempts)
    assert up.other("sh", "-c", f"{script}; sha256sum <{FILE}", user="0").stdout == f"{SHA256}  -\n"


def test_a_notebook_that_was_there_before_sees_what_comes(up: Composed) -> None:
    up.compose("stop", "gotdata")
    assert up.notebook("ls", "-A", "/data") == ""
    early = up.other("sh", "-c", f"{WAIT}; sha256sum {FILE}", user="1000", detach=True).stdout.strip()
    up.compose("start", "gotdata")
    assert up.engine.docker("wait", early).stdout == "0\n"
    assert up.engine.docker("logs", early).stdout.split()[0] == SHA256


def test_what_is_in_use_keeps_no_dead_mount_when_gotdata_stops(up: Composed) -> None:
    up.notebook("sh", "-c", f"exec 3<{FILE}; touch /tmp/holding; sleep 300", options=("--detach",))
    up.notebook("sh", "-c", "until [ -e /tmp/holding ]; do sleep 0.05; done")
    assert up.mounted()
    up.compose("stop", "gotdata")
    assert not up.mounted()
    assert up.notebook("ls", "-A", "/data") == ""


@pytest.mark.parametrize("how", ["restarted", "killed"])
def test_after_gotdata_was_gone_the_same_notebook_reads_on(up: Composed, how: str) -> None:
    (notebook,), (gotdata,) = up.containers("notebook"), up.containers("gotdata")
    pid = up.pid(gotdata)
    if how == "restarted":
        up.compose("restart", "gotdata")
    else:
        os.kill(pid, signal.SIGKILL)  # `docker kill` would be a person's wish that it stays down
    # What was read before, the kernel has.
    up.notebook("sh", "-c", f"until dd if={FILE} iflag=direct of=/tmp/got bs=1M status=none; do sleep 0.05; done")
    assert up.notebook("sha256sum", "/tmp/got").split()[0] == SHA256
    assert up.containers("notebook") == [notebook]
    assert up.pid(gotdata) != pid

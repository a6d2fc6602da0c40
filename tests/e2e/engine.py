"""A real container engine for tests, and an image that needs no registry.

The engine that $DOCKER_HOST names is used where it answers; else Debian's is started in a folder of its own, one for
all of pytest's workers. Where neither can be had, the tests that ask for it are skipped with the reason.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import pytest

READY = 60.0
"""Seconds that an engine may take to answer."""
PACKAGES = ("ca-certificates", "python3", "fuse3", "busybox-static")
LABEL = "gotdata.test"
ALONE = ("--iptables=false",)
"""Options of an engine beside another: its rules for packets would take the place of that one's, and without a bridge
it would remove that one's."""

# Looked up when this is imported: while tests run, the person's own folders are hidden from them.
_CACHE = platformdirs.user_cache_path("gotdata-tests")


@contextmanager
def drivers() -> Iterator[None]:
    """While a volume driver of a test may be there: one test at a time. All engines of a machine look for drivers in
    one folder, and each goes on asking those that it ever met, for 15 seconds where one answers no more."""
    with _locked(Path(tempfile.gettempdir(), f"gotdata-test-drivers-{os.getuid()}.lock")):
        yield


@dataclass(frozen=True, slots=True)
class Engine:
    """Attributes:
    host: its address, as $DOCKER_HOST.
    image: Debian with Python, fusermount3, perl and busybox; runs as root unless told otherwise.
    """

    host: str
    image: str = "gotdata.test/base:1"

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, "DOCKER_HOST": self.host}

    def docker(
        self, *arguments: str | Path, check: bool = True, timeout: float = 100
    ) -> subprocess.CompletedProcess[str]:
        """``docker ARGUMENTS``; fails the test with what docker said, unless told not to ``check``."""
        command = [_program("docker"), *map(str, arguments)]
        done = subprocess.run(command, env=self.environ, capture_output=True, text=True, timeout=timeout)
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def run(
        self,
        image: str,
        *command: str,
        volumes: Sequence[str] = (),
        user: str = "",
        detach: bool = False,
        options: Sequence[str] = (),
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """``docker run``: ``volumes`` as in ``-v``. In the background it prints the container's id; what still runs at
        the end of the session is removed."""
        words = ["--detach"] if detach else ["--rm"]
        words += ["--label", f"{LABEL}={os.getpid()}"]
        words += [word for volume in volumes for word in ("-v", volume)]
        words += ["--user", user] if user else []
        return self.docker("run", *words, *options, image, *command, check=check)

    def answers(self) -> str:
        """Why it does not answer; empty if it does."""
        try:
            done = self.docker("version", "--format", "{{.Server.Version}}", check=False, timeout=20)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        return done.stderr.strip() or done.stdout.strip() if done.returncode else ""

    def clear(self) -> None:
        """Removes what this process left running."""
        left = self.docker("ps", "-aq", "--filter", f"label={LABEL}={os.getpid()}", check=False).stdout.split()
        if left:
            self.docker("rm", "-f", *left, check=False)


@contextmanager
def shared(factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The engine that all tests share, with its image."""
    if sys.platform != "linux":
        pytest.skip(f"containers need Linux, this is {sys.platform}")
    with _shared(factory) as engine:
        with _locked(_shared_folder(factory) / "image.lock"):
            have_image(engine)
        yield engine
        engine.clear()


@contextmanager
def dockerd(folder: Path, *options: str) -> Iterator[Engine]:
    """An engine, from its first answer to the end of the block. Its containers run until then, or with
    ``--live-restore`` longer."""
    _begin(folder, *options)
    engine = Engine(_address(folder))
    try:
        yield engine
    finally:
        engine.clear()
        _stop(int((folder / "started").read_text()), folder)


def again(folder: Path, *options: str, number: int = signal.SIGTERM) -> None:
    """Ends the engine of ``dockerd`` by a signal, and starts it again."""
    _end(int((folder / "started").read_text()), number)
    for name in ("pid", "exec/containerd/containerd.pid"):
        (folder / name).unlink(missing_ok=True)  # Of one that was killed, and is not believed to be dead.
    if why := _start(folder, *options):
        pytest.fail(f"the container engine does not start again: {why}")


@contextmanager
def _shared(factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The engine that all workers use: the first who asks starts it, the last who goes stops it."""
    if host := os.environ.get("DOCKER_HOST"):
        why = Engine(host).answers()
        if not why:
            yield Engine(host)
            return
    folder = _shared_folder(factory)
    with (folder / "users.lock").open("w") as users:
        with _locked(folder / "start.lock"):
            fcntl.flock(users, fcntl.LOCK_SH)
            if Engine(_address(folder)).answers():
                _begin(folder)
        try:
            yield Engine(_address(folder))
        finally:
            with _locked(folder / "start.lock"):
                fcntl.flock(users, fcntl.LOCK_UN)
                with suppress(BlockingIOError):
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _stop(int((folder / "started").read_text()), folder)


def _shared_folder(factory: pytest.TempPathFactory) -> Path:
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "engine"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _address(folder: Path) -> str:
    return f"unix://{folder}/socket"


def _begin(folder: Path, *options: str) -> None:
    """Skips the test with the engine's last words if it can't run here."""
    if os.geteuid():
        pytest.skip("starting a container engine needs root, and $DOCKER_HOST names none that answers")
    if why := _start(folder, *options):
        _stop(int((folder / "started").read_text()), folder)
        pytest.skip(f"the container engine does not start here: {why}")


def _start(folder: Path, *options: str) -> str:
    """Why it does not answer; empty if it does."""
    program = _program("dockerd")
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    if _is_overlay(data):
        # No engine lays an overlay over an overlay: each container would be a copy of the image.
        subprocess.run(["mount", "-t", "tmpfs", "gotdata-test", data], capture_output=True)
    command = [program, "--data-root", data, "--exec-root", folder / "exec", "--pidfile", folder / "pid"]
    command += ["-H", _address(folder), *options]
    environ = {name: value for name, value in os.environ.items() if name != "DOCKER_HOST"}
    with (folder / "log").open("ab") as log:
        # No child of this process: it may outlive it, and be stopped by another worker.
        spawned = subprocess.run(
            ["setsid", "sh", "-c", '"$@" >&2 & echo $!', "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environ,
            check=True,
        )
    pid = int(spawned.stdout)
    (folder / "started").write_text(str(pid))
    end = time.monotonic() + READY
    while Engine(_address(folder)).answers():
        if _ended(pid) or time.monotonic() > end:
            return " | ".join((folder / "log").read_text("utf-8", "replace").strip().splitlines()[-3:])
        time.sleep(0.1)
    return ""


def _ended(pid: int) -> bool:
    """Also when nobody has asked for its exit code yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _end(pid: int, number: int = signal.SIGTERM) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
    end = time.monotonic() + READY
    while not _ended(pid) and time.monotonic() < end:
        time.sleep(0.05)


def _stop(pid: int, folder: Path) -> None:
    _end(pid)
    from gotdata.fuse import mounting  # Only Linux has it.

    below = [mount.point for mount in mounting.mounts() if mount.point.startswith(f"{folder}/")]
    for point in reversed(below):
        subprocess.run(["umount", "--lazy", point], capture_output=True)
    shutil.rmtree(folder / "data", ignore_errors=True)


def _is_overlay(folder: Path) -> bool:
    done = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True, check=True)
    return done.stdout.strip() == "overlayfs"


def have_image(engine: Engine) -> None:
    if engine.docker("image", "inspect", engine.image, check=False).returncode:
        engine.docker("import", _image(), engine.image)


def _image() -> Path:
    """A tar file, made of Debian's packages the first time, which takes a minute, and kept in the cache folder."""
    system: Mapping[str, str] = platform.freedesktop_os_release()
    if system.get("ID") != "debian":
        pytest.skip(f"images for tests are made of Debian's packages, this is {system.get('ID')}")
    suite = system["VERSION_CODENAME"]
    made_of = hashlib.sha256(" ".join((suite, platform.machine(), *PACKAGES)).encode()).hexdigest()[:12]
    file = _CACHE / f"image-{made_of}.tar"
    if not file.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        with _locked(_CACHE / "lock"):
            if not file.exists():
                _bootstrap(suite, file)
    return file


def _bootstrap(suite: str, file: Path) -> None:
    if os.geteuid():
        pytest.skip("making an image for tests needs root")
    with tempfile.TemporaryDirectory(prefix="gotdata-image-") as name:
        root = Path(name) / "root"
        command = [_program("debootstrap"), "--variant=minbase", f"--include={','.join(PACKAGES)}", suite, str(root)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"debootstrap can't make an image here: {' '.join((done.stdout + done.stderr).split())[-300:]}")
        for waste in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale", "usr/share/man"):
            shutil.rmtree(root / waste, ignore_errors=True)
        part = file.with_suffix(".part")
        subprocess.run(["tar", "-C", root, "--one-file-system", "-cf", part, "."], check=True, capture_output=True)
        part.rename(file)


def _program(name: str) -> str:
    package = {"docker": "docker.io", "dockerd": "docker.io"}.get(name, name)
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install {package}")
    return found

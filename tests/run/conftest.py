"""Places where an ordinary user runs commands: this machine, and a container of which nothing was asked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("`gotdata run` needs Linux", allow_module_level=True)

from packaging.requirements import Requirement

from gotdata.testing.server import Server
from tests.e2e import images
from tests.e2e.engine import Engine

USER = os.geteuid() or 1000
"""An ordinary user: this one, where it is not root."""
BIG = bytes(range(256)) * 4000
CONTENT = {
    "a.txt": b"hello\n",
    "deep/er/b.bin": BIG,
    "deep/it's a name.txt": b"odd\n",
    "empty": b"",
    "nul": bytes(4096),
}


@dataclass
class Place:
    """A folder for a repository whose data is at ``data/cells``, and how an ordinary user runs commands in it."""

    root: Path
    prefix: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)

    def command(self, *words: str) -> list[str]:
        return [*self.prefix, *words]

    def popen(self, *words: str, **options: object) -> subprocess.Popen[str]:
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **options}
        return subprocess.Popen(self.command(*words), cwd=self.root, env=self.env, text=True, **options)  # type: ignore[call-overload,no-any-return]

    def gotdata(self, *words: str) -> list[str]:
        return ["python3", "-P", "-m", "gotdata", *words]

    def run(self, *words: str, code: int = 0, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        process = self.popen(*words)
        try:
            out, err = process.communicate(timeout=timeout)
        finally:
            process.kill()
        assert process.returncode == code, (process.returncode, out, err)
        assert "Traceback" not in err
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def has(self, program: str) -> bool:
        words = self.command("sh", "-c", f"command -v {program}")
        return not subprocess.run(words, cwd=self.root, env=self.env, capture_output=True).returncode

    def opened(self, *command: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Runs a command whose opens are answered; sees to it that nothing of it is left."""
        done = self.run(*self.gotdata("run", "--as", "open", "--", *command), code=code)
        assert self.left() == []
        return done

    def sh(self, script: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        return self.opened("sh", "-c", script, code=code)

    def left(self) -> list[str]:
        """What runs have left in the repository."""
        places = [
            self.root / "data",
            *(self.root / ".gotdata").glob("r*/*"),
            *(self.root / ".gotdata/staging").glob("*"),
        ]
        return [str(path.relative_to(self.root)) for path in places if path.exists()]

    def manifest(self, url: str) -> None:
        (self.root / "gotdata.yml").write_text(f"gotdata: 1\ndata:\n  cells:\n    from: {url}\n")


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with Server() as served:
        for path, body in CONTENT.items():
            served.put(f"cells/{path}", body)
        yield served


@pytest.fixture(scope="session")
def common() -> Iterator[Path]:
    """A folder that every user may enter, which those of pytest are not."""
    with tempfile.TemporaryDirectory(prefix="gotdata-run-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def installed(common: Path) -> Path:
    """gotdata and what it needs, where every user may read it."""
    folder = common / "installed"
    shutil.copytree(Path(images.ROOT, "src/gotdata"), folder / "gotdata", ignore=shutil.ignore_patterns("__pycache__"))
    names, seen = ["gotdata"], set[str]()
    while names:
        name = names.pop()
        if name in seen:
            continue
        seen.add(name)
        distribution = metadata.distribution(name)
        for file in distribution.files or ():
            if ".." not in file.parts and file.suffix not in (".pth", ".pyc"):
                target = folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(distribution.locate_file(file)), target)
        wanted = [Requirement(text) for text in distribution.requires or ()]
        names += [one.name for one in wanted if not one.marker or one.marker.evaluate({"extra": ""})]
    subprocess.run(["chmod", "-R", "a+rX", str(folder)], check=True)
    return folder


def _python() -> str:
    """One that every user may run."""
    own = Path(sys.executable).resolve()
    if all(parent.stat().st_mode & 0o001 for parent in own.parents):
        return str(own)
    other = Path(f"/usr/bin/python3.{sys.version_info.minor}")
    if not other.exists():
        pytest.skip(f"{own} is root's alone, and there is no {other}")
    return str(other)


def _host(folder: Path, installed: Path) -> Place:
    """This machine, as a user who may nothing; with a home and a store of its own."""
    for name in ("bin", "home", "repository"):
        (folder / name).mkdir(parents=True)
    (folder / "bin/python3").symlink_to(_python())
    prefix: list[str] = []
    if os.geteuid() == 0:
        prefix = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
        for name in ("home", "repository"):
            os.chown(folder / name, USER, USER)
    env = {
        "PATH": f"{folder / 'bin'}:/usr/bin:/bin",
        "HOME": str(folder / "home"),
        "PYTHONPATH": str(installed),
        "PYTHONDONTWRITEBYTECODE": "1",
        "GOTDATA_STORE": str(folder / "home/store"),
        "GOTDATA_RETRIES": "0",
    }
    return Place(folder / "repository", prefix, env)


@pytest.fixture(scope="session")
def host(common: Path, installed: Path, server: Server) -> Place:
    place = _host(common / "host", installed)
    place.manifest(f"{server.url}cells/")
    place.run(*place.gotdata("lock"))
    return place


@pytest.fixture
def origin() -> Iterator[Server]:
    """The same data, for one test to play with."""
    with Server() as served:
        for path, body in CONTENT.items():
            served.put(f"cells/{path}", body)
        yield served


@pytest.fixture
def fresh(common: Path, installed: Path, origin: Server) -> Place:
    """As ``host``, with nothing fetched yet."""
    place = _host(Path(tempfile.mkdtemp(prefix="fresh-", dir=common)), installed)
    place.root.parent.chmod(0o755)
    place.manifest(f"{origin.url}cells/")
    place.run(*place.gotdata("lock"))
    return place


@pytest.fixture(scope="session")
def container(tmp_path_factory: pytest.TempPathFactory, common: Path, engine: Engine) -> Iterator[Place]:
    """A container of which nothing was asked: no capability, no device, no option. It serves its own data."""
    image = images.gotdata(engine, tmp_path_factory.mktemp("image"))
    folder = common / "container"
    (folder / "repository").mkdir(parents=True)
    for path, body in CONTENT.items():
        target = folder / "served/cells" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(body)
    os.chown(folder / "repository", USER, -1)
    serve = ["-m", "http.server", "--bind", "127.0.0.1", "--directory", str(folder / "served"), "8000"]
    options = ["--entrypoint", "python3"]
    id = engine.run(
        image, *serve, volumes=[f"{folder}:{folder}"], user=str(USER), detach=True, options=options
    ).stdout.strip()
    environ = {"HOME": "/tmp", "GOTDATA_STORE": "/tmp/store"}
    given = [word for name, value in environ.items() for word in ("-e", f"{name}={value}")]
    prefix = ["docker", "exec", "-w", str(folder / "repository"), *given, id]
    place = Place(folder / "repository", prefix, engine.environ)
    place.manifest("http://127.0.0.1:8000/cells/")
    answers = "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 8000))' 2> /dev/null"
    place.run("sh", "-c", f"until {answers}; do :; done")
    place.run(*place.gotdata("lock"))
    yield place
    engine.docker("rm", "-f", id)


@pytest.fixture(scope="session", params=["host", "container"])
def place(request: pytest.FixtureRequest) -> Place:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Place)
    return found

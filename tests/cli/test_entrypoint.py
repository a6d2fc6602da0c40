"""What starts a container: the command runs, whatever becomes of the data."""

from __future__ import annotations

import hashlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("entrypoints are Linux's", allow_module_level=True)

from gotdata import entrypoint
from gotdata.project import Project
from gotdata.testing.server import Server
from tests.cli.test_whole_way import Hold

CELLS, MICE = b"cells\n" * 10_000, b"m" * 300_000
INIT = Path(__file__).with_name("init.py")


@dataclass
class Container:
    """The working folder of one, and its environment."""

    root: Path
    server: Server
    environ: dict[str, str] = field(default_factory=dict)

    def manifest(self, *entries: str, lock: bool = True) -> None:
        lines = "".join(f"  {entry.format(url=self.server.url)}\n" for entry in entries)
        (self.root / "gotdata.yml").write_text(f"gotdata: 1\ndata:\n{lines}")
        if lock:
            with Project.find(self.root) as project:
                project.lock()

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "gotdata", "entrypoint", *words]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*words),
            cwd=self.root,
            env={**os.environ, **self.environ},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as served:
        served.put("cells/cells.txt", CELLS)
        served.put("mice/mice.bin", MICE)
        yield served


@pytest.fixture
def container(tmp_path: Path, server: Server, store: Path, monkeypatch: pytest.MonkeyPatch) -> Container:
    monkeypatch.setenv("GOTDATA_RETRIES", "0")
    (tmp_path / "work").mkdir()
    return Container(tmp_path / "work", server, {"GOTDATA_NETWORKS": "127.0.0.0/8"})


CELLS_COPY = "cells: {{from: {url}cells/, as: copy}}"
MICE_COPY = "mice: {{from: {url}mice/, as: copy}}"


def test_without_a_manifest_it_is_the_command_and_nothing_else(container: Container) -> None:
    done = container.run("--", "sh", "-c", "echo $PPID; ls -A; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, f"{os.getpid()}\n", "")


def test_data_is_there_before_the_command_which_becomes_this_process(container: Container) -> None:
    container.manifest(CELLS_COPY)
    said = subprocess.Popen(
        container.command("--", "sh", "-c", "md5sum < data/cells/cells.txt; echo $$"),
        cwd=container.root,
        env={**os.environ, **container.environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, err = said.communicate(timeout=60)
    assert out == f"{hashlib.md5(CELLS).hexdigest()}  -\n{said.pid}\n"
    assert "cells is at data/cells: copy, 60 kB" in err


def test_the_command_has_the_signals_of_one_that_was_started_directly(container: Container) -> None:
    container.manifest(CELLS_COPY)
    asked = "grep SigIgn /proc/self/status"
    direct = subprocess.run(["sh", "-c", asked], capture_output=True, text=True).stdout
    assert container.run("--", "sh", "-c", asked).stdout == direct


def test_what_takes_longer_goes_on_behind_the_command(container: Container) -> None:
    container.manifest(CELLS_COPY, MICE_COPY)
    hold = Hold()
    container.server.change("mice/mice.bin", hold=hold)
    process = subprocess.Popen(
        container.command("--", "sh", "-c", "ls -A data/*; read line; cat data/mice/mice.bin"),
        cwd=container.root,
        env={**os.environ, **container.environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout
        assert process.stderr
        seen = b""
        while b"data/mice:\n" not in seen:
            assert select.select([process.stdout], [], [], 30)[0]
            seen += os.read(process.stdout.fileno(), 4096)
        assert b"cells.txt" in seen
        assert b"mice.bin" not in seen
        hold.set()
        said = b""
        while b"mice is at data/mice" not in said:
            assert select.select([process.stderr], [], [], 30)[0]
            said += os.read(process.stderr.fileno(), 4096)
        assert b"data is still on its way; the command starts" in said
        out, _ = process.communicate(b"\n", timeout=30)
        assert out.endswith(MICE)
    finally:
        hold.set()
        process.kill()


@pytest.mark.parametrize(
    ("change", "said"),
    [({"always": 503}, "cells is missing: "), ({"always": 403}, "403"), ({"etag": '"other"'}, "cells is missing: ")],
    ids=["unavailable", "refused", "changed"],
)
def test_what_can_not_be_had_is_told_and_keeps_nothing_away(
    container: Container, change: dict[str, object], said: str
) -> None:
    container.manifest(CELLS_COPY, MICE_COPY)
    container.server.change("cells/cells.txt", **change)
    done = container.run("--", "sh", "-c", "ls data/mice; ls data/cells; exit 3")
    assert done.returncode == 3
    assert done.stdout == "mice.bin\n"
    assert said in done.stderr


def test_strict_starts_no_command_without_all_of_its_data(container: Container) -> None:
    container.manifest(CELLS_COPY, MICE_COPY)
    container.server.change("cells/cells.txt", always=403)
    done = container.run("--strict", "--", "echo", "started")
    assert (done.returncode, done.stdout) == (5, "")
    assert "cells is missing" in done.stderr
    container.server.change("cells/cells.txt", always=None)
    assert container.run("--strict", "--", "echo", "started").stdout == "started\n"


@pytest.mark.parametrize("manifest", ["data: [", "gotdata: 1\ndata:\n  x: {form: ./y}\n"])
def test_a_manifest_with_faults_keeps_nobody_from_working(container: Container, manifest: str) -> None:
    (container.root / "gotdata.yml").write_text(manifest)
    done = container.run("--", "echo", "started")
    assert (done.returncode, done.stdout) == (0, "started\n")
    assert "gotdata.yml:" in done.stderr
    assert container.run("--strict", "--", "echo", "started").returncode == 2


def test_two_manifests_keep_nobody_from_working(container: Container) -> None:
    (container.root / "binder").mkdir()
    for place in ("", "binder"):
        (container.root / place / "gotdata.yml").write_text("gotdata: 1\n")
    done = container.run("--", "echo", "started")
    assert done.stdout == "started\n"
    assert "two manifests" in done.stderr


def test_what_people_have_at_a_target_stays(container: Container) -> None:
    container.manifest(CELLS_COPY)
    (container.root / "data/cells").mkdir(parents=True)
    (container.root / "data/cells/thesis.tex").write_text("mine")
    done = container.run("--", "cat", "data/cells/thesis.tex")
    assert done.stdout == "mine"
    assert "cells is missing" in done.stderr


def test_a_private_address_is_not_asked_unless_the_settings_allow_it(container: Container) -> None:
    container.manifest(CELLS_COPY)
    container.environ.clear()
    asked = len(container.server.requests)
    done = container.run("--", "echo", "started")
    assert done.stdout == "started\n"
    assert "cells is missing: " in done.stderr
    assert len(container.server.requests) == asked


def test_one_inside_of_another_leaves_the_work_to_that(container: Container) -> None:
    container.manifest(CELLS_COPY)
    container.server.change("cells/cells.txt", always=403)
    done = container.run("--", *container.command("--", "echo", "started"))
    assert done.stdout == "started\n"
    assert done.stderr.count("cells is missing") == 1
    assert container.run("--", *container.command("--strict", "--", "echo", "started")).returncode == 5


def test_the_repository_may_be_elsewhere(container: Container, tmp_path: Path) -> None:
    container.manifest(CELLS_COPY)
    (tmp_path / "elsewhere").mkdir()
    done = subprocess.run(
        container.command("--repository", str(container.root), "--", "pwd"),
        cwd=tmp_path / "elsewhere",
        env={**os.environ, **container.environ},
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"{tmp_path}/elsewhere\n"
    assert (container.root / "data/cells/cells.txt").read_bytes() == CELLS


@pytest.mark.parametrize(("command", "code"), [("no-such-command", 127), ("/", 126)])
def test_a_command_that_can_not_be_started_is_told_as_shells_do(container: Container, command: str, code: int) -> None:
    done = container.run("--", command)
    assert done.returncode == code
    assert f"gotdata: {command}: " in done.stderr


def test_no_command_is_2(container: Container) -> None:
    assert container.run().returncode == 2


@pytest.mark.parametrize("late", [False, True])
def test_nothing_that_ended_is_left_to_a_command_that_reaps_nobody(late: bool) -> None:
    """In a process to which orphans come, as they do to the first of a container."""
    done = subprocess.run(
        [sys.executable, INIT, "late" if late else "soon"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    states = json.loads(done.stdout)
    assert "Z" not in states
    assert len(states) == (1 if late else 0)


def test_work_that_is_killed_is_an_error_and_no_wait() -> None:
    def work() -> int:
        os.kill(os.getpid(), 9)
        return 0

    assert entrypoint.begin(work, 30) == 1


def test_work_has_neither_the_commands_input_nor_its_output(tmp_path: Path) -> None:
    seen = tmp_path / "seen"

    def work() -> int:
        seen.write_text(" ".join(os.readlink(f"/proc/self/fd/{fd}") for fd in (0, 1)))
        return 0

    assert entrypoint.begin(work, 30) == 0
    assert seen.read_text() == "/dev/null /dev/null"

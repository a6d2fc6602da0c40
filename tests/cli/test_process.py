"""The command line as a process of its own: pipes, signals, locales, and how fast it starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import pytest

from gotdata import __version__
from gotdata.cli import front

COMMAND = [sys.executable, "-m", "gotdata"]


def gotdata(*args: str, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *args], cwd=cwd, env={**os.environ, **environ}, capture_output=True, text=True, encoding="utf-8"
    )


@pytest.mark.parametrize("args", [[], ["-h"], ["--help"]], ids=str)
def test_the_first_page_of_help_needs_no_parser(args: list[str]) -> None:
    script = "import sys; from gotdata.cli.main import main; code = main(); sys.exit(code or 'click' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script, *args], capture_output=True, text=True, encoding="utf-8")
    assert (done.returncode, done.stdout, done.stderr) == (0, front.page(), "")


def test_the_parser_says_the_same_page() -> None:
    assert gotdata("--quiet", "--help").stdout == front.page()


@pytest.mark.parametrize("module", ["gotdata", "gotdata.cli.main", "gotdata.cli.front"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    script = f"import sys; import {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert module in loaded
    assert not {"click", "rich", "msgspec", "urllib3", "ruamel", "pathspec", "dataclasses", "sqlite3"} & {*loaded}


def test_the_version() -> None:
    assert gotdata("--version").stdout == f"gotdata {__version__}\n"


def test_a_console_without_unicode_gets_escapes(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "doctor"],
        env={**os.environ, "PYTHONIOENCODING": "ascii", "GOTDATA_STORE": str(tmp_path / "zellen-ü")},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert b"zellen-\\xfc" in done.stdout


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("args", [["--help"], ["schema"], ["doctor"]], ids=" ".join)
def test_a_reader_that_went_away_hears_nothing_more(args: list[str], unbuffered: str, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    environ = {**os.environ, "PYTHONUNBUFFERED": unbuffered, "GOTDATA_STORE": str(tmp_path)}
    done = subprocess.run([*COMMAND, *args], stdout=writer, stderr=subprocess.PIPE, env=environ)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_verb_that_is_not_there_is_usage() -> None:
    done = gotdata("frobnicate")
    assert done.returncode == 2
    assert "frobnicate" in done.stderr


FAKE = """
import signal, sys, threading
from gotdata.cli import call
from gotdata.cli.main import run
from tests.cli.fakes import FakeProject

class Project(FakeProject):
    def up(self, *_, **__):
        print("asked", flush=True)
        {up}
    def down(self, names, lazy):
        print("down" if lazy else "", flush=True)

made = call.Call(find_project=lambda *_: Project())
call.GRACE = 0.1
signal.signal(signal.SIGINT, made.interrupt)
sys.exit(run(sys.argv[1:], made))
"""

WAIT = "threading.Event().wait()"
"""For good, as for a server that says nothing."""


def started(up: str, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", FAKE.format(up=up), *args],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def line(stream: IO[Any] | None) -> str:
    assert stream is not None
    return str(stream.readline())


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_ctrl_c_is_130_and_no_traceback() -> None:
    process = started(WAIT, "up")
    assert line(process.stdout) == "asked\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (130, "", "gotdata: interrupted\n")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
@pytest.mark.parametrize(
    "stubborn",
    [
        f"threading.Thread(target=lambda: {WAIT}).start(); {WAIT}",
        f"""
        try:
            {WAIT}
        finally:
            {WAIT}""",
    ],
    ids=["a thread", "the cleaning up"],
)
def test_ctrl_c_ends_what_does_not_end_by_itself(stubborn: str) -> None:
    process = started(stubborn, "up")
    assert line(process.stdout) == "asked\n"
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_in_the_foreground_it_stays_until_a_signal_and_cleans_up(name: str) -> None:
    process = started("return []", "up", "--foreground", "--json")
    assert [line(process.stdout), line(process.stdout)] == ["asked\n", "[]\n"]
    process.send_signal(signal.Signals[name])
    out, err = process.communicate()
    assert (process.returncode, out, err) == (0, "down\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_interrupted_on_the_way_up_in_the_foreground_is_130_and_cleans_up() -> None:
    process = started(WAIT, "up", "--foreground")
    assert line(process.stdout) == "asked\n"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (130, "down\n", "gotdata: interrupted\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str) -> None:
    done = gotdata("completion", shell)
    assert done.returncode == 0
    assert front.COMPLETE in done.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("gotdata st", "plain,status"),
        ("gotdata up ce", "plain,cells"),
        ("gotdata fetch ", "plain,cells\nplain,mice"),
        ("gotdata ls mi", "plain,mice"),
        ("gotdata up --fo", "plain,--foreground"),
    ],
)
def test_completion_knows_verbs_options_and_datasets(tmp_path: Path, words: str, expected: str) -> None:
    (tmp_path / "gotdata.yml").write_text("gotdata: 1\ndata:\n  cells: {from: ./a}\n  mice: {from: ./b}\n")
    asked = {front.COMPLETE: "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    assert gotdata(cwd=tmp_path, **asked).stdout.rstrip("\n") == expected


def test_completion_follows_the_folder_and_never_fails(tmp_path: Path) -> None:
    asked = {front.COMPLETE: "bash_complete", "COMP_WORDS": "gotdata up c", "COMP_CWORD": "2"}
    done = gotdata(cwd=tmp_path, **asked)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "gotdata.yml").write_text("gotdata: 1\ndata:\n  cells: {from: ./a}\n")
    asked |= {"COMP_WORDS": "gotdata -C a up c", "COMP_CWORD": "4"}
    assert gotdata(cwd=tmp_path, **asked).stdout == "plain,cells\n"

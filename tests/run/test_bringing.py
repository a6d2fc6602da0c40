"""Files on their way to who opens them: fetched once, without keeping others, with an error where they can't be had."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.run.conftest import BIG

if TYPE_CHECKING:
    from gotdata.testing.server import Server
    from tests.run.conftest import Place

if sys.platform != "linux":
    pytest.skip("`gotdata run` needs Linux", allow_module_level=True)

OPEN = ("run", "--as", "open", "--")
BIN = "cells/deep/er/b.bin"


class Hold(threading.Event):
    """Holds a body back; ``reached`` is set when one is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.reached.set()
        return super().wait(timeout)


@contextmanager
def running(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def fetched(origin: Server, path: str) -> int:
    return sum(request.path.endswith(path) and request.method == "GET" for request in origin.requests)


def test_nothing_is_fetched_before_it_is_opened(fresh: Place, origin: Server) -> None:
    before = len(origin.requests)
    assert fresh.sh("ls -l data/cells/*; echo done").stdout.endswith("done\n")
    assert len(origin.requests) == before
    assert fresh.sh("cat data/cells/a.txt").stdout == "hello\n"
    assert {request.path for request in origin.requests[before:]} == {"/cells/a.txt"}


def test_many_who_open_one_file_fetch_it_once(fresh: Place, origin: Server) -> None:
    hold = Hold()
    origin.change(BIN, hold=hold)
    script = "for i in 1 2 3 4 5 6 7 8; do sha256sum data/cells/deep/er/b.bin & done; wait"
    with running(fresh.popen(*fresh.gotdata(*OPEN, "sh", "-c", script))) as process:
        assert hold.reached.wait(30)
        hold.set()
        out, _ = process.communicate(timeout=30)
    assert len(set(out.splitlines())) == 1
    assert len(out.splitlines()) == 8
    assert fetched(origin, BIN) <= len(BIG) // (256 * 1024) + 1


def test_who_waits_for_bytes_keeps_nobody_else(fresh: Place, origin: Server) -> None:
    hold = Hold()
    origin.change(BIN, hold=hold)
    script = "cat data/cells/deep/er/b.bin > got & cat data/cells/a.txt data/cells/deep/it*; echo go; wait"
    with running(fresh.popen(*fresh.gotdata(*OPEN, "sh", "-c", script))) as process:
        assert [line(process) for _ in range(3)] == ["hello", "odd", "go"]
        assert hold.reached.wait(30)
        hold.set()
        assert process.wait(30) == 0
    assert (fresh.root / "got").read_bytes() == BIG


def test_an_origin_that_is_gone_is_an_error_that_says_so(fresh: Place, origin: Server) -> None:
    origin.change(BIN, always=503)
    done = fresh.sh("cat data/cells/deep/er/b.bin || cat data/cells/a.txt; cat data/cells/deep/er/b.bin", code=1)
    assert done.stdout == "hello\n"
    assert done.stderr.count("Input/output error") == 2
    (told,) = [text for text in done.stderr.splitlines() if text.startswith("gotdata: cells/deep/er/b.bin")]
    assert "503" in told
    assert origin.url in told


def test_bytes_that_are_not_what_was_locked_are_given_to_nobody(fresh: Place, origin: Server) -> None:
    origin.put("cells/a.txt", b"other\n")
    done = fresh.sh("cat data/cells/a.txt", code=1)
    assert done.stdout == ""
    assert "Input/output error" in done.stderr


def test_a_full_disk_is_an_error(fresh: Place) -> None:
    fresh.env = {**fresh.env, "GOTDATA_STORE_QUOTA": "1", "GOTDATA_STORE_KEEP_FREE": str(1 << 60)}
    done = fresh.sh("cat data/cells/deep/er/b.bin", code=1)
    assert "Input/output error" in done.stderr
    assert "free" in done.stderr


def test_files_of_this_machine_are_read_as_they_were(fresh: Place) -> None:
    """Each open gives what the file was when it was opened first; a change of it is an error to who comes after."""
    (fresh.root / "own").mkdir()
    (fresh.root / "own/x.txt").write_text("first\n")
    for path in (fresh.root / "own", fresh.root / "own/x.txt"):
        os.chown(path, fresh.root.stat().st_uid, -1)
    fresh.manifest("./own")
    script = (
        "exec 3< data/cells/x.txt; echo other > own/x.txt; cat <&3; cat data/cells/x.txt; stat -Lc %h /dev/stdin <&3"
    )
    done = fresh.sh(script)
    assert done.stdout == "first\n0\n"
    assert "changed since it was locked" in done.stderr


def test_an_end_that_is_asked_for_is_the_commands(fresh: Place) -> None:
    script = "trap 'echo asked; exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    with running(fresh.popen(*fresh.gotdata(*OPEN, "sh", "-c", script))) as process:
        assert line(process) == "ready"
        process.send_signal(signal.SIGTERM)
        assert line(process) == "asked"
        assert process.wait(30) == 9
    assert fresh.left() == []


ANSWERS = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
print("ready", flush=True)
signal.sigwait([signal.SIGINT])
exit(9)
"""
DIES = """
import signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
print("ready", flush=True)
signal.pause()
"""


@pytest.mark.parametrize(("script", "code"), [(ANSWERS, 9), (DIES, 130)], ids=["answers", "dies"])
@pytest.mark.parametrize("way", ["open", "copy"])
def test_ctrl_c_is_the_commands_to_answer(fresh: Place, script: str, code: int, way: str) -> None:
    with in_terminal(fresh, "run", "--as", way, "--", "python3", "-c", script) as (process, terminal):
        until(terminal, b"ready")
        os.write(terminal, b"\x03")
        assert process.wait(30) == code
    assert fresh.left() == []


def test_a_command_has_the_terminal(fresh: Place) -> None:
    script = 'read line; echo "got $line"; test -t 0 && test -t 1'
    with in_terminal(fresh, *OPEN, "sh", "-c", script) as (process, terminal):
        os.write(terminal, b"word\n")
        until(terminal, b"got word")
        assert process.wait(30) == 0


@contextmanager
def in_terminal(place: Place, *words: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """``gotdata WORDS`` in a terminal of its own."""
    ours, theirs = pty.openpty()
    command = ["setsid", "--ctty", *place.command(*place.gotdata(*words))]
    process = subprocess.Popen(command, cwd=place.root, env=place.env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def until(terminal: int, word: bytes) -> None:
    said = b""
    while word not in said:
        said += os.read(terminal, 1000)


def test_who_no_longer_waits_for_bytes_keeps_no_run_from_its_end(fresh: Place, origin: Server) -> None:
    hold = Hold()
    origin.change(BIN, hold=hold)
    script = "cat data/cells/deep/er/b.bin & read x; kill $!; wait $!"
    with running(fresh.popen(*fresh.gotdata(*OPEN, "sh", "-c", script), stdin=-1)) as process:
        try:
            assert hold.reached.wait(30)
            process.communicate("\n", timeout=30)
        finally:
            hold.set()
    assert process.returncode == 143


def test_a_run_that_was_killed_with_all_its_processes_is_tidied_up(fresh: Place) -> None:
    script = "kill -9 $(awk '/^PPid/ { print $2 }' /proc/$PPID/status) $PPID $$"
    fresh.popen(*fresh.gotdata(*OPEN, "sh", "-c", script)).communicate()
    assert "data" in fresh.left()
    status = fresh.run(*fresh.gotdata("status")).stdout
    assert "killed" in status
    assert fresh.sh("cat data/cells/a.txt").stdout == "hello\n"


def test_what_up_has_brought_is_used_and_stays(fresh: Place) -> None:
    fresh.run(*fresh.gotdata("up", "--as", "copy"))
    done = fresh.run(*fresh.gotdata(*OPEN, "stat", "-c", "%a", "data/cells/a.txt"))
    assert done.stdout == "444\n"
    assert "as copy" in done.stderr
    assert (fresh.root / "data/cells/a.txt").read_bytes() == b"hello\n"


def test_up_during_a_run_does_not_take_its_data_away(fresh: Place) -> None:
    with running(
        fresh.popen(*fresh.gotdata(*OPEN, "sh", "-c", "echo ready; read x; cat data/cells/a.txt"), stdin=-1)
    ) as process:
        assert line(process) == "ready"
        for words in (("up", "--as", "copy"), ("down",)):
            assert "in use by a `gotdata run`" in fresh.run(*fresh.gotdata(*words), code=1).stderr
        out, _ = process.communicate("go\n", timeout=30)
    assert out == "hello\n"
    assert fresh.left() == []


def test_peoples_files_are_in_nobodys_way(fresh: Place) -> None:
    mine = fresh.root / "data/cells/mine"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    said = fresh.run(*fresh.gotdata(*OPEN, "true"), code=1).stderr
    assert "choose another `to:`" in said
    assert mine.read_text() == "mine"


def test_a_wish_for_a_copy_is_heard(fresh: Place) -> None:
    with (fresh.root / "gotdata.yml").open("a") as manifest:
        manifest.write("    as: copy\n")
    done = fresh.run(*fresh.gotdata("run", "--", "stat", "-c", "%a %s", "data/cells/a.txt"))
    assert done.stdout == "444 6\n"
    assert fresh.left() == []


def test_the_plan_says_which_way_and_why_not_a_better_one(fresh: Place) -> None:
    said = fresh.run(*fresh.gotdata("run", "--plan", "--as", "open")).stdout
    assert "cells → data/cells  as open: it was asked for" in said
    assert not (fresh.root / "data").exists()
    path = fresh.env["PATH"].split(":")[0]
    said = fresh.run("env", f"PATH={path}", *fresh.gotdata("run", "--plan")).stdout
    assert "fusermount3 is not installed" in said


def test_only_datasets_that_are_named(fresh: Place, origin: Server) -> None:
    with (fresh.root / "gotdata.yml").open("a") as manifest:
        manifest.write(f"  other:\n    from: {origin.url}cells/deep/\n")
    done = fresh.run(*fresh.gotdata("run", "--as", "open", "--data", "other", "--", "ls", "data"))
    assert done.stdout == "other\n"
    fresh.run(*fresh.gotdata("run", "--locked", "--", "true"))


def test_locked_refuses_what_the_lock_does_not_cover(fresh: Place, origin: Server) -> None:
    fresh.manifest(f"{origin.url}cells/deep/")
    assert "gotdata lock" in fresh.run(*fresh.gotdata("run", "--locked", "--", "true"), code=3).stderr


def test_without_a_command(fresh: Place) -> None:
    assert "which command?" in fresh.run(*fresh.gotdata("run"), code=2).stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="root may read placeholders: needs root")
def test_root_is_refused_placeholders(fresh: Place) -> None:
    fresh.prefix = []
    assert "may read what nobody may" in fresh.run(*fresh.gotdata(*OPEN, "true"), code=1).stderr

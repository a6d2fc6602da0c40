from __future__ import annotations

import io
import sys
import threading

import pytest

from gotdata import progress
from gotdata.progress import Bars, Lines, Progress
from gotdata.report import Event


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def events(lines: Progress, clock: Clock, seconds: float) -> None:
    """10 MB in each of ``seconds``."""
    for _ in range(int(seconds)):
        clock.now += 1
        lines(Event("fetched", dataset="cells", bytes=10**7))


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_lines_say_how_far_how_fast_and_how_long(clock: Clock) -> None:
    stream = io.StringIO()
    lines = Lines(stream, clock=clock)
    lines(Event("step", dataset="cells", text="copying"))
    lines(Event("plan", dataset="cells", bytes=10**8, files=20))
    lines(Event("delivered", dataset="cells", files=1))
    events(lines, clock, 5)
    assert stream.getvalue() == "cells: copying, 50 MB of 100 MB, 1 of 20 files, 10 MB/s, 5.0 s left\n"


def test_lines_come_seldom(clock: Clock) -> None:
    stream = io.StringIO()
    lines = Lines(stream, every=5, clock=clock)
    events(lines, clock, 4)
    assert stream.getvalue() == ""
    events(lines, clock, 21)
    assert len(stream.getvalue().splitlines()) == 5


def test_what_came_before_a_plan_is_no_part_of_what_is_still_to_come(clock: Clock) -> None:
    stream = io.StringIO()
    lines = Lines(stream, every=3, clock=clock)
    events(lines, clock, 1)
    lines(Event("plan", dataset="cells", bytes=2 * 10**7))
    events(lines, clock, 2)
    assert stream.getvalue() == "cells, 30 MB of 30 MB, 10 MB/s\n"


def test_what_is_here_already_counts_when_it_is_delivered(clock: Clock) -> None:
    stream = io.StringIO()
    lines = Lines(stream, every=1, clock=clock)
    lines(Event("plan", dataset="cells", text="copying cells", bytes=3 * 10**7, files=3))
    for _ in range(2):
        lines(Event("delivered", dataset="cells", bytes=10**7, files=1))
    events(lines, clock, 1)
    lines(Event("delivered", dataset="cells", bytes=10**7, files=1))
    clock.now += 1
    lines(Event("step", dataset="cells", text="done with cells"))
    assert stream.getvalue().splitlines() == [
        "copying cells, 20 MB of 30 MB, 2 of 3 files, 20 MB/s, 0.5 s left",
        "done with cells, 30 MB of 30 MB, 3 of 3 files, 15 MB/s",
    ]


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
@pytest.mark.parametrize("quiet", [False, True])
def test_warnings_are_always_said_and_once(stream: type[io.StringIO], quiet: bool) -> None:
    out = stream()
    reporter = progress.on(out, quiet=quiet)
    for _ in range(3):
        reporter(Event("warning", dataset="cells", text="two names \x1b[31m clash"))
    reporter.close()
    reporter(Event("warning", text="late"))
    assert out.getvalue() == "warning: cells: two names \\x1b[31m clash\nwarning: late\n"


def test_quiet_says_nothing_else(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    stream = Terminal()
    reporter = progress.on(stream, quiet=True)
    monkeypatch.setattr(reporter, "_clock", clock)
    events(reporter, clock, 1000)
    assert stream.getvalue() == ""


def test_bars_only_on_a_terminal_that_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(progress.on(Terminal()), Bars)
    assert isinstance(progress.on(io.StringIO()), Lines)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress.on(Terminal()), Lines)


def test_bars_show_bytes_rate_and_files_and_are_gone_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "150")
    stream = Terminal()
    bars = Bars(stream)
    bars(Event("step", dataset="cells", text="copying [bold]"))
    bars(Event("plan", dataset="cells", bytes=10**8, files=20))
    bars(Event("fetched", dataset="cells", bytes=5 * 10**7))
    bars(Event("delivered", dataset="cells", files=1))
    bars(Event("warning", dataset="cells", text="odd [red]name"))
    bars.close()
    bars.close()
    shown = stream.getvalue()
    assert "cells: copying [bold]" in shown
    assert "50.0/100.0 MB" in shown
    assert "1 of 20 files" in shown
    assert "warning: cells: odd [red]name" in shown
    assert shown.endswith("\x1b[2K"), "the bar's line is erased"
    bars(Event("fetched", dataset="cells", bytes=1))
    assert stream.getvalue() == shown


def test_a_stream_that_is_gone_is_no_failure(clock: Clock) -> None:
    stream = io.StringIO()
    stream.close()
    lines = Lines(stream, clock=clock)
    lines(Event("warning", text="unheard"))
    events(lines, clock, 10)


def test_events_may_come_from_any_thread(clock: Clock) -> None:
    stream = io.StringIO()
    lines = Lines(stream, every=1, clock=clock)

    def many() -> None:
        for _ in range(2000):
            lines(Event("fetched", bytes=1))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=many) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    clock.now += 1
    lines(Event("fetched", bytes=0))
    assert stream.getvalue().startswith("8.0 kB, ")

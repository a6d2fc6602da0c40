"""The lines that the processes of a mount leave."""

from __future__ import annotations

import os
import re
import sys

import pytest

from gotdata.errors import PolicyError, StoreError
from gotdata.fuse.log import Log

if sys.platform != "linux":
    pytest.skip("the meter counts in a ledger, which needs Linux", allow_module_level=True)

from gotdata.fuse.ledger import Ledger
from gotdata.fuse.meter import Meter


def test_a_line_has_a_time_and_neither_secrets_nor_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    Log()("cells/a\nb\x1b[2J: https://user:pw@example.org/x?token=secret failed")
    line = capsys.readouterr().err
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} cells/a\\nb\\x1b\[2J: .*failed\n", line)
    assert "pw" not in line
    assert "secret" not in line


def test_the_same_line_again_is_left_out_for_a_while(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("gotdata.fuse.log.time.monotonic", lambda: now)
    log = Log()
    for now in (0.0, 5.0, 9.0, 11.0):
        log("again")
        log("other" if now == 5.0 else "again")
    lines = [line.split(" ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert lines == ["again", "other", "again"]


def test_what_is_remembered_of_lines_is_bounded() -> None:
    log = Log()
    for number in range(1000):
        log(f"line {number}")
    assert len(log._last) == 256


def test_an_unexpected_error_leaves_its_traceback_indented(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError("odd")
    except ValueError as error:
        Log().unexpected("cells/a", error)
    first, *trace = capsys.readouterr().err.splitlines()
    assert first.endswith("cells/a: unexpected ValueError: odd")
    assert all(line.startswith("    ") for line in trace)


def test_the_meter_warns_once_and_names_the_process(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    meter = Meter("cells", warn=100, limit=0, ledger=ledger, log=Log())
    for _ in range(4):
        meter.count(50, os.getpid())
    (line,) = capsys.readouterr().err.splitlines()
    assert f"process {os.getpid()} (" in line


def test_the_meter_counts_each_process_by_itself(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    meter = Meter("cells", warn=100, limit=0, ledger=ledger, log=Log())
    for pid in (2**22 + 1, 2**22 + 2, 2**22 + 3):
        meter.count(100, pid)
    assert capsys.readouterr().err == ""


def test_the_meter_refuses_what_is_above_its_limit_and_nothing_else(ledger: Ledger) -> None:
    meter = Meter("cells", warn=0, limit=100, ledger=ledger, log=Log())
    assert meter.left(60) == 40
    meter.count(60, 1)
    with pytest.raises(StoreError, match="60 bytes were fetched for this mount, and max_fetch is 100"):
        meter.left(50)
    assert meter.left(40) == 0


def test_the_meter_heeds_what_the_operator_allows(ledger: Ledger) -> None:
    meter = Meter("cells", warn=0, limit=0, ledger=ledger, log=Log())
    meter.count(60, 1)
    ledger.allow(40)
    assert meter.left(30) == 10
    meter.count(40, 1)
    with pytest.raises(PolicyError, match=r"cells: 100 bytes were fetched.*the operator's policy allows no more"):
        meter.left(1)
    ledger.allow(None)
    assert meter.left(1) > 1 << 60

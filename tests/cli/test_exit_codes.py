"""Every way out of the command line has its number, and its words."""

from __future__ import annotations

import json

import pytest

from gotdata import errors
from gotdata.cli import call, front
from gotdata.errors import GotdataError
from gotdata.outcome import Drift, Verified
from tests.cli.fakes import Line


def every(kind: type[GotdataError]) -> list[type[GotdataError]]:
    return [kind, *(deeper for below in kind.__subclasses__() for deeper in every(below))]


@pytest.mark.parametrize("kind", every(GotdataError), ids=lambda kind: kind.__name__)
def test_every_error_ends_with_its_own_code_and_without_a_traceback(gotdata: Line, kind: type[GotdataError]) -> None:
    gotdata.project.answers["up"] = kind("cells: something, try this")
    said = gotdata("up")
    assert said.code == kind.exit_code
    assert said.code in front.EXITS
    assert said.err == "gotdata: cells: something, try this\n"
    assert said.out == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.GotdataError, 1),
        (errors.ManifestError, 2),
        (errors.IntegrityError, 3),
        (errors.UpstreamChanged, 3),
        (errors.SourceUnavailable, 4),
        (errors.AuthRequired, 5),
        (errors.AccessDenied, 5),
        (errors.PolicyError, 5),
        (errors.NotFound, 1),
    ],
)
def test_codes_are_those_that_scripts_rely_on(error: type[GotdataError], code: int) -> None:
    assert error.exit_code == code


def test_an_error_of_several_lines_keeps_them(gotdata: Line) -> None:
    gotdata.project.answers["status"] = errors.ManifestError("a.yml:1:1: one\na.yml:2:1: two")
    assert gotdata("status").err == "gotdata: a.yml:1:1: one\ngotdata: a.yml:2:1: two\n"


def test_an_error_is_json_where_the_answer_would_be(gotdata: Line) -> None:
    gotdata.project.answers["status"] = errors.SourceUnavailable("try again")
    said = gotdata("status", "--json")
    assert said.out == ""
    assert json.loads(said.err) == {
        "error": "SourceUnavailable",
        "exit_code": 4,
        "message": "try again",
        "transient": True,
    }


def test_an_error_shows_no_secret_and_no_escape_sequence(gotdata: Line) -> None:
    gotdata.project.answers["up"] = errors.SourceError("https://me:hunter2@host/x?X-Amz-Signature=abc \x1b[2J")
    err = gotdata("up").err
    assert "hunter2" not in err
    assert "abc" not in err
    assert "\x1b" not in err


@pytest.mark.parametrize(
    "args",
    [
        ["upp"],
        ["up", "--nonsense"],
        ["up", "--as", "magic"],
        ["fetch"],
        ["lock", "--check", "--update"],
        ["get", "https://example.org/x", "--sha256", "12"],
        ["get", "https://example.org/x", "-o", "endpoint"],
        ["-C", "/nowhere/at/all", "status"],
        ["ls", "rats"],
        ["ls", "cells", "-o", "endpoint=x"],
        ["cat", "not/a/reference"],
    ],
    ids=" ".join,
)
def test_wrong_words_are_usage(gotdata: Line, args: list[str]) -> None:
    said = gotdata(*args)
    assert said.code == 2
    assert said.err
    assert "Traceback" not in said.err
    assert said.out == ""


def test_a_verb_that_is_almost_one_is_guessed(gotdata: Line) -> None:
    assert "did you mean 'status'?" in gotdata("stats").err


def test_a_dataset_that_is_almost_one_is_guessed(gotdata: Line) -> None:
    assert "did you mean cells?" in gotdata("ls", "cell").err


def test_drift_is_3(gotdata: Line) -> None:
    gotdata.project.answers["check"] = [Drift("cells", "upstream", "etag \x1b[1m differs")]
    said = gotdata("lock", "--check")
    assert (said.code, said.out) == (3, "cells  upstream  etag \\x1b[1m differs\n")
    gotdata.project.answers["check"] = []
    assert gotdata("lock", "--check").code == 0


def test_bytes_that_are_not_as_locked_are_3(gotdata: Line) -> None:
    gotdata.project.answers["verify"] = [Verified("cells", 2, 10, 0, ("a\nb",))]
    said = gotdata("verify")
    assert said.code == 3
    assert said.out == "cells: 2 files read, 10 B, 0 not here: 1 BAD\n  bad: a\\nb\n"
    assert gotdata("verify", "--json").json[0]["bad"] == ["a\nb"]


def test_nothing_read_is_not_all_as_locked(gotdata: Line) -> None:
    gotdata.project.answers["verify"] = [Verified("cells", 0, 0, 3, ())]
    assert gotdata("verify").out == "cells: 0 files read, 0 B, 3 not here: nothing to read\n"


def test_interrupted_is_130(gotdata: Line) -> None:
    gotdata.project.answers["up"] = KeyboardInterrupt()
    said = gotdata("up")
    assert (said.code, said.err) == (130, "gotdata: interrupted\n")
    assert gotdata.project.closed == 1


def test_a_reader_that_went_away_is_no_failure(gotdata: Line) -> None:
    gotdata.project.answers["status"] = BrokenPipeError()
    said = gotdata("status")
    assert (said.code, said.err) == (0, "")


def test_a_reader_that_went_away_does_not_hide_a_mismatch(gotdata: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    gotdata.project.answers["verify"] = [Verified("cells", 1, 10, 0, ("a",))]

    def gone(found: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(call, "write_json", gone)
    assert gotdata("verify", "--json").code == 3


def test_what_the_system_refuses_is_told_in_a_line(gotdata: Line) -> None:
    gotdata.project.answers["up"] = PermissionError(13, "Permission denied", "/data")
    said = gotdata("up")
    assert said.code == 1
    assert said.err == "gotdata: [Errno 13] Permission denied: '/data'\n"


def test_a_fault_of_ours_asks_for_a_report(gotdata: Line) -> None:
    gotdata.project.answers["up"] = ZeroDivisionError("division by zero")
    said = gotdata("up")
    assert said.code == 1
    assert "Traceback" not in said.err
    assert "ZeroDivisionError: division by zero" in said.err
    assert "report" in said.err


@pytest.mark.parametrize("way", ["--debug", "GOTDATA_DEBUG"])
def test_debug_shows_the_traceback(gotdata: Line, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gotdata.project.answers["up"] = errors.SourceUnavailable("try again")
    if way == "GOTDATA_DEBUG":
        monkeypatch.setenv(way, "1")
    said = gotdata(*([way] if way.startswith("-") else []), "up")
    assert said.code == 4
    assert "Traceback" in said.err
    assert said.err.endswith("gotdata: try again\n")

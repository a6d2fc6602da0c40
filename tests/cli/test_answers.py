"""What the verbs print: for people, and as JSON."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from gotdata import outcome
from gotdata.cli.call import plain
from gotdata.model import Ref
from gotdata.outcome import Changes, Delivered, Drift, Fetched, Known, Locked, Plan, State, Status, Verified
from tests.cli.fakes import Line

SNAPSHOT = "0123456789abcdef" * 4
DELIVERED = Delivered(
    name="cells",
    to="data/cells",
    delivery="mount",
    why="FUSE works here",
    change="up",
    snapshot=SNAPSHOT,
    level="verified",
    files=3,
    bytes=312 * 10**9,
    moved=41 * 10**6,
    seconds=0.84,
    source="doi:10.5281/zenodo.1234567",
    licence="CC-BY",
    hint='h5py.File("data/cells/a.h5")',
)
STATUS = Status("cells", State.BROKEN, "mount", "data/cells", SNAPSHOT, "bound", 1200, 5 * 10**9, 0, "its server died")
PLAN = Plan(
    name="cells",
    reference="https://example.org/c/?token=s3cret",
    to="data/cells",
    delivery="copy",
    why="no /dev/fuse",
    files=1,
    bytes=1500,
    fetch=1500,
    lazy=0,
    hosts=("example.org",),
    level="bound",
    warnings=("two names differ by case: a\x07, A",),
)
LOCKED = Locked("cells", "new", "http", "https://example.org/c/", SNAPSHOT, "bound", 2, 10, ("names clash",))


def test_up_ends_with_a_line_for_each_dataset_and_one_that_opens_it(gotdata: Line) -> None:
    gotdata.project.answers["up"] = [DELIVERED]
    said = gotdata("up", "cells", "--as", "mount", "--locked")
    assert said.code == 0
    assert said.out == (
        "cells → data/cells  312 GB there, 41 MB moved, 0.8 s, doi:10.5281/zenodo.1234567, CC-BY\n"
        '  h5py.File("data/cells/a.h5")\n'
    )
    assert gotdata.project.asked == [("up", ("cells",), {"demand": "mount", "locked": True})]


def test_up_in_json(gotdata: Line) -> None:
    gotdata.project.answers["up"] = [DELIVERED]
    assert gotdata("up", "--json").json == [
        {
            "name": "cells",
            "to": "data/cells",
            "as": "mount",
            "why": "FUSE works here",
            "change": "up",
            "snapshot": SNAPSHOT,
            "level": "verified",
            "files": 3,
            "bytes": 312000000000,
            "moved": 41000000,
            "seconds": 0.84,
            "source": "doi:10.5281/zenodo.1234567",
            "licence": "CC-BY",
            "hint": 'h5py.File("data/cells/a.h5")',
        }
    ]


def test_status(gotdata: Line) -> None:
    gotdata.project.answers["status"] = [STATUS]
    head, row, why = gotdata("status").out.splitlines()
    assert head.split() == ["NAME", "STATE", "AS", "SNAPSHOT", "LEVEL", "FILES", "SIZE", "HERE", "TO"]
    assert row.split() == [
        "cells",
        "broken",
        "mount",
        "0123456789ab",
        "bound",
        "1,200",
        "5.0",
        "GB",
        "0",
        "B",
        "data/cells",
    ]
    assert why == "cells: its server died"
    assert list(gotdata("status", "--json").json[0]) == [
        *("name", "state", "as", "to", "snapshot", "level", "files", "bytes", "cached_bytes", "why")
    ]


def test_a_check_fails_unless_all_is_up(gotdata: Line) -> None:
    up = replace(STATUS, state=State.UP, why="")
    for found, code in (([up, up], 0), ([up, STATUS], 1), ([replace(up, state=State.DOWN)], 1), ([], 0)):
        gotdata.project.answers["status"] = found
        assert gotdata("status", "--check").code == code
        assert gotdata("status").code == 0


def test_plan_says_why_and_hides_secrets(gotdata: Line) -> None:
    gotdata.project.answers["plan"] = [PLAN]
    said = gotdata("plan")
    assert said.out == (
        "cells → data/cells  as copy: no /dev/fuse\n"
        "  from https://example.org/c/?token=…\n"
        "  1 file, 1.5 kB, bound\n"
        "  1.5 kB now and up to 0 B later, from example.org\n"
        "  warning: two names differ by case: a\\x07, A\n"
    )
    assert gotdata("plan", "--json").json[0]["as"] == "copy"


def test_plan_of_a_reference_needs_no_project(gotdata: Line) -> None:
    gotdata.loose.answers["plan"] = PLAN
    assert gotdata("plan", "s3://bucket/x/", "-o", "anonymous=true", "--json").json[0]["name"] == "cells"
    assert gotdata.loose.asked == [("plan", Ref("s3://bucket/x/", (("anonymous", "true"),)), {})]
    assert gotdata.project.asked == []


def test_lock(gotdata: Line) -> None:
    gotdata.project.answers["lock"] = [LOCKED]
    said = gotdata("lock", "cells", "--update", "--hash")
    assert said.out.splitlines()[1].split() == [
        "cells",
        "new",
        "0123456789ab",
        "bound",
        "2",
        "10",
        "B",
        "https://example.org/c/",
    ]
    assert said.out.splitlines()[2] == "cells: names clash"
    assert gotdata.project.asked == [("lock", ("cells",), {"update": True, "hash": True})]


def test_down(gotdata: Line) -> None:
    gotdata.project.answers["down"] = ["cells", "mice"]
    assert gotdata("down", "--lazy").out == "cells  down\nmice  down\n"
    assert gotdata.project.asked == [("down", (), {"lazy": True})]
    assert gotdata("down", "--json").json == [{"name": "cells", "state": "down"}, {"name": "mice", "state": "down"}]


def test_fetch(gotdata: Line) -> None:
    gotdata.project.answers["fetch"] = Fetched("cells", 2, 2000, 1000, 200.4)
    assert gotdata("fetch", "cells", "*.h5").out == "cells  2 files, 2.0 kB there, 1.0 kB moved, 3 min 20 s\n"
    assert gotdata.project.asked == [("fetch", "cells", ("*.h5",), {})]
    assert gotdata("fetch", "cells", "--json").json == {
        "name": "cells",
        "files": 2,
        "bytes": 2000,
        "moved": 1000,
        "seconds": 200.4,
    }


def test_diff_is_like_a_code_review(gotdata: Line) -> None:
    gotdata.project.answers["diff"] = [Changes("cells", ("a", "b", "c"), ("d\x1b",), ())]
    assert gotdata("diff").out == "cells: +3 files, 1 changed, −0\n  + a\n  + b\n  + c\n  ~ d\\x1b\n"
    assert gotdata("diff", "v1").code == 0
    assert gotdata.project.asked == [("diff", "HEAD", {}), ("diff", "v1", {})]
    gotdata.project.answers["diff"] = []
    assert gotdata("diff").out == "no data changed\n"
    assert gotdata("diff", "--json").json == []


def test_sources(gotdata: Line) -> None:
    known = [Known("http", ("http", "https"), ""), Known("s3", ("s3",), "pip install 'gotdata[s3]'")]
    gotdata.loose.answers["sources"] = known
    assert [line.split(None, 1) for line in gotdata("sources").out.splitlines()[1:]] == [
        ["http", "http: https:  ready"],
        ["s3", "s3:           pip install 'gotdata[s3]'"],
    ]
    assert gotdata("sources", "--json").json[0] == {"name": "http", "schemes": ["http", "https"], "missing": ""}


def test_get_takes_what_it_is_told(gotdata: Line, tmp_path: Path) -> None:
    gotdata.loose.answers["get"] = Fetched("x.h5", 1, 5, 5, 1.0)
    said = gotdata("get", "HTTPS://example.org/x.h5", "here", "--sha256", "AB" * 32, start=tmp_path)
    assert said.out == "x.h5  1 file, 5 B there, 5 B moved, 1.0 s\n"
    assert gotdata("get", "./big", start=tmp_path).code == 0
    assert gotdata.loose.asked == [
        ("get", Ref("https://example.org/x.h5"), Path("here"), "ab" * 32, {}),
        ("get", Ref((tmp_path / "big").as_uri()), None, "", {}),
    ]


def test_the_store_is_that_of_the_flag(gotdata: Line, tmp_path: Path) -> None:
    gotdata.project.answers["status"] = []
    assert gotdata("-C", str(tmp_path), "--store", "s", "status").code == 0
    assert gotdata.found == [(tmp_path, {"store": str(tmp_path / "s")})]


def test_an_empty_answer_is_an_empty_list(gotdata: Line) -> None:
    gotdata.project.answers["status"] = []
    assert gotdata("status").out == ""
    assert gotdata("status", "--json").out == "[]\n"


@pytest.mark.parametrize(
    "value",
    [kind for kind in vars(outcome).values() if is_dataclass(kind)],
    ids=lambda kind: kind.__name__,
)
def test_keys_in_json_are_the_fields_of_the_outcome(value: Any) -> None:
    names = [item.name for item in fields(value)]
    made = value(*(f"<{name}>" for name in names))
    renamed = ["as" if name == "delivery" else name for name in names]
    assert list(plain(made)) == renamed
    assert list(plain(made).values()) == [f"<{name}>" for name in names]


def test_json_is_ascii_whatever_the_names(gotdata: Line) -> None:
    gotdata.project.answers["diff"] = [Changes("cells", ("zellen/\x9b\udcff",), (), ())]
    said = gotdata("diff", "--json")
    assert said.out.isascii()
    assert said.json[0]["added"] == ["zellen/\x9b\udcff"]


EVIL = "\x1b[2J\x9b\n\u202e"


@pytest.mark.parametrize(
    ("method", "args"),
    [
        ("up", ["up"]),
        ("status", ["status"]),
        ("plan", ["plan"]),
        ("lock", ["lock"]),
        ("check", ["lock", "--check"]),
        ("fetch", ["fetch", "cells"]),
        ("diff", ["diff"]),
        ("verify", ["verify"]),
    ],
)
def test_a_terminal_obeys_nothing_that_a_remote_or_a_lock_says(gotdata: Line, method: str, args: list[str]) -> None:
    kinds: dict[str, Any] = {
        "up": Delivered,
        "status": Status,
        "plan": Plan,
        "lock": Locked,
        "check": Drift,
        "fetch": Fetched,
        "diff": Changes,
        "verify": Verified,
    }
    kind = kinds[method]
    samples = {"str": EVIL, "int": 1, "float": 1.0, "tuple[str, ...]": (EVIL,), "State": EVIL}
    value = kind(**{item.name: samples[str(item.type)] for item in fields(kind)})
    gotdata.project.answers[method] = value if method == "fetch" else [value]
    said = gotdata(*args)
    assert said.code in {0, 3}
    assert "\\x1b[2J" in said.out
    for line in said.out.splitlines():
        assert line.isprintable()

"""Bytes a day, over all mounts of a rule."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the daemon needs Linux", allow_module_level=True)

from gotdata.errors import NotFound
from gotdata.fuse.ledger import Tally
from gotdata.serve.budget import Budget


class Mounts:
    """What stands, how much of it was fetched, and how much more each may."""

    def __init__(self) -> None:
        self.fetched: dict[str, int] = {}
        self.left: dict[str, int] = {}

    def tally(self, key: str, allow: int | None = None) -> Tally:
        if key not in self.fetched:
            raise NotFound(key)
        if allow is not None:
            self.left[key] = allow
        return Tally(0, 0, 0, self.fetched[key], 0)


@pytest.fixture
def mounts() -> Mounts:
    return Mounts()


def test_the_mounts_of_a_rule_share_its_bytes_and_other_rules_have_their_own(tmp_path: Path, mounts: Mounts) -> None:
    mounts.fetched = {"a": 60, "b": 30, "c": 500}
    Budget(tmp_path / "b.json", mounts.tally, lambda: "1").count([("a", "r", 100), ("b", "r", 100), ("c", "s", 1000)])
    assert mounts.left == {"a": 10, "b": 10, "c": 500}


def test_nothing_is_left_below_nothing_and_the_next_day_all_is(tmp_path: Path, mounts: Mounts) -> None:
    day = ["1"]
    budget = Budget(tmp_path / "b.json", mounts.tally, lambda: day[0])
    mounts.fetched = {"a": 150}
    budget.count([("a", "r", 100)])
    assert mounts.left == {"a": 0}
    day[0] = "2"
    mounts.fetched["a"] = 170
    budget.count([("a", "r", 100)])
    assert mounts.left == {"a": 80}


def test_a_restart_forgets_nothing_and_a_mount_made_anew_counts_from_nothing(tmp_path: Path, mounts: Mounts) -> None:
    mounts.fetched = {"a": 40}
    Budget(tmp_path / "b.json", mounts.tally, lambda: "1").count([("a", "r", 100)])
    mounts.fetched = {"a": 50}
    Budget(tmp_path / "b.json", mounts.tally, lambda: "1").count([("a", "r", 100)])
    assert mounts.left == {"a": 50}
    mounts.fetched = {"a": 20}
    Budget(tmp_path / "b.json", mounts.tally, lambda: "1").count([("a", "r", 100)])
    assert mounts.left == {"a": 30}


def test_a_mount_that_is_gone_is_left_out(tmp_path: Path, mounts: Mounts) -> None:
    mounts.fetched = {"a": 1}
    Budget(tmp_path / "b.json", mounts.tally, lambda: "1").count([("gone", "r", 100), ("a", "r", 100)])
    assert mounts.left == {"a": 99}

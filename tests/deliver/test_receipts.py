"""Receipts come from our own hand, or with a stranger's repository."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gotdata.deliver.base import Receipt, Receipts, clear_way, make_way, state_folder
from gotdata.errors import DeliveryError

RECEIPT = Receipt("cells", "copy", "data/cells", "0" * 64, ("data", "data/cells"), 7, "x")


def test_a_receipt_is_read_as_it_was_written(tmp_path: Path) -> None:
    state_folder(tmp_path)
    Receipts(tmp_path).write(RECEIPT)
    assert Receipts(tmp_path).all() == {"cells": RECEIPT}
    Receipts(tmp_path).forget("cells")
    Receipts(tmp_path).forget("cells")
    assert Receipts(tmp_path).all() == {}


@pytest.mark.parametrize(
    "change",
    [
        {"target": "../elsewhere"},
        {"target": "/etc"},
        {"target": ".git"},
        {"target": ""},
        {"folders": ["..", "data"]},
        {"folders": ["src"]},
        {"name": "other"},
        {"pid": "many"},
    ],
)
def test_a_receipt_of_a_stranger_leads_nowhere(tmp_path: Path, change: dict[str, object]) -> None:
    folder = state_folder(tmp_path) / "receipts"
    folder.mkdir()
    plain = {"name": "cells", "delivery": "copy", "target": "data/cells", "snapshot": "0" * 64, **change}
    (folder / "cells.json").write_text(json.dumps(plain))
    with pytest.raises(DeliveryError, match=r"cells\.json: not a receipt"):
        Receipts(tmp_path).all()


@pytest.mark.parametrize("name", [".gotdata", ".gotdata/receipts", ".gotdata/staging", ".gotdata/log", ".gotdata/busy"])
def test_links_in_place_of_our_folders_are_not_followed(tmp_path: Path, name: str) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    (root / name).parent.mkdir(parents=True)
    (root / name).symlink_to(outside)
    with pytest.raises(DeliveryError, match="is a link"):
        state_folder(root)
    assert not list(outside.iterdir())


def test_the_way_is_cleared_as_far_as_it_was_made(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    made = make_way(tmp_path, tmp_path / "data/a/b")
    assert made == ("data/a", "data/a/b")
    (tmp_path / "data/a/mine").touch()
    clear_way(tmp_path, made)
    assert [path.name for path in (tmp_path / "data/a").iterdir()] == ["mine"]

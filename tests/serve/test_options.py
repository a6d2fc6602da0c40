"""What may stand behind `-o`, and what its user reads where it may not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gotdata.errors import ManifestError
from gotdata.serve.options import check_name, handed, judged


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "from=REFERENCE, or manifest="),
        ({"form": "doi:10.5281/zenodo.1"}, "did you mean 'from'"),
        ({"from": "https://a.b/c", "manifest": "/x", "dataset": "y"}, "either from="),
        ({"manifest": "/x"}, "dataset=NAME is missing"),
        ({"from": "https://a.b/c", "dataset": "y"}, "belongs to manifest="),
        ({"manifest": "/x", "dataset": "y", "files": "*"}, "files= belongs to from="),
        ({"manifest": "x/gotdata.yml", "dataset": "y"}, "the path in full"),
        ({"from": "./here"}, "must be absolute"),
        ({"from": "data.csv"}, "has no scheme"),
        ({"from": "https://a.b/c", "snapshot": "abc"}, "64 hexadecimal digits"),
        ({"from": "https://a.b/c", "scratch": "much"}, "a number of bytes"),
        ({"from": "https://a.b/c", "scratch": "1k"}, "16 MiB is the least"),
        ({"from": "https://user:hunter2@a.b/c"}, "holds a secret"),
        ({"from": "https://a.b/c\nevil: yes"}, "control characters"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(options: dict[str, str], said: str) -> None:
    with pytest.raises(ManifestError) as refused:
        judged(options)
    assert said in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("name", ["", "a", ".", "..", "a/b", "../x", "-x", "a b", "a\nb", "x" * 129, "größe"])
def test_a_name_with_a_path_or_worse_is_refused(name: str) -> None:
    with pytest.raises(ManifestError, match="can't be the name of a volume"):
        check_name(name)


def test_the_options_of_a_reference_are_places_too() -> None:
    asked = judged({"from": "s3://bucket/key", "endpoint": "http://10.0.0.1:9000", "region": "x", "scratch": "1GiB"})
    assert asked.urls == ("s3://bucket/key", "http://10.0.0.1:9000")
    assert asked.scratch == 1 << 30
    entry = json.loads(asked.files["gotdata.yml"])["data"]["data"]
    assert entry["from"] == {"url": "s3://bucket/key", "endpoint": "http://10.0.0.1:9000", "region": "x"}


def test_a_manifest_of_this_machine_is_read_for_its_references_and_its_paths_are_full(tmp_path: Path) -> None:
    path = tmp_path / "gotdata.yml"
    path.write_text("gotdata: 1\ndata:\n  cells:\n    from: [./raw, 'https://a.b/c/']\n")
    asked = judged({"manifest": str(tmp_path), "dataset": "cells"})
    assert asked.urls == ((tmp_path / "raw").as_uri(), "https://a.b/c/")
    with pytest.raises(ManifestError, match="has no dataset 'stars'; there is cells"):
        judged({"manifest": str(path), "dataset": "stars"})


def test_a_repository_that_is_handed_over_has_one_dataset_and_no_relative_path() -> None:
    with pytest.raises(ManifestError, match="has no dataset 'data'"):
        handed({"gotdata.yml": b'{"gotdata": 1, "data": {"cells": {"from": "https://a.b/"}}}'})
    with pytest.raises(ManifestError, match="must be absolute"):
        handed({"gotdata.yml": b'{"gotdata": 1, "data": {"data": {"from": "./x"}}}'})
    with pytest.raises(ManifestError):
        handed({})

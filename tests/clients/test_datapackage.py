"""frictionless, the reference reader of Data Packages, accepts what we export and what our double publishes, and reads
the bytes that we do."""

from __future__ import annotations

import gc
import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from gotdata.export import export
from gotdata.project import Project
from gotdata.testing.landing_double import Portal

CLIENT = ("datapackage", "frictionless")

frictionless = pytest.importorskip("frictionless", reason="frictionless is not installed")
FILES = {"cells.csv": b"name,count\nred,3\nblue,4\n", "deep/er/notes one.txt": b"hello"}


@pytest.fixture(autouse=True)
def _left_open() -> Iterator[None]:
    """It leaves what it read open until the garbage is collected: here, and not in somebody else's test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def portal(store: Path) -> Iterator[Portal]:
    with Portal("datapackage") as portal:
        for path, body in FILES.items():
            portal.put(path, body)
        yield portal


@pytest.mark.parametrize("relative", [False, True], ids=["by URL", "by place"])
def test_it_accepts_an_export_and_reads_its_files(portal: Portal, tmp_path: Path, relative: bool) -> None:
    (tmp_path / "gotdata.yml").write_text(json.dumps({"gotdata": 1, "data": {"cells": {"from": portal.url}}}))
    with Project.find(tmp_path) as found:
        found.up(demand="copy")
        (tmp_path / "datapackage.json").write_text("".join(export(found, "cells", "datapackage", relative)))
    package = frictionless.Package(str(tmp_path / "datapackage.json"))
    report = package.validate()
    assert report.valid, report.flatten(["type", "note"])
    bytes = {resource.path: resource.read_bytes() for resource in package.resources}
    descriptor = {"datapackage.json": json.dumps(portal.document()).encode()}
    at = (lambda path: f"data/cells/{path}") if relative else (lambda path: portal.server.at(f"d/{path}"))
    assert bytes == {at(path): body for path, body in {**FILES, **descriptor}.items()}


def test_a_wrong_checksum_in_an_export_is_found_by_it(portal: Portal, tmp_path: Path) -> None:
    (tmp_path / "gotdata.yml").write_text(json.dumps({"gotdata": 1, "data": {"cells": {"from": portal.url}}}))
    with Project.find(tmp_path) as found:
        found.lock()
        (tmp_path / "datapackage.json").write_text("".join(export(found, "cells", "datapackage")))
    portal.server.put("d/cells.csv", b"name,count\nred,3\nblue,5\n")
    report = frictionless.Package(str(tmp_path / "datapackage.json")).validate()
    # Twice: the package that lies in the package is looked into, too.
    assert {found[0] for found in report.flatten(["type"])} == {"hash-count"}


def test_it_reads_what_the_double_publishes(portal: Portal) -> None:
    package = frictionless.Package(portal.url)
    assert package.title == "Cells"
    assert package.resources[0].read_rows() == [{"name": "red", "count": 3}, {"name": "blue", "count": 4}]

"""mlcroissant, the reference reader of Croissant, accepts what we export and what our double publishes, and reads the
bytes that we do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gotdata.export import export
from gotdata.project import Project
from gotdata.testing.landing_double import Portal

CLIENT = ("croissant", "mlcroissant")

mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")

pytestmark = pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")  # of rdflib
TABLE = b"name,count\nred,3\nblue,4\n"
FILES = {"cells.csv": TABLE, "deep/er/notes one.txt": b"hello"}


@pytest.fixture
def portal(store: Path) -> Iterator[Portal]:
    with Portal("croissant") as portal:
        for path, body in FILES.items():
            portal.put(path, body)
        yield portal


@pytest.fixture
def exported(portal: Portal, tmp_path: Path) -> Path:
    entry = {"from": portal.url, "description": "Cells, counted"}
    (tmp_path / "gotdata.yml").write_text(json.dumps({"gotdata": 1, "data": {"cells": entry}}))
    with Project.find(tmp_path) as found:
        found.lock()
        written = tmp_path / "croissant.json"
        written.write_text("".join(export(found, "cells", "croissant")))
    return written


def read(document: str | Path | dict[str, object]) -> object:
    """The document as mlcroissant has it. It raises for what the format forbids."""
    return mlcroissant.Dataset(jsonld=document).metadata


def test_it_has_no_fault_to_find_in_an_export(exported: Path) -> None:
    metadata = read(exported)
    assert not metadata.ctx.issues.errors  # type: ignore[attr-defined]
    missing = {line for line in metadata.ctx.issues.warnings if "is recommended" not in line}  # type: ignore[attr-defined]
    assert missing == set()


def test_it_finds_the_files_of_an_export(exported: Path, portal: Portal) -> None:
    found = {one.name: one for one in read(exported).distribution}  # type: ignore[attr-defined]
    assert {name: one.sha256 for name, one in found.items()} == {
        path: hashlib.sha256(body).hexdigest() for path, body in FILES.items()
    }
    assert found["cells.csv"].content_url == portal.server.at("d/cells.csv")


def test_it_reads_records_from_the_files_of_an_export(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    document = json.loads(exported.read_text())
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"cells/{name}",
            "name": name,
            "dataType": kind,
            "source": {"fileObject": {"@id": "cells.csv"}, "extract": {"column": name}},
        }
        for name, kind in (("name", "sc:Text"), ("count", "sc:Integer"))
    ]
    document["recordSet"] = [{"@type": "cr:RecordSet", "@id": "cells", "name": "cells", "field": fields}]
    # What it verifies by the sha256 that we exported is what it downloads by the URL that we exported.
    records = list(mlcroissant.Dataset(jsonld=document).records("cells"))
    assert [(one["cells/name"], one["cells/count"]) for one in records] == [(b"red", 3), (b"blue", 4)]


def test_it_accepts_what_the_double_publishes() -> None:
    with Portal("croissant") as portal:
        portal.put("cells.csv", TABLE)
        [found] = read(portal.document()).distribution  # type: ignore[attr-defined]
        assert found.id == "cells.csv"

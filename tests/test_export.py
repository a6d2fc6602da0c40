"""What `gotdata export` writes, read again by our own sources; tests/clients shows it to the formats' own readers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gotdata.cli.call import Call
from gotdata.cli.main import run
from gotdata.errors import NotFound
from gotdata.export import FORMATS, _web, export
from gotdata.model import Checksum, Ref, RemoteFile
from gotdata.project import Project
from gotdata.sources import registry
from gotdata.testing.landing_double import Portal
from gotdata.testing.server import Server
from gotdata.testing.source_contract import context

FILES = {"a/b c.csv": b"x,y\n1,2\n", "a/b_c.csv": b"other", "top.txt": b"hello", "a/ü%41.bin": b""}


@pytest.fixture(autouse=True)
def _same_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line may leave the folder."""
    monkeypatch.chdir(Path.cwd())


@pytest.fixture
def portal(store: Path) -> Iterator[Portal]:
    with Portal("croissant") as portal:
        for path, body in FILES.items():
            portal.put(path, body)
        yield portal


def project(folder: Path, reference: str) -> Project:
    entry = {"from": reference, "description": "What we counted"}
    (folder / "gotdata.yml").write_text(json.dumps({"gotdata": 1, "data": {"cells": entry}}))
    return Project.find(folder)


def exported(found: Project, format: str, relative: bool = False) -> dict[str, Any]:
    made: dict[str, Any] = json.loads("".join(export(found, "cells", format, relative)))
    return made


def read_again(document: dict[str, Any], format: str) -> dict[str, RemoteFile]:
    source, ctx = registry.source(format), context()
    with Server() as server:
        url = server.put("document.json", json.dumps(document).encode(), kind="application/json")
        pin = source.resolve(Ref(f"{format}:{url}", (("descriptor", "false"),)), ctx)
        return {file.path: file for file in source.files(pin, ctx)}  # type: ignore[arg-type]


def test_croissant_names_every_file_as_it_is_locked(portal: Portal, tmp_path: Path) -> None:
    with project(tmp_path, portal.url) as found:
        found.lock()
        again = read_again(exported(found, "croissant"), "croissant")
    assert {path: file.size for path, file in again.items()} == {path: len(body) for path, body in FILES.items()}
    assert again["top.txt"].checks == (
        Checksum("sha256", "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"),
    )


def test_a_data_package_names_every_file_by_its_url(portal: Portal, tmp_path: Path) -> None:
    with project(tmp_path, portal.url) as found:
        found.lock()
        document = exported(found, "datapackage")
    paths = {resource["path"]: resource["bytes"] for resource in document["resources"]}
    assert paths == {portal.server.at(f"d/{path}"): len(body) for path, body in FILES.items()}
    names = [resource["name"] for resource in document["resources"]]
    assert len(set(names)) == len(names)
    assert sorted(file.size or 0 for file in read_again(document, "datapackage").values()) == [0, 5, 5, 8]


@pytest.mark.parametrize("format", list(FORMATS))
def test_what_a_citation_needs_is_told(portal: Portal, tmp_path: Path, format: str) -> None:
    with project(tmp_path, portal.url) as found:
        found.lock()
        document = exported(found, format)
    text = json.dumps(document)
    for said in ("Noether, Emmy", "https://doi.org/10.5072/fk2/cells", "licenses/by/4.0", "What we counted"):
        assert said in text
    assert (document["name"], document.get("title", "Cells")) in (("Cells", "Cells"), ("cells", "Cells"))


def test_places_are_relative_to_the_repository(portal: Portal, tmp_path: Path) -> None:
    with project(tmp_path, portal.url) as found:
        found.lock()
        packaged = exported(found, "datapackage", relative=True)
        described = exported(found, "croissant", relative=True)
    assert {resource["path"] for resource in packaged["resources"]} == {f"data/cells/{path}" for path in FILES}
    assert "data/cells/a/b%20c.csv" in {one["contentUrl"] for one in described["distribution"]}


def test_what_only_this_machine_has_is_named_by_its_place(store: Path, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "f.txt").write_text("1")
    with project(tmp_path, "./here") as found:
        found.lock()
        [resource] = exported(found, "datapackage")["resources"]
    assert resource["path"] == "data/cells/f.txt"


def test_a_dataset_without_checksums_is_said_to_be_live(store: Path, tmp_path: Path) -> None:
    with Portal("croissant") as portal, project(tmp_path, portal.url) as found:
        portal.digests = False
        portal.put("f", b"1")
        found.lock()
        before = exported(found, "croissant")
        assert before["isLiveDataset"] is True
        assert "hash" not in exported(found, "datapackage")["resources"][0]
        found.lock(hash=True)
        after = exported(found, "croissant")
    assert "isLiveDataset" not in after
    assert after["distribution"][0]["sha256"] == "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"


def test_a_dataset_that_is_not_locked_is_refused(portal: Portal, tmp_path: Path) -> None:
    with project(tmp_path, portal.url) as found, pytest.raises(NotFound, match="gotdata lock cells"):
        list(export(found, "cells", "croissant"))


def test_the_same_lock_is_the_same_document(portal: Portal, tmp_path: Path) -> None:
    with project(tmp_path, portal.url) as found:
        found.lock()
        assert exported(found, "croissant") == exported(found, "croissant")


def test_the_verb_writes_to_standard_output_or_a_file(
    portal: Portal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with project(tmp_path, portal.url) as found:
        found.lock()
    assert run(["-C", str(tmp_path), "export", "cells", "--to", "croissant"], Call()) == 0
    assert json.loads(capsys.readouterr().out)["@type"] == "sc:Dataset"
    written = tmp_path / "datapackage.json"
    assert run(["export", "cells", "--to", "datapackage", "--output", str(written)], Call()) == 0
    assert capsys.readouterr().out.strip() == f"cells is described in {written}"
    assert len(json.loads(written.read_text())["resources"]) == len(FILES)


def test_an_export_that_fails_leaves_no_file(
    portal: Portal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project(tmp_path, portal.url).bench.close()
    words = ["-C", str(tmp_path), "export", "cells", "--to", "croissant", "--output", str(tmp_path / "c.json")]
    assert run(words, Call()) == 1
    assert "not locked" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir() if path.suffix in (".json", ".fresh")] == []


def test_a_file_that_is_there_is_replaced_by_force_only_and_if_an_export_wrote_it(
    portal: Portal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with project(tmp_path, portal.url) as found:
        found.lock()
    manifest = (tmp_path / "gotdata.yml").read_bytes()
    for format in FORMATS:
        words = ["-C", str(tmp_path), "export", "cells", "--to", format, "--output"]
        for force in ([], ["--force"]):
            assert run([*words, str(tmp_path / "gotdata.yml"), *force], Call()) == 1
            assert "no earlier export wrote it" in capsys.readouterr().err
        written = tmp_path / f"{format}.json"
        assert run([*words, str(written)], Call()) == 0
        first = written.read_bytes()
        assert run([*words, str(written)], Call()) == 1
        assert "--force replaces an earlier export" in capsys.readouterr().err
        assert run([*words, str(written), "--force"], Call()) == 0
        assert written.read_bytes() == first
        link = tmp_path / f"{format}.link"
        link.symlink_to(written)
        assert run([*words, str(link), "--force"], Call()) == 1
    assert (tmp_path / "gotdata.yml").read_bytes() == manifest


@pytest.mark.parametrize(
    ("url", "web"),
    [
        ("https://www.dropbox.com/scl/fi/I/a.csv?rlkey=k3y", "https://www.dropbox.com/scl/fi/I/a.csv"),
        ("dropbox:https://h/a?rlkey=k3y&preview=x", "https://h/a?preview=x"),
        ("https://h/uc?export=download&id=1&resourcekey=k3y", "https://h/uc?export=download&id=1"),
        ("https://h/a?x=1&", "https://h/a?x=1&"),
        ("https://h/a#resourcekey=k3y", ""),
    ],
)
def test_keys_of_shared_links_are_left_out(url: str, web: str) -> None:
    assert _web(url) == web


def test_who_exports_is_told_of_keys_that_are_left_out(store: Path, tmp_path: Path) -> None:
    said: list[str] = []
    with Server() as server:
        url = f"{server.put('a.csv', b'1', kind='text/csv')}?rlkey=k3y"
        with project(tmp_path, url) as found:
            found.lock()
        reporter = lambda event: said.append(event.text) if event.kind == "warning" else None  # noqa: E731
        with Project.find(tmp_path, {}, reporter) as found:
            document = exported(found, "datapackage")
    assert "k3y" not in json.dumps(document)
    assert any("the key of a shared link, which is left out" in text for text in said)

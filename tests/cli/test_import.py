"""``gotdata import``: what other tools' files name, as entries."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gotdata import imports, manifest
from gotdata.errors import ManifestError
from tests.cli.test_whole_way import Repository, gotdata, server  # noqa: F401

REPO2DATA = {
    "brain": {"src": "https://osf.io/abcde/download", "dst": "./data", "projectName": "brain images"},
    "paper": {"src": "10.5281/zenodo.1234567", "dst": "/tmp/anywhere", "projectName": "paper"},
    "code": {"src": "import os; os.system('touch ran')", "dst": "./data", "projectName": "code"},
    "annex": {"src": "https://github.com/OpenNeuroDatasets/ds000005.git", "dst": "data", "projectName": "annex"},
}
INTAKE = """\
metadata: {version: 1}
sources:
  temperature:
    description: monthly
    driver: netcdf
    args:
      urlpath: 'simplecache::s3://bucket/t/*.nc'
      storage_options: {anon: true}
  grid:
    driver: zarr
    args: {urlpath: '{{ CATALOG_DIR }}/grid.zarr/'}
  by_year:
    driver: csv
    args: {urlpath: 'https://example.org/{{ year }}.csv'}
  none:
    driver: textfiles
"""


@pytest.fixture
def project(gotdata: Repository) -> Repository:  # noqa: F811
    gotdata("init")
    return gotdata


def entries() -> dict[str, manifest.Dataset]:
    return dict(manifest.load(Path("gotdata.yml")).data)


def test_requirements_of_repo2data_become_entries_and_python_never_runs(project: Repository) -> None:
    Path("data_requirement.json").write_text(json.dumps(REPO2DATA))
    said = project("import", "data_requirement.json", code=1)
    assert "code: left out: its `src` is Python, which is never run" in said.out
    assert "annex: left out" in said.out
    assert "2 of 4 could not be imported; the others stand in gotdata.yml" in said.err
    found = entries()
    assert {name: (one.refs[0].url, one.to) for name, one in found.items()} == {
        "brain-images": ("https://osf.io/abcde/download", "data/brain images"),
        "paper": ("doi:10.5281/zenodo.1234567", "data/paper"),
    }
    assert not Path("ran").exists()


def test_one_requirement(project: Repository) -> None:
    Path("data_requirement.json").write_text(json.dumps({"src": "s3://openneuro.org/ds000001/", "dst": "./in"}))
    project("import", "data_requirement.json")
    assert entries()["data"].to == "in"


def test_a_catalogue_of_intake_becomes_entries(project: Repository) -> None:
    url = project.server.put("cat/catalog.yml", INTAKE.encode(), kind="text/plain")
    rows = project.json("import", url, code=1)
    assert [row["name"] for row in rows if not row["why"]] == ["temperature", "grid"]
    assert "has parameters" in next(row["why"] for row in rows if row["name"] == "by_year")
    found = entries()
    assert found["temperature"].refs[0].url == "s3://bucket/t/"
    assert found["temperature"].refs[0].options == (("anonymous", "true"),)
    assert found["temperature"].files == ("*.nc",)
    assert found["grid"].refs[0].url == project.server.at("cat/grid.zarr/")


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("croissant.json", '{"@context": {}, "@type": "sc:Dataset", "distribution": []}', "croissant"),
        ("datapackage.json", '{"name": "x", "resources": []}', "datapackage"),
        ("ro-crate-metadata.json", '{"@context": "x", "@graph": []}', "rocrate"),
        ("registry.txt", f"a.csv {'0' * 64}\nb.csv md5:{'1' * 32} https://example.org/b\n", "pooch"),
        ("images.dvc", f"outs:\n- md5: {'0' * 32}\n  path: images\n", "dvc"),
    ],
)
def test_documents_are_read_where_they_are_published(project: Repository, name: str, text: str, kind: str) -> None:
    url = project.server.put(f"cells/{name}", text.encode(), kind="text/plain")
    project("import", url)
    [entry] = entries().values()
    assert entry.refs[0].url == f"{kind}:{url}"
    Path(name).write_text(text)
    assert "`gotdata import URL`" in project("import", name, code=1).out


@pytest.mark.parametrize("text", ["<html>", "a,b\n1,2\n", "{}", "[1]", "\x00"])
def test_other_files_are_refused(project: Repository, text: str) -> None:
    Path("x").write_text(text)
    assert "no file that can be imported: Croissant" in project("import", "x", code=2).err
    with pytest.raises(ManifestError):
        imports.read(text, "x")


def test_names_that_are_taken_or_odd_get_others(project: Repository) -> None:
    for number in range(2):
        wanted = {
            "Été 2024": {"src": f"https://example.org/{number}.h5"},
            "b": {"src": "https://user:pw@example.org/y"},
        }
        Path("data_requirement.json").write_text(json.dumps(wanted))
        assert "holds a secret" in project("import", "data_requirement.json", code=1).out
    assert list(entries()) == ["ete-2024", "ete-2024-2"]


def test_a_second_import_says_what_is_there_already(project: Repository) -> None:
    wanted = {"src": "https://example.org/x.tar.gz", "projectName": "x"}
    Path("data_requirement.json").write_text(json.dumps(wanted))
    project("import", "data_requirement.json")
    before = Path("gotdata.yml").read_bytes()
    assert "x: https://example.org/x.tar.gz is there already" in project("import", "data_requirement.json").out
    assert Path("gotdata.yml").read_bytes() == before


@pytest.mark.parametrize(
    ("source", "unpacked"),
    [("https://h.org/a.zip", True), ("https://h.org/a.TGZ?dl=1", True), ("s3://b/a.tar", True), ("osf:abcde", False)],
)
def test_archives_of_repo2data_are_unpacked(source: str, unpacked: bool) -> None:
    [found] = imports.read(json.dumps({"src": source}), "data_requirement.json")
    assert dict(found.options) == ({"unpack": "true"} if unpacked else {})


@pytest.mark.parametrize("source", ["git+https://h.org/o/r", "git://h.org/r", "git+ssh://git@h.org/r"])
def test_repositories_of_git_are_refused_in_words(source: str) -> None:
    [found] = imports.read(json.dumps({"src": source}), "data_requirement.json")
    assert "is a DataLad or git repository, which can't be read yet" in found.why


@pytest.mark.parametrize("place", ["file:///etc/hostname", "file:secret.csv", "simplecache::file:///etc/hostname"])
def test_a_remote_catalogue_names_no_file_of_this_machine(place: str) -> None:
    catalogue = json.dumps({"sources": {"x": {"args": {"urlpath": place}}}})
    [found] = imports.read(catalogue, "https://h.org/c.yml", "https://h.org/c.yml")
    assert not found.ref
    assert "would be a file of this machine" in found.why
    [found] = imports.read(json.dumps({"src": "/etc/hostname"}), "x.json", "https://h.org/x.json")
    assert "would be a file of this machine" in found.why
    assert imports.read(catalogue, "c.yml")[0].ref.startswith("file:")


@pytest.mark.parametrize("args", [[1], "hello", 3, None])
def test_odd_arguments_of_intake_name_no_place(args: object) -> None:
    [found] = imports.read(json.dumps({"sources": {"x": {"args": args}}}), "c.yml")
    assert "names no place" in found.why


def test_hostile_files_are_read_in_linear_time() -> None:
    # Quadratic time would run into the suite's limit for a hang.
    [found] = imports.read(json.dumps({"sources": {"x": {"args": {"urlpath": "{{" * 500_000}}}}), "c.yml")
    assert "has parameters" in found.why
    with pytest.raises(ManifestError, match="no file that can be imported"):
        imports.read('"a' * 500_000, "registry.txt")

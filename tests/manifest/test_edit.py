"""Editing keeps what people wrote, byte for byte, and writes all or nothing."""

from __future__ import annotations

import re
import stat
import subprocess
from pathlib import Path
from shutil import which

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotdata import manifest
from gotdata.errors import ManifestError
from gotdata.manifest import Dataset, add, init_text
from gotdata.manifest.edit import ignore, propose_name
from gotdata.model import Ref


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gotdata.yml"


def write(path: Path, text: str) -> None:
    path.write_bytes(text.encode())


def test_a_new_manifest_is_one_and_its_example_too() -> None:
    assert manifest.read(init_text()) == {}
    (found,) = manifest.read(
        re.sub(r"^  # ", "  ", re.sub(r"^  #  ", "   ", init_text(), flags=re.M), flags=re.M)
    ).values()
    assert (found.name, found.to, found.version) == ("cells", "data/cells", "1.2")


def test_an_entry_is_added(path: Path) -> None:
    write(path, init_text())
    found = add(path, "big", "./big data", "in/big", "copy", {"anonymous": "true", "version": "1.10"})
    ref = Ref("file:big%20data", (("anonymous", "true"), ("version", "1.10")))
    assert found == Dataset("big", (ref,), "in/big", as_="copy", version="1.10", line=5)
    assert manifest.load(path).data == {"big": found}


def test_defaults_are_not_written_down(path: Path) -> None:
    write(path, "gotdata: 1\n")
    add(path, "", "doi:10.5281/zenodo.1")
    assert path.read_text("utf-8") == "gotdata: 1\ndata:\n  zenodo.1:\n    from: doi:10.5281/zenodo.1\n"


NEW = "  n:\n    from: s3://b/k\n"
PLACES = [
    ("gotdata: 1", "", "data:\n" + NEW),
    ("gotdata: 1\ndata:", "", NEW),
    ("gotdata: 1\ndata:\n", "", NEW),
    ("gotdata: 1\ndata:  # all\n", "", NEW),
    ("gotdata: 1\ndata:\n", "  # sample\nx-a: 1\n", NEW),
    ("gotdata: 1\ndata:\n  a:\n    from: ./a   # why\n", "", NEW),
    ("gotdata: 1\ndata:\n  a:\n    from: ./a", "", NEW),
    ("gotdata: 1\ndata:\n  a:\n    from: ./a\n\n    # to: b\n", "\n# other\nx-a: 1\n", NEW),
    ("gotdata: 1\ndata:\n  a: {from: ./a}\n", "  # next\n", NEW),
    ("gotdata: 1\ndata:\n  a:\n    from: ./a\n    description: |\n      b\n      # no comment\n", "x-b: 1\n", NEW),
    ("gotdata: 1\ndata:\n  a:\n    description: |+\n      b\n\n    from: ./a\n", "\n\n", NEW),
    ("gotdata: 1\ndata:\n  a:\n    from:\n    - ./a\n    - url: 's3://c'\n", "...\n", NEW),
    ("gotdata: 1\ndata:\n    a:\n        from: ./a\n", "", "    n:\n      from: s3://b/k\n"),
    ("gotdata: 1\ndata:\n a:\n  from: ./a\n  x-a:\n", " # b\n", " n:\n   from: s3://b/k\n"),
    ("\ufeffgotdata: 1\r\ndata:\r\n  a: {from: ./a}\r\n", "# \xe4\r\n", NEW.replace("\n", "\r\n")),
    ("x-a: é\u2028\N{SNOWMAN}\ngotdata: 1\ndata:\n  a: {from: ./a}\n", "# end\n", NEW),
    ("{}", None, ""),
    ("{gotdata: 1}", None, ""),
    ("gotdata: 1\ndata: {a: {from: ./a}}\n", None, ""),
]


@pytest.mark.parametrize(("head", "tail", "new"), PLACES, ids=[repr(head) for head, _, _ in PLACES])
def test_what_people_wrote_stays_byte_for_byte(path: Path, head: str, tail: str | None, new: str) -> None:
    write(path, head + (tail or ""))
    if tail is None:
        with pytest.raises(ManifestError, match=r"gotdata: 1' is missing|add this by hand:\nn:\n  from: s3://b/k\n"):
            add(path, "n", "s3://b/k")
        assert path.read_bytes() == head.encode()
        return
    add(path, "n", "s3://b/k")
    end = "" if head.endswith("\n") else "\n"
    assert path.read_bytes().decode() == head + end + new + tail


@pytest.mark.parametrize("nothing", ["{}", "~", "null", "{ }"])
def test_an_entry_takes_the_place_of_nothing(path: Path, nothing: str) -> None:
    write(path, f"gotdata: 1\ndata: {nothing}  # c\nx-a: 1\n")
    add(path, "n", "s3://b/k")
    assert path.read_text("utf-8") == f"gotdata: 1\ndata:  # c\n{NEW}x-a: 1\n"


refs = st.sampled_from(["s3://b/k", "doi:10.5281/zenodo.1", "https://h.org/x.csv", "./a b", "/mnt/é", "10.1234/x"])
written = st.text(min_size=1, max_size=12).filter(lambda text: text.isprintable() and text.strip())
comments = st.sampled_from(["", "# c\n", "\n", "  # in\n", "    # deep\n", "\n\n# é\n", "      # 'q\"\n"])
entries = st.lists(st.tuples(comments, refs, st.booleans(), comments), max_size=4)


@given(entries=entries, last=comments, ref=refs, version=st.none() | written, as_=st.sampled_from(["", "copy", "auto"]))
def test_an_entry_that_was_added_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    entries: list[tuple[str, str, bool, str]],
    last: str,
    ref: str,
    version: str | None,
    as_: str,
) -> None:
    path = tmp_path_factory.mktemp("add") / "gotdata.yml"
    text = "gotdata: 1\ndata:\n"
    for number, (before, from_, block, after) in enumerate(entries):
        text += (
            before
            + (f"  e{number}:\n    from: '{from_}'\n" if block else f"  e{number}: {{from: '{from_}'}}\n")
            + after
        )
    write(path, text + last)
    there = manifest.load(path).data
    found = add(path, "", ref, "", as_, {"version": version, "region": "no"} if version else {})
    assert list(manifest.load(path).data.items()) == [*there.items(), (found.name, found)]
    assert found.version == (version or "")
    assert found.as_ == (as_ or "auto")
    old, new = text + last, path.read_bytes().decode()
    at = new.index(f"  {found.name}:\n")
    assert new[:at] + new[at + len(new) - len(old) :] == old


@pytest.mark.parametrize(
    ("name", "ref", "to", "why"),
    [
        ("a", "s3://b/k", "", r"gotdata\.yml:3: 'a' is there already: choose another name by --name"),
        ("B", "s3://b/k", "", "'B' is no name"),
        ("b", "s3://b/k", "data/a/x", "lies inside the target of a"),
        ("b", "s3://b/k", "../x", "holds '..'"),
        ("b", "https://h/?token=hunter2", "", "holds a secret"),
        ("b", "big", "", "has no scheme"),
        ("b", "./data", "", "lies inside './data'"),
    ],
)
def test_what_would_be_wrong_is_not_written(path: Path, name: str, ref: str, to: str, why: str) -> None:
    text = "gotdata: 1\ndata:\n  a: {from: ./a}\n"
    write(path, text)
    with pytest.raises(ManifestError, match=why):
        add(path, name, ref, to)
    assert path.read_text("utf-8") == text
    assert [entry.name for entry in path.parent.iterdir()] == ["gotdata.yml"]


def test_a_wrong_manifest_is_not_edited(path: Path) -> None:
    write(path, "gotdata: 1\nother: 1\n")
    with pytest.raises(ManifestError, match=r"gotdata\.yml:2:1: unknown key"):
        add(path, "a", "s3://b/k")
    assert path.read_text("utf-8") == "gotdata: 1\nother: 1\n"


def test_a_file_keeps_its_mode_and_leaves_no_other(path: Path) -> None:
    write(path, "gotdata: 1\n")
    path.chmod(0o640)
    add(path, "a", "s3://b/k")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(entry.name for entry in path.parent.iterdir()) == [".gitignore", "gotdata.yml"]


@pytest.mark.parametrize("linked", ["gotdata.yml", ".gitignore"])
def test_a_link_is_not_written_through(tmp_path: Path, linked: str) -> None:
    root = tmp_path / "repo"
    root.mkdir()
    write(root / "gotdata.yml", "gotdata: 1\n")
    outside = tmp_path / "outside"
    write(outside, "gotdata: 1\n")
    (root / linked).unlink(missing_ok=True)
    (root / linked).symlink_to(outside)
    with pytest.raises(ManifestError, match="is a link"):
        add(root / "gotdata.yml", "a", "s3://b/k")
    assert outside.read_text("utf-8") == "gotdata: 1\n"


def test_a_folder_that_can_not_be_written_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    write(path, "gotdata: 1\n")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ManifestError, match="can't be written: No space left on device"):
        add(path, "a", "s3://b/k")
    assert path.read_text("utf-8") == "gotdata: 1\n"
    assert [entry.name for entry in path.parent.iterdir()] == ["gotdata.yml"]


def test_the_target_is_ignored_at_the_root(tmp_path: Path) -> None:
    path = tmp_path / "binder" / "gotdata.yml"
    path.parent.mkdir()
    write(path, "gotdata: 1\n")
    add(path, "a", "s3://b/k", "in/a")
    assert (tmp_path / ".gitignore").read_text("utf-8") == "/in/a\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "/data/a\n"),
        ("*.o\n", "*.o\n/data/a\n"),
        ("*.o", "*.o\n/data/a\n"),
        ("*.o\r\n", "*.o\r\n/data/a\r\n"),
        ("\udcff\n", "\udcff\n/data/a\n"),
        ("a\\\n", "a\\\n/data/a\n"),
        ("/data\n!/data/a\n", "/data\n!/data/a\n/data/a\n"),
        ("/data/a\n", "/data/a\n"),
        ("/data/a/\n", "/data/a/\n"),
        ("data/\n", "data/\n"),
        ("/data/*\n", "/data/*\n"),
        ("/data/ab\n", "/data/ab\n/data/a\n"),
    ],
)
def test_a_target_is_ignored_once(tmp_path: Path, before: str, after: str) -> None:
    path = tmp_path / ".gitignore"
    path.write_bytes(before.encode("utf-8", "surrogateescape"))
    for _ in range(2):
        ignore(tmp_path, "data/a")
        assert path.read_bytes() == after.encode("utf-8", "surrogateescape")


@pytest.mark.skipif(not which("git"), reason="git is not installed")
@pytest.mark.parametrize("target", ["data/a", "a b ", "[x]*?", "#a", "!b", "ä"])
def test_git_ignores_what_was_put_there(tmp_path: Path, target: str) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / target).mkdir(parents=True)
    (tmp_path / target / "file").touch()
    ignore(tmp_path, target)
    seen = subprocess.run(
        ["git", "status", "--porcelain", "-z"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert seen.stdout == "?? .gitignore\0"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("doi:10.5281/zenodo.1234567", "zenodo.1234567"),
        ("https://h.org/x/Cells%20v2.csv.gz?download=1", "cells-v2"),
        ("https://h.org/x/", "x"),
        ("https://h.org", "h"),
        ("s3://bucket/atlas/v1.2/", "v1.2"),
        ("s3://bucket", "bucket"),
        ("osf:abcde", "abcde"),
        ("file:.hidden", "hidden"),
        ("file:big%20data", "big-data"),
        ("https://h.org/Größe.h5ad", "grosse"),
        ("https://h.org/\N{SNOWMAN}", "data"),
        ("https://h.org/" + "a" * 300, "a" * 90),
        ("https://h.org/taken", "taken-3"),
    ],
)
def test_a_name_is_made_from_the_reference(url: str, name: str) -> None:
    assert propose_name(Ref(url), {"taken", "taken-2"}) == name


@given(st.text(), st.sets(st.sampled_from(["data", "data-2", "a"])))
def test_a_proposed_name_is_free_and_a_name(text: str, taken: set[str]) -> None:
    name = propose_name(Ref(text), taken)
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,99}", name)
    assert name not in taken

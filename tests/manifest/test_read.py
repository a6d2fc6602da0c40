"""gotdata.yml as it is read: values as written, and each mistake told at its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotdata import manifest
from gotdata.errors import ManifestError
from gotdata.manifest import Dataset
from gotdata.model import Ref


def entry(text: str) -> Dataset:
    """The entry ``d`` of a manifest, from the lines below its name."""
    body = "".join(f"    {line}\n" for line in text.splitlines())
    return manifest.read(f"gotdata: 1\ndata:\n  d:\n{body}")["d"]


def problems(text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(ManifestError) as caught:
        manifest.read(text)
    found = [re.fullmatch(r"gotdata\.yml:(\d+):(\d+): (.+)", line) for line in str(caught.value).splitlines()]
    assert all(found), str(caught.value)
    return [(int(match[1]), int(match[2]), match[3]) for match in found if match]


def refused(text: str) -> str:
    """Why a text is no manifest; empty where it is one."""
    try:
        manifest.read(text)
    except ManifestError as error:
        return str(error)
    return ""


def test_all_keys() -> None:
    text = """\
# data
gotdata: 1
x-tool: {any: [thing]}
data:
  cells:
    from: doi:10.5281/zenodo.1234567
    to: ./in//cells/
    files: ["counts/**", "!**/*.bam"]
    as: copy
    version: 1.10
    unpack: true
    description: >-
      counts per
      cell
    x-note: mine
"""
    ref = Ref("doi:10.5281/zenodo.1234567", (("unpack", "true"), ("version", "1.10")))
    files = ("counts/**", "!**/*.bam")
    expected = Dataset("cells", (ref,), "in/cells", files, "copy", "1.10", True, "counts per cell", 5)
    assert manifest.read(text) == {"cells": expected}


def test_defaults() -> None:
    assert entry("from: s3://b/k") == Dataset("d", (Ref("s3://b/k"),), "data/d", line=3)


@pytest.mark.parametrize("text", ["gotdata: 1", "gotdata: 1\ndata:\n", "gotdata: 1\ndata: {}", "gotdata: 1\ndata: ~"])
def test_no_entries(text: str) -> None:
    assert manifest.read(text) == {}


@pytest.mark.parametrize(
    ("written", "version"),
    [
        ("1.10", "1.10"),
        ("yes", "yes"),
        ("0x10", "0x10"),
        ("1e3", "1e3"),
        ("'~'", "~"),
        ("2024-01-01", "2024-01-01"),
        ("007", "007"),
    ],
)
def test_scalars_are_read_as_written(written: str, version: str) -> None:
    assert entry(f"from: s3://b/k\nversion: {written}").version == version


def test_mirrors_keep_their_order_and_their_own_version() -> None:
    found = entry("version: 2\nfrom:\n- s3://b/k\n- url: https://h.org/x\n  version: v2\n  anonymous: true\n  x-a: 1")
    assert found.refs == (
        Ref("s3://b/k", (("version", "2"),)),
        Ref("https://h.org/x", (("anonymous", "true"), ("version", "v2"))),
    )


@pytest.mark.parametrize(
    "text", ["from: [./a, s3://b/k]", "from:\n  - ./a\n  - s3://b/k", 'from: ["./a", {url: "s3://b/k"}]']
)
def test_ways_to_write_a_list(text: str) -> None:
    assert entry(text).refs == (Ref("file:a"), Ref("s3://b/k"))


def test_one_pattern_may_stand_for_a_list() -> None:
    assert entry("from: s3://b/k\nfiles: '*.csv'").files == ("*.csv",)


def test_a_byte_order_mark_and_windows_line_ends_are_read() -> None:
    found = manifest.read("\ufeffgotdata: 1\r\ndata:\r\n  d:\r\n    from: s3://b/k\r\n")
    assert found["d"].refs == (Ref("s3://b/k"),)


TOP = [
    ("", 1, 1, "nothing is written here"),
    ("# only this\n", 1, 1, "nothing is written here"),
    ("text", 1, 1, "this is no manifest"),
    ("- a\n", 1, 1, "this is no manifest"),
    ("data: {}\n", 1, 1, "'gotdata: 1' is missing"),
    ("gotdata: x\n", 1, 10, "the format is a number"),
    ("gotdata: 0\n", 1, 10, "the format is a number"),
    ("gotdata: [1]\n", 1, 10, "the format is a number"),
    ("gotdata: 2\nnew: key\n", 1, 10, "format 2 is newer than this gotdata: update it"),
    ("gotdata: 1\ndatasets: {}\n", 2, 1, "unknown key 'datasets': did you mean 'data'?"),
    ("gotdata: 1\ncells: {}\n", 2, 1, "unknown key 'cells': there are gotdata, data"),
    ("gotdata: 1\ngotdata: 1\n", 2, 1, "'gotdata' stands twice, first in line 1"),
    ("gotdata: 1\ndata: [a]\n", 2, 7, "'data' is a list: names are due"),
    ("gotdata: 1\ndata: a\n", 2, 7, "'data' is text: names are due"),
    ("gotdata: 1\n\tdata: {}\n", 2, 1, "a tab: YAML indents by spaces only"),
    ("gotdata: 1\ndata:\n  \td: {}\n", 3, 3, "a tab: YAML indents by spaces only"),
    ("gotdata: 1\ndata: {d: {from: [s3://b/k}\n", 2, 27, "not YAML"),
    ("gotdata: 1\ndata: 'x\n", 3, 1, "not YAML"),
    ("gotdata: 1\ndata: a: b\n", 2, 8, "not YAML"),
    ("gotdata: 1\n# \x07\n", 2, 3, "a control character"),
    ("gotdata: 1\n---\ndata: {}\n", 2, 1, "a second document"),
    ("gotdata: 1\nx-a: &a [1]\ndata: *a\n", 3, 7, "an alias"),
    ("gotdata: 1\nx-a: !!python/object:os.system {}\n", 2, 6, "a tag"),
    ("gotdata: 1\ndata: {d: {from: !x s3://b/k}}\n", 2, 18, "a tag"),
    ("gotdata: 1\n? [a]\n: b\n", 2, 3, "a key that is no text"),
    ("gotdata: 1\nx-a: " + "[" * 1_000_000, 2, 22, "more than 16 levels deep"),
    ("gotdata: 1\nx-a:\n" + "".join(" " * n + "a:\n" for n in range(1, 40)), 18, 17, "more than 16 levels deep"),
    ("%YAML 9999999999.x\n---\ngotdata: 1\n", 1, 18, "not YAML"),
]


@pytest.mark.parametrize(("text", "line", "column", "why"), TOP, ids=[case[3] + repr(case[0][:30]) for case in TOP])
def test_a_file_that_is_no_manifest(text: str, line: int, column: int, why: str) -> None:
    found = problems(text)
    assert found[0][:2] == (line, column)
    assert found[0][2].startswith(why) or why in found[0][2]


ENTRY = [
    ("to: x", 3, 3, "'from:' is missing"),
    ("from:", 4, 10, "nothing is written here"),
    ("from: ''", 4, 11, "nothing is written here"),
    ("from: ' '", 4, 11, "nothing is written here"),
    ("from: []", 4, 11, "an empty list"),
    ("from: [s3://b/k, '']", 4, 22, "nothing is written here"),
    ("from: [s3://b/k, [s3://b/k]]", 4, 22, "this is a list: text is due"),
    ("from: [s3://b/k, s3://b/k]", 4, 22, "s3://b/k stands twice"),
    ("from: {}", 4, 11, "needs 'url:'"),
    ("from: {uri: s3://b/k}", 4, 11, "did you mean 'url'?"),
    ("from: {url: s3://b/k, url: s3://b/k}", 4, 27, "'url' stands twice"),
    ("from: {url: s3://b/k, region: a, region: b}", 4, 38, "'region' stands twice"),
    ("from: {url: s3://b/k, region: [a]}", 4, 35, "this is a list: text is due"),
    ("from: {url: s3://b/k, region: }", 4, 34, "nothing is written here"),
    ("from: {url: s3://b/k, Region: a}", 4, 35, "no name of an option"),
    ("from: {url: s3://b/k, token: hunter2}", 4, 34, "'token' would hold a secret"),
    ("from: {url: s3://b/k, key: hunter2}", 4, 32, "'key' would hold a secret"),
    ("from: {url: s3://b/k, aws_secret_access_key: hunter2}", 4, 50, "would hold a secret"),
    ("from: {url: s3://b/k, password: hunter2}", 4, 37, "'password' would hold a secret"),
    ("from: {url: s3://b/k, endpoint: 'https://u:hunter2@h'}", 4, 37, "the value of 'endpoint' holds a secret"),
    ("from: https://u:hunter2@h/x", 4, 11, "https://h/x holds a secret"),
    ("from: https://h/x?X-Amz-Signature=hunter2", 4, 11, "the parameter X-Amz-Signature"),
    ("from: https://h/x?token=hunter2", 4, 11, "the parameter token"),
    ("from: https://h/x?access_token=hunter2", 4, 11, "the parameter access_token"),
    ("from: {url: https://h/x?token=hunter2}", 4, 17, "the parameter token"),
    ("from: big", 4, 11, "'big' has no scheme"),
    ("from: ~/x", 4, 11, "begins with '~'"),
    ("from: C:\\\\x", 4, 11, "a path of Windows"),
    ("from: file://nas/x", 4, 11, "names the host 'nas'"),
    ("from: s3://", 4, 11, "ends after its scheme"),
    ("from: https://h/a b", 4, 11, "holds a space"),
    ('from: "https://h/\\e[2J"', 4, 11, "control characters"),
    ("form: s3://b/k", 4, 5, "unknown key 'form': did you mean 'from'?"),
    ("src: s3://b/k", 4, 5, "unknown key 'src': did you mean 'from'?"),
    ("url: s3://b/k", 4, 5, "unknown key 'url': did you mean 'from'?"),
    ("dst: x", 4, 5, "unknown key 'dst': did you mean 'to'?"),
    ("dest: x", 4, 5, "unknown key 'dest': did you mean 'to'?"),
    ("target: x", 4, 5, "unknown key 'target': did you mean 'to'?"),
    ("descripton: x", 4, 5, "did you mean 'description'?"),
    ("zzz: x", 4, 5, "there are from, to, files, as, version, unpack, description"),
    ("from: s3://b/k\nfrom: s3://b/l", 5, 5, "'from' stands twice, first in line 4"),
    ("from: s3://b/k\nas: mont", 5, 9, "'mont' can't be here: did you mean 'mount'?"),
    ("from: s3://b/k\nas: fast", 5, 9, "there are auto, mount, copy, bake"),
    ("from: s3://b/k\nas: [copy]", 5, 9, "this is a list: text is due"),
    ("from: s3://b/k\nunpack: yes", 5, 13, "there are true, false"),
    ("from: s3://b/k\ndescription: {a: b}", 5, 18, "this is a mapping: text is due"),
    ("from: s3://b/k\nversion:", 5, 13, "nothing is written here"),
    ("from: s3://b/k\nversion: null", 5, 14, "nothing is written here"),
    ('from: s3://b/k\nversion: "\\e[2J"', 5, 14, "control characters"),
    ("from: s3://b/k\nfiles: []", 5, 12, "an empty list"),
    ("from: s3://b/k\nfiles: [a, '!']", 5, 16, "'!' is no pattern"),
    ("from: s3://b/k\nfiles: ['#a']", 5, 13, "write \\#a"),
    ("from: s3://b/k\nfiles: {a: b}", 5, 12, "this is a mapping: text is due"),
    ("from: s3://b/k\nto: ../x", 5, 9, "holds '..'"),
    ("from: s3://b/k\nto: /x", 5, 9, "is absolute"),
    ("from: s3://b/k\nto: a\\b", 5, 9, "a backslash"),
    ("from: s3://b/k\nto: 'C:/x'", 5, 9, "is absolute"),
    ("from: s3://b/k\nto: ~/x", 5, 9, "begins with '~'"),
    ("from: s3://b/k\nto: .", 5, 9, "the repository's root"),
    ("from: s3://b/k\nto: .git/hooks", 5, 9, ".git has another use"),
    ("from: s3://b/k\nto: .gotdata", 5, 9, ".gotdata has another use"),
    ("from: s3://b/k\nto: gotdata.lock.d/x", 5, 9, "gotdata.lock.d has another use"),
    ("from: s3://b/k\nto: [x]", 5, 9, "this is a list: text is due"),
    ("from: ./data", 3, 3, "lies inside './data', where d comes from"),
    ("from: .\nto: x", 5, 9, "lies inside './', where d comes from"),
]


@pytest.mark.parametrize(("text", "line", "column", "why"), ENTRY, ids=[case[0] for case in ENTRY])
def test_an_entry_that_is_wrong(text: str, line: int, column: int, why: str) -> None:
    body = "".join(f"    {row}\n" for row in text.splitlines())
    found = problems(f"gotdata: 1\ndata:\n  d:\n{body}")
    assert [(line, column)] == [place[:2] for place in found if why in place[2]]
    assert all("hunter2" not in place[2] and place[2].isprintable() for place in found)


@pytest.mark.parametrize(
    ("text", "line", "column", "why"),
    [
        ("  Cells: {from: s3://b/k}", 3, 3, "'Cells' is no name"),
        ("  -a: {from: s3://b/k}", 3, 3, "'-a' is no name"),
        ("  ../a: {from: s3://b/k}", 3, 3, "'../a' is no name"),
        ("  'ä': {from: s3://b/k}", 3, 3, "'ä' is no name"),
        ("  '': {from: s3://b/k}", 3, 3, "'' is no name"),
        (f"  {'a' * 101}: {{from: s3://b/k}}", 3, 3, "is no name"),
        ("  a:", 3, 3, "a: 'from:' is due below it, and there is nothing"),
        ("  a: s3://b/k", 3, 3, "a: 'from:' is due below it, and there is text"),
        ("  a: {from: s3://b/k}\n  a: {from: s3://b/l}", 4, 3, "'a' stands twice, first in line 3"),
        ("  .git: {from: s3://b/k}", 3, 3, "'.git' is no name"),
        ("  gotdata.lock: {from: s3://b/k}", 3, 3, "gotdata.lock has another use"),
        ("  a: {from: s3://b/k, to: x}\n  b: {from: s3://b/l, to: x/}", 4, 27, "b: a appears at 'x', the same place"),
        ("  a: {from: s3://b/k, to: x}\n  b: {from: s3://b/l, to: X}", 4, 27, "b: a appears at 'x', the same place"),
        ("  a: {from: s3://b/k, to: é}\n  b: {from: s3://b/l, to: e\u0301}", 4, 27, "the same place"),
        (
            "  a: {from: s3://b/k, to: x}\n  b: {from: s3://b/l, to: x/y/z}",
            4,
            27,
            "b: 'x/y/z' lies inside the target of a",
        ),
        ("  a: {from: s3://b/k, to: x/y}\n  b: {from: s3://b/l, to: X}", 3, 27, "a: 'x/y' lies inside the target of b"),
        ("  a: {from: s3://b/k}\n  b: {from: s3://b/l, to: data/a}", 4, 27, "b: a appears at 'data/a', the same place"),
        (
            "  a: {from: ./raw}\n  b: {from: s3://b/l, to: raw/b}",
            3,
            3,
            "the target of b lies inside './raw', where a comes from",
        ),
    ],
)
def test_names_and_targets_that_clash(text: str, line: int, column: int, why: str) -> None:
    (found,) = problems(f"gotdata: 1\ndata:\n{text}\n")
    assert found[:2] == (line, column)
    assert why in found[2]


def test_neighbours_do_not_clash() -> None:
    text = "gotdata: 1\ndata:\n  a: {from: ./raw/a, to: x-y}\n  b: {from: ./.x, to: x/y}\n  c: {from: ../x, to: x/z}\n"
    assert list(manifest.read(text)) == ["a", "b", "c"]


def test_all_that_is_wrong_is_told_at_once_in_the_files_order() -> None:
    found = problems("gotdata: 1\ndata:\n  a: {form: x, as: y}\n  B: {}\n  c: {from: big, to: /x}\nother: 1\n")
    assert [place[0] for place in found] == [3, 3, 3, 4, 5, 5, 6]
    assert found == sorted(found, key=lambda place: place[:2])


def test_what_is_wrong_before_bad_yaml_ends_the_reading_is_not_made_up() -> None:
    assert len(problems("gotdata: 1\nother: 1\ndata: [\n")) == 1


def test_a_flood_of_problems_is_cut() -> None:
    with pytest.raises(ManifestError) as caught:
        manifest.read("gotdata: 1\n" + "".join(f"k{number}: 1\n" for number in range(200)))
    assert len(str(caught.value).splitlines()) == 51
    assert str(caught.value).endswith("and 150 more")


@given(st.text(alphabet=st.sampled_from("gotdata: 1\n\r\t#'\"[]{},&*!|>-?%@x/.~é\x00\x85\u2028\ufeff"), max_size=60))
def test_any_text_is_a_manifest_or_an_error_with_places(text: str) -> None:
    for line in refused(text).splitlines():
        assert re.match(r"gotdata\.yml:[1-9]\d*:[1-9]\d*: .", line)
        assert line.isprintable()


names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,9}", fullmatch=True)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(names, words.map(lambda word: f"s3://{word}") | words, words)
def test_any_values_are_read_as_they_are_or_refused(name: str, ref: str, to: str) -> None:
    def quoted(text: str) -> str:
        return '"' + "".join(f"\\U{ord(char):08x}" for char in text) + '"'

    text = f"gotdata: 1\ndata:\n  {name}: {{from: {quoted(ref)}, to: {quoted(to)}}}\n"
    if why := refused(text):
        assert all(line.isprintable() for line in why.splitlines())
        return
    found = manifest.read(text)[name]
    assert found.to.split("/") == [part for part in to.split("/") if part not in ("", ".")]
    if ref.startswith("s3://"):
        assert found.refs == (Ref(ref),)


def test_the_digest_covers_what_decides_the_content_and_nothing_else() -> None:
    plain = entry("from: s3://b/k")
    assert manifest.entry_digest_fields(plain) == {"from": [{"url": "s3://b/k"}]}
    same = entry("from: [{url: 's3://b/k'}]\nto: x\nas: copy\ndescription: y\nunpack: false\nx-a: 1")
    assert manifest.entry_digest_fields(same) == manifest.entry_digest_fields(plain)
    full = entry("from: {url: s3://b/k, region: r}\nversion: 1.10\nfiles: '*.csv'\nunpack: true")
    assert manifest.entry_digest_fields(full) == {
        "from": [{"url": "s3://b/k", "region": "r", "unpack": "true", "version": "1.10"}],
        "files": ["*.csv"],
        "version": "1.10",
        "unpack": True,
    }


def test_a_file_that_can_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "gotdata.yml"
    with pytest.raises(ManifestError, match=r"gotdata\.yml: can't be read: No such file"):
        manifest.load(path)
    path.write_bytes(b"gotdata: 1\nx-a: \xff\n")
    with pytest.raises(ManifestError, match=r"gotdata\.yml:2:6: not UTF-8"):
        manifest.load(path)
    path.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(ManifestError, match="more than 1 MiB"):
        manifest.load(path)

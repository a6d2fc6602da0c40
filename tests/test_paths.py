"""What may be a path, a link, a target; and what of a URL may be shown."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gotdata import paths
from gotdata.errors import DeliveryError, ManifestError, SourceError

bytes_of_names = st.lists(st.binary(min_size=1, max_size=20).filter(lambda raw: b"/" not in raw), min_size=1)
relative = bytes_of_names.map(lambda parts: b"/".join(parts).decode("utf-8", "surrogateescape"))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "it is empty"),
        ("/", "absolute"),
        ("/etc/passwd", "absolute"),
        ("//host/x", "absolute"),
        ("..", "the component '..'"),
        ("a/../b", "the component '..'"),
        ("a/..", "the component '..'"),
        (".", "the component '.'"),
        ("./a", "the component '.'"),
        ("a//b", "an empty component"),
        ("a/", "an empty component"),
        ("a\0b", "a NUL"),
        ("a" * 256, "256 bytes"),
        ("ä" * 128, "256 bytes"),
        ("/".join(["a" * 200] * 21), "4220 bytes"),
        ("a\ud800b", "can be encoded"),
    ],
)
def test_a_name_that_can_mean_another_place_is_refused(name: str, why: str) -> None:
    with pytest.raises(SourceError) as caught:
        paths.remote_path(name)
    assert why in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "a/b",
        "...",
        "..a",
        "a..",
        "ä" * 127,
        "a\nb",
        "Icon\r",
        "\x1b[31m",
        "a\\..\\b",
        "C:b",
        "con",
        "-rf",
        " ",
        "~",
        "\udcff",
    ],
)
def test_any_other_name_is_carried_as_it_is(name: str) -> None:
    assert paths.remote_path(name) == name


def test_bytes_that_escaped_apart_are_one_character_together() -> None:
    assert paths.remote_path("\udcc3\udca9") == "é"


@given(st.one_of(relative, st.text()))
@example("\udc2e\udc2e/x")  # bytes below 0x80 can't come out of surrogates
def test_what_is_let_in_stays_below_any_root(name: str) -> None:
    try:
        path = paths.remote_path(name)
    except SourceError:
        return
    assert paths.remote_path(path) == path
    raw = path.encode("utf-8", "surrogateescape")
    assert raw.decode("utf-8", "surrogateescape") == path
    below = PurePosixPath("/root", path)
    assert below.parts[:2] == ("/", "root")
    assert len(below.parts) == path.count("/") + 3
    assert ".." not in below.parts


@pytest.mark.parametrize(
    ("path", "target", "why"),
    [
        ("a", "", "is empty"),
        ("a", "/etc/passwd", "is absolute"),
        ("a", "..", "outside the dataset"),
        ("a", "../x", "outside the dataset"),
        ("a/b", "../../x", "outside the dataset"),
        ("a/b", ".././../x", "outside the dataset"),
        ("a/b/c", "d/../../x", "goes down and then up"),
        ("a", "b/..", "goes down and then up"),
        ("a", "x\0", "a NUL"),
    ],
)
def test_a_link_that_can_leave_the_tree_is_refused(path: str, target: str, why: str) -> None:
    with pytest.raises(SourceError, match=why):
        paths.link_target(path, target)


@pytest.mark.parametrize(
    ("path", "target"), [("a", "b"), ("a/b", ".."), ("a/b", "../c"), ("a/b/c", "../../d/e"), ("a", "./b")]
)
def test_a_link_inside_the_tree_is_kept(path: str, target: str) -> None:
    assert paths.link_target(path, target) == target


def test_links_through_links_stay_in_the_tree(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "x" / "y").mkdir(parents=True)
    links = {"x/y/up": "../..", "out": "x/y/up/..", "also": "x/y/up"}
    for path, target in links.items():
        try:
            (root / path).symlink_to(paths.link_target(path, target))
        except SourceError:
            assert path == "out"
    assert (root / "also").resolve() == root.resolve()
    assert not (root / "out").is_symlink()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a\\b", "'\\'"),
        ("C:b", "':'"),
        ("a/con", "con"),
        ("NUL.txt", "NUL.txt"),
        ("a/b.", "dot"),
        ("a /b", "space"),
        ("a\nb", "\\n"),
        ("a\udcff", "UTF-8"),
    ],
)
def test_what_windows_forbids_is_told(name: str, why: str) -> None:
    assert why in paths.unportable(name)


@pytest.mark.parametrize("name", ["a/b.txt", "console", "ä ö", "a.b/c-d"])
def test_what_any_system_holds_is_portable(name: str) -> None:
    assert paths.unportable(name) == ""


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (["A", "a"], [("A", "a")]),
        (["A/x", "a/y", "a/z"], [("A", "a")]),
        (["d", "d/X", "d/x", "e/X"], [("d/X", "d/x")]),
        (["e\u0301", "é"], [("e\u0301", "é")]),
        (["straße", "STRASSE"], [("straße", "STRASSE")]),
        (["a/b/c", "a/b/d", "a/c", "b"], []),
        (["A", "B/a", "a"], [("A", "a")]),
        ([], []),
    ],
)
def test_names_that_differ_by_case_or_normalisation_are_found(given: list[str], found: list[tuple[str, str]]) -> None:
    assert list(paths.clashes(given)) == found


@given(st.sets(st.text(alphabet="aAéE\u0301/", min_size=1).map(lambda text: text.strip("/").replace("//", "/"))))
def test_clashes_are_those_that_comparing_all_pairs_finds(given: set[str]) -> None:
    ordered = sorted(tuple(path.split("/")) for path in given if path and "//" not in path)
    entries = {parts[:length] for parts in ordered for length in range(1, len(parts) + 1)}
    folded: dict[tuple[object, str], set[str]] = {}
    for *parent, name in entries:
        folded.setdefault((tuple(parent), paths.fold(name)), set()).add(name)
    expected = sum(len(names) - 1 for names in folded.values())
    assert len(list(paths.clashes("/".join(parts) for parts in ordered))) == expected


@given(st.text())
def test_spellings_that_a_file_system_may_merge_fold_to_one(name: str) -> None:
    for form in ("NFC", "NFD"):
        assert paths.fold(unicodedata.normalize(form, name)) == paths.fold(name)
    assert paths.fold(paths.fold(name)) == paths.fold(name)


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("", "the repository's root"),
        (".", "the repository's root"),
        ("./", "the repository's root"),
        ("/data", "absolute"),
        ("C:/data", "absolute"),
        ("c:data", "absolute"),
        ("~/data", "begins with '~'"),
        ("~", "begins with '~'"),
        ("../x", "holds '..'"),
        ("a/../../x", "holds '..'"),
        ("a\\b", "backslash"),
        ("a\nb", "control characters"),
        ("\u202ea", "control characters"),
        (".git", "another use"),
        ("sub/.GIT/hooks", "another use"),
        (".git ./x", "another use"),
        (".gotdata/x", "another use"),
        ("gotdata.lock.d", "another use"),
        ("Gotdata.yml", "another use"),
        ("a" * 256, "too long"),
        ("a/" * 2500, "too long"),
    ],
)
def test_a_target_that_is_not_below_the_root_is_refused(to: str, why: str) -> None:
    with pytest.raises(ManifestError) as caught:
        paths.target_path(to)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("to", "path"), [("a", "a"), ("./a//b/", "a/b"), ("data/Größe", "data/Größe"), (".gitx", ".gitx")]
)
def test_a_target_is_made_plain(to: str, path: str) -> None:
    assert paths.target_path(to) == path


def test_a_target_lies_below_the_real_root(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "way").symlink_to("root")
    assert paths.target(tmp_path / "way", "data/x") == (tmp_path / "root" / "data" / "x").resolve()


def test_a_link_inside_the_root_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "data").symlink_to("real")
    assert paths.target(tmp_path, "data/x") == (tmp_path / "real" / "x").resolve()


@pytest.mark.parametrize("leads", ["..", "../beside", "/etc", "."])
def test_a_link_out_of_the_root_is_refused(tmp_path: Path, leads: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "beside").mkdir()
    (root / "data").symlink_to(leads)
    with pytest.raises(DeliveryError, match="leads out of"):
        paths.target(root, "data")


@pytest.mark.parametrize("folder", [".git/hooks", ".gotdata"])
def test_a_link_into_a_reserved_folder_is_refused(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "data").symlink_to(folder)
    with pytest.raises(DeliveryError, match="leads into"):
        paths.target(tmp_path, "data/x")


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain ä\N{SNOWMAN}.txt", "plain ä\N{SNOWMAN}.txt"),
        ("\x1b]0;x\x07", "\\x1b]0;x\\x07"),
        ("a\r\nb\t", "a\\r\\nb\\t"),
        ("\x9b31m", "\\u009b31m"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("\udcff\udc80", "\\xff\\x80"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_a_terminal_may_not_have_is_escaped(text: str, seen: str) -> None:
    assert paths.shown(text) == seen


@given(st.text(alphabet=st.characters()))
def test_what_is_shown_is_printable_and_stays_so(text: str) -> None:
    assert paths.shown(text).isprintable()
    assert paths.shown(paths.shown(text)) == paths.shown(text)


URLS = [
    ("https://user:hunter2@h.org/x", "https://h.org/x"),
    ("https://hunter2@h.org/x", "https://h.org/x"),
    ("https://user:hun@ter2@h.org/x", "https://h.org/x"),
    ("https://user:hun/ter2@h.org/x", "https://h.org/x"),
    ("sftp://user:hunter2@h.org:22/x", "sftp://h.org:22/x"),
    ("https://h.org/x?X-Amz-Signature=hunter2&a=1", "https://h.org/x?X-Amz-Signature=…&a=1"),
    ("https://h.org/x?a=1&X%2DAmz%2DSignature=hunter2", "https://h.org/x?a=1&X%2DAmz%2DSignature=…"),
    ("https://h.org/x?token=hunter2", "https://h.org/x?token=…"),
    ("https://h.org/x?a;access_token=hunter2", "https://h.org/x?a;access_token=…"),
    ("https://h.org/x#access_token=hunter2", "https://h.org/x#access_token=…"),
    ("https://h.org/x?se=1&sig=hunter2%3D", "https://h.org/x?se=1&sig=…"),
    ("https://h.org/x?AWSAccessKeyId=hunter2", "https://h.org/x?AWSAccessKeyId=…"),
    ("https://h.org/x?private_link=hunter2", "https://h.org/x?private_link=…"),
    ("https://h.org/x?API_KEY=hunter2", "https://h.org/x?API_KEY=…"),
    ("https://h.org/x?password=hunter2", "https://h.org/x?password=…"),
    ("https://h.org/x?key=hunter2", "https://h.org/x?key=…"),
    ("https://figshare.com/s/hunter2", "https://figshare.com/s/…"),
    ("https://datadryad.org/stash/share/hunter2", "https://datadryad.org/stash/share/…"),
]


@pytest.mark.parametrize(("url", "seen"), URLS)
def test_a_secret_in_a_url_is_found_and_never_shown(url: str, seen: str) -> None:
    assert paths.redact(url) == seen
    assert paths.secret(url)
    assert "hunter2" not in paths.secret(url)
    assert paths.redact(f"no answer from {url} (tried 3 times)") == f"no answer from {seen} (tried 3 times)"


@pytest.mark.parametrize(
    "url",
    [
        "https://h.org:8080/a@b?x=1",
        "https://h.org/@me/x",
        "https://h.org/a//b:c@d",
        "file:///:@",
        "doi:10.5281/zenodo.1",
        "https://h.org/token/x",
        "s3://b/k?versionId=1",
    ],
)
def test_a_url_without_a_secret_is_shown_whole(url: str) -> None:
    assert paths.redact(url) == url
    assert paths.secret(url) == ""


@pytest.mark.parametrize("url", ["https://h.org/x?rlkey=1", "https://h.org/x?code=1", "https://h.org/x?session_id=1"])
def test_what_may_be_a_secret_may_be_written_and_is_not_shown(url: str) -> None:
    assert paths.secret(url) == ""
    assert paths.redact(url).endswith("=…")


def test_a_user_alone_is_a_secret_for_http_only() -> None:
    assert paths.secret("sftp://me@h.org/x") == ""
    assert paths.secret("https://me@h.org/x")


def test_a_message_is_shown_without_escapes() -> None:
    assert paths.redact("https://h.org/\x1b[2J?token=x") == "https://h.org/\\x1b[2J?token=…"


@pytest.mark.parametrize("piece", ["//a:", "?", "?a", "&a=", "//", "@", "//a:1@"])
def test_hostile_text_is_redacted_in_linear_time(piece: str) -> None:
    # Quadratic time would run into the suite's limit for a hang.
    paths.redact(piece * 200_000)
    paths.secret(piece * 200_000)

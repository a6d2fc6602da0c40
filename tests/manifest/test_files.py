"""What ``files:`` selects, by itself and beside git."""

from __future__ import annotations

import subprocess
from shutil import which

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotdata.errors import ManifestError
from gotdata.manifest import select


@pytest.mark.parametrize(
    ("patterns", "taken", "left"),
    [
        (
            ["counts/**", "!**/*.bam"],
            ["counts/a", "counts/a/b.tsv"],
            ["counts/a.bam", "counts/a/b.bam", "other", "x/counts/a"],
        ),
        (["!**/*.bam", "counts/**"], ["counts/a.bam"], ["a.bam", "a.tsv"]),
        (["!*.bam"], ["a.tsv", "x/y"], ["a.bam", "x/a.bam"]),
        (["!*.bam", "!x/"], ["a.tsv"], ["a.bam", "x/y", "x/y/z"]),
        (["*", "!x/", "x/keep"], ["x/keep", "a"], ["x/y"]),
        (["*.csv"], ["a.csv", "x/y/a.csv", "a.csv/inner"], ["a.csv.gz", "a.CSV"]),
        (["/a"], ["a", "a/b"], ["x/a"]),
        (["a/b"], ["a/b", "a/b/c"], ["x/a/b"]),
        (["x/*/z"], ["x/y/z"], ["x/z", "x/y/y/z"]),
        (["x/**/z"], ["x/z", "x/y/y/z"], ["z"]),
        (["a[0-9]?"], ["a1b"], ["ab1", "a1"]),
        (["[]a]x", "\\[b"], ["]x", "ax", "[b"], ["[x", "b"]),
        (["\\#a", "\\!b"], ["#a", "!b"], ["a", "b"]),
        ([], ["a", "x/y"], []),
        (["*.bin"], ["two\nlines.bin", "two\nlines/a.bin", "x/y\n/a.bin"], ["a.bin\n"]),
        (["\N{SNOWMAN}*"], ["\N{SNOWMAN}\udcff"], ["a"]),
    ],
)
def test_the_last_pattern_that_matches_decides(patterns: list[str], taken: list[str], left: list[str]) -> None:
    selects = select(patterns)
    assert [path for path in (*taken, *left) if selects(path)] == taken


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("", "no pattern"),
        (" ", "no pattern"),
        ("!", "no pattern"),
        ("/", "no pattern"),
        ("!!a", "double negation"),
        ("#a", "a comment"),
        ("a\nb", "not printable"),
        ("a" * 1025, "too long"),
        ("a*b*c*d*e", "more than 3"),
        ("**/**/**/**/a", "more than 3"),
        ("a**b", "beside other characters"),
        ("***", "beside other characters"),
        ("a\\", "no pattern"),
        ("[z-a]", "no pattern"),
        ("[a", "without its '\\]'"),
        ("[]", "without its"),
        ("a/[!]x", "without its"),
    ],
)
def test_what_is_no_pattern(pattern: str, why: str) -> None:
    with pytest.raises(ManifestError, match=why):
        select([pattern])


def test_a_hostile_name_is_matched_before_the_limit_for_a_hang() -> None:
    selects = select(["*a*a*b", "**/a/**/a/**/b"])
    assert not selects("a" * 255)
    assert not selects("/".join("a" * 400))


components = st.text("ab.*?", min_size=1, max_size=4).filter(lambda part: part.strip("."))
patterns = st.lists(components, min_size=1, max_size=3).map("/".join)
names = st.lists(st.sampled_from(["a", "b", "ab", "a.b", "ba", "aab"]), min_size=1, max_size=3).map("/".join)


@pytest.mark.skipif(not which("git"), reason="git is not installed")
@given(pattern=patterns, paths=st.sets(names, min_size=1))
def test_a_pattern_matches_what_git_says(
    tmp_path_factory: pytest.TempPathFactory, pattern: str, paths: set[str]
) -> None:
    try:
        selects = select([pattern])
    except ManifestError:
        return
    root = tmp_path_factory.getbasetemp() / "git"
    if not root.exists():
        subprocess.run(["git", "init", "-q", root], check=True)
    (root / ".gitignore").write_text(f"{pattern}\n", "utf-8")
    told = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin"],
        cwd=root,
        input="\n".join(paths),
        capture_output=True,
        text=True,
    )
    assert {path for path in paths if selects(path)} == set(told.stdout.splitlines())

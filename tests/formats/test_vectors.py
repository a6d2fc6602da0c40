"""What docs/formats fixes: the vectors, and the checker that reads a lock without gotdata."""

from __future__ import annotations

import filecmp
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gotdata import lock
from gotdata.errors import IntegrityError, SourceError
from gotdata.snapshot_indexing import entries
from gotdata.snapshot_lines import content_line, read_content, read_origin, read_run
from gotdata.snapshot_text import text_id
from tests.formats import vectors

REFUSED = vectors.load("refused")
DOCS = vectors.VECTORS.parent


@pytest.mark.parametrize("case", vectors.load("snapshots"), ids=lambda case: case["about"])
def test_a_listing_gives_these_texts_and_this_id(case: dict[str, Any], tmp_path: Path) -> None:
    found = vectors.texts(vectors.built(case, tmp_path))
    assert found == {key: case[key] for key in found}
    assert text_id(case["shards"]) == case["snapshot"]


@pytest.mark.parametrize("case", vectors.load("snapshots"), ids=lambda case: case["about"])
def test_these_texts_are_read_back(case: dict[str, Any]) -> None:
    lines = [line.encode() + b"\n" for line in case["content"]]
    assert [content_line(entry) for entry in entries(lines, "vector")] == lines


@pytest.mark.parametrize("case", vectors.load("blocks"), ids=lambda case: case["about"])
def test_hashing_gives_these_identities_and_blocks(case: dict[str, Any], tmp_path: Path) -> None:
    assert vectors.made_stronger(case, tmp_path) == (case["stronger"], case["blocks"])


def test_shards_end_at_these_lines() -> None:
    case = vectors.load("cuts")
    assert len(case["ends"]) > 3
    assert list(vectors.ends(case)) == case["ends"]


@pytest.mark.parametrize("case", vectors.load("digests"), ids=["plain", "full"])
def test_an_entry_has_this_digest(case: dict[str, Any]) -> None:
    assert lock.digest(case["entry"]) == case["digest"]
    assert lock.digest(dict(reversed(case["entry"].items()))) == case["digest"]


@pytest.mark.parametrize(
    ("read", "case"),
    [
        pytest.param(read, case, id=f"{kind}: {case['why']}")
        for kind, read in {"content": read_content, "origins": read_origin, "blocks": read_run}.items()
        for case in REFUSED[kind]
    ],
)
def test_a_line_is_refused(read: Any, case: dict[str, str]) -> None:
    with pytest.raises((ValueError, SourceError)):
        read(case["line"].encode() + b"\n")


@pytest.mark.parametrize("case", REFUSED["order"], ids=lambda case: case["why"])
def test_an_order_is_refused(case: dict[str, Any]) -> None:
    lines = [f'{{"id":"weak:n#a#1","path":"{path}","size":1,"type":"file"}}\n'.encode() for path in case["paths"]]
    with pytest.raises(IntegrityError, match=f"vector, line 2: {case['message']}"):
        list(entries(lines, "vector"))


def test_the_example_is_what_gotdata_writes(tmp_path: Path) -> None:
    vectors.example(vectors.load("example"), tmp_path)
    found = filecmp.dircmp(tmp_path, vectors.VECTORS / "lock")
    inner = found.subdirs["gotdata.lock.d"]
    for compared in (found, inner):
        assert not compared.left_only
        assert not compared.right_only
        assert not compared.diff_files
    assert len(inner.same_files) == 4


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    code = re.search(r"```python\n(.*?)```", (DOCS / "snapshot.md").read_text("utf-8"), re.DOTALL)
    assert code
    assert len(code[1].splitlines()) <= 40
    path = tmp_path_factory.mktemp("checker") / "check.py"
    path.write_text(code[1], "utf-8")
    return path


def check(checker: Path, lock_file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-I", checker, lock_file], capture_output=True, text=True)


def test_the_checker_of_the_docs_agrees(checker: Path) -> None:
    done = check(checker, vectors.VECTORS / "lock/gotdata.lock")
    assert (done.returncode, done.stdout) == (0, "cells: 2 files, as the lock says\n")


@pytest.mark.parametrize("limit", [10 << 20, 0], ids=["whole", "shards"])
def test_the_checker_reads_packed_texts(checker: Path, tmp_path: Path, limit: int, monkeypatch: Any) -> None:
    if not shutil.which("zstd"):
        pytest.skip("the program zstd is not here (apt: zstd)")
    listing = [{"path": f"f{number:06}", "size": number, "version": "1"} for number in range(15_000)]
    monkeypatch.setattr(vectors, "LIMIT", limit)
    vectors.example(vectors.load("example") | {"listings": [listing, listing]}, tmp_path)
    assert list(tmp_path.glob("*/*.zst")) or list(tmp_path.glob("*/shards/*.zst"))
    done = check(checker, tmp_path / "gotdata.lock")
    assert (done.returncode, done.stdout) == (0, "cells: 15000 files, as the lock says\n"), done.stderr


@pytest.mark.parametrize("name", ["cells.content.jsonl", "cells.origins.0.jsonl", "cells.origins.1.jsonl"])
def test_the_checker_finds_an_edited_text(checker: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(vectors.VECTORS / "lock", tmp_path, dirs_exist_ok=True)
    path = tmp_path / "gotdata.lock.d" / name
    path.write_text(path.read_text("utf-8").replace("b.csv", "c.csv"), "utf-8")
    done = check(checker, tmp_path / "gotdata.lock")
    assert done.returncode == 1
    assert f"{name.removesuffix('.jsonl')} is not the text of the lock" in done.stderr

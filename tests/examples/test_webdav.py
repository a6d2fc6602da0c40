"""The example of a shared folder, run against a double of a cloud: what differs from the real one is the address."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from gotdata.testing.webdav_double import TOKEN, Cloud

EXAMPLE = Path(__file__).parents[2] / "examples" / "webdav" / "gotdata.yml"
BODY = b"name,count\na,1\n"


def run(*words: str, folder: Path) -> None:
    environ = {**os.environ, "GOTDATA_STORE": str(folder / "store"), "HOME": str(folder)}
    program = str(Path(sys.executable).with_name("gotdata"))
    done = subprocess.run([program, *words], cwd=folder, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_lock_and_up_bring_the_tables(tmp_path: Path) -> None:
    with Cloud() as cloud:
        cloud.put("shared/a.csv", BODY)
        cloud.put("shared/notes.txt", b"not for you")
        cloud.share = "shared"
        text = EXAMPLE.read_text("utf-8")
        assert f"https://cloud.example.org/s/{TOKEN}" in text
        (tmp_path / "gotdata.yml").write_text(text.replace("https://cloud.example.org", cloud.root))
        run("lock", folder=tmp_path)
        run("up", "--as", "copy", folder=tmp_path)
    assert [path.name for path in (tmp_path / "data/measurements").iterdir()] == ["a.csv"]
    assert (tmp_path / "data/measurements/a.csv").read_bytes() == BODY

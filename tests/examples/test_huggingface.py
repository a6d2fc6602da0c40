"""The example of Hugging Face, run against a double of it: what differs from the real one is the address."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from gotdata.testing.huggingface_double import Hub

EXAMPLE = Path(__file__).parents[2] / "examples" / "huggingface" / "gotdata.yml"
BODY = b"name,count\na,1\n"


def run(*words: str, folder: Path) -> None:
    environ = {**os.environ, "GOTDATA_STORE": str(folder / "store"), "HOME": str(folder)}
    program = str(Path(sys.executable).with_name("gotdata"))
    done = subprocess.run([program, *words], cwd=folder, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_lock_and_up_bring_the_folder(tmp_path: Path) -> None:
    page = "https://huggingface.co/datasets/nyu-mll/glue"
    with Hub() as hub:
        commit = hub.commit("datasets/nyu-mll/glue", {"cola/train.csv": BODY, "mnli/train.csv": b""})
        text = EXAMPLE.read_text("utf-8")
        assert page in text
        (tmp_path / "gotdata.yml").write_text(text.replace("https://huggingface.co/", f"huggingface:{hub.root}/"))
        run("lock", folder=tmp_path)
        run("up", "--as", "copy", folder=tmp_path)
    assert [path.name for path in (tmp_path / "data/cola").iterdir()] == ["train.csv"]
    assert (tmp_path / "data/cola/train.csv").read_bytes() == BODY
    assert commit in (tmp_path / "gotdata.lock").read_text("utf-8")

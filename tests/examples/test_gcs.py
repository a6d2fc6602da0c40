"""The example of Google Cloud Storage, run against a double of it: what differs from the real one is the address."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from gotdata.testing.gcs_double import CloudStorage

EXAMPLE = Path(__file__).parents[2] / "examples" / "gcs" / "gotdata.yml"
BUCKET, OBJECT = "cloud-samples-data", "bigquery/us-states/us-states.csv"
BODY = b"name,post_abbr\nAlabama,AL\n"


def run(*words: str, folder: Path) -> None:
    environ = {**os.environ, "GOTDATA_STORE": str(folder / "store"), "HOME": str(folder)}
    program = str(Path(sys.executable).with_name("gotdata"))
    done = subprocess.run([program, *words], cwd=folder, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_lock_and_up_bring_the_table(tmp_path: Path) -> None:
    with CloudStorage() as cloud:
        cloud.bucket = BUCKET
        generation = cloud.put(OBJECT, BODY)
        text = EXAMPLE.read_text("utf-8")
        assert f"gs://{BUCKET}/{OBJECT}" in text
        (tmp_path / "gotdata.yml").write_text(text.replace("gs://", f"gcs:{cloud.root}/"))
        run("lock", folder=tmp_path)
        run("up", "--as", "copy", folder=tmp_path)
    assert (tmp_path / "data/states/us-states.csv").read_bytes() == BODY
    assert generation in (tmp_path / "gotdata.lock").read_text("utf-8")

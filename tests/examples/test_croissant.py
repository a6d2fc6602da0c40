"""The example of Croissant, run against a server of ours: what differs from the real one is the address."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from gotdata.testing.landing_double import Portal

EXAMPLE = Path(__file__).parents[2] / "examples" / "croissant" / "gotdata.yml"
URL = "https://raw.githubusercontent.com/mlcommons/croissant/main/datasets/1.0/titanic/metadata.json"
TABLE = b"name,survived\nRose,yes\n"


def test_lock_up_and_export_bring_the_table_and_describe_it(tmp_path: Path) -> None:
    with Portal("croissant") as portal:
        portal.put("data/titanic.csv", TABLE)
        portal.put("data/notes.txt", b"left out by `files:`")
        text = EXAMPLE.read_text("utf-8")
        assert f"croissant:{URL}" in text
        (tmp_path / "gotdata.yml").write_text(text.replace(URL, portal.url))
        environ = {**os.environ, "GOTDATA_STORE": str(tmp_path / "store"), "HOME": str(tmp_path)}
        for words in (["lock"], ["up", "--as", "copy"], ["export", "titanic", "--to", "croissant", "--relative"]):
            done = subprocess.run(
                [str(Path(sys.executable).with_name("gotdata")), *words],
                cwd=tmp_path,
                env=environ,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "data/titanic/data/titanic.csv").read_bytes() == TABLE
    [described] = json.loads(done.stdout)["distribution"]
    assert (described["@id"], described["contentUrl"]) == ("data/titanic.csv", "data/titanic/data/titanic.csv")

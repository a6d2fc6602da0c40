"""The example of CKAN, run against a double of a portal: what differs from the real one is the address."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gotdata.testing.ckan_double import Portal

EXAMPLE = Path(__file__).parents[2] / "examples" / "ckan" / "gotdata.yml"
SITE, DATASET = "https://data.stadt-zuerich.ch", "sid_stapo_hundenamen_od1002"


def gotdata(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "GOTDATA_STORE": str(folder / "store"), "HOME": str(folder)}
    command = [str(Path(sys.executable).with_name("gotdata")), *words]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)


@pytest.mark.parametrize("way", ["up", "update"])
def test_lock_and_up_bring_the_tables(tmp_path: Path, way: str) -> None:
    with Portal() as portal:
        portal.publish(DATASET)
        portal.upload(DATASET, "dogs2024.csv", b"name\nBello\n")
        portal.upload(DATASET, "dogs2024.pdf", b"%PDF")
        text = EXAMPLE.read_text("utf-8")
        assert f"{SITE}/dataset/{DATASET}" in text
        (tmp_path / "gotdata.yml").write_text(text.replace(SITE, f"ckan:{portal.root}"))
        steps = [["lock"], ["up", "--as", "copy"]]
        if way == "update":
            assert gotdata(tmp_path, "lock").returncode == 0
            portal.upload(DATASET, "dogs2024.csv", b"name\nLaika\n")
            stale = gotdata(tmp_path, "up", "--as", "copy")
            assert stale.returncode == 3, stale.stdout + stale.stderr
            steps[0] = ["lock", "--update", "dogs"]
        for words in steps:
            done = gotdata(tmp_path, *words)
            assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name for path in (tmp_path / "data/dogs").iterdir()] == ["dogs2024.csv"]
    wanted = b"name\nLaika\n" if way == "update" else b"name\nBello\n"
    assert (tmp_path / "data/dogs/dogs2024.csv").read_bytes() == wanted

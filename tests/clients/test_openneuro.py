"""openneuro-py, a client of many users, reads our archive, in its own environment. The API's address is written into
it, and is all that is changed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gotdata.testing.openneuro_double import DATASET, Archive
from gotdata.testing.source_contract import BODY

CLIENT = ("openneuro", "openneuro-py")

HOME = Path(__file__).parents[2] / ".venv" / "openneuro"
SCRIPT = """
import sys
import openneuro._download
url, dataset, tag, folder = sys.argv[1:]
openneuro._download.gql_url = url + "/crn/graphql"
openneuro._download.download(dataset=dataset, tag=tag or None, target_dir=folder, max_retries=0)
"""


def download(archive: Archive, tag: str, folder: Path) -> subprocess.CompletedProcess[str]:
    if not (HOME / "stamp").exists():
        pytest.skip("openneuro-py is not installed: make .venv/openneuro/stamp")
    command = [str(HOME / "bin" / "python"), "-c", SCRIPT, archive.root, DATASET, tag, str(folder)]
    environ = {"HOME": str(folder.parent), "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(command, capture_output=True, text=True, env=environ)


@pytest.mark.parametrize(("tag", "newest"), [("1.0.0", False), ("", True)], ids=["a tag", "the newest"])
def test_it_downloads_a_snapshot(tmp_path: Path, tag: str, newest: bool) -> None:
    """It checks sizes by the listing, and bytes by the bucket's ETag."""
    files = {f"sub-0{number}/anat/x.nii.gz": BODY[number:] for number in range(3)} | {"README": b"1", "empty": b""}
    with Archive() as archive:
        for path, body in files.items():
            archive.put(path, body)
        archive.snapshot("1.0.0")
        archive.put("README", b"22")
        archive.snapshot("1.0.1")
        done = download(archive, tag, tmp_path / "data")
    assert done.returncode == 0, done.stderr
    data = tmp_path / "data"
    got = {str(path.relative_to(data)): path.read_bytes() for path in data.rglob("*") if path.is_file()}
    assert got == files | ({"README": b"22"} if newest else {})


def test_it_understands_that_a_dataset_is_private(tmp_path: Path) -> None:
    with Archive() as archive:
        archive.put("README", b"1")
        archive.snapshot("1.0.0")
        archive.private = True
        done = download(archive, "", tmp_path / "data")
    assert done.returncode != 0
    assert "restricted" in done.stderr

"""dandi, the archive's own client, reads our archive: unmodified, in its own environment. The API's URL is an argument
of it."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gotdata.testing.dandi_double import DANDISET, Archive
from gotdata.testing.source_contract import BODY

CLIENT = ("dandi", "dandi")

HOME = Path(__file__).parents[2] / ".venv" / "dandi"
SCRIPT = """
import hashlib, json, sys
from dandi.dandiapi import DandiAPIClient, RemoteZarrAsset

def read(asset):
    if isinstance(asset, RemoteZarrAsset):
        return {str(entry): [entry.size, entry.digest.value] for entry in asset.iterfiles()}
    whole, rest = (b"".join(asset.get_download_file_iter()(start_at=start)) for start in (0, 5))
    assert rest == whole[5:]
    return [asset.size, hashlib.sha256(whole).hexdigest(), asset.get_raw_digest()]

url, dandiset, version = sys.argv[1:]
with DandiAPIClient(url) as archive:
    found = archive.get_dandiset(dandiset, version or None, lazy=False)
    assets = {asset.path: read(asset) for asset in found.get_assets()}
    print(json.dumps([found.version_id, found.get_raw_metadata()["name"], assets]))
"""


@pytest.fixture
def archive() -> Iterator[Archive]:
    with Archive() as archive:
        archive.largest = archive.page = 2
        yield archive


def read(archive: Archive, version: str = "") -> Any:
    """What the client makes of the dandiset."""
    if not (HOME / "stamp").exists():
        pytest.skip("dandi is not installed: make .venv/dandi/stamp")
    command = [str(HOME / "bin" / "python"), "-c", SCRIPT, archive.api, DANDISET, version]
    done = subprocess.run(command, capture_output=True, text=True, env={"DANDI_NO_ET": "1", "HOME": "/nonexistent"})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_lists_and_fetches_what_the_double_holds(archive: Archive) -> None:
    bodies = {f"sub-{number}/a b.nwb": BODY[number:] for number in range(5)}
    for path, body in bodies.items():
        archive.put(path, body)
    archive.publish("0.210831.2033")
    archive.put("later.nwb", b"1")
    version, name, assets = read(archive)
    assert (version, name) == ("0.210831.2033", "Cells, listened to")
    wanted = {path: [len(body), hashlib.sha256(body).hexdigest()] for path, body in bodies.items()}
    assert {path: told[:2] for path, told in assets.items()} == wanted
    assert assets["sub-0/a b.nwb"][2] == "24be4b2f3754b58ada2c4eb08ca60224-1"


def test_it_lists_the_files_of_a_zarr_in_the_draft(archive: Archive) -> None:
    files = {".zgroup": b"{}", "0/.zarray": b"{...}", "0/0.0": BODY, "0/0.1": b""}
    archive.put_zarr("image.zarr", files)
    version, _, assets = read(archive, "draft")
    assert version == "draft"
    wanted = {key: [len(body), hashlib.md5(body).hexdigest()] for key, body in files.items()}
    assert assets == {"image.zarr": wanted}

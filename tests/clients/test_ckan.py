"""ckanapi, CKAN's own client, reads our portal: unmodified, in its own environment. The same against a real CKAN is in
tests/e2e/test_ckan_real.py."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gotdata.testing.ckan_double import Portal
from gotdata.testing.source_contract import BODY
from tests.e2e.ckan import python

CLIENT = ("ckan", "ckanapi")

SCRIPT = """
import json, sys
from ckanapi import RemoteCKAN
from ckanapi.datapackage import create_datapackage
url, name, token, way, folder = sys.argv[1:]
with RemoteCKAN(url, apikey=token or None, get_only=way == "GET") as portal:
    dataset = portal.action.package_show(id=name)
if folder:
    create_datapackage(dataset, folder, sys.stderr, token)
print(json.dumps(dataset))
"""


def ckanapi(
    url: str, name: str, folder: Path | None = None, *, token: str = "", way: str = "POST"
) -> subprocess.CompletedProcess[str]:
    """It shows a dataset, and downloads its resource to a folder. Of several it downloads the last for each (4.11)."""
    words = (url, name, token, way, str(folder or ""))
    return subprocess.run([python(), "-c", SCRIPT, *words], capture_output=True, text=True)


def shown(url: str, name: str, folder: Path | None = None, *, token: str = "", way: str = "POST") -> dict[str, Any]:
    """What it says of a dataset, as ``ckanapi``."""
    done = ckanapi(url, name, folder, token=token, way=way)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def downloaded(folder: Path) -> bytes:
    [file] = folder.glob("*/data/*")
    return file.read_bytes()


@pytest.fixture
def portal() -> Iterator[Portal]:
    with Portal() as portal:
        portal.publish("air-quality")
        portal.publish("secret", private=True)
        yield portal


@pytest.mark.parametrize("way", ["POST", "GET"])
def test_it_lists_what_the_double_holds(portal: Portal, way: str) -> None:
    portal.upload("air-quality", "a.csv", BODY)
    portal.link("air-quality", "https://h.example/b.csv", "B")
    resources = shown(portal.root, "air-quality", way=way)["resources"]
    assert [(one["name"], one["url_type"], one["size"]) for one in resources] == [
        ("a.csv", "upload", len(BODY)),
        ("B", None, None),
    ]


@pytest.mark.parametrize("stored", [False, True], ids=["kept by the portal", "behind signed URLs"])
def test_it_downloads_the_bytes(tmp_path: Path, stored: bool) -> None:
    with Portal(stored=stored) as portal:
        portal.publish("air-quality")
        portal.upload("air-quality", "a.csv", BODY, format="CSV")
        shown(portal.root, "air-quality", tmp_path)
        assert downloaded(tmp_path) == BODY


def test_it_understands_the_double_s_refusals(portal: Portal) -> None:
    assert "NotAuthorized" in ckanapi(portal.root, "secret").stderr
    assert "NotFound" in ckanapi(portal.root, "no-such").stderr
    assert shown(portal.root, "secret", token=portal.token)["name"] == "secret"

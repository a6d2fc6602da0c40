"""webdav4 reads our cloud: its address is an argument."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gotdata.testing.source_contract import BODY
from gotdata.testing.webdav_double import FOLDERS, TOKEN, Cloud

CLIENT = ("webdav", "webdav4")

webdav4 = pytest.importorskip("webdav4.client", reason="webdav4 is not installed")


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud() as cloud:
        cloud.put("data/a b/grün.bin", BODY)
        cloud.put("data/empty", b"")
        cloud.folder("data/nothing")
        yield cloud


@contextmanager
def client(root: str, **said: object) -> Iterator[object]:
    made = webdav4.Client(f"{root}/", **said)
    with made.http:
        yield made


def content(of: object, path: str) -> bytes:
    into = io.BytesIO()
    of.download_fileobj(path, into)
    return into.getvalue()


def test_it_lists_and_reads_an_account(cloud: Cloud) -> None:
    cloud.denied = True
    with client(cloud.root + FOLDERS, auth=("ada", cloud.token)) as dav:
        found = {entry["name"]: entry for entry in dav.ls("data", detail=True)}
        assert {name: entry["type"] for name, entry in found.items()} == {
            "data/a b": "directory",
            "data/empty": "file",
            "data/nothing": "directory",
        }
        [file] = dav.ls("data/a b", detail=True)
        assert (file["content_length"], file["etag"].strip('"')) == (
            len(BODY),
            dav.etag("data/a b/grün.bin").strip('"'),
        )
        assert content(dav, "data/a b/grün.bin") == BODY


@pytest.mark.parametrize("endpoint", ["nextcloud", "old"])
def test_it_lists_and_reads_a_share(cloud: Cloud, endpoint: str) -> None:
    cloud.endpoint, cloud.share, cloud.password = endpoint, "data", "lovelace"
    root = f"/public.php/dav/files/{TOKEN}" if endpoint == "nextcloud" else "/public.php/webdav"
    with client(cloud.root + root, auth=(TOKEN, "lovelace"), headers={"X-Requested-With": "XMLHttpRequest"}) as dav:
        assert sorted(dav.ls("", detail=False)) == ["a b", "empty", "nothing"]
        assert content(dav, "a b/grün.bin") == BODY

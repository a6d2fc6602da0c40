"""osfclient, the Python client of the OSF's users, reads our double: projects, pages, folders and bytes. Its base URL
is an attribute of its session, which it leaves to its users. It waits a second between questions; here it doesn't."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from osfclient import OSF
from osfclient.exceptions import UnauthorizedException
from osfclient.models import session

from gotdata.testing.osf_double import Osf
from gotdata.testing.source_contract import BODY

CLIENT = ("osf", "osfclient")


@pytest.fixture
def osf() -> Iterator[Osf]:
    with Osf() as osf:
        yield osf


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count(0, 10)
    monkeypatch.setattr(session, "time", SimpleNamespace(time=lambda: next(clock)))


def client(osf: Osf, token: str | None = None) -> OSF:
    made = OSF(token=token)
    made.session.base_url = f"{osf.root}/v2/"
    made.session.trust_env = False
    return made


@pytest.mark.parametrize("kind", ["nodes", "registrations"])
def test_it_lists_all_files_of_all_pages_and_folders(osf: Osf, kind: str) -> None:
    guid = osf.project(kind)
    for number in range(23):
        osf.put(guid, f"d/e/{number}", b"x")
    osf.put(guid, "top", BODY)
    found = {file.path: file for file in client(osf).project(guid).storage().files}
    assert set(found) == {f"/d/e/{number}" for number in range(23)} | {"/top"}
    assert found["/top"].size == len(BODY)
    assert found["/top"].hashes["sha256"] == hashlib.sha256(BODY).hexdigest()


def test_it_reads_the_newest_bytes(osf: Osf, tmp_path: Path) -> None:
    guid = osf.project()
    osf.put(guid, "a", b"older")
    osf.put(guid, "a", BODY)
    [file] = client(osf).project(guid).storage("osfstorage").files
    with (tmp_path / "a").open("wb") as got:
        file.write_to(got)
    assert (tmp_path / "a").read_bytes() == BODY


def test_it_finds_the_storages_of_add_ons(osf: Osf) -> None:
    guid = osf.project()
    osf.connect(guid, "github")
    osf.put(guid, "a", BODY, "github")
    storages = {storage.provider: storage for storage in client(osf).project(guid).storages}
    assert [file.path for file in storages["github"].files] == ["/a"]
    assert set(storages) == {"osfstorage", "github"}


def test_its_token_opens_what_is_private(osf: Osf) -> None:
    guid = osf.project(private=True, title="Not yet")
    with pytest.raises(UnauthorizedException):
        client(osf).project(guid)
    assert client(osf, osf.token).project(guid).title == "Not yet"

"""pyDataverse, Dataverse's own client, accepts the double, unmodified: it is told the address as the installation's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gotdata.testing.dataverse_double import HEADER, Dataverse
from gotdata.testing.source_contract import BODY

CLIENT = ("dataverse", "pyDataverse")

api = pytest.importorskip("pyDataverse.api", reason="pip install pyDataverse")
auth = pytest.importorskip("pyDataverse.auth")
# It warns of an argument that it gives to itself.
pytestmark = pytest.mark.filterwarnings("ignore:The auth parameter is deprecated:DeprecationWarning")


@pytest.fixture(params=[False, True], ids=["its own store", "S3"])
def server(request: pytest.FixtureRequest) -> Iterator[Dataverse]:
    with Dataverse(stored=request.param) as server:
        yield server


def native(server: Dataverse, token: str = "") -> Any:
    return api.NativeApi(server.root, auth=auth.ApiTokenAuth(token) if token else None)


def data(server: Dataverse, token: str = "") -> Any:
    return api.DataAccessApi(server.root, auth=auth.ApiTokenAuth(token) if token else None)


def said(response: Any) -> Any:
    found = response.json()
    assert found["status"] == "OK", found
    return found["data"]


def test_it_finds_the_installation(server: Dataverse) -> None:
    assert said(native(server).get_info_version())["version"]


def test_it_lists_a_published_version(server: Dataverse) -> None:
    pid = server.create()
    server.publish(pid, server.file("a/b.csv", b"1"), version="1.0")
    server.publish(pid, server.file("a/b.csv", BODY), server.file("c", b""), version="1.1")
    latest = said(native(server).get_dataset(pid))["latestVersion"]
    assert (latest["versionNumber"], latest["versionMinorNumber"]) == (1, 1)
    [old] = said(native(server).get_datafiles_metadata(pid, "1.0"))
    assert (old["directoryLabel"], old["label"], old["dataFile"]["filesize"]) == ("a", "b.csv", 1)
    new = said(native(server).get_datafiles_metadata(pid, ":latest-published"))
    assert {one["label"] for one in new} == {"b.csv", "c"}


def test_it_reads_bytes_by_number_and_by_persistent_id(server: Dataverse) -> None:
    pid = server.create()
    file = server.file("a.bin", BODY)
    server.publish(pid, file)
    assert data(server).get_datafile(str(file.id), is_pid=False).content == BODY
    assert data(server).get_datafile(server.file_pid(file)).content == BODY


def test_it_reads_both_forms_of_a_tabular_file(server: Dataverse) -> None:
    pid = server.create()
    file = server.file("a.csv", BODY, label="a.tab", tabular=True)
    server.publish(pid, file)
    original = data(server).get_datafile(str(file.id), data_format="original", is_pid=False)
    archival = data(server).get_datafile(str(file.id), is_pid=False)
    assert original.content == BODY
    assert archival.content.startswith(HEADER)


def test_its_token_opens_drafts_and_restricted_files(server: Dataverse) -> None:
    pid = server.create()
    file = server.file("a", BODY, restricted=True)
    server.publish(pid, file)
    server.draft(pid, file, server.file("b", b"2"))
    assert len(said(native(server).get_datafiles_metadata(pid, ":latest"))) == 1
    assert len(said(native(server, server.token).get_datafiles_metadata(pid, ":latest"))) == 2
    assert data(server).get_datafile(str(file.id), is_pid=False).status_code == 403
    assert data(server, server.token).get_datafile(str(file.id), is_pid=False).content == BODY


def test_it_is_told_what_went_wrong(server: Dataverse) -> None:
    answer = native(server).get_dataset("doi:10.5072/FK2/NONE")
    assert answer.status_code == 404
    assert answer.json()["status"] == "ERROR"

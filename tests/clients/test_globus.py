"""globus-sdk reads our double: collections, folders, files, and a transfer to its end. Where the Transfer API is, is a
setting of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import globus_sdk
import pytest
from globus_sdk.transport import RetryConfig

from gotdata.testing.globus_double import COLLECTION, LOCAL, TASK, GlobusDouble
from gotdata.testing.source_contract import BODY

CLIENT = ("globus", "globus-sdk")


@pytest.fixture
def double(tmp_path: Path) -> Iterator[GlobusDouble]:
    with GlobusDouble() as double:
        double.put("/data/a.txt", BODY)
        double.put("/data/deep/b", b"22")
        double.lands = tmp_path
        yield double


@pytest.fixture
def client(double: GlobusDouble, monkeypatch: pytest.MonkeyPatch) -> Iterator[globus_sdk.TransferClient]:
    monkeypatch.setenv("GLOBUS_SDK_SERVICE_URL_TRANSFER", f"{double.root}/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    config = RetryConfig(max_retries=0)
    authorizer = globus_sdk.AccessTokenAuthorizer(double.token)
    with globus_sdk.TransferClient(authorizer=authorizer, retry_config=config) as client:
        yield client


def test_it_looks_a_collection_up(double: GlobusDouble, client: globus_sdk.TransferClient) -> None:
    assert client.get_endpoint(COLLECTION)["https_server"] == double.https_server
    double.https = False
    assert client.get_endpoint(COLLECTION)["https_server"] is None


def test_it_lists_and_looks_at_files(client: globus_sdk.TransferClient) -> None:
    found = {entry["name"]: (entry["type"], entry["size"]) for entry in client.operation_ls(COLLECTION, path="/data")}
    assert found == {"a.txt": ("file", len(BODY)), "deep": ("dir", 4096)}
    assert client.operation_stat(COLLECTION, path="/data/deep/b")["size"] == 2


def test_it_understands_what_is_refused(double: GlobusDouble, client: globus_sdk.TransferClient) -> None:
    with pytest.raises(globus_sdk.TransferAPIError) as missing:
        client.operation_ls(COLLECTION, path="/no/such")
    assert (missing.value.http_status, missing.value.code) == (404, "NotFound")
    double.consent = True
    with pytest.raises(globus_sdk.TransferAPIError) as consent:
        client.operation_ls(COLLECTION, path="/data")
    assert consent.value.info.consent_required
    assert consent.value.info.consent_required.required_scopes


def test_it_brings_a_file_by_a_transfer(
    double: GlobusDouble, client: globus_sdk.TransferClient, tmp_path: Path
) -> None:
    data = globus_sdk.TransferData(source_endpoint=COLLECTION, destination_endpoint=LOCAL, verify_checksum=True)
    data.add_item("/data/a.txt", str(tmp_path / "here" / "a.txt"))
    assert client.submit_transfer(data)["task_id"] == TASK
    assert client.get_task(TASK)["status"] == "SUCCEEDED"
    assert (tmp_path / "here" / "a.txt").read_bytes() == BODY
    double.task = lambda asked: ("ACTIVE", "PERMISSION_DENIED", "Path not allowed")
    assert [event["details"] for event in client.task_event_list(TASK)] == ["Path not allowed"]
    assert client.cancel_task(TASK)["code"] == "Canceled"

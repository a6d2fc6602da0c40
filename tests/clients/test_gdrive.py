"""google-api-python-client reads our double's API, whose address is a setting of it; gdown reads its public pages. It
knows one address only: what goes there is led to the double."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gdown
import pytest
import requests
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaIoBaseDownload
from requests.adapters import HTTPAdapter

from gotdata.testing.gdrive_double import ROOT, GDriveDouble
from gotdata.testing.source_contract import BODY

CLIENT = ("gdrive", "google-api-python-client")

HERE = {"supportsAllDrives": True, "includeItemsFromAllDrives": True}


@pytest.fixture
def double() -> Iterator[GDriveDouble]:
    with GDriveDouble() as double:
        double.put("a.txt", BODY)
        double.put("grün.bin", b"22")
        yield double


@pytest.fixture
def files(double: GDriveDouble) -> Iterator[Any]:
    options = {"api_endpoint": f"{double.root}/drive/v3/"}
    with build("drive", "v3", developerKey=double.api_key, client_options=options, static_discovery=True) as drive:
        yield drive.files()


def test_the_api_s_client_lists_all_pages(double: GDriveDouble, files: Any) -> None:
    double.page = 1
    asked = files.list(q=f"'{ROOT}' in parents and trashed=false", fields="nextPageToken,files(id,name,size)", **HERE)
    found = {}
    while asked is not None:
        page = asked.execute()
        found |= {one["name"]: int(one["size"]) for one in page["files"]}
        asked = files.list_next(asked, page)
    assert found == {"a.txt": len(BODY), "grün.bin": 2}


def test_the_api_s_client_reads_facts_and_bytes(double: GDriveDouble, files: Any) -> None:
    id = double.id("a.txt")
    assert set(files.get(fileId=id).execute()) == {"kind", "id", "name", "mimeType"}, "more comes where it is asked for"
    told = files.get(fileId=id, fields="sha256Checksum,headRevisionId", supportsAllDrives=True).execute()
    assert told["sha256Checksum"] == hashlib.sha256(BODY).hexdigest()
    assert told["headRevisionId"]
    body = io.BytesIO()
    download = MediaIoBaseDownload(body, files.get_media(fileId=id), chunksize=30_000)
    done = False
    while not done:
        _, done = download.next_chunk()
    assert body.getvalue() == BODY
    assert [request.status for request in double.server.requests][-4:] == [206] * 4


def test_the_api_s_client_understands_what_is_refused(double: GDriveDouble, files: Any) -> None:
    with pytest.raises(HttpError) as missing:
        files.get(fileId="1NothingHasThisId").execute()
    assert missing.value.error_details[0]["reason"] == "notFound"
    double.refused = "downloadQuotaExceeded"
    with pytest.raises(HttpError) as quota:
        files.get_media(fileId=double.id("a.txt")).execute()
    assert (quota.value.status_code, quota.value.error_details[0]["reason"]) == (403, "downloadQuotaExceeded")


@pytest.fixture
def led(double: GDriveDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    send = HTTPAdapter.send

    def lead(self: HTTPAdapter, request: requests.PreparedRequest, **values: Any) -> requests.Response:
        asked = request.url or ""
        request.url = asked.replace("https://drive.google.com", double.root)
        return send(self, request, **values)

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(HTTPAdapter, "send", lead)


@pytest.mark.usefixtures("led")
@pytest.mark.parametrize("large", [1000, 100_000_000])
def test_gdown_reads_a_file_past_the_page_that_asks_to_confirm(
    double: GDriveDouble, tmp_path: Path, large: int
) -> None:
    double.large = large
    target = tmp_path / "a.txt"
    gdown.download(id=double.id("a.txt"), output=str(target), quiet=True, use_cookies=False)
    assert target.read_bytes() == BODY


@pytest.mark.usefixtures("led")
def test_gdown_tells_of_a_quota_that_is_used_up(double: GDriveDouble, tmp_path: Path) -> None:
    double.quota = True
    with pytest.raises(gdown.exceptions.FileURLRetrievalError, match="Too many users"):
        gdown.download(id=double.id("a.txt"), output=str(tmp_path / "x"), quiet=True, use_cookies=False)

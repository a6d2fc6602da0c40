"""Dropbox' own SDK reads our double: folders, shared links, bytes and revisions. It says https in every address; an
adapter of its session, which it takes as an argument, says http and the double's port."""

from __future__ import annotations

from collections.abc import Iterator

import dropbox
import pytest
import requests
from dropbox.exceptions import ApiError, AuthError
from requests.adapters import HTTPAdapter

from gotdata.testing.dropbox_double import DropboxDouble
from gotdata.testing.source_contract import BODY

CLIENT = ("dropbox", "dropbox")


class _Home(HTTPAdapter):
    def __init__(self, root: str) -> None:
        super().__init__()
        self.root = root

    def send(self, request: requests.PreparedRequest, **values: object) -> requests.Response:  # type: ignore[override]
        request.url = self.root + request.path_url
        return super().send(request, **values)  # type: ignore[arg-type]


@pytest.fixture
def double() -> Iterator[DropboxDouble]:
    with DropboxDouble() as double:
        double.put("/data/a.txt", BODY)
        double.put("/data/deep/grün.bin", b"22")
        double.folder("/data/empty")
        yield double


@pytest.fixture
def client(double: DropboxDouble) -> Iterator[dropbox.Dropbox]:
    with requests.Session() as session:
        session.trust_env = False
        for host in ("api", "content"):
            session.mount(f"https://{host}.dropboxapi.com/", _Home(double.root))
        yield dropbox.Dropbox(double.token, session=session, max_retries_on_error=0, max_retries_on_rate_limit=0)


def test_it_lists_a_folder_page_by_page(double: DropboxDouble, client: dropbox.Dropbox) -> None:
    double.page = 1
    page = client.files_list_folder("/data")
    entries = page.entries
    while page.has_more:
        page = client.files_list_folder_continue(page.cursor)
        entries += page.entries
    assert {(type(one).__name__, one.path_display) for one in entries} == {
        ("FileMetadata", "/data/a.txt"),
        ("FolderMetadata", "/data/deep"),
        ("FolderMetadata", "/data/empty"),
    }
    [file] = [one for one in entries if one.name == "a.txt"]
    assert (file.size, file.rev) == (len(BODY), double.files["/data/a.txt"].rev)


def test_it_reads_bytes_and_older_revisions(double: DropboxDouble, client: dropbox.Dropbox) -> None:
    old = client.files_get_metadata("/data/a.txt").rev
    double.put("/data/a.txt", b"new")
    assert client.files_download("/data/a.txt")[1].content == b"new"
    told, response = client.files_download(f"rev:{old}")
    assert response.content == BODY
    assert told.rev == old


def test_it_reads_a_shared_folder(double: DropboxDouble, client: dropbox.Dropbox) -> None:
    link = double.share("/data")
    assert type(client.sharing_get_shared_link_metadata(link)).__name__ == "FolderLinkMetadata"
    page = client.files_list_folder("/deep", shared_link=dropbox.files.SharedLink(url=link))
    assert [one.name for one in page.entries] == ["grün.bin"]
    told, response = client.sharing_get_shared_link_file(link, path="/deep/grün.bin")
    assert (type(told).__name__, response.content) == ("FileLinkMetadata", b"22")


def test_it_understands_what_is_refused(double: DropboxDouble, client: dropbox.Dropbox) -> None:
    with pytest.raises(ApiError) as missing:
        client.files_get_metadata("/no/such")
    assert missing.value.error.get_path().is_not_found()
    with pytest.raises(ApiError) as folder:
        client.sharing_get_shared_link_file(double.share("/data"))
    assert folder.value.error.is_shared_link_is_directory()
    double.paper = {"/data/a.txt"}
    with pytest.raises(ApiError) as paper:
        client.files_download("/data/a.txt")
    assert paper.value.error.is_unsupported_file()
    double.scope = "files.content.read"
    with pytest.raises(AuthError) as scope:
        client.files_get_metadata("/data/a.txt")
    assert scope.value.error.get_missing_scope().required_scope == "files.content.read"
    double.limit = 1
    with pytest.raises(dropbox.exceptions.RateLimitError) as limit:
        client.files_get_metadata("/data/a.txt")
    assert limit.value.error.reason.is_too_many_requests()

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote

import pytest

from gotdata.context import Context
from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.errors import AccessDenied, AuthRequired, IntegrityError, ResolveError, SourceError, UpstreamChanged
from gotdata.model import Checksum, Citation, Kind, Pin, Ref, RemoteFile, Span
from gotdata.report import Event
from gotdata.sources import landing
from gotdata.sources.dandi import Dandi
from gotdata.testing.dandi_double import DANDISET, Archive
from gotdata.testing.double import Switched, reply
from gotdata.testing.hostile_contract import HostileContract, Liar
from gotdata.testing.server import Server
from gotdata.testing.source_contract import BODY, Place, SourceContract, context

SOURCE = Dandi()
API = "https://api.dandiarchive.org/api"
PAGE = f"dandi:{API}/dandisets/000027/"


class Draft(Switched):
    """The draft of a dandiset."""

    def __init__(self, archive: Archive) -> None:
        super().__init__(archive)
        self.ref = Ref(f"dandi:{archive.api}/dandisets/{DANDISET}/versions/draft/")
        self.ctx = context()
        self.ids: dict[str, str] = {}

    def put(self, path: str, body: bytes) -> None:
        self.ids[path] = self.double.put(path, body)

    def remove(self, path: str) -> None:
        self.double.remove(path)

    def folder(self, path: str) -> None:
        raise NotImplementedError

    def one(self, path: str) -> Ref:
        return Ref(f"{self.ref.url}?location={quote(path)}")

    def fill(self, count: int) -> None:
        self.double.fill(count)

    def cut(self, path: str, after: int) -> None:
        self.double.cut(self.double.key(self.ids[path]), after)


class TestDandi(SourceContract):
    source = SOURCE
    checks = "sha256"
    empty_folders = False

    @pytest.fixture
    def place(self) -> Iterator[Place]:
        with Archive() as archive:
            yield Draft(archive)


class TestDandiThatLies(HostileContract):
    source = SOURCE

    @pytest.fixture
    def liar(self) -> Iterator[Liar]:
        with Archive() as archive:
            place = Draft(archive)
            place.put("f", BODY)
            yield place


@pytest.fixture
def archive() -> Iterator[Archive]:
    with Archive() as archive:
        yield archive


def resolved(archive: Archive, path: str = "", ctx: Context | None = None, **options: str) -> Pin:
    ref = Ref(f"dandi:{archive.api}/dandisets/{DANDISET}/{path}", tuple(options.items()))
    return SOURCE.resolve(ref, ctx or context())


def listed(pin: Pin, ctx: Context | None = None) -> dict[str, RemoteFile]:
    return {file.path: file for file in SOURCE.files(pin, ctx or context())}


def content(pin: Pin, file: RemoteFile, span: Span | None = None, ctx: Context | None = None) -> bytes:
    with SOURCE.read(pin, file, span or Span(0, file.size or 0), ctx or context()) as stream:
        return stream.readall()


@pytest.mark.parametrize(
    ("url", "means"),
    [
        ("https://dandiarchive.org/dandiset/000027", ""),
        ("https://www.dandiarchive.org/dandiset/000027/", ""),
        ("https://DandiArchive.org/dandiset/000027/0.210831.2033", "versions/0.210831.2033/"),
        ("https://dandiarchive.org/dandiset/000027/draft/files", "versions/draft/"),
        (
            "https://dandiarchive.org/dandiset/000027/draft/files?location=sub-RAT123%2F&page=1",
            "versions/draft/?location=sub-RAT123",
        ),
        ("https://gui.dandiarchive.org/#/dandiset/000027/0.210831.2033", "versions/0.210831.2033/"),
        ("https://gui.dandiarchive.org/#/dandiset/000027/draft/files?location=a", "versions/draft/?location=a"),
        ("https://api.dandiarchive.org/api/dandisets/000027/versions/draft/", "versions/draft/"),
        ("https://identifiers.org/DANDI:000027", ""),
        ("https://identifiers.org/dandi:000027/0.210831.2033", "versions/0.210831.2033/"),
        ("DANDI:000027", ""),
        ("dandi:000027/0.210831.2033", "versions/0.210831.2033/"),
        ("dandi:000027@draft", "versions/draft/"),
        ("dandi://dandi/000027@draft/sub-RAT123/a b.nwb", "versions/draft/?location=sub-RAT123/a%20b.nwb"),
        ("dandi:https://dandiarchive.org/dandiset/000027", ""),
    ],
)
def test_references_mean_a_version_or_a_part_of_it(url: str, means: str) -> None:
    assert SOURCE.claims(Ref(url))
    found = landing.recognise(url, context()) if url.startswith("http") else None
    assert found in (None, Ref(PAGE + means))
    if url.startswith("http"):
        assert found is not None


@pytest.mark.parametrize(
    "url",
    [
        "https://dandiarchive.org.evil.example/dandiset/000027",
        "https://dandiarchive.org@evil.example/dandiset/000027",
        "https://example.org/dandiset/000027",
        "https://dandiarchive.org/about",
        "https://dandiarchive.org/dandiset/27",
        "https://api.dandiarchive.org/api/assets/5e9e92e1-f044-4aa0-ab47-1cfcb8899348/download/",
        "https://api.dandiarchive.org/api/dandisets/000027/versions/draft/assets/5e9e92e1-f044-4aa0-ab47-1cfcb8899348/",
    ],
)
def test_other_references_are_not_claimed(url: str) -> None:
    assert not SOURCE.claims(Ref(url))


def test_without_a_version_the_newest_published_one_is_meant(archive: Archive) -> None:
    archive.put("a.nwb", b"1")
    archive.publish("0.210831.2033")
    archive.put("a.nwb", b"22")
    archive.publish("0.220126.1853")
    archive.put("a.nwb", b"333")
    pin = resolved(archive)
    assert pin.version == {"version": "0.220126.1853"}
    assert content(pin, listed(pin)["a.nwb"]) == b"22"
    assert resolved(archive, version="0.210831.2033").version == {"version": "0.210831.2033"}
    with pytest.raises(ResolveError, match="no such dandiset or version"):
        resolved(archive, version="0.990101.0000")
    with pytest.raises(ResolveError, match="one is like"):
        resolved(archive, version="newest")
    with pytest.raises(ResolveError, match="was asked for"):
        resolved(archive, "versions/draft/", version="0.210831.2033")


def test_a_draft_is_taken_with_a_warning_where_nothing_is_published(archive: Archive) -> None:
    archive.put("a.nwb", b"1")
    said: list[str] = []

    def report(event: Event) -> None:
        said.append(event.text)

    pin = resolved(archive, ctx=replace(context(), reporter=report))
    assert pin.version["version"] == "draft"
    assert "none is published yet" in said[0]


def test_a_draft_that_changed_is_not_listed_but_its_assets_stay_readable(archive: Archive) -> None:
    archive.put("a.nwb", BODY)
    pin = resolved(archive)
    [file] = listed(pin).values()
    archive.put("a.nwb", BODY[::-1])
    with pytest.raises(UpstreamChanged, match="changed at"):
        listed(pin)
    assert content(pin, file, Span(5, 10)) == BODY[5:10]


def test_the_citation_is_read(archive: Archive) -> None:
    archive.put("a.nwb", b"1")
    archive.publish("0.210831.2033")
    doi = "10.48324/dandi.000027/0.210831.2033"
    assert resolved(archive).citation == Citation("Cells, listened to", ("Noether, Emmy",), doi, "CC-BY-4.0")


def test_sha256_and_the_archive_s_own_etag_become_checks(archive: Archive) -> None:
    archive.put("a.nwb", b"abc")
    archive.hashed = False
    archive.put("b.nwb", b"abc")
    files = listed(resolved(archive))
    etag = Checksum("dandi-etag", "af5da9f45af7a300e3aded972f8ff687")
    assert files["a.nwb"].checks == (Checksum("sha256", hashlib.sha256(b"abc").hexdigest()), etag)
    assert files["b.nwb"].checks == (etag,)


def test_a_folder_or_file_of_it_is_listed_alone(archive: Archive) -> None:
    for path in ("sub-1/a.nwb", "sub-1/deep/b.nwb", "sub-10/c.nwb", "SUB-1/d.nwb"):
        archive.put(path, path.encode())
    pin = resolved(archive, "versions/draft/?location=sub-1/")
    assert set(listed(pin)) == {"a.nwb", "deep/b.nwb"}
    pin = resolved(archive, "versions/draft/?location=sub-1/deep/b.nwb")
    assert content(pin, listed(pin)["b.nwb"]) == b"sub-1/deep/b.nwb"
    with pytest.raises(ResolveError, match="nothing at sub-2"):
        resolved(archive, "versions/draft/?location=sub-2")


def test_listings_of_many_pages_are_followed(archive: Archive) -> None:
    archive.largest = 7
    archive.fill(100)
    assert len(listed(resolved(archive))) == 100


def test_the_files_of_a_zarr_appear_below_it(archive: Archive) -> None:
    archive.page = 2
    files = {".zgroup": b"{}", "0/.zarray": b"{...}", "0/0.0": BODY, "0/0.1": b"", "0/a b": b"x"}
    archive.put_zarr("sub-1/image.zarr", files)
    archive.put("sub-1/a.nwb", b"1")
    pin = resolved(archive)
    found = listed(pin)
    assert set(found) == {"sub-1/a.nwb", *(f"sub-1/image.zarr/{key}" for key in files)}
    for key, body in files.items():
        file = found[f"sub-1/image.zarr/{key}"]
        assert content(pin, file) == body
        assert file.checks == (Checksum("md5", hashlib.md5(body).hexdigest()),)
    assert content(pin, found["sub-1/image.zarr/0/0.0"], Span(5, 10)) == BODY[5:10]
    alone = resolved(archive, "versions/draft/?location=sub-1/image.zarr")
    assert set(listed(alone)) == set(files)


def test_a_zarr_without_files_is_an_empty_folder(archive: Archive) -> None:
    archive.put_zarr("empty.zarr", {})
    assert {file.path: file.kind for file in SOURCE.files(resolved(archive), context())} == {"empty.zarr": Kind.DIR}


def test_a_zarr_s_chunk_that_changed_is_noticed_on_a_range(archive: Archive) -> None:
    zarr = archive.put_zarr("image.zarr", {"0/0": BODY})
    pin = resolved(archive)
    [file] = listed(pin).values()
    archive.put_chunk(zarr, "0/0", BODY[::-1])
    with pytest.raises(UpstreamChanged):
        content(pin, file, Span(5, 10))


def test_bytes_come_by_signed_urls_that_are_never_kept(archive: Archive) -> None:
    archive.put("a.nwb", BODY)
    pin = resolved(archive)
    [file] = listed(pin).values()
    assert content(pin, file) == BODY
    assert "Signature" not in file.at
    assert {request.method for request in archive.store.requests} == {"GET"}


def test_an_embargoed_dandiset_says_which_command_opens_it(archive: Archive) -> None:
    archive.embargoed = True
    archive.put("a.nwb", BODY)
    with pytest.raises(AuthRequired, match=rf"embargo.*gotdata login dandi:{archive.root}/"):
        resolved(archive)


def test_a_token_opens_it_and_is_not_sent_to_the_bucket(archive: Archive) -> None:
    archive.embargoed = True
    archive.put("a.nwb", BODY)

    def holding(token: str) -> Context:
        header = (("Authorization", f"token {token}"),)
        return context(Credentials([Credential(f"{archive.root}/", "cred:mine", header)]))

    ctx = holding(archive.token)
    pin = resolved(archive, ctx=ctx)
    assert content(pin, listed(pin, ctx)["a.nwb"], ctx=ctx) == BODY
    assert SOURCE.realm(pin, ctx) != PUBLIC
    assert not any("authorization" in request.headers for request in archive.store.requests)
    with pytest.raises(AccessDenied, match="your token does not open it"):
        resolved(archive, ctx=holding("wrong"))


def test_another_dandiset_in_the_answer_is_an_error() -> None:
    with Server(index="") as server:
        server.otherwise = lambda _: reply(200, {"identifier": "000002"})
        with pytest.raises(SourceError, match="not this dandiset"):
            SOURCE.resolve(Ref(f"dandi:{server.url}api/dandisets/000001/"), context())


@pytest.mark.parametrize("at", [f"{API}.evil.example/x", "https://evil.example/x", f"{API}/../../x"])
def test_a_forged_locator_is_refused(at: str) -> None:
    pin = Pin("dandi", Ref(f"{PAGE}versions/draft/"), "x", {"version": "draft"})
    with pytest.raises((IntegrityError, SourceError), match="edited"):
        SOURCE.url(pin, RemoteFile("f", 1, at=at))

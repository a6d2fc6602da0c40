from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from gotdata.context import Context
from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.errors import (
    AccessDenied,
    AuthRequired,
    IntegrityError,
    ResolveError,
    SourceError,
    SourceUnavailable,
    UpstreamChanged,
)
from gotdata.model import Citation, Pin, Ref, RemoteFile, Span
from gotdata.sources import landing
from gotdata.sources import openneuro as module
from gotdata.sources.openneuro import OpenNeuro
from gotdata.testing.double import Switched
from gotdata.testing.hostile_contract import HostileContract, Liar
from gotdata.testing.openneuro_double import DATASET, Archive
from gotdata.testing.source_contract import BODY, ODD_NAMES, Place, SourceContract, context

SOURCE = OpenNeuro()


class Newest(Switched):
    """The newest snapshot of a dataset. Each change is one."""

    def __init__(self, archive: Archive) -> None:
        super().__init__(archive)
        self.count = 0
        self.ref = Ref(f"openneuro:{archive.home}")
        self.ctx = context()

    def tag(self) -> None:
        self.count += 1
        self.double.snapshot(f"1.0.{self.count}")

    def put(self, path: str, body: bytes) -> None:
        self.double.put(path, body)
        self.tag()

    def remove(self, path: str) -> None:
        self.double.remove(path)
        self.tag()

    def folder(self, path: str) -> None:
        raise NotImplementedError

    def one(self, path: str) -> Ref:
        shown = quote(path.replace("/", ":"), safe=":")
        return Ref(f"{self.ref.url}/versions/1.0.{self.count}/file-display/{shown}")

    def fill(self, count: int) -> None:
        for number in range(count):
            self.double.put(f"many/{number}", b"%d" % number)
        self.tag()

    def deny(self) -> None:
        self.double.private = True

    def cut(self, path: str, after: int) -> None:
        self.double.cut(path, after)


class TestOpenNeuro(SourceContract):
    source = SOURCE
    empty_folders = False
    odd_names = tuple(name for name in ODD_NAMES if ":" not in name)

    @pytest.fixture
    def place(self) -> Iterator[Place]:
        with Archive() as archive:
            yield Newest(archive)


class TestOpenNeuroThatLies(HostileContract):
    source = SOURCE

    @pytest.fixture
    def liar(self) -> Iterator[Liar]:
        with Archive() as archive:
            place = Newest(archive)
            place.put("sub-01/anat/f", BODY)
            yield place


@pytest.fixture
def archive() -> Iterator[Archive]:
    with Archive() as archive:
        yield archive


def resolved(archive: Archive, path: str = "", ctx: Context | None = None, **options: str) -> Pin:
    return SOURCE.resolve(Ref(f"openneuro:{archive.home}{path}", tuple(options.items())), ctx or context())


def listed(pin: Pin, ctx: Context | None = None) -> dict[str, RemoteFile]:
    return {file.path: file for file in SOURCE.files(pin, ctx or context())}


def content(pin: Pin, file: RemoteFile, span: Span | None = None, ctx: Context | None = None) -> bytes:
    with SOURCE.read(pin, file, span or Span(0, file.size or 0), ctx or context()) as stream:
        return stream.readall()


def holder(archive: Archive, token: str = "") -> Context:
    header = (("Cookie", f"accessToken={token or archive.token}"),)
    return context(Credentials([Credential(f"{archive.root}/", "cred:mine", header)]))


@pytest.mark.parametrize(
    ("url", "means"),
    [
        ("https://openneuro.org/datasets/ds000001", "ds000001"),
        ("https://www.OpenNeuro.org/datasets/ds000001/", "ds000001"),
        ("https://openneuro.org/datasets/DS000001/versions/1.0.0", "ds000001/versions/1.0.0"),
        ("https://openneuro.org/datasets/ds000001/versions/1.0.0/metadata", "ds000001/versions/1.0.0"),
        ("https://openneuro.org/datasets/ds000001/versions/1.0.0/download", "ds000001/versions/1.0.0"),
        ("https://openneuro.org/crn/datasets/ds000001/snapshots/1.0.0/download", "ds000001/versions/1.0.0"),
        (
            "https://openneuro.org/datasets/ds000001/versions/1.0.0/file-display/sub-01:anat:sub-01_T1w.nii.gz",
            "ds000001/versions/1.0.0/file-display/sub-01:anat:sub-01_T1w.nii.gz",
        ),
        ("openneuro:ds000001", "ds000001"),
        ("OpenNeuro:ds000001:1.0.0", "ds000001/versions/1.0.0"),
        ("openneuro:ds000001@1.0.0", "ds000001/versions/1.0.0"),
        ("openneuro:ds000001/v1.0.0", "ds000001/versions/1.0.0"),
        ("openneuro:https://openneuro.org/datasets/ds000001", "ds000001"),
    ],
)
def test_references_mean_a_dataset_a_snapshot_or_a_file(url: str, means: str) -> None:
    assert SOURCE.claims(Ref(url))
    place = module._place(url)
    assert place is not None
    assert place.page == f"https://openneuro.org/datasets/{means}"
    if url.startswith("http"):
        assert landing.recognise(url, context()) == Ref(f"openneuro:{place.page}")


@pytest.mark.parametrize(
    "url",
    [
        "https://openneuro.org.evil.example/datasets/ds000001",
        "https://openneuro.org@evil.example/datasets/ds000001",
        "https://openneuro.org/faq",
        "https://openneuro.org/datasets/x",
        "https://openneuro.org/crn/datasets/ds000001/objects/0123?filename=f",
        "https://github.com/OpenNeuroDatasets/ds000001",
    ],
)
def test_other_references_are_not_claimed(url: str) -> None:
    assert not SOURCE.claims(Ref(url))


def test_without_a_tag_the_newest_snapshot_is_meant(archive: Archive) -> None:
    for tag, body in (("1.0.0", b"1"), ("1.0.1", b"22")):
        archive.put("README", body)
        archive.snapshot(tag)
    archive.put("README", b"333")
    pin = resolved(archive)
    assert pin.version["tag"] == "1.0.1"
    assert content(pin, listed(pin)["README"]) == b"22"
    old = resolved(archive, version="1.0.0")
    assert content(old, listed(old)["README"]) == b"1"
    with pytest.raises(ResolveError, match=r"no snapshot 9; there are 1\.0\.0, 1\.0\.1"):
        resolved(archive, version="9")
    with pytest.raises(ResolveError, match="was asked for"):
        resolved(archive, "/versions/1.0.0", version="1.0.1")


def test_a_draft_is_never_taken_for_a_snapshot(archive: Archive) -> None:
    archive.put("README", b"1")
    with pytest.raises(ResolveError, match="no snapshot yet, only a draft"):
        resolved(archive)
    archive.snapshot("1.0.0")
    with pytest.raises(ResolveError, match="no snapshot draft"):
        resolved(archive, "/draft")


def test_a_tag_that_was_moved_is_noticed(archive: Archive) -> None:
    archive.put("README", b"1")
    archive.snapshot("1.0.0")
    pin = resolved(archive)
    archive.put("README", b"2")
    archive.snapshot("1.0.0")
    with pytest.raises(UpstreamChanged, match="is commit"):
        listed(pin)


def test_the_citation_is_read(archive: Archive) -> None:
    archive.put("README", b"1")
    archive.snapshot("1.0.0")
    wanted = Citation("Brains, seen", ("Noether, Emmy", "Curie, Marie"), "10.18112/openneuro.ds000001.v1.0.0", "CC0")
    assert resolved(archive).citation == wanted


def test_bytes_are_those_of_the_version_in_the_bucket(archive: Archive) -> None:
    archive.put("sub-01/f.nii.gz", BODY)
    archive.snapshot("1.0.0")
    pin = resolved(archive)
    [file] = listed(pin).values()
    assert file.version == f"id:{file.at.partition('versionId=')[2]}"  # bound: what the level counts
    archive.put("sub-01/f.nii.gz", BODY[::-1])
    archive.snapshot("1.0.1")
    assert content(pin, file, Span(5, 10)) == BODY[5:10]


def test_a_folder_is_listed_alone_and_no_other_is_asked_for(archive: Archive) -> None:
    for path in ("sub-01/anat/a", "sub-01/func/deep/b", "sub-010/c", "README"):
        archive.put(path, path.encode())
    archive.snapshot("1.0.0")
    before = len(archive.server.requests)
    pin = resolved(archive, "/versions/1.0.0/file-display/sub-01:func")
    assert list(listed(pin)) == ["deep/b"]
    assert len(archive.server.requests) - before == 2 + 4 + 1 + 4
    with pytest.raises(ResolveError, match="nothing at sub-02"):
        resolved(archive, "/versions/1.0.0/file-display/sub-02:x")


def test_one_question_is_asked_for_each_folder(archive: Archive) -> None:
    for number in range(20):
        archive.put(f"sub-{number}/f", b"1")
    archive.snapshot("1.0.0")
    pin = resolved(archive)
    before = len(archive.server.requests)
    assert len(listed(pin)) == 20
    assert len(archive.server.requests) - before == 1 + 1 + 20


def test_files_that_are_not_in_the_bucket_yet_come_from_the_archive(archive: Archive) -> None:
    archive.exported = False
    archive.put("sub-01/f.nii.gz", BODY)
    archive.snapshot("1.0.0")
    pin = resolved(archive)
    [file] = listed(pin).values()
    assert file.at.startswith(f"{archive.root}/crn/datasets/{DATASET}/objects/")
    assert content(pin, file, Span(5, 10)) == BODY[5:10]


def test_a_gateway_that_gave_up_is_asked_again(archive: Archive) -> None:
    archive.put("README", b"1")
    archive.snapshot("1.0.0")
    archive.gateway = 2
    assert resolved(archive).version["tag"] == "1.0.0"
    archive.gateway = 3
    with pytest.raises(SourceUnavailable, match=r"OpenNeuro.*504"):
        resolved(archive)


def test_a_field_that_the_schema_lost_is_told(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FILES", module._FILES.replace("filename", "key filename"))
    archive.put("README", b"1")
    archive.snapshot("1.0.0")
    with pytest.raises(SourceError, match=r'did not understand.*Cannot query field "key"'):
        listed(resolved(archive))


def test_a_dataset_that_is_not_there_or_not_public_says_so(archive: Archive) -> None:
    with pytest.raises(AuthRequired, match="no such dataset, or it is not public"):
        SOURCE.resolve(Ref(f"openneuro:{archive.root}/datasets/ds999999"), context())


def test_private_files_are_asked_of_the_archive_and_signed_urls_never_kept(archive: Archive) -> None:
    archive.private = True
    archive.put("sub-01/f.nii.gz", BODY)
    archive.snapshot("1.0.0")
    ctx = holder(archive)
    pin = resolved(archive, ctx=ctx)
    [file] = listed(pin, ctx).values()
    assert "Signature" not in file.at
    assert content(pin, file, Span(5, 10), ctx) == BODY[5:10]
    assert SOURCE.realm(pin, ctx) != PUBLIC
    with pytest.raises(AccessDenied, match="Your credential does not open it"):
        resolved(archive, ctx=holder(archive, "wrong"))


def test_no_credential_goes_to_the_bucket_or_is_picked_up_there(archive: Archive) -> None:
    archive.put("sub-01/f.nii.gz", BODY)
    archive.snapshot("1.0.0")
    ctx = holder(archive)
    pin = resolved(archive, ctx=ctx)
    [file] = listed(pin, ctx).values()
    assert content(pin, file, ctx=ctx) == BODY
    assert not any("cookie" in request.headers for request in archive.store.requests)
    other = context(Credentials([Credential(archive.store.url, "cred:x", (("Authorization", "mine"),))]))
    with pytest.raises(AuthRequired, match="credential of yours"):
        content(pin, file, ctx=other)


@pytest.mark.parametrize("at", ["file:///etc/passwd", "gopher://h/x", "{}"])
def test_a_forged_locator_is_refused(at: str) -> None:
    pin = Pin("openneuro", Ref("openneuro:https://openneuro.org/datasets/ds000001/versions/1.0.0"), "x", {"tag": "1"})
    with pytest.raises(IntegrityError, match="edited"):
        SOURCE.url(pin, RemoteFile("f", 1, at=at))

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from gotdata.context import Context
from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.errors import IntegrityError, ResolveError, SourceError
from gotdata.model import Checksum, Citation, Kind, Pin, Ref, RemoteFile, Span
from gotdata.sources import landing
from gotdata.sources.mendeley import Mendeley
from gotdata.testing.double import Switched
from gotdata.testing.hostile_contract import HostileContract, Liar
from gotdata.testing.mendeley_double import Mendeley as Double
from gotdata.testing.source_contract import BODY, Place, SourceContract, context

SOURCE = Mendeley()
ID = "7w7fccy7ky"
UUID = "bc98e0d7-6c56-42dc-aa54-d689cbfe1230"


class Dataset(Switched):
    """The files of one dataset. It appears when its first file does."""

    def __init__(self, double: Double) -> None:
        super().__init__(double)
        self.ref = Ref(f"mendeley:{double.root}/datasets/{ID}")
        self.ctx = context()

    def put(self, path: str, body: bytes) -> None:
        self.double.put(ID, {path: body})

    def remove(self, path: str) -> None:
        self.double.remove(ID, path)

    def folder(self, path: str) -> None:
        self.double.folder(ID, path)

    def one(self, path: str) -> Ref:
        try:
            id = self.double.find(ID, path)
        except KeyError:
            id = UUID
        return Ref(f"mendeley:{self.double.root}/public-files/datasets/{ID}/files/{id}/file_downloaded")

    def fill(self, count: int) -> None:
        self.double.put(ID, {f"many/{number}": b"x" for number in range(count)})

    def cut(self, path: str, after: int) -> None:
        self.double.cut(self.double.find(ID, path), after)


class TestMendeley(SourceContract):
    source = SOURCE
    checks = "sha256"

    @pytest.fixture
    def place(self) -> Iterator[Place]:
        with Double() as double:
            yield Dataset(double)


class TestMendeleyThatLies(HostileContract):
    source = SOURCE

    @pytest.fixture
    def liar(self) -> Iterator[Liar]:
        with Double() as double:
            dataset = Dataset(double)
            dataset.put("f", BODY)
            yield dataset


@pytest.fixture
def double() -> Iterator[Double]:
    with Double() as double:
        yield double


def resolved(double: Double, what: str = f"datasets/{ID}", ctx: Context | None = None, **options: str) -> Pin:
    return SOURCE.resolve(Ref(f"mendeley:{double.root}/{what}", tuple(options.items())), ctx or context())


def listed(pin: Pin, ctx: Context | None = None) -> dict[str, RemoteFile]:
    return {file.path: file for file in SOURCE.files(pin, ctx or context())}


def content(pin: Pin, file: RemoteFile, ctx: Context | None = None) -> bytes:
    with SOURCE.read(pin, file, Span(0, file.size or 0), ctx or context()) as stream:
        return stream.readall()


@pytest.mark.parametrize(
    ("url", "claimed"),
    [
        (f"https://data.mendeley.com/datasets/{ID}/4", True),
        ("https://Data.Mendeley.com/datasets/7W7FCCY7KY", True),
        (f"https://data.mendeley.com/public-files/datasets/{ID}/files/{UUID}/file_downloaded", True),
        (f"https://data.mendeley.com/public-api/zip/{ID}/download/3", True),
        (f"https://data.mendeley.com/public-api/datasets/{ID}/files?folder_id=root&version=1", True),
        (f"https://data.mendeley.com/datasets/{ID}/4/files/{UUID}", True),
        (f"mendeley:{ID}/4", True),
        ("https://data.mendeley.com/research-data/?search=cells", False),
        ("https://www.mendeley.com/catalogue/1234/", False),
        (f"https://data.mendeley.com.evil.example/datasets/{ID}/4", False),
    ],
)
def test_references_are_claimed_by_their_text(url: str, claimed: bool) -> None:
    assert SOURCE.claims(Ref(url)) is claimed


def test_a_landing_page_behind_a_doi_is_recognised_by_its_host() -> None:
    page = f"https://data.mendeley.com/datasets/{ID}/4"
    assert landing.recognise(page, context()) == Ref(page)


def test_a_page_without_a_version_means_the_newest_and_the_pin_names_that(double: Double) -> None:
    double.put(ID, {"a": b"1"})
    double.put(ID, {"a": b"22"})
    pin = resolved(double)
    assert pin.version == {"dataset": ID, "version": "2"}
    assert pin.ref.url == f"mendeley:{double.root}/datasets/{ID}/2"
    assert pin.namespace == f"doi:10.17632/{ID}"
    assert pin.citation == Citation(
        "Cells, counted", ("Noether, Emmy", "Curie, Marie"), f"10.17632/{ID}.2", "CC BY 4.0"
    )
    for old in (resolved(double, version="1"), resolved(double, f"datasets/{ID}/1")):
        assert content(old, listed(old)["a"]) == b"1"
    with pytest.raises(ResolveError, match="no version 7; there are 1, 2"):
        resolved(double, f"datasets/{ID}/7")


def test_a_dataset_without_a_description_is_read_all_the_same(double: Double) -> None:
    double.described = False
    double.put(ID, {"a": b"1"})
    pin = resolved(double)
    assert pin.citation == Citation(doi=f"10.17632/{ID}.1")
    assert content(pin, listed(pin)["a"]) == b"1"


def test_a_draft_is_refused() -> None:
    with pytest.raises(ResolveError, match="draft"):
        SOURCE.resolve(Ref(f"https://data.mendeley.com/datasets/{ID}/draft?a=1234"), context())


def test_a_dataset_that_is_not_there_may_be_unpublished(double: Double) -> None:
    with pytest.raises(ResolveError, match="not published"):
        resolved(double)


def test_folders_are_walked_and_empty_ones_kept(double: Double) -> None:
    double.put(ID, {"top": b"1", "d/e/deep": b"2", "d/near": b"3"})
    double.folder(ID, "d/empty")
    files = listed(resolved(double))
    assert set(files) == {"top", "d/e/deep", "d/near", "d/empty"}
    assert files["d/empty"].kind is Kind.DIR


def test_folders_in_each_other_are_a_loop(double: Double) -> None:
    double.put(ID, {"a": b"1"})
    pin = resolved(double)
    double.hostile = "loop"
    with pytest.raises(SourceError, match="lies in itself"):
        listed(pin)


@pytest.mark.parametrize(("paged", "page"), [(True, 1000), (True, 100), (False, 1000)])
def test_all_files_are_listed_whatever_the_server_knows_of_pages(double: Double, paged: bool, page: int) -> None:
    double.paged, double.page = paged, page
    double.put(ID, {f"f{number}": b"x" for number in range(1000)})
    assert len(listed(resolved(double))) == 1000


def test_the_address_of_a_file_means_that_file(double: Double) -> None:
    double.put(ID, {"d/a.csv": BODY, "b": b"2"})
    id = double.find(ID, "d/a.csv")
    pin = resolved(double, f"public-files/datasets/{ID}/files/{id}/file_downloaded")
    assert pin.version == {"dataset": ID, "version": "1", "file": id}
    [file] = listed(pin).values()
    assert (file.path, content(pin, file)) == ("a.csv", BODY)


def test_files_come_from_the_store_by_signed_addresses_that_are_never_kept(double: Double) -> None:
    double.put(ID, {"a": BODY})
    pin = resolved(double)
    file = listed(pin)["a"]
    assert file.checks == (Checksum("sha256", hashlib.sha256(BODY).hexdigest()),)
    with SOURCE.read(pin, file, Span(5, 10), context()) as stream:
        assert stream.readall() == BODY[5:10]
    assert "Signature" not in file.at
    assert {request.method for request in double.store.requests} == {"GET"}


def test_a_credential_makes_a_realm_of_its_own_and_never_reaches_the_store(double: Double) -> None:
    double.put(ID, {"a": BODY})
    double.denied = True
    header = (("Authorization", f"Bearer {double.token}"),)
    ctx = context(Credentials([Credential(f"{double.root}/", "cred:mine", header)]))
    pin = resolved(double, ctx=ctx)
    assert content(pin, listed(pin, ctx)["a"], ctx) == BODY
    assert SOURCE.realm(pin, ctx) != PUBLIC
    assert all("authorization" not in request.headers for request in double.store.requests)


def test_a_file_on_another_host_is_refused(double: Double) -> None:
    double.put(ID, {"a": BODY})
    double.elsewhere = "https://evil.example"
    with pytest.raises(SourceError, match="on that host"):
        listed(resolved(double))


@pytest.mark.parametrize("at", ["https://data.mendeley.com.evil.example/x", "https://evil.example/public-files/x"])
def test_a_forged_locator_is_refused(at: str) -> None:
    pin = Pin("mendeley", Ref(f"mendeley:https://data.mendeley.com/datasets/{ID}/1"), "doi:x", {"version": "1"})
    ours = f"https://data.mendeley.com/public-files/datasets/{ID}/files/{UUID}/file_downloaded"
    assert SOURCE.url(pin, RemoteFile("f", 4, at=ours)) == ours
    with pytest.raises(IntegrityError, match="edited"):
        SOURCE.url(pin, RemoteFile("f", 4, at=at))

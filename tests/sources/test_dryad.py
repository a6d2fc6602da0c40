from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator

import pytest

from gotdata.context import Context
from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.errors import AccessDenied, AuthRequired, IntegrityError, ResolveError, SourceUnavailable
from gotdata.model import Checksum, Citation, Pin, Ref, RemoteFile, Span
from gotdata.sources import landing
from gotdata.sources.dryad import Dryad
from gotdata.sources.http_answer import Refusal
from gotdata.testing.double import Switched
from gotdata.testing.dryad_double import Dryad as Double
from gotdata.testing.hostile_contract import HostileContract, Liar
from gotdata.testing.source_contract import BODY, Place, SourceContract, context

SOURCE = Dryad()
DOI = "10.5061/dryad.7rh4625"


class Dataset(Switched):
    """The files of one dataset. It appears when its first file does."""

    def __init__(self, double: Double) -> None:
        super().__init__(double)
        self.ref = Ref(f"dryad:{double.root}/dataset/doi:{DOI}")
        self.ctx = context()

    def put(self, path: str, body: bytes) -> None:
        self.double.put(DOI, {path: body})

    def remove(self, path: str) -> None:
        self.double.remove(DOI, path)

    def folder(self, path: str) -> None:
        raise NotImplementedError

    def one(self, path: str) -> Ref:
        try:
            id = self.double.find(DOI, path)
        except KeyError:
            id = "99"
        return Ref(f"dryad:{self.double.root}/downloads/file_stream/{id}")

    def fill(self, count: int) -> None:
        self.double.put(DOI, {f"many-{number}": b"x" for number in range(count)})

    def cut(self, path: str, after: int) -> None:
        self.double.cut(self.double.find(DOI, path), after)


class TestDryad(SourceContract):
    source = SOURCE
    checks = "sha256"
    folders = False
    empty_folders = False

    @pytest.fixture
    def place(self) -> Iterator[Place]:
        with Double() as double:
            yield Dataset(double)


class TestDryadThatLies(HostileContract):
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


def resolved(double: Double, what: str = f"dataset/doi:{DOI}", ctx: Context | None = None, **options: str) -> Pin:
    return SOURCE.resolve(Ref(f"dryad:{double.root}/{what}", tuple(options.items())), ctx or context())


def listed(pin: Pin, ctx: Context | None = None) -> dict[str, RemoteFile]:
    return {file.path: file for file in SOURCE.files(pin, ctx or context())}


def content(pin: Pin, file: RemoteFile, ctx: Context | None = None) -> bytes:
    with SOURCE.read(pin, file, Span(0, file.size or 0), ctx or context()) as stream:
        return stream.readall()


def with_token(double: Double) -> Context:
    held = Credential(f"{double.root}/", "cred:mine", (("Authorization", f"Bearer {double.token}"),))
    return context(Credentials([held]))


@pytest.mark.parametrize(
    ("url", "claimed"),
    [
        (f"https://datadryad.org/dataset/doi:{DOI}", True),
        ("https://DataDryad.org/stash/dataset/doi:10.5061/DRYAD.7rh4625", True),
        ("https://www.datadryad.org/stash/dataset/doi%3A10.7280%2FD1KS3N", True),
        ("https://datadryad.org/api/v2/datasets/doi%3A10.5061%2Fdryad.7rh4625/versions", True),
        ("https://datadryad.org/stash/downloads/file_stream/399220", True),
        ("https://datadryad.org/api/v2/versions/26724/files", True),
        (f"dryad:{DOI}", True),
        ("https://datadryad.org/search?q=cells", False),
        (f"https://datadryad.org.evil.example/dataset/doi:{DOI}", False),
    ],
)
def test_references_are_claimed_by_their_text(url: str, claimed: bool) -> None:
    assert SOURCE.claims(Ref(url)) is claimed


def test_a_landing_page_behind_a_doi_is_recognised_by_its_host() -> None:
    page = f"https://datadryad.org/dataset/doi:{DOI}"
    assert landing.recognise(page, context()) == Ref(page)


def test_a_doi_means_its_newest_version_and_the_pin_names_that(double: Double) -> None:
    first = double.put(DOI, {"a": b"1"})
    second = double.put(DOI, {"a": b"22"})
    pin = resolved(double)
    assert pin.version == {"version": second, "number": "2"}
    assert pin.ref.url == f"dryad:{double.root}/api/v2/versions/{second}"
    assert pin.namespace == f"doi:{DOI}"
    licence = "https://spdx.org/licenses/CC0-1.0.html"
    assert pin.citation == Citation("Cells, counted", ("Noether, Emmy", "Curie, Marie"), DOI, licence)
    for wanted in ("1", first):
        old = resolved(double, version=wanted)
        assert content(old, listed(old)["a"]) == b"1"
    with pytest.raises(ResolveError, match="no version 7; there are 1, 2"):
        resolved(double, version="7")


def test_an_address_of_one_version_is_no_other(double: Double) -> None:
    first = double.put(DOI, {"a": b"1"})
    double.put(DOI, {"a": b"22"})
    assert resolved(double, f"api/v2/versions/{first}", version="1").version["version"] == first
    for what in (f"api/v2/versions/{first}", f"downloads/file_stream/{double.find(DOI, 'a')}"):
        with pytest.raises(ResolveError, match=r"is version [12]: name its DOI"):
            resolved(double, what, version="3")


def test_a_dataset_that_is_not_there_may_be_unpublished(double: Double) -> None:
    with pytest.raises(ResolveError, match="not published"):
        resolved(double, "dataset/doi:10.5061/dryad.none")


def test_pages_are_followed_in_hundreds_though_their_links_forget_it(double: Double) -> None:
    double.short = True
    double.put(DOI, {f"f{number}": b"x" for number in range(250)})
    assert len(listed(resolved(double))) == 250
    assert sum("/files?" in one.path for one in double.server.requests) == 3


@pytest.mark.parametrize("relation", ["stash:download", "stash:file-download"])
def test_files_are_found_by_their_ids_whatever_their_link_is_called(double: Double, relation: str) -> None:
    double.relation = relation
    double.put(DOI, {"a": BODY})
    pin = resolved(double)
    assert content(pin, listed(pin)["a"]) == BODY


@pytest.mark.parametrize(("kind", "algorithm"), [("md5", "md5"), ("sha-1", "sha1"), ("sha-512", "sha512")])
def test_sums_are_read_in_the_spelling_of_dryad(double: Double, kind: str, algorithm: str) -> None:
    double.put(DOI, {"a": BODY})
    double.digest = kind
    wanted = Checksum(algorithm, hashlib.new(algorithm, BODY).hexdigest())
    assert listed(resolved(double))["a"].checks == (wanted,)


def test_old_files_have_no_sum(double: Double) -> None:
    double.put(DOI, {"a": BODY})
    double.digest = ""
    file = listed(resolved(double))["a"]
    assert (file.checks, file.version) == ((), f"id:{double.find(DOI, 'a')}")


def test_files_that_were_deleted_are_not_listed_and_copied_ones_are(double: Double) -> None:
    double.put(DOI, {"a": b"1", "b": b"2"})
    double.put(DOI, {"c": b"3"})
    double.mark_deleted(DOI, "b")
    assert set(listed(resolved(double))) == {"a", "c"}
    for path in ("a", "c"):
        double.mark_deleted(DOI, path)
    with pytest.raises(ResolveError, match="no files"):
        listed(resolved(double))


def test_who_has_no_account_reads_where_people_download(double: Double) -> None:
    double.put(DOI, {"empty": b"", "a": BODY, "b": BODY})
    pin = resolved(double)
    files = listed(pin)
    assert files["a"].at == f"{double.root}/downloads/file_stream/{double.find(DOI, 'a')}"
    assert sum("file" in one.path and "/files?" not in one.path for one in double.server.requests) == 2
    with SOURCE.read(pin, files["b"], Span(5, 10), context()) as stream:
        assert stream.readall() == BODY[5:10]
    assert {one.method for one in double.store.requests} == {"GET"}


def test_who_has_one_reads_by_the_api_and_the_store_never_sees_the_token(double: Double) -> None:
    double.put(DOI, {"a": BODY})
    ctx = with_token(double)
    pin = resolved(double, ctx=ctx)
    file = listed(pin, ctx)["a"]
    assert file.at == f"{double.root}/api/v2/files/{double.find(DOI, 'a')}/download"
    assert content(pin, file, ctx) == BODY
    assert SOURCE.realm(pin, ctx) != PUBLIC
    assert all("authorization" not in one.headers for one in double.store.requests)


def test_a_wall_where_people_download_is_told_with_what_opens_the_api(double: Double) -> None:
    double.wall_of_downloads = True
    double.put(DOI, {"a": BODY})
    with pytest.raises(AuthRequired, match=r"web page, a wall.*account.*gotdata login http://127"):
        listed(resolved(double))


@pytest.mark.parametrize(("credential", "kind"), [(False, AuthRequired), (True, AccessDenied)])
@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_says_what_is_needed(credential: bool, kind: type[Exception], status: int) -> None:
    asked = Refusal("https://datadryad.org/api/v2/files/1/download", status, {}, "", credential)
    error = SOURCE.explain(asked)
    assert isinstance(error, kind)
    assert "gotdata login https://datadryad.org/" in str(error)
    assert SOURCE.explain(Refusal("https://bucket.s3.example/x", status, {}, "", False)) is None


def test_the_end_of_a_limit_is_read_from_ratelimit_reset() -> None:
    for said, least, most in (("40", 40, 40), (str(int(time.time()) + 100), 90, 100)):
        asked = Refusal("https://datadryad.org/api/v2/x", 429, {"RateLimit-Reset": said}, "", False)
        error = SOURCE.explain(asked)
        assert isinstance(error, SourceUnavailable)
        assert error.retry_after is not None
        assert least <= error.retry_after <= most


@pytest.mark.parametrize("at", ["https://datadryad.org.evil.example/x", "https://bucket.s3.example/x"])
def test_a_forged_locator_is_refused(at: str) -> None:
    pin = Pin("dryad", Ref("dryad:https://datadryad.org/api/v2/versions/1"), f"doi:{DOI}", {"version": "1"})
    ours = "https://datadryad.org/api/v2/files/1/download"
    assert SOURCE.url(pin, RemoteFile("f", 4, at=ours)) == ours
    with pytest.raises(IntegrityError, match="edited"):
        SOURCE.url(pin, RemoteFile("f", 4, at=at))

"""The gcs source: the contracts on a double, and each trap of Google Cloud Storage. Real servers: tests/e2e."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pytest

from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.errors import AccessDenied, AuthRequired, NotFound, ResolveError, SourceError, UpstreamChanged
from gotdata.model import Checksum, Kind, Pin, Ref, RemoteFile, Span
from gotdata.sources.base import Powers
from gotdata.sources.gcs import Gcs
from gotdata.sources.gcs_bucket import Bucket, parse
from gotdata.testing.double import Switched
from gotdata.testing.gcs_double import CloudStorage
from gotdata.testing.hostile_contract import WALLS, HostileContract
from gotdata.testing.source_contract import BODY, SourceContract, context

SOURCE = Gcs()


def gcs(*, versions: bool) -> Gcs:
    """The source, with the powers that it has in a bucket that does or does not keep generations."""
    source = Gcs()
    source.powers = Powers(versions=versions)
    return source


class Place(Switched):
    """As ``source_contract.Place`` and ``hostile_contract.Liar``: a prefix, with a neighbour that must not be seen."""

    def __init__(self, cloud: CloudStorage) -> None:
        super().__init__(cloud)
        self.ctx = context()
        cloud.put("data-neighbour/x", b"not this")
        self.ref = self.at("data/")

    def at(self, key: str, **options: str) -> Ref:
        return Ref(Bucket(self.double.bucket, self.double.root).ref(key).url, tuple(sorted(options.items())))

    def put(self, path: str, body: bytes) -> None:
        self.double.put(f"data/{path}", body)

    def remove(self, path: str) -> None:
        self.double.remove(f"data/{path}")

    def folder(self, path: str) -> None:
        self.double.put(f"data/{path}/", b"")

    def one(self, path: str) -> Ref:
        return self.at(f"data/{path}")

    def fill(self, count: int) -> None:
        for number in range(count):
            self.put(f"many/{number}", b"1")

    def lie(self, what: str) -> None:
        self.put("f", BODY[:1000])
        self.double.wall, self.double.hostile = (what, "") if what in WALLS else ("", what)


@pytest.fixture
def cloud() -> Iterator[CloudStorage]:
    with CloudStorage() as cloud:
        yield cloud


@pytest.fixture
def place(cloud: CloudStorage) -> Place:
    return Place(cloud)


class TestGcs(SourceContract):
    source = gcs(versions=False)
    checks = "crc32c"
    lacks = ("cut",)

    @pytest.fixture
    def place(self, cloud: CloudStorage) -> Place:
        return Place(cloud)


class TestGcsWithVersions(SourceContract):
    source = gcs(versions=True)
    checks = "md5"
    lacks = ("cut", "fill")

    @pytest.fixture
    def place(self, cloud: CloudStorage) -> Place:
        cloud.versions = True
        return Place(cloud)


class TestGcsAgainstLies(HostileContract):
    source = SOURCE
    told = "Google Cloud Storage"

    @pytest.fixture
    def liar(self, cloud: CloudStorage) -> Place:
        return Place(cloud)


def listed(place: Place, ref: Ref) -> dict[str, RemoteFile]:
    return {file.path: file for file in SOURCE.files(SOURCE.resolve(ref, place.ctx), place.ctx)}


def read(place: Place, pin: Pin, file: RemoteFile, span: Span | None = None) -> bytes:
    with SOURCE.read(pin, file, span or Span(0, file.size or 0), place.ctx) as stream:
        return stream.readall()


@pytest.mark.parametrize(
    ("url", "bucket", "key", "generation"),
    [
        ("gs://lab", "lab", "", ""),
        ("GS://lab/", "lab", "", ""),
        ("gs://lab/a b/c%20d?e", "lab", "a b/c%20d?e", ""),
        ("gs://lab/a#1519931085896733", "lab", "a", "1519931085896733"),
        ("gs://lab/a#b", "lab", "a#b", ""),
        ("https://storage.googleapis.com/lab/a%20b/c", "lab", "a b/c", ""),
        ("https://Storage.GoogleAPIs.com/lab/a?generation=7", "lab", "a", "7"),
        ("https://lab.storage.googleapis.com/a/b", "lab", "a/b", ""),
        ("https://my.lab.data.storage.googleapis.com/a", "my.lab.data", "a", ""),
        ("https://commondatastorage.googleapis.com/lab/a", "lab", "a", ""),
        ("https://storage.cloud.google.com/lab/a?authuser=1", "lab", "a", ""),
        ("https://www.googleapis.com/storage/v1/b/lab/o/a%2Fb?alt=media", "lab", "a/b", ""),
        ("https://storage.googleapis.com/storage/v1/b/lab/o?prefix=a/", "lab", "a/", ""),
        ("https://storage.googleapis.com/download/storage/v1/b/lab/o/a%2Fb?generation=7", "lab", "a/b", "7"),
        ("https://console.cloud.google.com/storage/browser/lab;tab=objects?prefix=&x=y", "lab", "", ""),
        ("https://console.cloud.google.com/storage/browser/lab/a/b", "lab", "a/b/", ""),
        ("https://console.cloud.google.com/storage/browser/lab?prefix=a/b/", "lab", "a/b/", ""),
        ("https://console.cloud.google.com/storage/browser/_details/lab/a/b;tab=live_object", "lab", "a/b", ""),
    ],
)
def test_all_forms_mean_a_bucket_and_a_name(url: str, bucket: str, key: str, generation: str) -> None:
    assert SOURCE.claims(Ref(url))
    assert parse(Ref(url)) == (Bucket(bucket), key, generation)


@pytest.mark.parametrize("key", ["", "a/", "a b%20?c/é", "a#123", "a#x"])
@pytest.mark.parametrize("endpoint", ["", "http://127.0.0.1:4443"])
def test_a_canonical_reference_means_the_same(key: str, endpoint: str) -> None:
    bucket = Bucket("lab", endpoint, "project-1")
    assert parse(bucket.ref(key)) == (bucket, key, "")


@pytest.mark.parametrize(
    "url",
    [
        "https://storage.googleapis.com.evil.example/lab/a",
        "https://notstorage.googleapis.com/lab/a",
        "https://www.googleapis.com/drive/v3/files/x",
        "https://console.cloud.google.com/compute/instances",
        "https://user@storage.googleapis.com/lab/a",
        "https://storage.googleapis.com/",
        "ftp://storage.googleapis.com/lab/a",
        "https://example.org/gs://lab",
    ],
)
def test_other_addresses_are_not_taken_for_google_s(url: str) -> None:
    assert not SOURCE.claims(Ref(url))


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("gs://Lab/a", {}, "gs://BUCKET/OBJECT"),
        ("gcs:lab/a", {}, "gs://BUCKET/OBJECT"),
        ("gs://lab/a/../b", {}, "between slashes"),
        ("gs://lab/a", {"version": "1.2"}, "generation of an object"),
        ("gs://lab/a#7", {"version": "8"}, "generation of an object"),
        ("gs://lab/a/", {"version": "8"}, "is a folder"),
        ("gs://lab/a", {"billing_project": "x&y"}, "no id of a Google Cloud project"),
        ("gs://lab/a", {"account": "me"}, "no option 'account'"),
    ],
)
def test_a_reference_that_cannot_be_says_why(url: str, options: dict[str, str], words: str) -> None:
    with pytest.raises(ResolveError, match=words):
        SOURCE.resolve(Ref(url, tuple(options.items())), context())


def test_a_generation_in_the_reference_is_pinned(cloud: CloudStorage, place: Place) -> None:
    cloud.versions = True
    older = cloud.put("f", b"first")
    cloud.put("f", b"second!")
    pin = SOURCE.resolve(place.at("f", version=older), place.ctx)
    assert pin.version == {"generation": older}
    (file,) = SOURCE.files(pin, place.ctx)
    assert read(place, pin, file) == b"first"
    with pytest.raises(ResolveError, match="not there"):
        SOURCE.resolve(place.at("f", version="12"), place.ctx)


def test_an_object_that_was_composed_has_no_md5(cloud: CloudStorage, place: Place) -> None:
    cloud.put("data/simple", b"123456789")
    cloud.put("data/composed", b"123456789", composed=True)
    files = listed(place, place.ref)
    # https://reveng.sourceforge.io/crc-catalogue/17plus.htm: the check value of CRC-32/ISCSI
    assert files["composed"].checks == (Checksum("crc32c", "e3069283"),)
    assert Checksum("md5", "25f9e794323b453885f5181f1b624d0b") in files["simple"].checks


def test_what_lies_there_compressed_is_read_as_it_lies_there(cloud: CloudStorage, place: Place) -> None:
    body = gzip.compress(BODY, mtime=0)
    cloud.put("data/f.csv", body, gzip=True)
    pin = SOURCE.resolve(place.ref, place.ctx)
    (file,) = SOURCE.files(pin, place.ctx)
    assert file.size == len(body)
    assert read(place, pin, file) == body
    assert read(place, pin, file, Span(3, 40)) == body[3:40]


def test_who_reads_pays_only_if_the_reference_names_a_project(cloud: CloudStorage, place: Place) -> None:
    cloud.put("data/f", BODY)
    cloud.payer = "my-project"
    with pytest.raises(ResolveError, match="billing_project"):
        SOURCE.resolve(place.ref, place.ctx)
    pin = SOURCE.resolve(Ref(place.ref.url, (("billing_project", "my-project"),)), place.ctx)
    assert dict(pin.ref.options) == {"billing_project": "my-project"}
    (file,) = SOURCE.files(pin, place.ctx)
    assert read(place, pin, file) == BODY


def test_an_object_is_read_without_the_right_to_list(cloud: CloudStorage, place: Place) -> None:
    cloud.put("d/f", BODY)
    cloud.lists = False
    pin = SOURCE.resolve(place.at("d/f"), place.ctx)
    (file,) = SOURCE.files(pin, place.ctx)
    assert read(place, pin, file) == BODY
    for key in ("d/", "d/missing"):
        with pytest.raises(AccessDenied, match="says the same of what does not exist"):
            SOURCE.resolve(place.at(key), place.ctx)


def test_a_rate_that_hides_in_a_403_is_waited_for(cloud: CloudStorage, place: Place) -> None:
    cloud.put("data/f", b"1")
    cloud.busy = 2
    assert list(listed(place, place.ref)) == ["f"]


def test_a_bucket_that_is_not_there_is_said_to_be_missing(place: Place) -> None:
    with pytest.raises(ResolveError, match="The specified bucket does not exist"):
        SOURCE.resolve(Ref(place.ref.url.replace("/lab/", "/bal/")), place.ctx)


def test_a_name_is_an_object_before_it_is_a_folder(cloud: CloudStorage, place: Place) -> None:
    for name in ("both", "both/inner", "only/inner", "empty/"):
        cloud.put(name, b"1" if not name.endswith("/") else b"")
    assert list(listed(place, place.at("both"))) == ["both"]
    assert list(listed(place, place.at("both/"))) == ["inner"]
    assert SOURCE.resolve(place.at("only"), place.ctx) == SOURCE.resolve(place.at("only/"), place.ctx)
    assert listed(place, place.at("empty")) == {}
    whole = listed(place, place.at(""))
    assert {path: file.kind for path, file in whole.items() if path[0] == "e"} == {"empty": Kind.DIR}
    with pytest.raises(ResolveError, match="begins with that"):
        SOURCE.resolve(place.at("nothing/"), place.ctx)


def test_an_empty_bucket_is_an_empty_folder(cloud: CloudStorage, place: Place) -> None:
    cloud.remove("data-neighbour/x")
    assert listed(place, place.at("")) == {}


def test_an_answer_of_another_generation_is_a_change_upstream(cloud: CloudStorage, place: Place) -> None:
    cloud.put("data/f", b"123")
    pin = SOURCE.resolve(place.ref, place.ctx)
    address = "storage/v1/b/lab/o/data/f"
    cloud.server.put(address, b"321", headers={"x-goog-generation": "999"})
    with pytest.raises(UpstreamChanged, match="999 was sent"):
        read(place, pin, RemoteFile("f", 3, version="id:5"))


def test_a_token_opens_what_is_private_and_makes_its_realm(cloud: CloudStorage, place: Place) -> None:
    cloud.put("data/f", BODY)
    cloud.denied = True
    with pytest.raises(AuthRequired, match=rf"not public.*gotdata login {cloud.root}/"):
        SOURCE.resolve(place.ref, place.ctx)
    header = (("Authorization", f"Bearer {cloud.token}"),)
    place.ctx = context(Credentials([Credential(f"{cloud.root}/", "cred:mine", header)]))
    pin = SOURCE.resolve(place.ref, place.ctx)
    (file,) = SOURCE.files(pin, place.ctx)
    assert read(place, pin, file) == BODY
    assert SOURCE.realm(pin, place.ctx) != PUBLIC


def test_a_name_in_a_forged_lock_leads_to_no_other_bucket(place: Place) -> None:
    pin = Pin("gcs", place.ref, "", {"listing": "generations"})
    asked = parse(pin.ref)[0].question("data/" + "../../../other/o/x", alt="media")
    assert asked.startswith(f"{place.double.root}/storage/v1/b/lab/o/data%2F..%2F")
    with pytest.raises((NotFound, SourceError)):
        read(place, pin, RemoteFile("../../../other/o/x", 3, version="id:5"))
    assert all(request.path.startswith("/storage/v1/b/lab/o/data%2F") for request in place.double.server.requests)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{}", "no storage#objects"),
        (b'{"kind": "drive#files", "items": []}', "no storage#objects"),
        (b'{"kind": "storage#objects", "items": [{"name": "elsewhere/x", "size": "1"}]}', "holds 'elsewhere/x'"),
        (b'{"kind": "storage#objects", "items": [{"name": "data/x", "size": "1"}]}', "without its size or generation"),
        (
            b'{"kind": "storage#objects", "items": [{"name": "data/x", "size": -1, "generation": "1"}]}',
            "without its size",
        ),
    ],
)
def test_a_listing_that_cannot_be_is_refused(place: Place, body: bytes, words: str) -> None:
    place.double.server.put("storage/v1/b/lab/o", body, kind="application/json")
    with pytest.raises(SourceError, match=words):
        list(SOURCE.files(Pin("gcs", place.ref, "", {"listing": "generations"}), place.ctx))

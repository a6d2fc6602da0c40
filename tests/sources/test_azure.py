"""The azure source: the contracts on a double, and each trap of Azure Blob Storage. A real emulator: tests/e2e."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote

import pytest

from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.errors import (
    AccessDenied,
    AuthRequired,
    IntegrityError,
    ManifestError,
    ResolveError,
    SourceError,
    UpstreamChanged,
)
from gotdata.manifest import reference
from gotdata.model import Checksum, Kind, Pin, Ref, RemoteFile, Span
from gotdata.report import Event
from gotdata.sources.azure import Azure
from gotdata.sources.azure_place import parse
from gotdata.sources.base import Powers
from gotdata.testing.azure_double import BlobStorage
from gotdata.testing.double import LOGIN, Switched
from gotdata.testing.hostile_contract import WALLS, HostileContract
from gotdata.testing.source_contract import BODY, SourceContract, context

SOURCE = Azure()


def azure(*, versions: bool) -> Azure:
    """The source, with the powers that it has in an account that does or does not keep versions."""
    source = Azure()
    source.powers = Powers(versions=versions)
    return source


class Place(Switched):
    """As ``source_contract.Place`` and ``hostile_contract.Liar``: a prefix, with a neighbour that must not be seen."""

    def __init__(self, storage: BlobStorage) -> None:
        super().__init__(storage)
        self.ctx = context()
        storage.put("data-neighbour/x", b"not this")
        self.ref = self.at("data/")

    def at(self, key: str, **options: str) -> Ref:
        return Ref(f"azure:{self.double.home}/{quote(key)}", tuple(sorted(options.items())))

    def put(self, path: str, body: bytes) -> None:
        self.double.put(f"data/{path}", body)

    def remove(self, path: str) -> None:
        self.double.remove(f"data/{path}")

    def folder(self, path: str) -> None:
        self.double.put(f"data/{path}", b"", marker=True)

    def one(self, path: str) -> Ref:
        return self.at(f"data/{path}")

    def fill(self, count: int) -> None:
        for number in range(count):
            self.put(f"many/{number}", b"1")

    def lie(self, what: str) -> None:
        self.put("f", BODY[:1000])
        self.double.wall, self.double.hostile = (what, "") if what in WALLS else ("", what)


@pytest.fixture
def storage() -> Iterator[BlobStorage]:
    with BlobStorage() as storage:
        yield storage


@pytest.fixture
def place(storage: BlobStorage) -> Place:
    return Place(storage)


class TestAzure(SourceContract):
    source = azure(versions=False)
    checks = "md5"
    lacks = ("cut",)

    @pytest.fixture
    def place(self, storage: BlobStorage) -> Place:
        return Place(storage)


class TestAzureWithVersions(SourceContract):
    source = azure(versions=True)
    checks = "md5"
    lacks = ("cut", "fill")

    @pytest.fixture
    def place(self, storage: BlobStorage) -> Place:
        storage.versions = True
        return Place(storage)


class TestAzureAgainstLies(HostileContract):
    source = SOURCE

    @pytest.fixture
    def liar(self, storage: BlobStorage) -> Place:
        return Place(storage)


def listed(place: Place, ref: Ref) -> dict[str, RemoteFile]:
    return {file.path: file for file in SOURCE.files(SOURCE.resolve(ref, place.ctx), place.ctx)}


def read(place: Place, pin: Pin, file: RemoteFile, span: Span | None = None) -> bytes:
    with SOURCE.read(pin, file, span or Span(0, file.size or 0), place.ctx) as stream:
        return stream.readall()


ACCT = "https://acct.blob.core.windows.net"


@pytest.mark.parametrize(
    ("url", "options", "canonical"),
    [
        (f"{ACCT}/lab", {}, f"{ACCT}/lab/"),
        (f"{ACCT}/lab/a%20b/c", {}, f"{ACCT}/lab/a%20b/c"),
        ("HTTPS://Acct.Blob.Core.Windows.Net/lab/A", {}, f"{ACCT}/lab/A"),
        ("https://acct.dfs.core.windows.net/lab/a/", {}, f"{ACCT}/lab/a/"),
        ("https://acct.z12.blob.storage.azure.net/lab/a", {}, "https://acct.z12.blob.storage.azure.net/lab/a"),
        (
            "https://acct-secondary.blob.core.windows.net/lab/a",
            {},
            "https://acct-secondary.blob.core.windows.net/lab/a",
        ),
        ("https://acct.blob.core.usgovcloudapi.net/lab/a", {}, "https://acct.blob.core.usgovcloudapi.net/lab/a"),
        (f"{ACCT}/read.me", {}, f"{ACCT}/%24root/read.me"),
        (f"{ACCT}/$root/read.me", {}, f"{ACCT}/%24root/read.me"),
        ("abfss://lab@acct.dfs.core.windows.net/a b%20c", {}, f"{ACCT}/lab/a%20b%2520c"),
        ("abfs://lab@acct.dfs.core.windows.net/a/", {}, f"{ACCT}/lab/a/"),
        ("wasbs://lab@acct.blob.core.windows.net", {}, f"{ACCT}/lab/"),
        ("az://lab/a", {"account": "acct"}, f"{ACCT}/lab/a"),
        ("az://lab@acct/a", {}, f"{ACCT}/lab/a"),
        (
            "azure:http://127.0.0.1:10000/devstoreaccount1/lab/a",
            {},
            "azure:http://127.0.0.1:10000/devstoreaccount1/lab/a",
        ),
        ("azure:https://data.example.org/lab/a", {}, "azure:https://data.example.org/lab/a"),
    ],
)
def test_all_forms_mean_a_container_and_a_name(url: str, options: dict[str, str], canonical: str) -> None:
    assert SOURCE.claims(Ref(url))
    place, _ = parse(Ref(url, tuple(options.items())))
    assert place.ref.url == canonical
    assert parse(place.ref) == (place, {})


@pytest.mark.parametrize(
    "url",
    [
        "https://acct.blob.core.windows.net.evil.example/lab/a",
        "https://evil.example/acct.blob.core.windows.net/lab",
        "https://a.b.blob.core.windows.net/lab/a",
        "https://acct.z6.web.core.windows.net/index.html",
        "https://acct.queue.core.windows.net/lab",
        "ftp://acct.blob.core.windows.net/lab/a",
    ],
)
def test_other_addresses_are_not_taken_for_azure_s(url: str) -> None:
    assert not SOURCE.claims(Ref(url))


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("az://lab/a", {}, "`account: NAME` is due"),
        ("az://lab/a", {"account": "evil.example"}, "`account: NAME` is due"),
        ("abfss://lab@evil.example/a", {}, "`account: NAME` is due"),
        ("azure:lab/a", {}, "names nothing in Azure"),
        (f"{ACCT}/", {}, "names no container"),
        (f"{ACCT}/UPPER/a", {}, "names no container"),
        (f"{ACCT}/lab/a/../b", {}, "between slashes"),
        (f"{ACCT}/lab/a/?versionid=2025-07-15T09:45:00.5555555Z", {}, "is a folder"),
        (f"{ACCT}/lab/a", {"version": "newest"}, "is a time such as"),
        (f"{ACCT}/lab/a?snapshot=2025-07-15T09:45:00Z", {"version": "2025-07-15T09:45:00Z"}, "one of both"),
        (f"{ACCT}/lab/a", {"endpoint": "https://x"}, "no option 'endpoint'"),
    ],
)
def test_a_reference_that_cannot_be_says_why(url: str, options: dict[str, str], words: str) -> None:
    with pytest.raises(ResolveError, match=words):
        SOURCE.resolve(Ref(url, tuple(options.items())), context())


def test_a_shared_access_signature_in_a_reference_is_refused_and_not_told() -> None:
    with pytest.raises(ManifestError, match="holds a secret") as caught:
        reference(f"{ACCT}/lab/a?sv=2021-12-02&sr=c&sp=rl&sig=hidden%3D")
    assert "hidden" not in str(caught.value)


def test_versions_are_pinned_where_they_are_kept_and_may_be_read(storage: BlobStorage, place: Place) -> None:
    storage.versions = True
    older = storage.put("data/f", b"first")
    newest = storage.put("data/f", b"second!")
    assert SOURCE.resolve(place.at("data/f"), place.ctx).version == {"version": newest}
    assert SOURCE.resolve(place.ref, place.ctx).version == {"listing": "versions"}
    assert listed(place, place.ref)["f"].version == f"id:{newest}"
    pin = SOURCE.resolve(Ref(f"{place.at('data/f').url}?versionid={older}"), place.ctx)
    (file,) = SOURCE.files(pin, place.ctx)
    assert read(place, pin, file) == b"first"
    with pytest.raises(ResolveError, match="not there"):
        SOURCE.resolve(place.at("data/f", version="2020-01-01T00:00:00.0000000Z"), place.ctx)


def test_who_may_read_blobs_but_no_versions_is_bound_to_etags(storage: BlobStorage, place: Place) -> None:
    storage.versions = True
    storage.reads_versions = False
    storage.put("data/f", b"1")
    assert "etag" in SOURCE.resolve(place.at("data/f"), place.ctx).version
    assert SOURCE.resolve(place.ref, place.ctx).version == {"listing": "etags"}
    assert listed(place, place.ref)["f"].version.startswith('etag:"0x8D')


def test_a_version_asked_of_an_account_that_keeps_none_is_refused(place: Place) -> None:
    """Azurite answers so: it does not know the parameter."""
    server = place.double.server
    path = f"{place.double.account}/{place.double.container}/f"
    server.put(path, b"newest", headers={"x-ms-blob-type": "BlockBlob"})
    with pytest.raises(ResolveError, match="has no versions"):
        SOURCE.resolve(place.at("f", version="2020-01-01T00:00:00.0000000Z"), place.ctx)
    pin = Pin("azure", place.at("f"), "", {"version": "2020-01-01T00:00:00.0000000Z"})
    with pytest.raises(UpstreamChanged, match="none is there"):
        read(place, pin, RemoteFile("f", 6, version="id:2020-01-01T00:00:00.0000000Z"))


def test_a_snapshot_stays_what_it_was(storage: BlobStorage, place: Place) -> None:
    storage.put("f", b"first")
    taken = storage.snapshot("f")
    storage.put("f", b"second!")
    pin = SOURCE.resolve(place.at("f", snapshot=taken), place.ctx)
    assert pin.version["snapshot"] == taken
    (file,) = SOURCE.files(pin, place.ctx)
    assert read(place, pin, file, Span(1, 3)) == b"ir"


def test_a_new_etag_for_the_same_bytes_is_a_change(storage: BlobStorage, place: Place) -> None:
    storage.put("f", BODY)
    pin = SOURCE.resolve(place.at("f"), place.ctx)
    (file,) = SOURCE.files(pin, place.ctx)
    storage.touch("f")
    for span in (Span(0, len(BODY)), Span(1, 2)):
        with pytest.raises(UpstreamChanged):
            read(place, pin, file, span)
    with pytest.raises(UpstreamChanged):
        list(SOURCE.files(pin, place.ctx))


def test_etags_of_listings_get_the_quotes_that_heads_have(storage: BlobStorage, place: Place) -> None:
    storage.put("data/f", BODY)
    pin = SOURCE.resolve(place.at("data/f"), place.ctx)
    (alone,) = SOURCE.files(pin, place.ctx)
    assert alone.version == listed(place, place.ref)["f"].version


def test_a_blob_whose_uploader_sent_no_md5_has_none(storage: BlobStorage, place: Place) -> None:
    storage.put("data/with", b"abc")
    storage.put("data/without", b"abc", md5=False)
    files = listed(place, place.ref)
    assert files["with"].checks == (Checksum("md5", "900150983cd24fb0d6963f7d28e17f72"),)
    assert files["without"].checks == ()
    (alone,) = listed(place, place.at("data/without")).values()
    assert alone.checks == ()


def test_markers_and_directories_are_folders(storage: BlobStorage, place: Place) -> None:
    storage.put("data/hadoop", b"", marker=True)
    storage.put("data/lake", b"", directory=True)
    storage.put("data/lake/f", b"1")
    storage.put("data/slash/", b"")
    files = listed(place, place.ref)
    folder, file = Kind.DIR, Kind.FILE
    assert {path: one.kind for path, one in files.items()} == {
        "hadoop": folder,
        "lake": folder,
        "lake/f": file,
        "slash": folder,
    }
    assert list(listed(place, place.at("data/lake"))) == ["f"], "a directory that is named is its files"


def test_what_is_archived_is_listed_with_a_warning_and_said_to_be_so(storage: BlobStorage, place: Place) -> None:
    storage.put("data/cold", BODY, archived=True)
    storage.put("data/warm", BODY)
    told: list[Event] = []
    place.ctx = replace(place.ctx, reporter=told.append)
    pin = SOURCE.resolve(place.ref, place.ctx)
    files = {file.path: file for file in SOURCE.files(pin, place.ctx)}
    assert [event.text for event in told] == [
        f"{storage.home}/data/cold, and maybe others, must be taken out of the archive before it can be read"
    ]
    assert read(place, pin, files["warm"]) == BODY
    with pytest.raises(AccessDenied, match="archived"):
        read(place, pin, files["cold"])
    with pytest.raises(AccessDenied, match="archived"):
        SOURCE.resolve(place.at("data/cold"), place.ctx)


def test_names_that_xml_cannot_hold_come_through(storage: BlobStorage, place: Place) -> None:
    names = {"bell\x07", "100%\x01", "plain%41 &<>"}
    for name in names:
        storage.put(f"data/{name}", b"1")
    assert set(listed(place, place.ref)) == names


def test_a_listing_with_entities_is_refused(place: Place) -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><EnumerationResults><Blobs/></EnumerationResults>'
    place.double.server.put(f"{place.double.account}/{place.double.container}", bomb, kind="application/xml")
    with pytest.raises(SourceError, match="no listing"):
        SOURCE.resolve(place.ref, place.ctx)


@pytest.mark.parametrize("code", ["ResourceNotFound", "PublicAccessNotPermitted", "NoAuthenticationInformation"])
def test_what_is_not_public_may_want_a_credential(storage: BlobStorage, place: Place, code: str) -> None:
    storage.put("f", b"1")
    storage.denied, storage.hidden = True, code
    for key in ("f", ""):
        with pytest.raises(
            AuthRequired, match=rf"not public, or not there \({code}\); `gotdata login {storage.root}/`"
        ):
            SOURCE.resolve(place.at(key), place.ctx)


def test_a_blob_is_read_where_the_container_is_not_listed(storage: BlobStorage, place: Place) -> None:
    storage.put("d/f", BODY)
    storage.lists = False
    pin = SOURCE.resolve(place.at("d/f"), place.ctx)
    (file,) = SOURCE.files(pin, place.ctx)
    assert read(place, pin, file) == BODY
    with pytest.raises(AuthRequired, match="not public, or not there"):
        SOURCE.resolve(place.at("d/"), place.ctx)


def test_a_container_that_is_not_there_is_said_to_be_missing(storage: BlobStorage, place: Place) -> None:
    with pytest.raises(ResolveError, match="no such container"):
        SOURCE.resolve(Ref(f"azure:{storage.root}/acct/nothing/"), place.ctx)


def test_a_token_opens_what_is_private_and_makes_its_realm(storage: BlobStorage, place: Place) -> None:
    storage.put("data/f", BODY)
    storage.denied = True
    mine = Credential(storage.home, "cred:mine", (("Authorization", f"Bearer {storage.token}"),))
    place.ctx = context(Credentials([mine]))
    pin = SOURCE.resolve(place.ref, place.ctx)
    (file,) = SOURCE.files(pin, place.ctx)
    assert read(place, pin, file) == BODY
    assert SOURCE.realm(pin, place.ctx) != PUBLIC
    refused = context(Credentials([replace(mine, headers=(("Authorization", "Bearer no"),))]))
    with pytest.raises(AccessDenied, match="gives no access"):
        SOURCE.resolve(place.ref, refused)


def test_a_name_is_a_blob_before_it_is_a_folder(storage: BlobStorage, place: Place) -> None:
    for name in ("both", "both/inner", "only/inner"):
        storage.put(name, b"1")
    assert list(listed(place, place.at("both"))) == ["both"]
    assert list(listed(place, place.at("both/"))) == ["inner"]
    assert SOURCE.resolve(place.at("only"), place.ctx) == SOURCE.resolve(place.at("only/"), place.ctx)
    with pytest.raises(ResolveError, match="begins with that"):
        SOURCE.resolve(place.at("nothing/"), place.ctx)


def test_a_path_in_a_forged_lock_leads_to_no_other_container(place: Place) -> None:
    pin = Pin("azure", place.ref, "", {"listing": "etags"})
    with pytest.raises(IntegrityError, match="the lock was edited"):
        SOURCE.url(pin, RemoteFile("../../other/x", 1))
    with pytest.raises(IntegrityError):
        read(place, pin, RemoteFile("../../other/x", 1, version='etag:"e"'))
    assert place.asked() == 0


def test_a_read_says_to_azure_what_it_is_bound_to(storage: BlobStorage, place: Place) -> None:
    storage.versions = True
    version = storage.put("f", BODY)
    pin = Pin("azure", place.at("f"), "", {})
    (etag,) = {file.version for file in listed(place, place.at("")).values() if file.path == "f"}
    assert etag == f"id:{version}"
    read(place, pin, RemoteFile("f", len(BODY), version=etag), Span(1, 2))
    by_id = storage.server.requests[-1]
    assert ("if-match" in by_id.headers, f"versionid={quote(version)}" in by_id.path) == (False, True)
    with pytest.raises(UpstreamChanged):
        read(place, pin, RemoteFile("f", len(BODY), version='etag:"0x1"'), Span(1, 2))
    by_etag = storage.server.requests[-1]
    assert (by_etag.headers["if-match"], by_etag.status) == ('"0x1"', 412)


def test_older_versions_snapshots_and_what_was_deleted_are_not_listed(place: Place) -> None:
    def blob(name: str, more: str) -> str:
        properties = "<Properties><Content-Length>1</Content-Length><Etag>0x1</Etag></Properties>"
        return f"<Blob><Name>data/{name}</Name>{more}{properties}</Blob>"

    blobs = blob("now", "<VersionId>2</VersionId><IsCurrentVersion>true</IsCurrentVersion>")
    blobs += blob("now", "<VersionId>1</VersionId><IsCurrentVersion>false</IsCurrentVersion>")
    blobs += blob("now", "<Snapshot>2026-01-01T00:00:00.0000000Z</Snapshot>")
    blobs += blob("gone", "<Deleted>true</Deleted>")
    text = f"<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker /></EnumerationResults>"
    address = f"{place.double.account}/{place.double.container}"
    place.double.server.put(address, text.encode(), kind="application/xml")
    pin = Pin("azure", place.ref, "", {"listing": "etags"})
    assert [file.path for file in SOURCE.files(pin, place.ctx)] == ["now"]


def test_a_login_in_the_place_of_a_blob_is_told(storage: BlobStorage, place: Place) -> None:
    storage.server.put(f"{storage.account}/{storage.container}/f", LOGIN, kind="text/html")
    with pytest.raises(SourceError, match=rf"Azure: {storage.home}/f was answered by something that is no blob"):
        SOURCE.resolve(place.at("f"), place.ctx)


def test_an_entry_from_elsewhere_is_refused(place: Place) -> None:
    text = "<EnumerationResults><Blobs><Blob><Name>elsewhere/x</Name><Properties><Content-Length>1</Content-Length>"
    text += "</Properties></Blob></Blobs></EnumerationResults>"
    address = f"{place.double.account}/{place.double.container}"
    place.double.server.put(address, text.encode(), kind="application/xml")
    with pytest.raises(SourceError, match="holds 'elsewhere/x'"):
        list(SOURCE.files(Pin("azure", place.ref, "", {"listing": "etags"}), place.ctx))

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from gotdata.context import Context
from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.errors import AuthRequired, IntegrityError, ResolveError, SourceError, UpstreamChanged
from gotdata.model import Checksum, Kind, Pin, Ref, RemoteFile, Span
from gotdata.sources import drs, drs_access
from gotdata.sources.drs import Drs as Source
from gotdata.testing.double import Switched
from gotdata.testing.drs_double import API, Drs
from gotdata.testing.hostile_contract import HostileContract
from gotdata.testing.source_contract import BODY, SourceContract, context, follow

SOURCE = Source()


class Bundle(Switched):
    """Bundles for folders. As an id means one content for ever, every change makes objects of new ids."""

    def __init__(self, server: Drs) -> None:
        super().__init__(server)
        self.ctx = context()
        self.blobs: dict[str, str] = {}
        self.folders: set[str] = set()
        self.made = 0

    @property
    def ref(self) -> Ref:
        return Ref(f"drs:{self.double.url_of(self.bundled())}")

    def new(self) -> str:
        self.made += 1
        return f"blob/{self.made}"

    def put(self, path: str, body: bytes) -> None:
        self.blobs[path] = self.double.put(self.new(), body, path.rpartition("/")[2])

    def remove(self, path: str) -> None:
        del self.blobs[path]

    def folder(self, path: str) -> None:
        self.folders.add(path)

    def one(self, path: str) -> Ref:
        return Ref(f"drs:{self.double.url_of(self.blobs.get(path, 'none'))}")

    def fill(self, count: int) -> None:
        for number in range(count):
            self.put(f"many/{number}", b"")

    def cut(self, path: str, after: int) -> None:
        self.double.cut_object(self.blobs[path], after)

    def bundled(self, above: str = "") -> str:
        """The id of a bundle of what is there; the same for the same."""
        contents: dict[str, str] = {}
        for path in sorted({*self.blobs, *self.folders}):
            if path.startswith(above):
                name, slash, _ = path.removeprefix(above).partition("/")
                if name not in contents:
                    whole = slash or path in self.folders
                    contents[name] = self.bundled(f"{above}{name}/") if whole else self.blobs[path]
        return self.double.bundle(f"bundle/{above}{hash(tuple(contents.items())):x}", contents)


class TestDrs(SourceContract):
    source = SOURCE
    checks = "sha256"

    @pytest.fixture
    def place(self) -> Iterator[Bundle]:
        with Drs() as server:
            yield Bundle(server)


class TestDrsAgainstLies(HostileContract):
    """A bundle comes in one answer: it knows no pages."""

    source = SOURCE
    lies = ("loop", "sizes", "names", "twins")

    @pytest.fixture
    def liar(self) -> Iterator[Bundle]:
        with Drs() as server:
            bundle = Bundle(server)
            bundle.put("reads.bam", BODY)
            yield bundle


@pytest.fixture
def server() -> Iterator[Drs]:
    with Drs() as server:
        yield server


def resolved(server: Drs, id: str, ctx: Context | None = None) -> Pin:
    _, pin = follow(Ref(f"drs:{server.url_of(id)}"), ctx or context(), SOURCE)
    return pin


def listed(pin: Pin, ctx: Context | None = None) -> list[RemoteFile]:
    return list(SOURCE.files(pin, ctx or context()))


def read(pin: Pin, file: RemoteFile, span: Span | None = None, ctx: Context | None = None) -> bytes:
    with SOURCE.read(pin, file, span or Span(0, file.size or 0), ctx or context()) as stream:
        return stream.readall()


@pytest.mark.parametrize(
    ("url", "claimed"),
    [
        ("drs://drs.example.org/314159", True),
        ("DRS://drs.example.org/314159", True),
        ("drs://dg.4503:abc", True),
        ("drs:http://127.0.0.1:8080/ga4gh/drs/v1/objects/x", True),
        ("https://drs.example.org/ga4gh/drs/v1/objects/x%2Fy", True),
        ("https://drs.example.org/ga4gh/drs/v1/objects/x/access/y", False),
        ("https://drs.example.org/ga4gh/drs/v1/service-info", False),
        ("https://drs.example.org/?x=/ga4gh/drs/v1/objects/x", False),
    ],
)
def test_references_are_claimed_by_their_text(url: str, claimed: bool) -> None:
    assert SOURCE.claims(Ref(url)) is claimed


@pytest.mark.parametrize("id", ["dg.4503/00e6cfa9", "dg.4503%2F00e6cfa9"])
def test_an_id_is_escaped_once(id: str) -> None:
    place = drs._place(f"drs://DRS.example.org/{id}")
    assert place is not None
    assert place.url == "https://drs.example.org/ga4gh/drs/v1/objects/dg.4503%2F00e6cfa9"


@pytest.mark.parametrize("url", ["drs:", "drs://", "drs://host", "drs://host/", "drs:x"])
def test_what_names_no_object_is_refused(url: str) -> None:
    with pytest.raises(ResolveError, match="names no object"):
        SOURCE.resolve(Ref(url), context())


@pytest.mark.parametrize("compact", ["dg.test:a/b", "mirror/dg.test:a/b", "dg.test/a/b"])
def test_a_compact_identifier_is_found_by_identifiers_org(server: Drs, compact: str) -> None:
    server.put("a/b", BODY, "reads.bam")
    ref = Ref(f"drs://{compact}", (("resolver", server.root),))
    _, pin = follow(ref, context(), SOURCE)
    assert pin == resolved(server, "a/b")
    assert pin.namespace == server.uri("a/b")
    assert server.server.requests[0].path == f"/{compact.replace('dg.test/', 'dg.test:')}"


def test_a_compact_identifier_of_no_known_prefix_is_an_error(server: Drs) -> None:
    with pytest.raises(ResolveError, match="no such prefix"):
        SOURCE.resolve(Ref("drs://nobody:1", (("resolver", server.root),)), context())


def test_there_are_no_versions_to_ask_for(server: Drs) -> None:
    server.put("a", b"1")
    with pytest.raises(ResolveError, match="knows no versions"):
        SOURCE.resolve(Ref(f"drs:{server.url_of('a')}", (("version", "2"),)), context())


@pytest.mark.parametrize("way", ["url", "access", "headers", "s3", "gs"])
def test_every_way_to_the_bytes_is_taken(server: Drs, way: str) -> None:
    server.way = way
    server.put("a/b", BODY, "reads.bam")
    pin = resolved(server, "a/b")
    [file] = listed(pin)
    assert (file.path, file.size) == ("reads.bam", len(BODY))
    assert read(pin, file) == BODY
    assert read(pin, file, Span(5, 10)) == BODY[5:10]


def test_signed_addresses_and_their_headers_are_never_kept(server: Drs) -> None:
    server.way = "headers"
    server.put("a", BODY, "reads.bam")
    pin = resolved(server, "a")
    [file] = listed(pin)
    assert file.at == f"{server.url_of('a')}/access/web%2F1"
    assert "grant" not in repr((pin, file))
    assert "Signature" not in repr((pin, file))
    for _ in range(2):
        read(pin, file, Span(1, 2))
    assert len({request.path for request in server.store.requests}) == 2, "each read has an address of its own"


def test_a_token_for_the_server_is_not_sent_where_the_bytes_lie(server: Drs) -> None:
    server.denied = True
    token = (("Authorization", f"Bearer {server.token}"),)
    ctx = context(Credentials([Credential(f"{server.root}/", "cred:mine", token)]))
    server.put("a", BODY, "reads.bam")
    pin = resolved(server, "a", ctx)
    [file] = listed(pin, ctx)
    assert read(pin, file, Span(5, 10), ctx) == BODY[5:10]
    assert SOURCE.realm(pin, ctx) != PUBLIC
    assert all("authorization" not in request.headers for request in server.store.requests)


def test_an_address_for_which_there_is_a_credential_is_not_read_on_the_servers_word(server: Drs) -> None:
    server.way = "url"
    server.put("a", BODY, "reads.bam")
    key = (("Authorization", "Bearer other"),)
    ctx = context(Credentials([Credential(f"{server.store.url}", "cred:other", key)]))
    pin = resolved(server, "a", ctx)
    with pytest.raises(AuthRequired, match="credential of yours"):
        read(pin, listed(pin, ctx)[0], ctx=ctx)


def test_an_object_that_is_being_staged_is_waited_for(server: Drs) -> None:
    server.put("a", BODY, "reads.bam")
    server.staging = 2
    pin = resolved(server, "a")
    [file] = listed(pin)
    server.staging = 2
    assert read(pin, file) == BODY


@pytest.mark.parametrize(
    ("way", "archived", "said"), [("globus", False, "ftp, globus only"), ("access", True, "archived")]
)
def test_what_can_not_be_read_is_listed_and_says_why(server: Drs, way: str, archived: bool, said: str) -> None:
    server.way, server.archived = way, archived
    server.put("a", BODY, "reads.bam")
    pin = resolved(server, "a")
    with pytest.raises(SourceError, match=said):
        read(pin, listed(pin)[0])


def test_types_of_checksums_have_many_spellings() -> None:
    sums = [
        {"type": "sha-256", "checksum": "A" * 64},
        {"type": "SHA_512", "checksum": "b" * 128},
        {"type": "crc32c", "checksum": "AAECAw=="},
        {"type": "etag", "checksum": "c" * 32},
        {"type": "trunc512", "checksum": "d" * 64},
        {"type": "md5", "checksum": "too short"},
        {"type": "sha1", "checksum": "grün"},
    ]
    assert drs_access.checks({"checksums": sums}) == (
        Checksum("crc32c", "00010203"),
        Checksum("sha256", "a" * 64),
        Checksum("sha512", "b" * 128),
    )


@pytest.mark.parametrize("expands", [True, False])
@pytest.mark.parametrize("empty", [True, False])
def test_bundles_within_bundles_are_folders(server: Drs, expands: bool, empty: bool) -> None:
    server.expands, server.empty_contents = expands, empty
    server.put("1", b"1")
    server.put("2", b"22")
    server.bundle("none", {})
    server.bundle("inner", {"b.bam": "2", "nothing": "none"})
    server.bundle("outer", {"a.bam": "1", "run": "inner"})
    found = {file.path: (file.kind, file.size) for file in listed(resolved(server, "outer"))}
    assert found == {"a.bam": (Kind.FILE, 1), "run/b.bam": (Kind.FILE, 2), "run/nothing": (Kind.DIR, 0)}


def test_a_bundle_that_contains_itself_further_down_is_an_error(server: Drs) -> None:
    server.expands = False
    for contents in ({}, {"again": "inner"}):
        server.bundle("inner", contents)
    server.bundle("outer", {"run": "inner"})
    with pytest.raises(SourceError, match="its bundle run/again contains itself"):
        listed(resolved(server, "outer"))


def test_a_bundle_whose_checksum_changed_is_not_what_was_pinned(server: Drs) -> None:
    server.put("1", b"1")
    server.put("2", b"2")
    server.bundle("all", {"a": "1"})
    pin = resolved(server, "all")
    server.bundle("all", {"a": "2"})
    with pytest.raises(UpstreamChanged, match="another checksum"):
        listed(pin)


def test_an_object_without_a_name_has_that_of_its_address_or_its_id(server: Drs) -> None:
    server.put("x/y.bam", b"1")
    assert [file.path for file in listed(resolved(server, "x/y.bam"))] == ["y.bam"]
    server.way = "url"
    assert [file.path for file in listed(resolved(server, "x/y.bam"))] == ["y.bam"]


@pytest.mark.parametrize(
    ("url", "region", "web"),
    [
        ("https://h/x", "", "https://h/x"),
        ("s3://bucket/a b/c", "eu-west-1", "https://s3.eu-west-1.amazonaws.com/bucket/a%20b/c"),
        ("s3://bucket/a", "evil.example/", "https://s3.amazonaws.com/bucket/a"),
        ("gs://bucket/a#1", "", "https://storage.googleapis.com/bucket/a%231"),
        ("gs://bucket", "", ""),
        ("file:///etc/passwd", "", ""),
        ("ftp://h/x", "", ""),
    ],
)
def test_public_objects_of_clouds_have_web_addresses(url: str, region: str, web: str) -> None:
    assert drs_access.web(url, region) == web


def test_headers_may_come_as_a_list_or_an_object() -> None:
    for headers in (["Authorization: Bearer a:b", "Range: bytes=0-1"], {"Authorization": "Bearer a:b"}):
        _, sent = drs_access.asked_for({"url": "https://h/x", "headers": headers}, "https://drs.example.org/")
        assert sent == {"Authorization": "Bearer a:b"}
    with pytest.raises(SourceError, match="headers"):
        drs_access.asked_for({"url": "https://h/x", "headers": ["A: b\nC: d"]}, "https://drs.example.org/")


@pytest.mark.parametrize(
    ("url", "said"), [("http://h/x", "without encryption"), ("file:///etc/passwd", "can't be read")]
)
def test_an_address_is_never_less_safe_than_its_server(url: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        drs_access.asked_for({"url": url}, "https://drs.example.org/")


def test_contents_of_another_server_are_told_by_their_names(server: Drs) -> None:
    place = drs._Place("https://drs.example.org/ga4gh/drs/v1", "a")
    assert drs._child({"name": "n", "drs_uri": ["drs://drs.example.org/x%2Fy"]}, place).id == "x/y"
    with pytest.raises(SourceError, match=r"another server: name .*drs://other\.org/x"):
        drs._child({"name": "n", "drs_uri": ["drs://other.org/x"]}, place)


def test_a_forged_locator_is_refused(server: Drs) -> None:
    server.put("a", b"1")
    pin = resolved(server, "a")
    [file] = listed(pin)
    for at in ("https://evil.example/x", f"{server.root}{API}/service-info"):
        with pytest.raises(IntegrityError, match="edited"):
            SOURCE.read(pin, replace(file, at=at), Span(0, 1), context())

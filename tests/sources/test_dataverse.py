from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import pytest

from gotdata.context import Context
from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.errors import AccessDenied, IntegrityError, NoRanges, NotFound, ResolveError, SourceError
from gotdata.model import Checksum, Citation, Pin, Ref, RemoteFile, Span
from gotdata.report import Event
from gotdata.sources import dataverse, dataverse_files
from gotdata.sources.dataverse import Dataverse as Source
from gotdata.testing.dataverse_double import HEADER, Dataverse, Stored
from gotdata.testing.double import Switched
from gotdata.testing.hostile_contract import HostileContract
from gotdata.testing.source_contract import BODY, SourceContract, context, follow

SOURCE = Source()


class Dataset(Switched):
    """One dataset, of which every change publishes a version."""

    def __init__(self, server: Dataverse) -> None:
        super().__init__(server)
        self.pid = server.create()
        self.ref = Ref(server.page_of(self.pid))
        self.ctx = context()

    def put(self, path: str, body: bytes) -> None:
        new = self.double.file(path, body)
        self.double.publish(self.pid, *(file for file in self.files() if _path(file) != path), new)

    def remove(self, path: str) -> None:
        self.double.publish(self.pid, *(file for file in self.files() if _path(file) != path))

    def folder(self, path: str) -> None:
        raise NotImplementedError

    def one(self, path: str) -> Ref:
        found = [file.id for file in self.files() if _path(file) == path]
        return Ref(f"{self.double.root}/file.xhtml?fileId={(found or [999])[0]}&version={self.latest}")

    def files(self) -> tuple[Stored, ...]:
        return self.double.latest(self.pid)

    @property
    def latest(self) -> str:
        return SOURCE.resolve(self.ref, self.ctx).version["version"]

    def fill(self, count: int) -> None:
        self.double.page = 1000
        self.double.publish(self.pid, *(self.double.file(f"many/{number}", b"") for number in range(count)))

    def cut(self, path: str, after: int) -> None:
        self.double.cut_file(next(file for file in self.files() if _path(file) == path), after)


def _path(file: Stored) -> str:
    return f"{file.folder}/{file.label}" if file.folder else file.label


class TestDataverse(SourceContract):
    source = SOURCE
    checks = "md5"
    empty_folders = False

    @pytest.fixture
    def place(self) -> Iterator[Dataset]:
        with Dataverse() as server:
            yield Dataset(server)


class TestDataverseAgainstLies(HostileContract):
    source = SOURCE

    @pytest.fixture
    def liar(self) -> Iterator[Dataset]:
        with Dataverse() as server:
            dataset = Dataset(server)
            dataset.put("counts.h5", BODY)
            yield dataset


@pytest.fixture
def server() -> Iterator[Dataverse]:
    with Dataverse() as server:
        yield server


def token(server: Dataverse) -> Context:
    key = (("X-Dataverse-key", server.token),)
    return context(Credentials([Credential(f"{server.root}/", "cred:mine", key)]))


def resolved(server: Dataverse, query: str, page: str = "dataset.xhtml", **options: str) -> Pin:
    return SOURCE.resolve(Ref(f"{server.root}/{page}?{query}", tuple(options.items())), context())


def published(server: Dataverse, *files: Stored, pid: str = "") -> Pin:
    pid = pid or server.create()
    server.publish(pid, *files)
    return resolved(server, f"persistentId={pid}")


def listed(pin: Pin, ctx: Context | None = None) -> list[RemoteFile]:
    return list(SOURCE.files(pin, ctx or context()))


def read(pin: Pin, file: RemoteFile, span: Span | None = None, ctx: Context | None = None) -> bytes:
    with SOURCE.read(pin, file, span or Span(0, file.size or 0), ctx or context()) as stream:
        return stream.readall()


@pytest.mark.parametrize(
    ("url", "claimed"),
    [
        ("https://dataverse.harvard.edu/dataset.xhtml?persistentId=doi:10.7910/DVN/TJCLKP", True),
        ("https://DATA.example.org/dataset.xhtml?persistentId=hdl:1902.1/12345", True),
        ("https://data.example.org/dataset.xhtml?persistentId=perma:XYZ", True),
        ("https://data.example.org/portal/dataset.xhtml?id=77", True),
        ("https://data.example.org/file.xhtml?fileId=77&version=1.0", True),
        ("https://data.example.org/api/datasets/:persistentId/?persistentId=doi:10.5072/FK2/X", True),
        ("https://data.example.org/api/datasets/:persistentId/versions/1.0/files?persistentId=doi:10.5072/FK2/X", True),
        ("https://data.example.org/api/access/datafile/77", True),
        ("https://data.example.org/api/access/datafile/77?format=tab", False),
        ("https://data.example.org/dataset.xhtml", False),
        ("https://data.example.org/dataset.xhtml?persistentId=nothing", False),
        ("https://data.example.org/dataverse.xhtml?alias=root", False),
        ("https://data.example.org/evil?x=/dataset.xhtml&persistentId=doi:10.5072/X/1", False),
        ("ftp://data.example.org/dataset.xhtml?id=77", False),
        ("dataverse:anything", True),
        ("hdl:1902.1/12345", True),
        ("https://hdl.handle.net/1902.1/12345?noredirect", False),
        ("http://hdl.handle.net/1902.1/12345", True),
        ("https://hdl.handle.net.evil.example/1902.1/12345", False),
    ],
)
def test_references_are_claimed_by_their_text(url: str, claimed: bool) -> None:
    assert SOURCE.claims(Ref(url)) is claimed


@pytest.mark.parametrize("kind", ["doi", "hdl", "perma"])
def test_every_kind_of_persistent_id_is_understood(server: Dataverse, kind: str) -> None:
    pid = server.create(kind)
    pin = published(server, server.file("a/b.csv", b"1"), pid=pid)
    assert pin.namespace.lower() == pid.lower()
    assert [file.path for file in listed(pin)] == ["a/b.csv"]


@pytest.mark.parametrize("spelt", ["hdl:{}", "https://HDL.handle.net/{}"])
def test_a_handle_leads_to_the_installation(server: Dataverse, spelt: str) -> None:
    pid = server.create("hdl")
    server.publish(pid, server.file("a", b"1"), version="1.0")
    pin = published(server, server.file("a", b"2"), pid=pid)
    options = (("resolver", server.root), ("version", "1.0"))
    ref = SOURCE.resolve(Ref(spelt.format(pid.removeprefix("hdl:")), options), context())
    assert ref == Ref(f"dataverse:{server.root}/citation?persistentId={pid}", (("version", "1.0"),))
    assert SOURCE.resolve(ref, context()) == replace(pin, ref=Ref(pin.ref.url[:-3] + "1.0"), version={"version": "1.0"})
    with pytest.raises(ResolveError, match="no handle"):
        SOURCE.resolve(Ref("hdl:10.5072/none", (("resolver", server.root),)), context())


def test_a_number_of_a_dataset_is_pinned_by_its_persistent_id(server: Dataverse) -> None:
    pid = server.create()
    pin = published(server, server.file("a", b"1"), pid=pid)
    assert resolved(server, f"id={server.number(pid)}") == pin
    assert pin.ref.url == f"dataverse:{server.root}/dataset.xhtml?persistentId={pid}&version=1.0"


def test_the_citation_is_read(server: Dataverse) -> None:
    pid = server.create()
    pin = published(server, server.file("a", b"1"), pid=pid)
    doi = pid.lower().removeprefix("doi:")
    assert pin.citation == Citation("Cells, counted", ("Noether, Emmy", "Curie, Marie"), doi, "CC0 1.0")


def test_a_version_is_picked_and_the_others_stay(server: Dataverse) -> None:
    pid = server.create()
    for number in ("1.0", "1.1", "2.0"):
        server.publish(pid, server.file("a", number.encode()), version=number)
    asked = f"persistentId={pid}"
    for query, options, wanted in (
        (asked, {}, "2.0"),
        (asked, {"version": "1.1"}, "1.1"),
        (asked, {"version": "1"}, "1.0"),
        (f"{asked}&version=1.1", {}, "1.1"),
        (f"{asked}&version=1.1", {"version": "2.0"}, "2.0"),
    ):
        pin = resolved(server, query, **options)
        assert pin.version == {"version": wanted}
        assert read(pin, listed(pin)[0]) == wanted.encode()
    with pytest.raises(ResolveError, match=r"no published version 7\.0"):
        resolved(server, asked, version="7")


def test_a_draft_is_never_taken_though_the_token_may_see_it(server: Dataverse) -> None:
    pid = server.create()
    server.publish(pid, server.file("a", b"1"))
    server.draft(pid, server.file("b", b"2"))
    pin = SOURCE.resolve(Ref(server.page_of(pid)), token(server))
    assert pin.version == {"version": "1.0"}
    assert [file.path for file in listed(pin, token(server))] == ["a"]
    for version in ("DRAFT", ":draft", ":latest"):
        with pytest.raises(ResolveError, match=r"can't be pinned.*drafts change"):
            resolved(server, f"persistentId={pid}&version={version}")


def test_a_dataset_that_was_never_published_is_an_error(server: Dataverse) -> None:
    pid = server.create()
    server.draft(pid, server.file("b", b"2"))
    with pytest.raises(ResolveError, match="no published version; a draft is never taken"):
        SOURCE.resolve(Ref(server.page_of(pid)), token(server))


def test_a_deaccessioned_version_is_said_to_be_so_and_why(server: Dataverse) -> None:
    pid = server.create()
    server.publish(pid, server.file("a", b"1"))
    server.deaccession(pid, "1.0", "names of patients")
    with pytest.raises(ResolveError, match="was deaccessioned: names of patients"):
        resolved(server, f"persistentId={pid}")


@pytest.mark.parametrize("stored", [False, True])
def test_an_ingested_file_is_the_original_by_name_size_and_checksum(stored: bool) -> None:
    with Dataverse(stored) as server:
        pin = published(server, server.file("data/survey.csv", BODY, label="survey.tab", tabular=True))
        [file] = listed(pin)
        assert (file.path, file.size) == ("data/survey.csv", len(BODY))
        assert file.checks == (Checksum("md5", hashlib.md5(BODY, usedforsecurity=False).hexdigest()),)
        assert read(pin, file) == BODY
        assert read(pin, file, Span(5, 10)) == BODY[5:10]


def test_an_original_takes_its_name_from_the_format_where_none_is_told(server: Dataverse) -> None:
    pin = published(server, server.file("survey.csv", BODY, label="survey.tab", tabular=True, old=True))
    [file] = listed(pin)
    assert (file.path, file.size) == ("survey.csv", len(BODY))


def test_originals_of_one_name_are_told_apart_by_their_labels(server: Dataverse) -> None:
    first = server.file("a.csv", b"1", label="a.tab", tabular=True)
    second = server.file("a.csv", b"22", label="a-1.tab", tabular=True)
    pin = published(server, first, second)
    assert {file.path: file.size for file in listed(pin)} == {"a.csv": 1, "a-1.csv": 2}


def test_the_archival_form_is_longer_than_its_size_says(server: Dataverse) -> None:
    made = server.file("a.csv", BODY, label="a.tab", tabular=True)
    pin = published(server, made)
    body = context().http.text(f"{server.root}/api/access/datafile/{made.id}").text.encode()
    listing = context().http.json(f"{server.root}/api/files/{made.id}")
    assert len(body) == listing["data"]["dataFile"]["filesize"] + len(HEADER)
    assert read(pin, listed(pin)[0]) == BODY


@pytest.mark.parametrize(
    ("algorithm", "ours"), [("MD5", "md5"), ("SHA-1", "sha1"), ("SHA-256", "sha256"), ("SHA-512", "sha512")]
)
def test_every_algorithm_of_an_installation_is_known(server: Dataverse, algorithm: str, ours: str) -> None:
    server.algorithm = algorithm  # type: ignore[assignment]
    [file] = listed(published(server, server.file("a", b"1")))
    assert [check.algorithm for check in file.checks] == [ours]


def test_a_renamed_file_keeps_its_bytes_and_its_id(server: Dataverse) -> None:
    pid, file = server.create(), server.file("a/old.txt", b"1")
    first = published(server, file, pid=pid)
    second = published(server, replace(file, folder="b", label="new.txt"), pid=pid)
    [old], [new] = listed(first), listed(second)
    assert (old.path, new.path) == ("a/old.txt", "b/new.txt")
    assert (old.at, old.version, old.checks) == (new.at, new.version, new.checks)


def test_closed_files_are_listed_and_reading_them_says_what_helps(server: Dataverse) -> None:
    open_, shut = server.file("open", BODY), server.file("shut", BODY, restricted=True)
    later, over = server.file("later", BODY, embargo="2999-01-01"), server.file("over", BODY, embargo="2001-01-01")
    said: list[Event] = []
    ctx = replace(context(), reporter=said.append)
    pin = published(server, open_, shut, later, over)
    files = {file.path: file for file in listed(pin, ctx)}
    assert set(files) == {"open", "shut", "later", "over"}
    assert [event.kind for event in said] == ["warning"]
    assert "2 of 4 files restricted or under embargo (later, shut)" in said[0].text
    assert read(pin, files["open"]) == BODY
    for path in ("shut", "later"):
        with pytest.raises(AccessDenied, match=rf"\({path}\) is restricted or under embargo: `gotdata login http"):
            read(pin, files[path])
    ctx = token(server)
    assert read(pin, files["shut"], Span(1, 3), ctx) == BODY[1:3]
    assert SOURCE.realm(pin, ctx) != PUBLIC


def test_a_guestbook_is_for_people(server: Dataverse) -> None:
    pin = published(server, server.file("a", BODY, guestbook=True))
    with pytest.raises(AccessDenied, match=r"guestbook.*open http.*dataset\.xhtml"):
        read(pin, listed(pin)[0])


def test_reading_is_not_recorded_as_a_download(server: Dataverse) -> None:
    pin = published(server, server.file("a", BODY))
    read(pin, listed(pin)[0], Span(1, 2))
    assert "gbrecs=true" in server.server.requests[-1].path


def test_a_harvested_file_is_said_to_lie_elsewhere(server: Dataverse) -> None:
    pin = published(server, server.file("a", BODY, harvested=True))
    with pytest.raises(NotFound, match="harvested from another repository"):
        read(pin, listed(pin)[0])


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("page", ["file.xhtml", "citation", "api/access/datafile/:persistentId"])
def test_a_file_has_a_persistent_id_of_its_own(server: Dataverse, page: str, tells: bool) -> None:
    server.tells = tells
    wanted = server.file("b/two.txt", b"22")
    whole = published(server, server.file("one", b"1"), wanted)
    pin = resolved(server, f"persistentId={server.file_pid(wanted)}", page)
    assert pin.version == {"version": "1.0", "file": str(wanted.id)}
    assert pin.namespace == whole.namespace
    [file] = listed(pin)
    assert (file.path, read(pin, file)) == ("two.txt", b"22")


@pytest.mark.parametrize("tells", [True, False])
def test_a_file_without_a_persistent_id_is_found_by_its_number(server: Dataverse, tells: bool) -> None:
    server.pids, server.tells = False, tells
    wanted = server.file("b/two.txt", b"22")
    published(server, wanted)
    assert resolved(server, f"fileId={wanted.id}", "file.xhtml").version["file"] == str(wanted.id)
    with pytest.raises(ResolveError, match="no published file"):
        resolved(server, "fileId=4711", "file.xhtml")


def test_what_is_neither_a_dataset_nor_a_file_is_an_error(server: Dataverse) -> None:
    with pytest.raises(ResolveError, match="no published version"):
        resolved(server, "persistentId=doi:10.5072/FK2/NONE", "citation")


def test_files_in_s3_are_read_by_signed_redirects() -> None:
    with Dataverse(stored=True) as server:
        pin = published(server, server.file("f", BODY))
        [file] = listed(pin)
        assert read(pin, file, Span(5, 10), token(server)) == BODY[5:10]
        assert "Signature" not in file.at
        [request] = server.store.requests
        assert request.method == "GET"
        assert "x-dataverse-key" not in request.headers
        assert request.headers["range"] == "bytes=5-9"


def test_before_5_12_files_are_read_whole(server: Dataverse) -> None:
    pin = published(server, server.file("f", BODY))
    server.ranges = False
    [file] = listed(pin)
    assert read(pin, file) == BODY
    with pytest.raises(NoRanges):
        read(pin, file, Span(5, 10))


@pytest.mark.parametrize("count", [3, 4, 5])
@pytest.mark.parametrize("pages", [True, False])
def test_listings_come_in_pages_or_whole(
    server: Dataverse, count: int, pages: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataverse_files, "PAGE", 4)
    server.pages = pages
    pin = published(server, *(server.file(f"f{number}", b"1") for number in range(count)))
    assert [file.path for file in listed(pin)] == [f"f{number}" for number in range(count)]


def test_a_listing_that_ends_early_is_an_error(server: Dataverse) -> None:
    pin = published(server, server.file("a", b"1"))
    entry = {"label": "a", "dataFile": {"id": 1, "filesize": 1}}
    answers = iter([{"data": [entry], "totalCount": 3}, {"data": [], "totalCount": 3}])
    with pytest.raises(SourceError, match="ended after 1 files, and has 3"):
        list(dataverse_files.entries(dataverse._pinned(pin), "1.0", lambda url: next(answers)))


def test_a_page_of_a_doi_is_recognised_by_its_address() -> None:
    url = "https://dataverse.harvard.edu/citation?persistentId=doi:10.7910/DVN/RLMYMR"
    assert dataverse.recognise(url, context()) == Ref(f"dataverse:{url}")
    assert dataverse.recognise("https://example.org/record/5", context()) is None


def test_a_forged_locator_is_refused(server: Dataverse) -> None:
    pin = published(server, server.file("a", b"1"))
    [file] = listed(pin)
    with pytest.raises(IntegrityError, match="edited"):
        SOURCE.url(pin, replace(file, at="https://dataverse.evil.example/api/access/datafile/1"))


@pytest.mark.parametrize(("state", "minor"), [("DRAFT", 0), ("DEACCESSIONED", 0), ("RELEASED", None), ("", 0)])
def test_only_published_versions_have_a_number(server: Dataverse, state: str, minor: int | None) -> None:
    place = dataverse._pinned(published(server, server.file("a", b"1")))
    said = {"versionState": state, "versionNumber": 1, "versionMinorNumber": minor}
    with pytest.raises(ResolveError, match="not a published one"):
        dataverse._number(said, place)


def test_a_persistent_id_that_is_none_is_not_taken_from_the_server(
    server: Dataverse, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = server.create()
    server.publish(pid, server.file("a", b"1"))
    tell = server._version
    monkeypatch.setattr(server, "_version", lambda *asked: tell(*asked) | {"datasetPersistentId": "../other"})
    pin = resolved(server, f"persistentId={pid}")
    assert pin.namespace == pid
    assert [file.path for file in listed(pin)] == ["a"]


@pytest.mark.parametrize("url", ["https://[/dataset.xhtml?id=1", "https://me:secret@host/dataset.xhtml?id=1"])
def test_an_address_that_can_not_be_is_no_place(url: str) -> None:
    assert not SOURCE.claims(Ref(url))


def test_a_doi_of_a_dataset_or_of_a_file_leads_here(server: Dataverse) -> None:
    pid, file = server.create(), server.file("b/two.txt", b"22")
    whole = published(server, file, server.file("one", b"1"), pid=pid)
    for doi, wanted in ((pid, whole.version), (server.file_pid(file), {**whole.version, "file": str(file.id)})):
        ref = Ref(doi, (("resolver", server.root),))
        _, pin = follow(ref, context())
        assert (pin.source, pin.namespace, pin.version) == ("dataverse", whole.namespace, wanted)

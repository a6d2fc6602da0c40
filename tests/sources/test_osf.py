from __future__ import annotations

import hashlib
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from gotdata.context import Context
from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.credentials.held import Sent
from gotdata.errors import (
    AuthRequired,
    IntegrityError,
    ManifestError,
    NotFound,
    ResolveError,
    SourceError,
    SourceUnavailable,
)
from gotdata.manifest import reference
from gotdata.model import Checksum, Kind, Pin, Ref, RemoteFile, Span
from gotdata.report import Event
from gotdata.sources import landing
from gotdata.sources.http_answer import Refusal
from gotdata.sources.osf import Osf
from gotdata.sources.osf_place import place
from gotdata.testing.double import Switched
from gotdata.testing.hostile_contract import HostileContract, Liar
from gotdata.testing.osf_double import Osf as Double
from gotdata.testing.source_contract import BODY, Place, SourceContract, context

SOURCE = Osf()


class Project(Switched):
    """The files of one project."""

    def __init__(self, osf: Double) -> None:
        super().__init__(osf)
        self.guid = osf.project()
        self.ref = Ref(f"osf:{osf.root}/{self.guid}")
        self.ctx = context()

    def put(self, path: str, body: bytes) -> None:
        self.double.put(self.guid, path, body)

    def remove(self, path: str) -> None:
        self.double.remove(self.guid, path)

    def folder(self, path: str) -> None:
        self.double.folder(self.guid, path)

    def one(self, path: str) -> Ref:
        try:
            id = self.double.find(self.guid, path).id
        except KeyError:
            id = "0" * 24
        return Ref(f"{self.ref.url}/files/osfstorage/{id}")

    def fill(self, count: int) -> None:
        for number in range(count):
            self.double.put(self.guid, f"many/{number}", b"x")

    def cut(self, path: str, after: int) -> None:
        self.double.cut(f"{self.double.find(self.guid, path).id}/1", after)

    def lie(self, what: str) -> None:
        self.double.wall, self.double.hostile = (
            (what, "") if what in ("html", "login", "challenge", "garbage") else ("", what)
        )


class TestOsf(SourceContract):
    source = SOURCE
    checks = "sha256"
    outlive = False

    @pytest.fixture
    def place(self) -> Iterator[Place]:
        with Double() as osf:
            yield Project(osf)


class TestOsfThatLies(HostileContract):
    source = SOURCE

    @pytest.fixture
    def liar(self) -> Iterator[Liar]:
        with Double() as osf:
            project = Project(osf)
            project.put("f", BODY)
            yield project


@pytest.fixture
def osf() -> Iterator[Double]:
    with Double() as osf:
        yield osf


def resolved(osf: Double, what: str, ctx: Context | None = None, **options: str) -> Pin:
    return SOURCE.resolve(Ref(f"osf:{osf.root}/{what}", tuple(options.items())), ctx or context())


def listed(pin: Pin, ctx: Context | None = None) -> dict[str, RemoteFile]:
    return {file.path: file for file in SOURCE.files(pin, ctx or context())}


def content(pin: Pin, file: RemoteFile, ctx: Context | None = None) -> bytes:
    with SOURCE.read(pin, file, Span(0, file.size or 0), ctx or context()) as stream:
        return stream.readall()


@pytest.mark.parametrize(
    ("url", "claimed"),
    [
        ("https://osf.io/abcde/", True),
        ("https://OSF.io/ABCDE", True),
        ("https://www.osf.io/abcde/wiki/home/", True),
        ("https://osf.io/download/69967c79d957f4745b0cab1d/", True),
        ("https://osf.io/abcde/files/github/a%20b.csv", True),
        ("https://files.de-1.osf.io/v1/resources/abcde/providers/osfstorage/69967c79d957f4745b0cab1d", True),
        ("https://files.us.test.osf.io/v1/resources/abcde/providers/osfstorage/69967c79d957f4745b0cab1d", True),
        ("https://osf.io/preprints/psyarxiv/abcde_v2", True),
        ("osf:abcde", True),
        ("https://osf.io/login", False),
        ("https://osf.io/search?q=cells", False),
        ("https://osf.io/registries/discover", False),
        ("https://osf.io.evil.example/abcde/", False),
        ("https://notosf.io/abcde/", False),
    ],
)
def test_references_are_claimed_by_their_text(url: str, claimed: bool) -> None:
    assert SOURCE.claims(Ref(url)) is claimed


def test_a_landing_page_behind_a_doi_is_recognised_by_its_host() -> None:
    assert landing.recognise("https://osf.io/abcde", context()) == Ref("https://osf.io/abcde")


def test_hosts_of_osf_are_asked_by_its_api() -> None:
    there = place("https://osf.io/ABCDE/files/osfstorage")
    assert there is not None
    assert (there.site.api, there.guid, there.storage) == ("https://api.osf.io/v2", "abcde", "osfstorage")


def test_ten_pages_of_one_folder_are_followed_by_a_hundred_each(osf: Double) -> None:
    project = Project(osf)
    project.fill(950)
    assert len(listed(resolved(osf, project.guid))) == 950
    sizes = {parse_qs(urlsplit(one.path).query).get("page[size]", [""])[0] for one in osf.server.requests}
    assert sizes <= {"100", ""}
    assert sum("/osfstorage/" in one.path for one in osf.server.requests) == 1 + 10


def test_a_project_is_pinned_by_its_id_with_a_warning_and_a_citation(osf: Double) -> None:
    told: list[Event] = []
    ctx = context()
    warned = Context(ctx.settings, ctx.credentials, ctx.http, told.append)
    guid = osf.project()
    osf.put(guid, "a", b"1")
    pin = resolved(osf, guid.upper(), warned)
    assert pin.version == {"kind": "nodes", "node": guid}
    assert pin.ref.url == f"osf:{osf.root}/{guid}"
    assert pin.citation.creators == ("Emmy Noether", "Marie Curie")
    assert pin.citation.doi == f"10.17605/osf.io/{guid}"
    assert pin.citation.licence == "CC-By Attribution 4.0 International"
    assert "registrations can't" in told[0].text


def test_a_registration_is_pinned_without_a_warning(osf: Double) -> None:
    told: list[Event] = []
    ctx = context()
    guid = osf.project("registrations")
    osf.put(guid, "d/a", BODY)
    pin = resolved(osf, guid, Context(ctx.settings, ctx.credentials, ctx.http, told.append))
    assert pin.version["kind"] == "registrations"
    assert not told
    assert list(listed(pin)) == ["d/a"]


def test_a_withdrawn_registration_is_said_to_be_gone(osf: Double) -> None:
    with pytest.raises(ResolveError, match="withdrawn"):
        resolved(osf, osf.project("registrations", withdrawn=True))
    with pytest.raises(ResolveError, match=r"withdrawn|deleted"):
        resolved(osf, osf.project(withdrawn=True))


def test_a_project_has_no_versions(osf: Double) -> None:
    with pytest.raises(ResolveError, match="registrations"):
        resolved(osf, osf.project(), version="2")


def test_a_file_that_was_replaced_keeps_its_locked_version(osf: Double) -> None:
    guid = osf.project()
    osf.put(guid, "a", b"one")
    pin = resolved(osf, guid)
    file = listed(pin)["a"]
    assert file.at.endswith("?revision=1")
    osf.put(guid, "a", b"two")
    assert content(pin, file) == b"one"
    assert content(pin, listed(pin)["a"]) == b"two"


@pytest.mark.parametrize("form", ["{guid}/files/osfstorage/{id}", "download/{id}/", "v2/files/{id}/", "files/{id}"])
def test_a_file_is_pinned_in_its_newest_version(osf: Double, form: str) -> None:
    guid = osf.project()
    osf.put(guid, "d/a.csv", b"one")
    id = osf.put(guid, "d/a.csv", b"two")
    pin = resolved(osf, form.format(guid=guid, id=id))
    assert pin.version == {"file": id, "version": "2"}
    osf.put(guid, "d/a.csv", b"three")
    assert listed(pin)["a.csv"].checks[0] == Checksum("sha256", hashlib.sha256(b"two").hexdigest())
    assert content(pin, listed(pin)["a.csv"]) == b"two"


def test_an_older_version_of_a_file_has_the_size_and_checksums_of_its_own(osf: Double) -> None:
    guid = osf.project()
    for body in (b"one", b"three", b"seven"):
        id = osf.put(guid, "a", body)
    pin = resolved(osf, f"download/{id}", version="2")
    file = listed(pin)["a"]
    assert (file.size, content(pin, file)) == (5, b"three")
    assert file.checks[0].hex == hashlib.sha256(b"three").hexdigest()
    with pytest.raises(ResolveError, match=r"no version 9; there are 3, 2, 1"):
        resolved(osf, f"download/{id}", version="9")


def test_a_folder_of_a_project_is_listed_from_itself(osf: Double) -> None:
    guid = osf.project()
    osf.put(guid, "d/e/a", b"1")
    osf.put(guid, "b", b"2")
    pin = resolved(osf, f"{guid}/files/osfstorage/{osf.find(guid, 'd').id}")
    assert list(listed(pin)) == ["e/a"]


def test_add_ons_lie_in_folders_of_their_names_and_have_no_versions(osf: Double) -> None:
    guid = osf.project()
    osf.put(guid, "a", BODY)
    osf.connect(guid, "github")
    osf.put(guid, "d/a", BODY, "github")
    pin = resolved(osf, guid)
    files = listed(pin)
    assert set(files) == {"a", "github/d/a"}
    assert files["github/d/a"].version == ""
    assert files["github/d/a"].checks == ()
    assert "revision" not in files["github/d/a"].at
    assert content(pin, files["github/d/a"]) == BODY
    osf.hashes = True
    assert len(listed(pin)["github/d/a"].checks) == 2


def test_a_file_of_an_add_on_has_no_versions_to_ask_for(osf: Double) -> None:
    guid = osf.project()
    osf.connect(guid, "github")
    id = osf.put(guid, "a", BODY, "github")
    with pytest.raises(ResolveError, match="github, of which OSF keeps no versions"):
        resolved(osf, f"download/{id}", version="1")


def test_one_storage_is_listed_without_its_folder(osf: Double) -> None:
    guid = osf.project()
    osf.put(guid, "a", BODY)
    osf.connect(guid, "github")
    osf.put(guid, "d/a", BODY, "github")
    osf.put(guid, "d/b/c", BODY, "github")
    assert set(listed(resolved(osf, f"{guid}/files/github"))) == {"d/a", "d/b/c"}
    assert set(listed(resolved(osf, f"{guid}/files/github/d"))) == {"a", "b/c"}
    assert set(listed(resolved(osf, f"{guid}/files/github/d/a"))) == {"a"}
    assert set(listed(resolved(osf, f"{guid}/files/osfstorage"))) == {"a"}
    with pytest.raises(ResolveError, match="has no x"):
        listed(resolved(osf, f"{guid}/files/github/x"))


def test_a_size_that_an_add_on_does_not_tell_is_asked_for(osf: Double) -> None:
    guid = osf.project()
    osf.connect(guid, "dropbox")
    osf.put(guid, "a", BODY, "dropbox")
    osf.sizes = False
    assert listed(resolved(osf, guid))["dropbox/a"].size == len(BODY)


def test_components_are_taken_in_where_they_are_wanted(osf: Double) -> None:
    guid = osf.project()
    below = osf.project(parent=guid)
    deeper = osf.project(parent=below)
    for node in (guid, below, deeper):
        osf.put(node, "a", b"1")
    assert set(listed(resolved(osf, guid))) == {"a"}
    pin = resolved(osf, guid, components="true")
    assert set(listed(pin)) == {"a", f"{below}/a", f"{below}/{deeper}/a"}
    assert pin.ref.flag("components")


def test_files_come_from_the_store_by_signed_addresses_that_are_never_kept(osf: Double) -> None:
    guid = osf.project()
    osf.put(guid, "a", BODY)
    pin = resolved(osf, guid)
    file = listed(pin)["a"]
    with SOURCE.read(pin, file, Span(7, 9), context()) as stream:
        assert stream.readall() == BODY[7:9]
    assert "Signature" not in file.at
    [asked] = osf.store.requests
    assert (asked.method, asked.headers["range"]) == ("GET", "bytes=7-8")


def test_a_private_project_opens_to_a_token_which_the_store_never_sees(osf: Double) -> None:
    guid = osf.project(private=True)
    osf.put(guid, "a", BODY)
    with pytest.raises(AuthRequired, match="gotdata login"):
        resolved(osf, guid)
    held = Credentials([Credential(f"{osf.root}/", "cred:mine", (("Authorization", f"Bearer {osf.token}"),))])
    ctx = context(held)
    pin = resolved(osf, guid, ctx)
    assert content(pin, listed(pin, ctx)["a"], ctx) == BODY
    assert SOURCE.realm(pin, ctx) != PUBLIC
    assert all("authorization" not in request.headers for request in osf.store.requests)


def test_a_view_only_key_goes_with_every_request_and_into_no_pin(osf: Double) -> None:
    guid = osf.project(private=True)
    osf.put(guid, "a", BODY)
    for number in range(150):
        osf.put(guid, f"f{number}", b"x")
    held = Credential(f"{osf.root}/", "cred:view", live=lambda post: Sent(query=f"view_only={osf.key}"))
    ctx = context(Credentials([held]))
    pin = resolved(osf, guid, ctx)
    files = listed(pin, ctx)
    assert len(files) == 151
    assert content(pin, files["a"], ctx) == BODY
    assert osf.key not in f"{pin} {files}"
    assert all(f"view_only={osf.key}" in request.path for request in osf.server.requests)
    assert all(osf.key not in request.path for request in osf.store.requests)


def test_a_view_only_key_in_a_reference_is_refused_unshown() -> None:
    with pytest.raises(ManifestError, match="credentials") as caught:
        reference("https://osf.io/abcde/?view_only=5f0c1234")
    assert "5f0c1234" not in str(caught.value)


def test_guests_are_told_what_gives_them_more_questions() -> None:
    asked = Refusal("https://api.osf.io/v2/nodes/abcde/", 429, {"Retry-After": "1800"}, "", False)
    error = SOURCE.explain(asked)
    assert isinstance(error, SourceUnavailable)
    assert error.retry_after == 1800
    assert "gotdata login osf" in str(error)


def test_a_limit_of_half_an_hour_is_not_waited_for(osf: Double) -> None:
    osf.limit, osf.retry_after = 1, "1800"
    with pytest.raises(SourceUnavailable, match=r"1800 s; guests have 100 questions"):
        resolved(osf, osf.project())


def test_an_older_version_whose_history_is_not_told_has_no_checksums(osf: Double) -> None:
    guid = osf.project()
    osf.put(guid, "a", b"one")
    id = osf.put(guid, "a", b"three")
    osf.region = "https://files.moon-1.osf.example"
    file = listed(resolved(osf, f"download/{id}", version="1"))["a"]
    assert (file.size, file.checks, file.version) == (3, (), "revision:1")


def test_a_removed_file_is_gone_with_its_versions(osf: Double) -> None:
    guid = osf.project()
    osf.put(guid, "a", BODY)
    pin = resolved(osf, guid)
    file = listed(pin)["a"]
    osf.remove(guid, "a")
    with pytest.raises(NotFound):
        content(pin, file)


def test_a_folder_in_itself_is_a_loop(osf: Double) -> None:
    guid = osf.project()
    osf.put(guid, "d/a", b"1")
    held = osf.node(guid).entries
    held["osfstorage/d/"]["d"] = held["osfstorage/"]["d"]
    with pytest.raises(SourceError, match="leads back to itself"):
        listed(resolved(osf, guid))


def test_files_in_a_region_nobody_knows_are_read_where_people_download(osf: Double) -> None:
    guid = osf.project()
    osf.put(guid, "a", BODY)
    osf.region = "https://files.moon-1.osf.example"
    pin = resolved(osf, guid)
    file = listed(pin)["a"]
    assert "/download/" in file.at
    osf.put(guid, "a", b"2")
    assert content(pin, file) == BODY


@pytest.mark.parametrize(
    "at",
    [
        "https://files.evil.example/v1/resources/abcde/providers/osfstorage/1",
        "https://files.osf.io.evil.example/v1/1",
        "https://osf.io/login",
        "https://files.us.osf.io@evil.example/1",
    ],
)
def test_a_forged_locator_is_refused(at: str) -> None:
    pin = Pin("osf", Ref("osf:https://osf.io/abcde"), "https://osf.io/abcde", {"kind": "nodes", "node": "abcde"})
    assert SOURCE.url(pin, RemoteFile("f", 4, at="https://files.us.osf.io/v1/1")) == "https://files.us.osf.io/v1/1"
    with pytest.raises(IntegrityError, match="edited"):
        SOURCE.url(pin, RemoteFile("f", 4, at=at))


def test_empty_folders_keep_their_kind(osf: Double) -> None:
    guid = osf.project()
    osf.folder(guid, "d/e")
    assert [(file.path, file.kind) for file in listed(resolved(osf, guid)).values()] == [("d/e", Kind.DIR)]

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote

import pytest

from gotdata.context import Context
from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.errors import (
    AccessDenied,
    AuthRequired,
    IntegrityError,
    NoRanges,
    ResolveError,
    SourceError,
    UpstreamChanged,
)
from gotdata.model import Citation, Pin, Ref, RemoteFile, Span
from gotdata.report import Event
from gotdata.sources import landing
from gotdata.sources.ckan import Ckan
from gotdata.testing.ckan_double import Portal
from gotdata.testing.double import Switched
from gotdata.testing.hostile_contract import WALLS, HostileContract, Liar
from gotdata.testing.invenio_double import Repository
from gotdata.testing.server import Server
from gotdata.testing.source_contract import BODY, ODD_NAMES, Place, SourceContract, context

SOURCE = Ckan()
NAME = "air-quality"


class Dataset(Switched):
    """One dataset of a portal, its uploads by their names."""

    def __init__(self, portal: Portal) -> None:
        super().__init__(portal)
        portal.publish(NAME)
        self.ids: dict[str, str] = {}
        self.ref = Ref(f"ckan:{portal.base}/dataset/{NAME}")
        self.ctx = context()

    def put(self, path: str, body: bytes) -> None:
        self.ids[path] = self.double.upload(NAME, path, body)

    def remove(self, path: str) -> None:
        self.double.withdraw(NAME, self.ids[path])

    def folder(self, path: str) -> None:
        raise NotImplementedError

    def one(self, path: str) -> Ref:
        return Ref(f"{self.ref.url}/resource/{self.ids.get(path, quote('no-such-id'))}")

    def cut(self, path: str, after: int) -> None:
        if self.double.stored:
            self.double.store.change(self.double.download(NAME, self.ids[path]).removeprefix("/"), cut=after, cuts=1)
        else:
            self.double.cut(self.double.download(NAME, self.ids[path]), after)

    def fill(self, count: int) -> None:
        for number in range(count):
            self.put(f"many-{number}", b"%d" % number)

    def lie(self, what: str) -> None:
        if what in WALLS:
            self.double.wall = what
        else:
            self.double.hostile = what
            self.put("f", BODY)


class TestCkan(SourceContract):
    source = SOURCE
    folders = False
    odd_names = tuple(name for name in ODD_NAMES if name != "...")

    @pytest.fixture
    def place(self) -> Iterator[Place]:
        with Portal() as portal:
            yield Dataset(portal)


class TestCkanThatStoresInACloud(TestCkan):
    """Uploads behind signed URLs, below a prefix."""

    lacks = ("fill",)

    @pytest.fixture
    def place(self) -> Iterator[Place]:
        with Portal("/data", stored=True) as portal:
            yield Dataset(portal)


class TestCkanThatLies(HostileContract):
    source = SOURCE
    lies = ("sizes", "names", "twins")
    twins_are_told_apart = False

    @pytest.fixture
    def liar(self) -> Iterator[Liar]:
        with Portal() as portal:
            place = Dataset(portal)
            place.put("f", BODY)
            yield place


@pytest.fixture
def portal() -> Iterator[Portal]:
    with Portal() as portal:
        portal.publish(NAME)
        yield portal


def resolved(portal: Portal, path: str = f"dataset/{NAME}", ctx: Context | None = None, **options: str) -> Pin:
    return SOURCE.resolve(Ref(f"ckan:{portal.base}/{path}", tuple(options.items())), ctx or context())


def listed(pin: Pin, ctx: Context | None = None) -> dict[str, RemoteFile]:
    return {file.path: file for file in SOURCE.files(pin, ctx or context())}


def content(pin: Pin, file: RemoteFile, ctx: Context | None = None) -> bytes:
    with SOURCE.read(pin, file, Span(0, file.size or 0), ctx or context()) as stream:
        return stream.readall()


def holder(portal: Portal) -> Context:
    token = (("Authorization", portal.token),)
    return context(Credentials([Credential(f"{portal.root}/", "cred:mine", token)]))


def heard() -> tuple[Context, list[str]]:
    said: list[str] = []

    def report(event: Event) -> None:
        said.append(event.text)

    return replace(context(), reporter=report), said


UUID = "5de110e5-6ef9-4282-9866-9201a0014dea"


@pytest.mark.parametrize(
    ("url", "claimed"),
    [
        ("https://demo.ckan.org/dataset/sample-dataset-1", True),
        ("https://www.data.gov.au/data/dataset/trees", True),
        ("https://DEMO.ckan.org/dataset/sample-dataset-1", True),
        ("https://open.canada.ca/data/en/dataset/5de110e5-6ef9-4282-9866-9201a0014dea", True),
        (f"https://data.example.org/dataset/x/resource/{UUID}", True),
        (f"https://data.example.org/dataset/x/resource/{UUID}/view/1", True),
        ("https://data.example.org/api/3/action/package_show?id=x", True),
        ("https://data.example.org/pre/fix/api/action/resource_show?id=x", True),
        ("ckan:https://data.example.org/dataset/x", True),
        ("CKAN:https://data.example.org/dataset/x", True),
        (f"https://data.example.org/dataset/x/resource/{UUID}/download/f.csv", False),
        ("https://data.example.org/dataset/x", False),
        ("https://data.example.org/api/3/action/package_show", False),
        ("https://demo.ckan.org.evil.example/dataset/x", False),
        ("https://demo.ckan.org@evil.example/dataset/x", False),
        ("https://ada:lovelace@demo.ckan.org/dataset/x", False),
        ("https://demo.ckan.org/organization/x", False),
    ],
)
def test_references_are_claimed_by_their_text(url: str, claimed: bool) -> None:
    assert SOURCE.claims(Ref(url)) is claimed


def test_pages_and_calls_of_the_api_mean_the_same_dataset(portal: Portal) -> None:
    id = portal.publish("other")
    portal.upload("other", "a.csv", b"1")
    for path in (
        "dataset/other",
        f"dataset/{id}",
        "dataset/other/",
        "dataset/activity/other",
        "dataset/other/history",
        "api/3/action/package_show?id=other",
        f"api/action/package_show?id={id}",
    ):
        pin = resolved(portal, path)
        assert pin.ref.url == f"ckan:{portal.root}/dataset/{id}"
        assert pin.version == {"dataset": id, "modified": pin.version["modified"]}


def test_pages_of_a_resource_its_download_and_its_call_mean_it_alone(portal: Portal) -> None:
    id = portal.upload(NAME, "a.csv", b"1")
    portal.upload(NAME, "b.csv", b"2")
    for path in (
        f"dataset/{NAME}/resource/{id}",
        f"dataset/{NAME}/resource/{id}/view/5",
        f"dataset/{NAME}/resource/{id}/download/a.csv",
        f"api/3/action/resource_show?id={id}",
    ):
        assert list(listed(resolved(portal, path))) == ["a.csv"]


def test_a_portal_may_lie_below_a_prefix() -> None:
    with Portal("/data/en") as portal:
        portal.publish(NAME)
        portal.upload(NAME, "a.csv", b"1")
        pin = resolved(portal)
        assert pin.ref.url.startswith(f"ckan:{portal.root}/data/en/dataset/")
        assert content(pin, listed(pin)["a.csv"]) == b"1"


def test_an_unknown_page_is_recognised_where_ckan_answers(portal: Portal) -> None:
    found = landing.recognise(f"{portal.root}/dataset/{NAME}", context())
    assert found == Ref(f"ckan:{portal.root}/dataset/{NAME}")
    assert landing.recognise(f"{portal.root}/about", context()) is None


def test_a_page_of_something_else_is_not_recognised() -> None:
    with Server() as server:
        server.put("dataset/x", b"<html>", kind="text/html")
        assert landing.recognise(f"{server.url}dataset/x", context()) is None


def test_a_dataset_as_it_once_was_is_refused(portal: Portal) -> None:
    with pytest.raises(ResolveError, match="CKAN keeps its words and not its files"):
        resolved(portal, f"dataset/{NAME}?activity_id=5")


def test_the_version_is_the_time_of_the_last_change(portal: Portal) -> None:
    portal.upload(NAME, "a.csv", b"1")
    modified = resolved(portal).version["modified"]
    assert resolved(portal, version=modified).version["modified"] == modified
    portal.touch(NAME)
    with pytest.raises(ResolveError, match="keeps no older version"):
        resolved(portal, version=modified)


def test_a_pin_is_not_listed_as_what_came_after_it(portal: Portal) -> None:
    portal.upload(NAME, "a.csv", b"1")
    pin = resolved(portal)
    portal.touch(NAME)
    with pytest.raises(UpstreamChanged, match="changed at"):
        listed(pin)


def test_a_pin_of_a_resource_outlives_changes_of_others(portal: Portal) -> None:
    id = portal.upload(NAME, "a.csv", b"1")
    pin = resolved(portal, f"dataset/{NAME}/resource/{id}")
    portal.upload(NAME, "b.csv", b"1")
    assert list(listed(pin)) == ["a.csv"]


def test_success_counts_and_not_the_status(portal: Portal) -> None:
    portal.polite = True
    with pytest.raises(ResolveError, match=r"CKAN: http://127.*Not found"):
        resolved(portal, "dataset/no-such")
    portal.denied = True
    with pytest.raises(AuthRequired, match="Access denied"):
        resolved(portal)


@pytest.mark.parametrize("state", ["draft", "deleted"])
def test_only_published_datasets_are_read(portal: Portal, state: str) -> None:
    portal.publish("other", state=state)
    with pytest.raises(ResolveError, match=f"is {state}"):
        resolved(portal, "dataset/other")


def test_a_dataset_without_resources_has_no_file(portal: Portal) -> None:
    with pytest.raises(ResolveError, match="lists no resources"):
        listed(resolved(portal))


def test_a_private_dataset_says_which_command_and_header_open_it(portal: Portal) -> None:
    portal.publish("secret", private=True)
    with pytest.raises(AuthRequired, match=rf"gotdata login {portal.root}/.*Authorization, without the word Bearer"):
        resolved(portal, "dataset/secret")


def test_a_token_without_bearer_opens_it_in_a_realm_of_its_own(portal: Portal) -> None:
    portal.publish("secret", private=True)
    portal.upload("secret", "a.csv", BODY)
    pin = resolved(portal, "dataset/secret", holder(portal))
    assert content(pin, listed(pin, holder(portal))["a.csv"], holder(portal)) == BODY
    assert SOURCE.realm(pin, holder(portal)) != PUBLIC


def test_a_token_that_does_not_open_it_is_told(portal: Portal) -> None:
    portal.publish("secret", private=True)
    wrong = context(Credentials([Credential(f"{portal.root}/", "cred:x", (("Authorization", "wrong"),))]))
    with pytest.raises(AccessDenied, match="token does not give access"):
        resolved(portal, "dataset/secret", wrong)


def test_the_citation_is_read(portal: Portal) -> None:
    portal.publish("cited", DOI="https://doi.org/10.5072/AIR.1")
    wanted = Citation("Air, measured", ("Noether, Emmy", "Curie, Marie"), "10.5072/air.1", "cc-by")
    assert resolved(portal, "dataset/cited").citation == wanted


def test_sizes_and_hashes_of_the_listing_are_not_believed(portal: Portal) -> None:
    portal.upload(NAME, "a.csv", b"22", size="17", hash="c4ca4238a0b923820dcc509a6f75849b")
    portal.upload(NAME, "b.csv", b"333", size=None, hash="")
    files = listed(resolved(portal))
    assert {path: file.size for path, file in files.items()} == {"a.csv": 2, "b.csv": 3}
    assert not any(file.checks for file in files.values())


def test_names_come_from_the_address_else_from_the_title_and_format(portal: Portal) -> None:
    portal.upload(NAME, "___", b"1", name="Countries / all", format="CSV")
    portal.upload(NAME, "Makefile", b"1", name="How it was made")
    portal.upload(NAME, "table.ods", b"1", name="Table ODS", format="ODS")
    portal.upload(NAME, "grosse-tabelle-.csv", b"1", name="Große Tabelle (日本).CSV", format="CSV")
    with Server() as server:
        portal.link(NAME, server.put("export", b"1"), "Stations", format="GeoJSON")
        portal.link(NAME, server.put("x/prices.json", b"1") + "?v=2", "Prices", format="JSON")
        portal.link(NAME, server.put("y", b"1"), "notes.txt", format="a strange one")
        assert set(listed(resolved(portal))) == {
            "Countries _ all.csv",
            "Makefile",
            "table.ods",
            "Große Tabelle (日本).CSV",
            "Stations.geojson",
            "prices.json",
            "notes.txt",
        }


def test_resources_of_one_name_are_told_apart_by_their_ids_in_any_order(portal: Portal) -> None:
    first, second = f"aaaaaaaa{UUID[8:]}", f"bbbbbbbb{UUID[8:]}"
    for dataset, ids in ((NAME, (first, second)), ("other", (second, first))):
        if dataset != NAME:
            portal.publish(dataset)
        for id in ids:
            portal.upload(dataset, "data.csv", id.encode(), id=id)
        pin = resolved(portal, f"dataset/{dataset}")
        files = listed(pin)
        assert set(files) == {"data-aaaaaaaa.csv", "data-bbbbbbbb.csv"}
        assert content(pin, files["data-aaaaaaaa.csv"]) == first.encode()


def test_uploads_are_read_at_the_address_that_people_use(portal: Portal) -> None:
    portal.site = "http://ckan.internal:5000"
    portal.upload(NAME, "a b.csv", BODY)
    pin = resolved(portal)
    [file] = listed(pin).values()
    assert file.at.startswith(f"{portal.root}/dataset/")
    assert content(pin, file) == BODY


def test_links_are_followed_to_files_elsewhere(portal: Portal) -> None:
    with Server() as server:
        portal.link(NAME, server.put("x/prices.json", BODY), "Prices")
        pin = resolved(portal)
        [file] = listed(pin).values()
        assert (file.path, file.size) == ("prices.json", len(BODY))
        assert content(pin, file) == BODY
        server.put("x/prices.json", BODY[::-1])
        with pytest.raises(UpstreamChanged):
            content(pin, file)


def test_links_to_repositories_are_read_by_their_sources(portal: Portal) -> None:
    with Repository() as repository:
        record = repository.publish({"deep/one.bin": BODY})
        portal.link(NAME, f"invenio:{repository.root}/records/{record}", "One")
        pin = resolved(portal)
        [file] = listed(pin).values()
        assert [check.algorithm for check in file.checks] == ["md5"]
        assert content(pin, file) == BODY


def test_links_to_pages_and_to_nothing_are_left_out_in_words(portal: Portal) -> None:
    ctx, said = heard()
    portal.upload(NAME, "a.csv", b"1")
    with Server() as server:
        portal.link(NAME, server.put("about", b"<html>", kind="text/html"), "The project")
        portal.link(NAME, server.at("gone.csv"), "Old numbers")
        portal.link(NAME, "ftp://h.example/x.csv", "By FTP")
        portal.link(NAME, "see our office", "On paper")
        assert list(listed(resolved(portal), ctx)) == ["a.csv"]
    assert len(said) == 4
    told = " ".join(said)
    for word in ("The project", "web page", "Old numbers", "404", "By FTP", "On paper"):
        assert word in told


def test_an_upload_that_the_portal_does_not_send_is_an_error(portal: Portal) -> None:
    portal.upload(NAME, "a.csv", b"1")
    portal.upload(NAME, "b.csv", b"1", faults={"login": True})
    with pytest.raises(SourceError, match=r"web page.*where a file was due"):
        listed(resolved(portal))


def test_a_dataset_of_pages_alone_is_refused_with_all_of_them_named(portal: Portal) -> None:
    with Server() as server:
        portal.link(NAME, server.put("about", b"<html>", kind="text/html"), "The project")
        id = portal.link(NAME, server.put("map", b"<html>", kind="text/html"), "The map")
        with pytest.raises(ResolveError, match=r"has no file: 'The project'.*'The map'"):
            listed(resolved(portal))
        with pytest.raises(ResolveError, match=r"'The map'.*web page"):
            listed(resolved(portal, f"dataset/{NAME}/resource/{id}"))


def test_a_link_back_to_the_portal_s_own_page_does_not_turn_in_circles(portal: Portal) -> None:
    portal.upload(NAME, "a.csv", b"1")
    portal.link(NAME, f"ckan:{portal.root}/dataset/{NAME}", "Myself")
    portal.link(NAME, f"{portal.root}/dataset/{NAME}/resource/{UUID}", "My page")
    ctx, said = heard()
    assert list(listed(resolved(portal), ctx)) == ["a.csv"]
    assert all("web page" in text or "can read" in text for text in said)
    assert len(said) == 2


def test_a_link_takes_no_credential_along(portal: Portal) -> None:
    ctx = holder(portal)
    with Server() as server:
        portal.link(NAME, server.put("x/prices.json", BODY), "Prices")
        pin = resolved(portal, ctx=ctx)
        [file] = listed(pin, ctx).values()
        assert content(pin, file, ctx) == BODY
        assert not any("authorization" in request.headers for request in server.requests)


def test_a_link_never_uses_a_credential_of_its_target(portal: Portal) -> None:
    with Server() as server:
        portal.link(NAME, server.put("x/prices.json", BODY), "Prices")
        pin = resolved(portal)
        [file] = listed(pin).values()
        ctx = context(Credentials([Credential(server.url, "cred:x", (("Authorization", "mine"),))]))
        with pytest.raises(AuthRequired, match="credential of yours"):
            content(pin, file, ctx)


def test_a_dump_of_the_datastore_is_marked(portal: Portal) -> None:
    portal.dump(NAME, "Measured values", BODY)
    ctx, said = heard()
    pin = resolved(portal)
    [file] = listed(pin, ctx).values()
    assert file.path == "Measured values.csv"
    assert file.size == len(BODY)
    assert [check.algorithm for check in file.checks] == ["sha256"]
    assert len(said) == 1
    assert "written anew at each download" in said[0]
    with pytest.raises(NoRanges):
        SOURCE.read(pin, file, Span(1, 2), context())


def test_signed_urls_are_never_kept() -> None:
    with Portal(stored=True) as portal:
        portal.publish(NAME)
        portal.upload(NAME, "a.csv", BODY)
        pin = resolved(portal)
        [file] = listed(pin).values()
        assert content(pin, file) == BODY
        assert "Signature" not in file.at
        assert {request.method for request in portal.store.requests} == {"GET"}


@pytest.mark.parametrize("at", ["file:///etc/passwd", "gopher://h/x", "{}", '{"source":"file"}'])
def test_a_forged_locator_is_refused(at: str) -> None:
    pin = Pin("ckan", Ref("ckan:https://demo.ckan.org/dataset/x"), "https://demo.ckan.org/dataset/x", {"dataset": "x"})
    with pytest.raises(IntegrityError, match="edited"):
        SOURCE.url(pin, RemoteFile("f.bin", 4, at=at))

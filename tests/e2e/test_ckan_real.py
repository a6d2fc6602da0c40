"""The source ckan against CKAN itself, and ckanapi against the same. Its search is a stand-in: see ckan.py."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from gotdata.context import Context
from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.errors import AccessDenied, AuthRequired, ResolveError
from gotdata.model import Ref, Span
from gotdata.sources import landing
from gotdata.sources.ckan import Ckan as Source
from gotdata.testing.server import Server
from gotdata.testing.source_contract import BODY, ODD_NAMES, Place, SourceContract, context
from tests.clients import test_ckan as client
from tests.e2e.ckan import Ckan, ckan

SOURCE = Source()


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ckan]:
    with ckan(tmp_path_factory.mktemp("ckan")) as portal:
        yield portal


class Dataset:
    """A dataset of its own, its uploads with their names as titles, as the form for uploads fills them in."""

    def __init__(self, portal: Ckan, **fields: object) -> None:
        self.portal = portal
        self.name = f"d-{uuid.uuid4()}"
        self.id: str = portal.do("package_create", name=self.name, owner_org="lab", **fields)["id"]
        self.ids: dict[str, str] = {}
        self.ref = Ref(f"ckan:{portal.url}/dataset/{self.name}")
        self.ctx = context()

    def put(self, path: str, body: bytes) -> None:
        if path in self.ids:
            self.portal.do("resource_update", (path, body), id=self.ids[path], package_id=self.id, name=path)
        else:
            self.ids[path] = self.portal.do("resource_create", (path, body), package_id=self.id, name=path)["id"]

    def link(self, url: str, name: str) -> None:
        self.portal.do("resource_create", package_id=self.id, name=name, url=url)

    def remove(self, path: str) -> None:
        self.portal.do("resource_delete", id=self.ids[path])

    def folder(self, path: str) -> None:
        raise NotImplementedError

    def one(self, path: str) -> Ref:
        return Ref(f"{self.ref.url}/resource/{self.ids.get(path, 'no-such-id')}")

    def deny(self) -> None:
        self.portal.do("package_patch", id=self.id, private=True)


def holder(portal: Ckan, token: str = "") -> Context:
    header = (("Authorization", token or portal.token),)
    return context(Credentials([Credential(f"{portal.url}/", "cred:ada", header)]))


class TestRealCkan(SourceContract):
    source = SOURCE
    against = "CKAN 2.12"
    folders = False
    lacks = ("fill", "limit", "cut")
    odd_names = tuple(name for name in ODD_NAMES if len(name) < 100 and name != "...")

    @pytest.fixture
    def place(self, portal: Ckan) -> Place:
        return Dataset(portal)


@pytest.fixture
def dataset(portal: Ckan) -> Dataset:
    return Dataset(portal, title="Air", author="Noether, Emmy", license_id="cc-by")


def test_its_pages_are_recognised(portal: Ckan, dataset: Dataset) -> None:
    dataset.put("a.csv", BODY)
    page = f"{portal.url}/dataset/{dataset.name}"
    assert landing.recognise(page, context()) == Ref(f"ckan:{page}")
    found = landing.recognise(f"{portal.url}/de/dataset/{dataset.name}", context())
    assert found is not None
    for ref in (found, Ref(f"{portal.url}/api/3/action/resource_show?id={dataset.ids['a.csv']}")):
        pin = SOURCE.resolve(ref, context())
        [file] = SOURCE.files(pin, context())
        with SOURCE.read(pin, file, Span(5, 10), context()) as stream:
            assert stream.readall() == BODY[5:10]


def test_its_words_are_understood(dataset: Dataset) -> None:
    citation = SOURCE.resolve(dataset.ref, context()).citation
    assert (citation.title, citation.creators, citation.licence) == ("Air", ("Noether, Emmy",), "cc-by")
    with pytest.raises(ResolveError, match=r"CKAN: http://127.*Not found"):
        SOURCE.resolve(Ref(f"{dataset.ref.url}-no-such"), context())


def test_private_datasets_open_to_a_token_without_bearer(portal: Ckan) -> None:
    dataset = Dataset(portal, private=True)
    dataset.put("a.csv", BODY)
    with pytest.raises(AuthRequired, match="gotdata login"):
        SOURCE.resolve(dataset.ref, context())
    with pytest.raises(AccessDenied, match="without the word Bearer"):
        SOURCE.resolve(dataset.ref, holder(portal, f"Bearer {portal.token}"))
    ctx = holder(portal)
    pin = SOURCE.resolve(dataset.ref, ctx)
    [file] = SOURCE.files(pin, ctx)
    with SOURCE.read(pin, file, Span(5, 10), ctx) as stream:
        assert stream.readall() == BODY[5:10]
    assert SOURCE.realm(pin, ctx) != PUBLIC
    with pytest.raises((AuthRequired, AccessDenied)):
        SOURCE.read(pin, file, Span(5, 10), context())


def test_deleted_datasets_are_not_read(portal: Ckan, dataset: Dataset) -> None:
    dataset.put("a.csv", BODY)
    portal.do("package_delete", id=dataset.id)
    with pytest.raises(ResolveError, match="is deleted"):
        SOURCE.resolve(dataset.ref, holder(portal))
    with pytest.raises(AuthRequired):
        SOURCE.resolve(dataset.ref, context())


def test_links_lead_elsewhere(dataset: Dataset) -> None:
    with Server() as server:
        dataset.link(server.put("x/prices.json", BODY), "Prices")
        dataset.link(server.put("about", b"<html>", kind="text/html"), "The project")
        pin = SOURCE.resolve(dataset.ref, context())
        [file] = SOURCE.files(pin, context())
        with SOURCE.read(pin, file, Span(0, len(BODY)), context()) as stream:
            assert (file.path, stream.readall()) == ("prices.json", BODY)


def test_ckanapi_reads_the_same(portal: Ckan, dataset: Dataset, tmp_path: Path) -> None:
    dataset.put("a.csv", BODY)
    [resource] = client.shown(portal.url, dataset.name, tmp_path)["resources"]
    pin = SOURCE.resolve(dataset.ref, context())
    [file] = SOURCE.files(pin, context())
    assert (file.path, file.size, file.at) == ("a.csv", resource["size"], resource["url"])
    assert client.downloaded(tmp_path) == BODY

"""The contract of sources, fulfilled against real WebDAV servers; and what each of them does in its own way."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.credentials.held import basic
from gotdata.errors import AuthRequired
from gotdata.model import Ref, Span
from gotdata.sources.webdav import WebDav
from gotdata.testing.source_contract import BODY, ODD_NAMES, Place, SourceContract, context
from tests.e2e.servers import Server, open_folder
from tests.e2e.webdav import PASSWORD, USER, apache_dav, nginx_dav, wsgidav

SOURCE = WebDav()
_COUNT = itertools.count()


class Served:
    """A folder that a server shows. Each test has its own."""

    def __init__(self, server: Server, root: Path) -> None:
        name = f"test{next(_COUNT)}"
        self.root = root / name
        self.root.mkdir()
        self.ref = Ref(f"webdav:{server.url}/{name}/")
        self.ctx = context()
        self._time = 1_000_000_000

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.root)

    def put(self, path: str, body: bytes) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
        # Servers that know files by their time of change see seconds only; and Apache's ETag of a file that was
        # written in this very second is a weak one.
        self._time += 10
        os.utime(file, (self._time, self._time))

    def remove(self, path: str) -> None:
        (self.root / path).unlink()

    def folder(self, path: str) -> None:
        (self.root / path).mkdir(parents=True)

    def one(self, path: str) -> Ref:
        return Ref(f"{self.ref.url}{path.replace(' ', '%20')}")

    def fill(self, count: int) -> None:
        (self.root / "many").mkdir()
        for number in range(count):
            (self.root / "many" / str(number)).touch()


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def of_wsgidav(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with wsgidav(root, tmp_path_factory.mktemp("wsgidav")) as server:
        yield server


@pytest.fixture(scope="module")
def of_apache(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with apache_dav(root, tmp_path_factory.mktemp("apache")) as server:
        yield server


@pytest.fixture(scope="module")
def of_nginx(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with nginx_dav(root, tmp_path_factory.mktemp("nginx")) as server:
        yield server


class _Real(SourceContract):
    source = SOURCE
    lacks = ("deny", "limit", "cut")


class TestWsgiDav(_Real):
    against = "WsgiDAV"

    @pytest.fixture
    def place(self, of_wsgidav: Server, root: Path) -> Iterator[Place]:
        with Served(of_wsgidav, root) as place:
            yield place

    def test_a_password_opens_what_has_one(self, of_wsgidav: Server, root: Path) -> None:
        server = of_wsgidav
        (root / "secret").write_bytes(BODY)
        ref = Ref(f"webdav:{server.url}/auth/secret")
        with pytest.raises(AuthRequired, match="gotdata login"):
            SOURCE.resolve(ref, context())
        held = Credential(f"{server.url}/auth/", "cred:x", (("Authorization", basic(f"{USER}:{PASSWORD}")),))
        ctx = context(Credentials([held]))
        pin = SOURCE.resolve(ref, ctx)
        [file] = SOURCE.files(pin, ctx)
        with SOURCE.read(pin, file, Span(5, 50), ctx) as stream:
            assert stream.readall() == BODY[5:50]
        assert SOURCE.realm(pin, ctx) != PUBLIC


class TestApache(_Real):
    against = "Apache httpd"

    @pytest.fixture
    def place(self, of_apache: Server, root: Path) -> Iterator[Place]:
        with Served(of_apache, root) as place:
            yield place

    def test_files_are_bound_to_their_etags(self, place: Place) -> None:
        place.put("f", BODY)
        assert self.listed(place)["f"].version.startswith("etag:")


class TestNginx(_Real):
    against = "nginx"
    odd_names = tuple(name for name in ODD_NAMES if not name.startswith("."))
    """Its module leaves out what begins with a dot."""

    @pytest.fixture
    def place(self, of_nginx: Server, root: Path) -> Iterator[Place]:
        with Served(of_nginx, root) as place:
            yield place

    def test_without_etags_in_a_listing_files_are_bound_to_their_time(self, place: Place) -> None:
        place.put("f", BODY)
        assert self.listed(place)["f"].version == "mtime:Sun, 09 Sep 2001 01:46:50 GMT"

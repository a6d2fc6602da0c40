"""The http source against nginx, Apache httpd and Python's http.server: their indexes, their ranges, their refusals."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from gotdata.context import Context
from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.errors import AuthRequired, NoRanges, NotFound, UpstreamChanged
from gotdata.model import Kind, Ref, RemoteFile, Span
from gotdata.sources.http import Http
from gotdata.testing.source_contract import BODY, ODD_NAMES, SourceContract, context, follow
from tests.e2e.servers import Nginx, Server, apache, nginx, open_folder, python_http

SOURCE = Http()
NOT_HIDDEN = tuple(name for name in ODD_NAMES if not name.startswith("."))
"""nginx's index leaves out names that begin with a dot."""


class Folder:
    """A folder of this machine that a server shows at ``url``."""

    def __init__(self, root: Path, url: str, ctx: Context | None = None) -> None:
        self.root = root
        self.url = url
        self.ref = Ref(url)
        self.ctx = ctx or context()
        self._written = 0

    def put(self, path: str, body: bytes) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
        # These servers see a change by the second and the size.
        self._written += 1
        os.utime(file, (1_700_000_000 + self._written,) * 2)

    def remove(self, path: str) -> None:
        (self.root / path).unlink()

    def folder(self, path: str) -> None:
        (self.root / path).mkdir(parents=True)

    def one(self, path: str) -> Ref:
        return Ref(self.url + quote(path, safe="/"))

    def fill(self, count: int) -> None:
        (self.root / "many").mkdir()
        for number in range(count):
            (self.root / "many" / str(number)).write_bytes(b"1")

    def listed(self) -> dict[str, RemoteFile]:
        _, pin = follow(self.ref, self.ctx, SOURCE)
        return {file.path: file for file in SOURCE.files(pin, self.ctx)}

    def read(self, file: RemoteFile, span: Span) -> bytes:
        _, pin = follow(self.ref, self.ctx, SOURCE)
        with SOURCE.read(pin, file, span, self.ctx) as stream:
            return stream.readall()


@pytest.fixture(scope="module")
def www() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def nginx_server(www: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with nginx(www, tmp_path_factory.mktemp("nginx")) as server:
        yield server


@pytest.fixture(scope="module")
def apache_server(www: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with apache(www, tmp_path_factory.mktemp("apache")) as server:
        yield server


@pytest.fixture(scope="module")
def python_server(www: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with python_http(www, tmp_path_factory.mktemp("python")) as server:
        yield server


@pytest.fixture
def own(www: Path, request: pytest.FixtureRequest) -> str:
    """The name of a folder below the root that is this test's own."""
    number = sum(1 for _ in www.iterdir())
    (www / f"{number}").mkdir()
    return f"{number}"


class TestNginx(SourceContract):
    source = SOURCE
    against = "nginx"
    lacks = ("deny", "limit", "cut")
    odd_names = NOT_HIDDEN

    @pytest.fixture
    def place(self, www: Path, own: str, nginx_server: Nginx) -> Folder:
        return Folder(www / own, f"{nginx_server.url}/{own}/")


class TestNginxByJson(SourceContract):
    source = SOURCE
    against = "nginx, index in JSON"
    lacks = ("deny", "limit", "cut")
    odd_names = NOT_HIDDEN

    @pytest.fixture
    def place(self, www: Path, own: str, nginx_server: Nginx) -> Folder:
        return Folder(www / own, f"{nginx_server.url}/json/{own}/")


class TestApache(SourceContract):
    source = SOURCE
    against = "Apache httpd"
    lacks = ("deny", "limit", "cut")

    @pytest.fixture
    def place(self, www: Path, own: str, apache_server: Server) -> Folder:
        return Folder(www / own, f"{apache_server.url}/fancy/{own}/")


@pytest.mark.parametrize("style", ["plain", "fancy", "table"])
def test_every_style_of_apache_s_index_is_read(www: Path, own: str, apache_server: Server, style: str) -> None:
    folder = Folder(www / own, f"{apache_server.url}/{style}/{own}/")
    wanted = {f"deep/{name}": BODY[: 10 * number] for number, name in enumerate(ODD_NAMES)}
    for path, body in wanted.items():
        folder.put(path, body)
    folder.folder("empty")
    files = folder.listed()
    assert files.pop("empty").kind is Kind.DIR
    assert {path: folder.read(file, Span(0, file.size or 0)) for path, file in files.items()} == wanted


def test_python_s_index_is_read_and_whole_files(www: Path, own: str, python_server: Server) -> None:
    folder = Folder(www / own, f"{python_server.url}/{own}/")
    wanted = {f"deep/{name}": BODY[: 1 + number] for number, name in enumerate(ODD_NAMES)}
    for path, body in wanted.items():
        folder.put(path, body)
    assert {path: folder.read(file, Span(0, file.size or 0)) for path, file in folder.listed().items()} == wanted


@pytest.mark.parametrize("server", ["python", "nginx"])
def test_a_part_of_a_file_is_refused_where_there_are_no_ranges(
    www: Path, own: str, server: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(f"{server}_server").url + ("/norange" if server == "nginx" else "")
    folder = Folder(www / own, f"{url}/{own}/")
    folder.put("f", BODY)
    file = folder.listed()["f"]
    with pytest.raises(NoRanges):
        folder.read(file, Span(1, 2))
    assert folder.read(file, Span(0, len(BODY))) == BODY


def test_a_change_is_seen_by_the_time_alone(www: Path, own: str, python_server: Server) -> None:
    folder = Folder(www / own, f"{python_server.url}/{own}/")
    folder.put("f", BODY)
    file = folder.listed()["f"]
    folder.put("f", BODY[::-1])
    with pytest.raises(UpstreamChanged):
        folder.read(file, Span(0, len(BODY)))
    folder.remove("f")
    with pytest.raises(NotFound):
        folder.read(file, Span(0, len(BODY)))


def test_a_folder_behind_a_password(www: Path, own: str, nginx_server: Nginx) -> None:
    url = f"{nginx_server.url}/auth/{own}/"
    ada = Credential(f"{nginx_server.url}/auth/", "cred:ada", (("Authorization", "Basic YWRhOmxvdmVsYWNl"),))
    folder = Folder(www / own, url, context(Credentials([ada])))
    folder.put("f", BODY)
    assert folder.read(folder.listed()["f"], Span(5, 50)) == BODY[5:50]
    assert SOURCE.realm(follow(folder.ref, folder.ctx)[1], folder.ctx) != PUBLIC
    with pytest.raises(AuthRequired, match="401"):
        Folder(www / own, url).listed()


def test_a_slow_server_s_file_arrives_whole(www: Path, own: str, nginx_server: Nginx) -> None:
    folder = Folder(www / own, f"{nginx_server.url}/slow/{own}/")
    folder.put("f", BODY * 4)
    assert folder.read(folder.listed()["f"], Span(1, 4 * len(BODY))) == (BODY * 4)[1:]


def test_a_few_bytes_of_a_file_of_10_gib_move_a_few_bytes(www: Path, own: str, nginx_server: Nginx) -> None:
    folder = Folder(www / own, f"{nginx_server.url}/{own}/")
    with (www / own / "large").open("wb") as sparse:
        sparse.truncate(10 << 30)
    file = folder.listed()["large"]
    assert file.size == 10 << 30
    assert folder.read(file, Span(7 << 30, (7 << 30) + 4096)) == bytes(4096)
    assert nginx_server.sent(f"/{own}/large", requests=2) == 1 + 4096, "one byte asked for its size"

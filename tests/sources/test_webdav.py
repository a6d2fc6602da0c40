from __future__ import annotations

from collections.abc import Iterator

import pytest

from gotdata.context import Context
from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.credentials.held import basic
from gotdata.errors import AuthRequired, IntegrityError, ResolveError, SourceError, SourceUnavailable
from gotdata.model import Pin, Ref, RemoteFile, Span
from gotdata.sources.http_answer import Refusal
from gotdata.sources.webdav import WebDav
from gotdata.sources.webdav_listing import explain, listing
from gotdata.testing.double import Switched
from gotdata.testing.hostile_contract import HostileContract, Liar
from gotdata.testing.server import Reply, Request
from gotdata.testing.source_contract import BODY, Place, SourceContract, context, follow
from gotdata.testing.webdav_double import FOLDERS, TOKEN, Cloud

SOURCE = WebDav()


class Folder(Switched):
    """A folder of an account."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        cloud.folder("data")
        self.ref = Ref(f"webdav:{cloud.root}{FOLDERS}/data")
        self.ctx = context()

    def put(self, path: str, body: bytes) -> None:
        self.double.put(f"data/{path}", body)

    def remove(self, path: str) -> None:
        del self.double.files[f"data/{path}"]

    def folder(self, path: str) -> None:
        self.double.folder(f"data/{path}")

    def one(self, path: str) -> Ref:
        return Ref(f"{self.ref.url}/{path.replace(' ', '%20')}")

    def fill(self, count: int) -> None:
        self.double.folder("data/many")
        self.double.files |= {f"data/many/{number}": b"" for number in range(count)}

    def cut(self, path: str, after: int) -> None:
        self.double.breaks.append(after)


class Shared(Folder):
    """The same, by a link that shares it."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        cloud.share = "data"
        self.ref = Ref(f"webdav:{cloud.root}/s/{TOKEN}")

    def one(self, path: str) -> Ref:
        folder, _, name = path.rpartition("/")
        return Ref(f"webdav:{self.double.root}/s/{TOKEN}/download?path=/{folder}&files={name.replace(' ', '%20')}")


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud() as cloud:
        yield cloud


class TestWebDav(SourceContract):
    source = SOURCE
    checks = "sha1"

    @pytest.fixture
    def place(self, cloud: Cloud) -> Place:
        return Folder(cloud)


class TestShares(TestWebDav):
    """The three addresses that shares have had, one of them behind a proxy that changes the host."""

    @pytest.fixture(params=["nextcloud", "owncloud", "old"])
    def place(self, cloud: Cloud, request: pytest.FixtureRequest) -> Place:
        cloud.endpoint = request.param
        cloud.absolute = request.param == "owncloud"
        return Shared(cloud)

    lacks = ("fill", "deny", "limit", "cut")


class TestLies(HostileContract):
    source = SOURCE

    @pytest.fixture
    def liar(self, cloud: Cloud) -> Liar:
        place = Folder(cloud)
        place.put("a/f", BODY)
        place.put("g", BODY)
        return place


def resolved(url: str, ctx: Context | None = None) -> Pin:
    return SOURCE.resolve(Ref(url), ctx or context())


def listed(pin: Pin, ctx: Context | None = None) -> dict[str, RemoteFile]:
    return {file.path: file for file in SOURCE.files(pin, ctx or context())}


def content(pin: Pin, file: RemoteFile, ctx: Context | None = None) -> bytes:
    with SOURCE.read(pin, file, Span(0, file.size or 0), ctx or context()) as stream:
        return stream.readall()


@pytest.mark.parametrize(
    ("url", "claimed"),
    [
        ("davs://dcache.lab.example:2880/data/", True),
        ("dav://h.example/x", True),
        ("webdav:https://h.example/x", True),
        ("https://cloud.example.org/remote.php/dav/files/ada/data/", True),
        ("https://cloud.example.org/nextcloud/remote.php/webdav/data", True),
        ("https://cloud.example.org/public.php/dav/files/abcDEF123456789/x", True),
        ("https://cloud.example.org/index.php/s/abcDEF123456789", True),
        ("https://cloud.example.org/s/abcDEF123456789", False),
        ("https://example.org/remote.phpx/dav/files", False),
        ("ftp://example.org/remote.php/dav/", False),
    ],
)
def test_references_are_claimed_by_their_text(url: str, claimed: bool) -> None:
    assert SOURCE.claims(Ref(url)) is claimed


def test_the_page_of_a_share_leads_to_it(cloud: Cloud) -> None:
    Shared(cloud).put("f", BODY)
    source, pin = follow(Ref(f"{cloud.root}/s/{TOKEN}"), context())
    assert source.name == "webdav"
    assert list(listed(pin)) == ["f"]


def test_a_folder_of_a_share_is_read_alone(cloud: Cloud) -> None:
    place = Shared(cloud)
    place.put("a/b/f", BODY)
    place.put("g", b"")
    pin = resolved(f"webdav:{cloud.root}/index.php/s/{TOKEN}?path=%2Fa%2Fb")
    assert content(pin, listed(pin)["f"]) == BODY


@pytest.mark.parametrize("endpoint", ["nextcloud", "old"])
def test_a_share_of_one_file_has_its_name(cloud: Cloud, endpoint: str) -> None:
    cloud.endpoint, cloud.share = endpoint, "data/cells.h5"
    cloud.put("data/cells.h5", BODY)
    pin = resolved(f"webdav:{cloud.root}/s/{TOKEN}")
    assert list(listed(pin)) == ["cells.h5"]
    assert content(pin, listed(pin)["cells.h5"]) == BODY


@pytest.mark.parametrize("endpoint", ["nextcloud", "old"])
def test_the_token_stands_in_the_address_of_each_file(cloud: Cloud, endpoint: str) -> None:
    """Else two shares of one cloud would be one place to the store."""
    cloud.endpoint = endpoint
    place = Shared(cloud)
    place.put("f", BODY)
    pin = resolved(place.ref.url)
    assert SOURCE.url(pin, listed(pin)["f"]) == f"{cloud.root}/public.php/dav/files/{TOKEN}/f"
    assert SOURCE.realm(pin, context()) == PUBLIC


def test_a_share_with_a_password_says_who_takes_it(cloud: Cloud) -> None:
    cloud.password = "lovelace"
    place = Shared(cloud)
    place.put("f", BODY)
    with pytest.raises(AuthRequired, match=rf"has a password.*gotdata login http\S+/{TOKEN}/"):
        resolved(place.ref.url)
    prefix = f"{cloud.root}/public.php/dav/files/{TOKEN}/"
    ctx = context(Credentials([Credential(prefix, "cred:x", (("Authorization", basic("anonymous:lovelace")),))]))
    pin = resolved(place.ref.url, ctx)
    assert content(pin, listed(pin, ctx)["f"], ctx) == BODY
    assert SOURCE.realm(pin, ctx) != PUBLIC


def test_an_account_is_what_one_logs_in_to(cloud: Cloud) -> None:
    url = f"{cloud.root}/remote.php/dav/files/ada/deep/f.csv"
    error = explain(Refusal(url, 401, {}, "", False))
    assert isinstance(error, AuthRequired)
    assert f"`gotdata login {cloud.root}/remote.php/dav/files/ada/`" in str(error)


def test_redirects_keep_the_method(cloud: Cloud) -> None:
    cloud.moved = True
    place = Folder(cloud)
    place.put("f", BODY)
    assert list(listed(resolved(place.ref.url))) == ["f"]
    assert {request.method for request in cloud.server.requests if request.status == 301} == {"PROPFIND"}


def test_all_is_never_asked_for_at_once(cloud: Cloud) -> None:
    place = Folder(cloud)
    place.put("a/b/c", b"")
    assert list(listed(resolved(place.ref.url))) == ["a/b/c"]
    asked = {request.headers["depth"] for request in cloud.server.requests if request.method == "PROPFIND"}
    assert asked == {"0", "1"}


def test_without_checksums_and_etags_only_the_size_is_held_to(cloud: Cloud) -> None:
    cloud.sums = cloud.etags = False
    place = Folder(cloud)
    place.put("f", BODY)
    pin = resolved(place.ref.url)
    file = listed(pin)["f"]
    assert (file.version, file.checks) == ("", ())
    assert content(pin, file) == BODY


def test_checksums_and_the_etag_are_told(cloud: Cloud) -> None:
    place = Folder(cloud)
    place.put("f", BODY)
    file = listed(resolved(place.ref.url))["f"]
    assert [check.algorithm for check in file.checks] == ["sha1", "md5"]
    assert file.version.startswith('etag:"')


@pytest.mark.parametrize("switch", ["locked", "upkeep"])
def test_a_lock_and_maintenance_pass(cloud: Cloud, switch: str) -> None:
    place = Folder(cloud)
    place.put("f", BODY)
    setattr(cloud, switch, 2)
    pin = resolved(place.ref.url)
    file = listed(pin)["f"]
    setattr(cloud, switch, 99)
    with pytest.raises(SourceUnavailable, match=r"locked \(423\)|503"):
        content(pin, file)


def test_a_server_without_webdav_is_said_to_have_none(cloud: Cloud) -> None:
    cloud.server.otherwise = lambda request: None
    with pytest.raises(ResolveError, match="404"):
        resolved(f"webdav:{cloud.root}/x/")


def test_a_version_can_not_be_asked_for(cloud: Cloud) -> None:
    with pytest.raises(ResolveError, match="no versions"):
        SOURCE.resolve(Ref(f"webdav:{cloud.root}{FOLDERS}", (("version", "2"),)), context())


def test_entities_are_refused(cloud: Cloud) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><d:multistatus xmlns:d="DAV:">&b;</d:multistatus>'
    cloud.server.otherwise = lambda request: _reply(bomb)
    with pytest.raises(SourceError, match="entities"):
        listing(f"{cloud.root}/x", context())


@pytest.mark.parametrize("href", ["/", "/other/f", "/x/deep/er", "/x/../../etc/passwd"])
def test_what_is_not_right_below_a_folder_is_not_in_it(cloud: Cloud, href: str) -> None:
    inside = "".join(f"<d:response><d:href>{one}</d:href></d:response>" for one in ("/x/", "/x/f", href))
    cloud.server.otherwise = lambda request: _reply(f'<d:multistatus xmlns:d="DAV:">{inside}</d:multistatus>')
    with pytest.raises(SourceError, match="not right below it"):
        listing(f"{cloud.root}/x/", context())


def test_folders_that_hold_each_other_without_end_are_a_loop(cloud: Cloud) -> None:
    def deeper(request: Request) -> Reply:
        here = request.path.rstrip("/")
        folder = "<d:propstat><d:prop><d:resourcetype><d:collection/></d:resourcetype></d:prop></d:propstat>"
        hrefs = (f"{here}/", f"{here}/a/")
        inside = "".join(f"<d:response><d:href>{href}</d:href>{folder}</d:response>" for href in hrefs)
        return _reply(f'<d:multistatus xmlns:d="DAV:">{inside}</d:multistatus>')

    cloud.server.otherwise = deeper
    pin = Pin("webdav", Ref(f"webdav:{cloud.root}/x/"), "x", {"type": "folder"})
    with pytest.raises(SourceError, match="a loop on the server"):
        listed(pin)


def _reply(text: str) -> Reply:
    return Reply(207, {"Content-Type": "application/xml"}, text.encode())


@pytest.mark.parametrize(
    "at",
    [
        "https://cloud.example.org/public.php/dav/files/abcDEF123456789/../other/f",
        "https://cloud.example.org/remote.php/dav/files/ada/secret",
        "https://cloud.example.org.evil.example/public.php/dav/files/abcDEF123456789/f",
    ],
)
def test_a_forged_locator_is_refused(at: str) -> None:
    ref = Ref("webdav:https://cloud.example.org/s/abcDEF123456789")
    pin = Pin("webdav", ref, "x", {"type": "folder", "endpoint": "nextcloud"})
    with pytest.raises(IntegrityError, match="edited"):
        SOURCE.url(pin, RemoteFile("f", 1, at=at))

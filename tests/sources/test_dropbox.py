from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote

import pytest

from gotdata.context import Context
from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.digests import begin
from gotdata.errors import (
    AccessDenied,
    AuthRequired,
    IntegrityError,
    NotFound,
    ResolveError,
    SourceError,
    SourceUnavailable,
    UpstreamChanged,
)
from gotdata.model import Checksum, Kind, Pin, Ref, RemoteFile, Span
from gotdata.report import Event
from gotdata.sources import dropbox, landing
from gotdata.sources.dropbox import Dropbox
from gotdata.sources.dropbox_place import Place as Meant
from gotdata.sources.dropbox_place import placed
from gotdata.testing.double import Switched
from gotdata.testing.dropbox_double import DropboxDouble
from gotdata.testing.hostile_contract import HostileContract, Liar
from gotdata.testing.source_contract import BODY, ODD_NAMES, Place, SourceContract, context

SOURCE = Dropbox()
NAMES = tuple(name for name in ODD_NAMES if name not in ("back\\slash.txt", "..."))
"""Dropbox allows no backslash, and no name of dots."""


def holder(double: DropboxDouble, **values: object) -> Context:
    header = (("Authorization", f"Bearer {double.token}"),)
    return context(Credentials([Credential(f"{double.root}/2/", "cred:mine", header)]), **values)


class Shared(Switched):
    """A shared folder, seen by somebody with an account."""

    def __init__(self, double: DropboxDouble) -> None:
        super().__init__(double)
        double.folder("/data")
        self.ref = Ref(f"dropbox:{double.share('/data')}")
        self.ctx = holder(double)

    def put(self, path: str, body: bytes) -> None:
        self.double.put(f"/data/{path}", body)

    def remove(self, path: str) -> None:
        self.double.remove(f"/data/{path}")

    def folder(self, path: str) -> None:
        self.double.folder(f"/data/{path}")

    def one(self, path: str) -> Ref:
        return Ref(f"{self.ref.url}&preview={quote(path)}&dl=0")

    def fill(self, count: int) -> None:
        for number in range(count):
            self.put(f"many/{number}", b"")

    def deny(self) -> None:
        self.ctx = context()

    def cut(self, path: str, after: int) -> None:
        self.double.breaks[f"/data/{path}"] = after


class Own(Shared):
    """A folder of one's own."""

    def __init__(self, double: DropboxDouble) -> None:
        super().__init__(double)
        self.ref = Ref(f"dropbox:{double.root}/home/data")

    def one(self, path: str) -> Ref:
        return Ref(f"{self.ref.url}/{quote(path)}")


@pytest.fixture
def double() -> Iterator[DropboxDouble]:
    with DropboxDouble() as double:
        yield double


class TestSharedFolder(SourceContract):
    source = SOURCE
    checks = "dropbox"
    odd_names = NAMES

    @pytest.fixture
    def place(self, double: DropboxDouble) -> Place:
        return Shared(double)

    def test_its_realm_is_that_of_who_asks(self, place: Place) -> None:
        place.put("f", b"1")
        assert self.source.realm(self.pin(place), place.ctx) != PUBLIC


class TestOwnFolder(SourceContract):
    source = SOURCE
    checks = "dropbox"
    odd_names = NAMES

    @pytest.fixture
    def place(self, double: DropboxDouble) -> Place:
        return Own(double)

    def test_its_realm_is_that_of_who_asks(self, place: Place) -> None:
        place.put("f", b"1")
        assert self.source.realm(self.pin(place), place.ctx) != PUBLIC

    @pytest.mark.parametrize("body", [BODY[:-1], b"y" + BODY[1:], b""], ids=["shorter", "other bytes", "empty"])
    def test_a_changed_file_is_never_read_as_the_pinned_one(self, place: Place, body: bytes) -> None:
        """The pinned revision stays readable."""
        place.put("f", BODY)
        pin = self.pin(place)
        file = self.listed(place, pin)["f"]
        place.put("f", body)
        for span in (Span(0, len(BODY)), Span(1, 2)):
            assert self.content(place, pin, file, span) == BODY[span.start : span.stop]

    def test_a_file_that_is_gone_is_an_error_that_says_so(self, place: Place) -> None:
        """Not one's own file: its revision is kept."""
        place.put("f", BODY)
        pin = self.pin(place)
        file = self.listed(place, pin)["f"]
        place.remove("f")
        assert self.content(place, pin, file) == BODY


class TestLies(HostileContract):
    source = SOURCE

    @pytest.fixture
    def liar(self, double: DropboxDouble) -> Liar:
        place = Shared(double)
        place.put("f", BODY)
        return place


def file_link(
    double: DropboxDouble, name: str = "/data/counts table.csv", body: bytes = BODY, old: bool = False
) -> Ref:
    double.put(name, body)
    return Ref(f"dropbox:{double.share(name, old)}&dl=0" if not old else f"dropbox:{double.share(name, old)}?dl=0")


def listed(pin: Pin, ctx: Context | None = None) -> list[RemoteFile]:
    return list(SOURCE.files(pin, ctx or context()))


def content(pin: Pin, file: RemoteFile, span: Span, ctx: Context | None = None) -> bytes:
    with SOURCE.read(pin, file, span, ctx or context()) as stream:
        return stream.readall()


@pytest.mark.parametrize(
    ("url", "claimed"),
    [
        ("https://www.dropbox.com/scl/fi/6x/counts.csv?rlkey=abc&dl=0", True),
        ("https://www.dropbox.com/s/6xabcdefghijklm/counts.csv?dl=0", True),
        ("https://WWW.Dropbox.com/sh/ofdd6ia32eo4wk5/AAA8553of0M2tQVlfR0S2GTFa?dl=0", True),
        ("https://dl.dropboxusercontent.com/s/6xabcdefghijklm/counts.csv", True),
        ("https://www.dropbox.com/home/Data/2026", True),
        ("https://uc1234.dl.dropboxusercontent.com/cd/0/get/x", True),
        ("dropbox:/Data/counts.csv", True),
        ("DROPBOX:/Data", True),
        ("https://www.dropbox.com/help/files", False),
        ("https://www.dropbox.com.evil.example/s/6xabcdefghijklm/counts.csv", False),
        ("https://evil.example/s/6xabcdefghijklm/counts.csv", False),
        ("https://[broken/s/x", False),
    ],
)
def test_references_are_claimed_by_their_text(url: str, claimed: bool) -> None:
    assert SOURCE.claims(Ref(url)) is claimed


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        (
            "https://dl.dropboxusercontent.com/scl/fi/6x/a.csv?dl=1&rlkey=k1&st=zz",
            Meant("https://www.dropbox.com", "https://www.dropbox.com/scl/fi/6x/a.csv?rlkey=k1", file=True),
        ),
        (
            "https://www.dropbox.com/scl/fo/6x/h?rlkey=k1&preview=a%20b.csv&dl=0",
            Meant("https://www.dropbox.com", "https://www.dropbox.com/scl/fo/6x/h?rlkey=k1", "/a b.csv"),
        ),
        (
            "https://www.dropbox.com/home/My%20Data?preview=a.csv",
            Meant("https://www.dropbox.com", path="/My Data/a.csv"),
        ),
        ("dropbox:/My%20Data/", Meant("https://www.dropbox.com", path="/My Data")),
        ("dropbox:/", Meant("https://www.dropbox.com")),
    ],
)
def test_of_a_link_what_grants_access_is_kept_and_nothing_else(url: str, meant: Meant) -> None:
    assert placed(url) == meant
    assert placed(meant.text) == meant, "its own spelling means the same"


@pytest.mark.parametrize("old", [False, True])
def test_the_link_of_a_file_is_read_without_an_account(double: DropboxDouble, old: bool) -> None:
    pin = SOURCE.resolve(file_link(double, old=old), context())
    [file] = listed(pin)
    assert (file.path, file.size) == ("counts table.csv", len(BODY))
    assert content(pin, file, Span(0, len(BODY))) == BODY
    assert content(pin, file, Span(5, 10)) == BODY[5:10]
    assert SOURCE.realm(pin, context()) == PUBLIC
    assert "signature" not in SOURCE.url(pin, file).lower(), "the signed URL is never kept"
    assert {request.method for request in double.store.requests} == {"GET"}


def test_a_changed_file_behind_a_link_is_noticed_by_its_etag(double: DropboxDouble) -> None:
    pin = SOURCE.resolve(file_link(double), context())
    [file] = listed(pin)
    double.put("/data/counts table.csv", BODY[::-1])
    with pytest.raises(UpstreamChanged):
        content(pin, file, Span(5, 10))


def test_a_link_without_an_etag_is_bound_by_its_size_alone(double: DropboxDouble) -> None:
    double.etags = False
    pin = SOURCE.resolve(file_link(double), context())
    [file] = listed(pin)
    assert file.version == ""
    double.put("/data/counts table.csv", BODY[:-1])
    with pytest.raises(UpstreamChanged):
        content(pin, file, Span(5, 10))


def test_a_shared_page_of_html_is_a_file(double: DropboxDouble) -> None:
    pin = SOURCE.resolve(file_link(double, "/data/report.html", b"<html>"), context())
    [file] = listed(pin)
    assert content(pin, file, Span(0, 6)) == b"<html>"


def test_a_link_without_its_rlkey_is_no_link(double: DropboxDouble) -> None:
    ref = file_link(double)
    with pytest.raises(ResolveError, match="no such shared link"):
        SOURCE.resolve(Ref(ref.url.partition("?")[0]), context())


@pytest.mark.parametrize(
    ("disabled", "error", "words"),
    [("404", ResolveError, "disabled"), ("429", SourceUnavailable, "traffic"), ("password", AccessDenied, "password")],
)
def test_a_disabled_link_is_told_in_words(double: DropboxDouble, disabled: str, error: type, words: str) -> None:
    ref = file_link(double)
    double.disabled = disabled
    with pytest.raises(error, match=words) as caught:
        SOURCE.resolve(ref, context())
    assert "Dropbox" in str(caught.value)


def test_a_link_that_is_disabled_later_is_told_in_words(double: DropboxDouble) -> None:
    pin = SOURCE.resolve(file_link(double), context())
    [file] = listed(pin)
    double.disabled = "password"
    for span in (Span(0, len(BODY)), Span(5, 10)):
        with pytest.raises(AccessDenied, match=r"password.*gotdata login dropbox"):
            content(pin, file, span)


def test_the_grant_of_a_link_is_not_shown(double: DropboxDouble) -> None:
    place = Shared(double)
    place.put("f", BODY)
    pin = SOURCE.resolve(place.ref, place.ctx)
    [file] = listed(pin, place.ctx)
    key = place.ref.url.partition("rlkey=")[2]
    double.remove("/data/f")
    with pytest.raises(NotFound, match="no such shared link") as gone:
        content(pin, file, Span(0, 1), place.ctx)
    with pytest.raises(AuthRequired) as denied:
        SOURCE.resolve(place.ref, context())
    assert key not in f"{gone.value} {denied.value}"


def test_a_link_that_only_members_may_open_is_read_by_the_api(double: DropboxDouble) -> None:
    ref, ctx = file_link(double), holder(double)
    double.disabled = "404"
    pin = SOURCE.resolve(ref, ctx)
    [file] = listed(pin, ctx)
    assert file.version.startswith("rev:")
    assert content(pin, file, Span(5, 10), ctx) == BODY[5:10]
    assert SOURCE.realm(pin, ctx) != PUBLIC


def test_a_folder_without_an_account_says_what_would_open_it(double: DropboxDouble) -> None:
    with pytest.raises(AuthRequired, match="gotdata login dropbox"):
        SOURCE.resolve(Shared(double).ref, context())


def test_folders_are_asked_one_by_one_and_never_recursively(double: DropboxDouble) -> None:
    place = Shared(double)
    place.put("a/b/c", b"1")
    pin = SOURCE.resolve(place.ref, place.ctx)
    assert [file.path for file in listed(pin, place.ctx)] == ["a/b/c"]
    asked = [one for one in double.server.requests if one.path.endswith("list_folder")]
    assert len(asked) == 3
    assert not any(b"recursive" in one.body for one in asked)


def test_names_keep_their_capitals(double: DropboxDouble) -> None:
    place = Own(double)
    place.put("Grün/README.TXT", b"1")
    assert [file.path for file in listed(SOURCE.resolve(place.ref, place.ctx), place.ctx)] == ["Grün/README.TXT"]


def test_a_name_outside_of_ascii_goes_escaped_into_the_header(double: DropboxDouble) -> None:
    place = Shared(double)
    place.put("grün.txt", BODY)
    pin = SOURCE.resolve(place.ref, place.ctx)
    [file] = listed(pin, place.ctx)
    assert content(pin, file, Span(0, 3), place.ctx) == BODY[:3]
    assert "gr\\u00fcn" in double.server.requests[-1].headers["dropbox-api-arg"]


def test_one_s_own_file_is_pinned_by_its_revision(double: DropboxDouble) -> None:
    double.put("/data/f", BODY)
    old = double.files["/data/f"].rev
    double.put("/data/f", b"new")
    ref, ctx = Ref(f"dropbox:{double.root}/home/data/f"), holder(double)
    assert SOURCE.resolve(ref, ctx).version["rev"] == double.files["/data/f"].rev
    pin = SOURCE.resolve(replace(ref, options=(("version", old),)), ctx)
    [file] = listed(pin, ctx)
    assert content(pin, file, Span(0, len(BODY)), ctx) == BODY
    for wrong in ("5fffffffff", "x", double.files["/data/f"].rev[::-1]):
        with pytest.raises(ResolveError):
            SOURCE.resolve(replace(ref, options=(("version", wrong),)), ctx)


def test_a_revision_of_another_file_is_refused(double: DropboxDouble) -> None:
    double.put("/f", b"1")
    double.put("/g", b"2")
    ref = Ref(f"dropbox:{double.root}/home/f", (("version", double.files["/g"].rev),))
    with pytest.raises(ResolveError, match="another file"):
        SOURCE.resolve(ref, holder(double))


def test_a_shared_link_has_no_versions(double: DropboxDouble) -> None:
    place = Shared(double)
    with pytest.raises(ResolveError, match="what is there now"):
        SOURCE.resolve(replace(place.ref, options=(("version", "5f0000001"),)), place.ctx)


def test_all_of_one_s_dropbox_can_be_listed(double: DropboxDouble) -> None:
    double.put("/a", b"1")
    double.put("/d/b", b"2")
    pin = SOURCE.resolve(Ref(f"dropbox:{double.root}/home"), holder(double))
    assert {file.path for file in listed(pin, holder(double))} == {"a", "d/b"}


def test_paper_is_left_out_of_a_folder_with_a_warning(double: DropboxDouble) -> None:
    place = Shared(double)
    place.put("notes.paper", b"")
    place.put("f", BODY)
    double.paper = {"/data/notes.paper"}
    told: list[Event] = []
    ctx = replace(place.ctx, reporter=told.append)
    assert [file.path for file in listed(SOURCE.resolve(place.ref, ctx), ctx)] == ["f"]
    assert [event.kind for event in told] == ["warning"]
    assert "notes.paper" in told[0].text
    assert "Paper" in told[0].text


def test_paper_itself_is_refused(double: DropboxDouble) -> None:
    double.put("/notes.paper", b"")
    double.paper = {"/notes.paper"}
    with pytest.raises(ResolveError, match=r"no bytes of its own.*export it"):
        SOURCE.resolve(Ref(f"dropbox:{double.root}/home/notes.paper"), holder(double))


def test_a_folder_of_nothing_but_paper_is_empty(double: DropboxDouble) -> None:
    place = Own(double)
    place.put("d/notes.paper", b"")
    double.paper = {"/data/d/notes.paper"}
    found = listed(SOURCE.resolve(place.ref, place.ctx), place.ctx)
    assert [(file.path, file.kind) for file in found] == [("d", Kind.DIR)]


def test_a_folder_that_holds_itself_is_a_loop(double: DropboxDouble) -> None:
    place = Own(double)
    place.put("f", b"1")
    double.folder("/data/again")
    double.folders["/data/again/again"] = double.folders["/data/again"]
    with pytest.raises(SourceError, match="holds itself"):
        listed(SOURCE.resolve(place.ref, place.ctx), place.ctx)


@pytest.mark.parametrize(
    ("switch", "error", "words"),
    [
        ({"expired": True}, AuthRequired, "run out.*gotdata login dropbox"),
        ({"scope": "files.content.read"}, AccessDenied, r"files\.content\.read.*gotdata login dropbox"),
        ({"token": "another"}, AuthRequired, "no such token.*gotdata login dropbox"),
    ],
)
def test_a_token_that_does_not_do_says_so(
    double: DropboxDouble, switch: dict[str, object], error: type, words: str
) -> None:
    place = Own(double)
    place.put("f", b"1")
    ctx = holder(double)
    for name, value in switch.items():
        setattr(double, name, value)
    with pytest.raises(error, match=words):
        SOURCE.resolve(place.ref, ctx)


def test_a_listing_whose_cursor_was_reset_is_an_error(double: DropboxDouble) -> None:
    place = Own(double)
    double.page = 2
    for name in "abc":
        place.put(name, b"1")
    pin = SOURCE.resolve(place.ref, place.ctx)
    double.reset = True
    with pytest.raises(SourceError, match="list it again"):
        listed(pin, place.ctx)


def test_pages_are_followed_to_their_end(double: DropboxDouble) -> None:
    place = Own(double)
    double.page = 2
    for name in "abcde":
        place.put(name, b"1")
    assert len(listed(SOURCE.resolve(place.ref, place.ctx), place.ctx)) == 5


def test_a_password_keeps_the_api_out_too(double: DropboxDouble) -> None:
    place = Shared(double)
    double.disabled = "password"
    with pytest.raises(AccessDenied, match="wants a password"):
        SOURCE.resolve(place.ref, place.ctx)


def test_the_address_of_a_redirected_download_is_refused() -> None:
    with pytest.raises(ResolveError, match="lasts for hours"):
        SOURCE.resolve(Ref("https://uc12.dl.dropboxusercontent.com/cd/0/get/x/file"), context())


def test_what_is_no_place_in_dropbox_is_refused() -> None:
    with pytest.raises(ResolveError, match="no shared link and no path"):
        SOURCE.resolve(Ref("dropbox:https://www.dropbox.com/help"), context())


def test_a_forged_version_is_refused(double: DropboxDouble) -> None:
    place = Shared(double)
    place.put("f", BODY)
    pin = SOURCE.resolve(place.ref, place.ctx)
    [file] = listed(pin, place.ctx)
    with pytest.raises(IntegrityError, match="edited"):
        SOURCE.read(pin, replace(file, version=""), Span(0, 1), place.ctx)


def test_a_forged_pin_is_never_read_as_public() -> None:
    """A folder's link taken for a file's would be read without its credential's realm."""
    pin = Pin("dropbox", Ref("https://www.dropbox.com/scl/fo/x/h?rlkey=k"), "n", {"name": "f", "size": "1"})
    with pytest.raises(SourceError, match="edited"):
        SOURCE.url(pin, RemoteFile("f", 1))


def test_content_hashes_become_checks(double: DropboxDouble) -> None:
    place = Own(double)
    place.put("empty", b"")
    [file] = listed(SOURCE.resolve(place.ref, place.ctx), place.ctx)
    assert file.checks == (Checksum("dropbox", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),)


@pytest.mark.parametrize("size", [0, 1, (4 << 20) - 1, 4 << 20, (4 << 20) + 1, 8 << 20, (9 << 20) + 12_345])
def test_content_hashes_are_as_dropbox_defines_them(size: int) -> None:
    """https://www.dropbox.com/developers/reference/content-hash, in the words of that page: the blocks of 4 MiB, the
    SHA-256 of each, these one after the other, and the SHA-256 of that."""
    body = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    blocks = [body[start : start + 4_194_304] for start in range(0, size, 4_194_304)]
    wanted = hashlib.sha256(b"".join(hashlib.sha256(block).digest() for block in blocks)).hexdigest()
    for piece in (1_000_003, 5 << 20):
        hash = begin("dropbox", size)
        for start in range(0, size, piece):
            hash.update(memoryview(body)[start : start + piece])
        assert hash.hexdigest() == wanted


def test_a_page_that_a_doi_leads_to_is_known_by_its_address() -> None:
    url = "https://www.dropbox.com/scl/fo/6x/h?rlkey=k1"
    assert landing.recognise(url, context()) == Ref(url)
    assert dropbox.recognise("https://www.dropbox.com/help", context()) is None

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from gotdata.context import Context
from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.errors import (
    AccessDenied,
    AuthRequired,
    IntegrityError,
    ResolveError,
    SourceError,
    SourceUnavailable,
    UpstreamChanged,
)
from gotdata.model import Kind, Pin, Ref, RemoteFile, Span
from gotdata.report import Event
from gotdata.sources import gdrive, landing
from gotdata.sources.gdrive import GDrive
from gotdata.sources.gdrive_place import Place as Meant
from gotdata.sources.gdrive_place import placed
from gotdata.testing.double import Switched
from gotdata.testing.gdrive_double import DOCUMENT, FOLDER, ROOT, SHORTCUT, GDriveDouble
from gotdata.testing.hostile_contract import HostileContract, Liar
from gotdata.testing.source_contract import BODY, Place, SourceContract, context

SOURCE = GDrive()
ID = "1aBcDeFgHiJkLmNoPqRsTuVwXyZ012345"
SITE = "https://drive.google.com"


def holder(double: GDriveDouble, key: bool = False) -> Context:
    header = ("X-Goog-Api-Key", double.api_key) if key else ("Authorization", f"Bearer {double.token}")
    return context(Credentials([Credential(f"{double.root}/drive/v3/", "cred:mine", (header,))]))


class Shared(Switched):
    """A shared folder, seen by somebody with a token."""

    def __init__(self, double: GDriveDouble) -> None:
        super().__init__(double)
        self.ref = Ref(f"gdrive:{double.root}/drive/folders/{ROOT}?usp=sharing")
        self.ctx = holder(double)

    def put(self, path: str, body: bytes) -> None:
        self.double.put(path, body)

    def remove(self, path: str) -> None:
        self.double.remove(path)

    def folder(self, path: str) -> None:
        self.double.folder(path)

    def one(self, path: str) -> Ref:
        return link(self.double, self.double.id(path) or "1NothingHasThisId")

    def fill(self, count: int) -> None:
        parent, self.double.page = self.double.folder("many"), 1000
        for number in range(count):
            self.double.make(str(number), parent)

    def deny(self) -> None:
        self.double.refused = "insufficientFilePermissions"

    def cut(self, path: str, after: int) -> None:
        self.double.breaks[self.double.id(path)] = after


@pytest.fixture
def double() -> Iterator[GDriveDouble]:
    with GDriveDouble() as double:
        yield double


class TestSharedFolder(SourceContract):
    source = SOURCE
    checks = "sha256"

    @pytest.fixture
    def place(self, double: GDriveDouble) -> Place:
        return Shared(double)

    def test_a_refusal_says_that_it_wants_a_credential(self, place: Place, double: GDriveDouble) -> None:
        place.put("f", BODY)
        with pytest.raises(AuthRequired, match="gotdata login gdrive"):
            SOURCE.resolve(place.ref, context())
        double.token = "another"
        with pytest.raises(AuthRequired, match="gotdata login gdrive"):
            SOURCE.resolve(place.ref, place.ctx)

    def test_its_realm_is_that_of_who_asks(self, place: Place) -> None:
        place.put("f", b"1")
        assert self.source.realm(self.pin(place), place.ctx) != PUBLIC


class TestLies(HostileContract):
    source = SOURCE
    twins_are_told_apart = True

    @pytest.fixture
    def liar(self, double: GDriveDouble) -> Liar:
        place = Shared(double)
        place.put("f", BODY)
        return place


def link(double: GDriveDouble, id: str, key: str = "") -> Ref:
    return Ref(f"gdrive:{double.root}/file/d/{id}/view?usp=drive_link" + (f"&resourcekey={key}" if key else ""))


def listed(pin: Pin, ctx: Context | None = None) -> list[RemoteFile]:
    return list(SOURCE.files(pin, ctx or context()))


def content(pin: Pin, file: RemoteFile, span: Span, ctx: Context | None = None) -> bytes:
    with SOURCE.read(pin, file, span, ctx or context()) as stream:
        return stream.readall()


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        (f"{SITE}/file/d/{ID}/view?usp=sharing", Meant(SITE, ID, kind="file")),
        (f"{SITE}/file/d/{ID}/edit?resourcekey=0-x_Y", Meant(SITE, ID, "0-x_Y", "file")),
        (f"{SITE}/file/u/1/d/{ID}/preview", Meant(SITE, ID, kind="file")),
        (f"{SITE}/open?id={ID}&authuser=0", Meant(SITE, ID)),
        (f"{SITE}/uc?id={ID}&export=download", Meant(SITE, ID, kind="file")),
        (f"https://docs.google.com/uc?export=download&id={ID}", Meant(SITE, ID, kind="file")),
        (f"https://drive.usercontent.google.com/download?id={ID}&confirm=t", Meant(SITE, ID, kind="file")),
        (f"{SITE}/drive/folders/{ID}?usp=drive_link", Meant(SITE, ID, kind="folders")),
        (f"{SITE}/drive/u/0/folders/{ID}?resourceKey=0-k", Meant(SITE, ID, "0-k", "folders")),
        (f"{SITE}/drive/mobile/folders/{ID}", Meant(SITE, ID, kind="folders")),
        (f"https://www.googleapis.com/drive/v3/files/{ID}?alt=media", Meant(SITE, ID)),
        (f"https://docs.google.com/spreadsheets/d/{ID}/edit#gid=0", Meant(SITE, ID, kind="spreadsheets")),
        (f"gdrive:{ID}", Meant(SITE, ID)),
        (f"GDRIVE:{SITE}/open?id={ID}", Meant(SITE, ID)),
    ],
)
def test_addresses_are_understood(url: str, meant: Meant) -> None:
    assert placed(url) == meant
    assert SOURCE.claims(Ref(url))
    again = placed(meant.text)
    assert again is not None
    assert (again.id, again.key) == (meant.id, meant.key), "its own spelling means the same"


@pytest.mark.parametrize(
    "url",
    [
        f"https://drive.google.com.evil.example/file/d/{ID}/view",
        f"https://evil.example/file/d/{ID}/view",
        "https://drive.google.com/drive/my-drive",
        f"https://www.googleapis.com/storage/v1/b/{ID}",
        "https://[broken/file/d/x",
    ],
)
def test_other_addresses_are_not_claimed(url: str) -> None:
    assert not SOURCE.claims(Ref(url))


def test_an_address_that_means_nothing_is_refused() -> None:
    with pytest.raises(ResolveError, match="nothing in Google Drive"):
        SOURCE.resolve(Ref("gdrive:https://drive.google.com/drive/my-drive"), context())


def test_a_shared_file_is_read_without_a_credential(double: GDriveDouble) -> None:
    pin = SOURCE.resolve(link(double, double.put("grün counts.csv", BODY)), context())
    [file] = listed(pin)
    assert (file.path, file.size) == ("grün counts.csv", len(BODY))
    assert content(pin, file, Span(0, len(BODY))) == BODY
    assert content(pin, file, Span(5, 10)) == BODY[5:10]
    assert SOURCE.realm(pin, context()) == PUBLIC


def test_the_page_of_a_large_file_is_confirmed_once(double: GDriveDouble) -> None:
    double.large = 1000
    pin = SOURCE.resolve(link(double, double.put("big.bin", BODY)), context())
    [file] = listed(pin)
    before = len(double.server.requests)
    assert content(pin, file, Span(5, 10)) == BODY[5:10]
    assert len(double.server.requests) == before + 1
    assert "confirm=t" in file.at
    assert "uuid" not in file.at, "what is of one visit is never kept"


def test_a_form_that_leads_elsewhere_is_refused(double: GDriveDouble) -> None:
    double.large, double.action = 1000, "https://evil.example/download"
    with pytest.raises(SourceError, match=r"evil\.example.*not Drive's"):
        SOURCE.resolve(link(double, double.put("big.bin", BODY)), context())


def test_a_form_that_leads_to_itself_is_an_error(double: GDriveDouble) -> None:
    double.large, double.action = 1000, f"{double.root}/uc"
    with pytest.raises(ResolveError, match="Virus scan warning"):
        SOURCE.resolve(link(double, double.put("big.bin", BODY)), context())


def test_a_quota_that_is_used_up_is_told_in_words(double: GDriveDouble) -> None:
    ref = link(double, double.put("f", BODY))
    pin = SOURCE.resolve(ref, context())
    [file] = listed(pin)
    double.quota = True
    with pytest.raises(SourceUnavailable, match=r"downloaded too often today.*tomorrow.*gotdata login gdrive"):
        SOURCE.resolve(ref, context())
    for span in (Span(0, len(BODY)), Span(5, 10)):
        with pytest.raises(SourceUnavailable, match="downloaded too often today"):
            content(pin, file, span)


def test_a_login_page_is_no_file(double: GDriveDouble) -> None:
    double.private = True
    with pytest.raises(AuthRequired, match=r"not for everybody.*gotdata login gdrive"):
        SOURCE.resolve(link(double, double.put("f", BODY)), context())


@pytest.mark.parametrize("wall", ["html", "login", "challenge"])
def test_a_wall_before_a_download_is_told_by_its_name(double: GDriveDouble, wall: str) -> None:
    ref = link(double, double.put("f", BODY))
    double.wall = wall
    with pytest.raises((SourceError, ResolveError), match="gdrive") as caught:
        SOURCE.resolve(ref, context())
    assert "127.0.0.1" in str(caught.value)


def test_a_changed_download_is_noticed(double: GDriveDouble) -> None:
    pin = SOURCE.resolve(link(double, double.put("f", BODY)), context())
    [file] = listed(pin)
    double.put("f", BODY[::-1])
    with pytest.raises(UpstreamChanged):
        content(pin, file, Span(5, 10))


def test_a_download_without_an_etag_is_bound_by_its_size_alone(double: GDriveDouble) -> None:
    double.etags = False
    pin = SOURCE.resolve(link(double, double.put("f", BODY)), context())
    [file] = listed(pin)
    double.put("f", BODY[:-1])
    with pytest.raises(UpstreamChanged):
        content(pin, file, Span(5, 10))


def test_a_shared_page_of_html_is_a_file(double: GDriveDouble) -> None:
    id = double.make("report.html", kind="text/html", body=b"<html>", revision=1)
    pin = SOURCE.resolve(link(double, id), context())
    assert content(pin, listed(pin)[0], Span(0, 6)) == b"<html>"


def test_an_api_key_is_enough_for_what_is_shared_with_everybody(double: GDriveDouble) -> None:
    double.put("f", BODY)
    ctx = holder(double, key=True)
    pin = SOURCE.resolve(Shared(double).ref, ctx)
    [file] = listed(pin, ctx)
    assert content(pin, file, Span(5, 10), ctx) == BODY[5:10]
    assert not any(double.api_key in request.path for request in double.server.requests)


@pytest.mark.parametrize("held", [True, False])
def test_a_resource_key_goes_along(double: GDriveDouble, held: bool) -> None:
    ctx = holder(double) if held else context()
    id = double.put("f", BODY)
    double.items[id].key = "0-secretLike"
    pin = SOURCE.resolve(link(double, id, "0-secretLike"), ctx)
    [file] = listed(pin, ctx)
    assert content(pin, file, Span(5, 10), ctx) == BODY[5:10]
    with pytest.raises(ResolveError):
        SOURCE.resolve(link(double, id), ctx)


def test_files_and_folders_of_a_folder_have_resource_keys_of_their_own(double: GDriveDouble) -> None:
    double.items[ROOT].key = "0-root"
    double.items[double.put("d/f", BODY)].key = "0-f"
    double.items[double.id("d")].key = "0-d"
    ctx = holder(double)
    pin = SOURCE.resolve(Ref(f"{Shared(double).ref.url}&resourcekey=0-root"), ctx)
    [file] = listed(pin, ctx)
    assert content(pin, file, Span(5, 10), ctx) == BODY[5:10]
    assert not any("0-f" in request.path for request in double.server.requests)
    double.remove("d/f")
    with pytest.raises(Exception, match="nothing with this id") as caught:
        content(pin, file, Span(5, 10), ctx)
    assert "0-f" not in str(caught.value)


def test_shortcuts_are_followed(double: GDriveDouble) -> None:
    file = double.put("elsewhere/a.csv", BODY)
    folder = double.folder("elsewhere")
    root = double.folder("shared")
    double.make("one.csv", root, kind=SHORTCUT, target=file)
    double.make("all", root, kind=SHORTCUT, target=folder)
    ctx = holder(double)
    pin = SOURCE.resolve(Ref(f"gdrive:{double.root}/drive/folders/{root}"), ctx)
    found = {file.path: file for file in listed(pin, ctx)}
    assert set(found) == {"one.csv", "all/a.csv"}
    assert content(pin, found["one.csv"], Span(5, 10), ctx) == BODY[5:10]


def test_a_shortcut_as_reference_means_its_target(double: GDriveDouble) -> None:
    target = double.put("a.csv", BODY)
    ctx = holder(double)
    pin = SOURCE.resolve(link(double, double.make("s", kind=SHORTCUT, target=target)), ctx)
    assert [file.path for file in listed(pin, ctx)] == ["a.csv"]
    assert pin.namespace == f"gdrive:{target}"


def test_shortcuts_that_lead_to_each_other_are_a_loop(double: GDriveDouble) -> None:
    one = double.make("one", kind=SHORTCUT)
    double.items[one].target = double.make("two", kind=SHORTCUT, target=one)
    with pytest.raises(ResolveError, match="loop"):
        SOURCE.resolve(link(double, one), holder(double))


def warned(double: GDriveDouble) -> tuple[list[RemoteFile], list[str]]:
    told: list[Event] = []
    ctx = replace(holder(double), reporter=told.append)
    files = listed(SOURCE.resolve(Shared(double).ref, ctx), ctx)
    assert all(event.kind == "warning" for event in told)
    return files, [event.text for event in told]


def test_a_dangling_shortcut_is_left_out_with_a_warning(double: GDriveDouble) -> None:
    double.put("f", BODY)
    double.make("gone", kind=SHORTCUT, target="1Nothing00000")
    files, told = warned(double)
    assert [file.path for file in files] == ["f"]
    assert "'gone' is a shortcut to what is not there" in told[0]


def test_a_shortcut_to_a_folder_above_is_left_out_with_a_warning(double: GDriveDouble) -> None:
    double.put("d/f", BODY)
    double.make("up", double.folder("d"), kind=SHORTCUT, target=ROOT)
    files, told = warned(double)
    assert [file.path for file in files] == ["d/f"]
    assert "'d/up' is a shortcut to a folder that it lies in" in told[0]


def test_shortcuts_without_end_are_given_up(double: GDriveDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gotdata.sources.gdrive_api.SHORTCUTS", 3)
    for number in range(4):
        double.make(f"s{number}", kind=SHORTCUT, target=double.put("f", b""))
    with pytest.raises(SourceError, match="no end"):
        warned(double)


def test_a_folder_that_holds_itself_is_an_error(double: GDriveDouble) -> None:
    double.hostile = "self"
    with pytest.raises(SourceError, match="holds itself"):
        warned(double)


def test_files_of_one_name_are_told_apart_by_their_ids(double: GDriveDouble) -> None:
    ids = [double.make("a.csv", body=b"1", revision=1)]
    double.make("b.csv", body=b"55555", revision=1)
    ids += [double.make("a.csv", body=b"22", revision=1)]
    double.make("A.csv", body=b"333", revision=1)
    folders = [double.make("d", kind=FOLDER), double.make("d", kind=FOLDER)]
    double.make("f", folders[0], body=b"4444")
    double.page = 1
    files, _ = warned(double)
    wanted = {
        f"a ({ids[0]}).csv": 1,
        f"a ({ids[1]}).csv": 2,
        "A.csv": 3,
        "b.csv": 5,
        f"d ({folders[0]})/f": 4,
        f"d ({folders[1]})": 0,
    }
    assert {file.path: file.size for file in files} == wanted


def test_a_slash_in_a_name_makes_a_folder(double: GDriveDouble) -> None:
    double.make("2026/05/counts.csv", body=BODY, revision=1)
    ctx = holder(double)
    pin = SOURCE.resolve(Shared(double).ref, ctx)
    [file] = listed(pin, ctx)
    assert file.path == "2026/05/counts.csv"
    assert content(pin, file, Span(5, 10), ctx) == BODY[5:10]


def test_documents_are_left_out_of_a_folder_with_a_warning(double: GDriveDouble) -> None:
    double.put("f", BODY)
    double.make("Notes", kind=DOCUMENT)
    double.make("Only notes", double.folder("d"), kind=DOCUMENT)
    files, told = warned(double)
    assert {file.path: file.kind for file in files} == {"f": Kind.FILE, "d": Kind.DIR}
    assert any("'Notes' has no bytes of its own" in text for text in told)


def test_a_document_as_reference_is_refused(double: GDriveDouble) -> None:
    with pytest.raises(ResolveError, match="no bytes of its own"):
        SOURCE.resolve(link(double, double.make("Notes", kind=DOCUMENT)), holder(double))
    with pytest.raises(ResolveError, match="no bytes of its own"):
        SOURCE.resolve(Ref(f"https://docs.google.com/document/d/{ID}/edit"), context())
    with pytest.raises(ResolveError, match="a document, a folder"):
        SOURCE.resolve(link(double, double.make("Notes", kind=DOCUMENT)), context())


def test_what_is_in_a_bin_is_not_there(double: GDriveDouble) -> None:
    id = double.put("f", BODY)
    double.items[id].trashed = True
    with pytest.raises(ResolveError, match="bin"):
        SOURCE.resolve(link(double, id), holder(double))
    assert warned(double)[0] == []


def test_what_lies_in_a_shared_drive_is_found(double: GDriveDouble) -> None:
    double.shared_drive = True
    double.put("d/f", BODY)
    ctx = holder(double)
    pin = SOURCE.resolve(Shared(double).ref, ctx)
    [file] = listed(pin, ctx)
    assert content(pin, file, Span(5, 10), ctx) == BODY[5:10]


@pytest.mark.parametrize("revisions", [True, False])
@pytest.mark.parametrize("strong", [True, False])
def test_a_change_is_noticed_by_what_is_shown_of_a_version(double: GDriveDouble, revisions: bool, strong: bool) -> None:
    double.revisions, double.strong = revisions, strong
    id = double.put("f", BODY)
    ctx = holder(double)
    pin = SOURCE.resolve(link(double, id), ctx)
    [file] = listed(pin, ctx)
    assert file.version.startswith("rev:" if revisions else "md5:")
    assert [check.algorithm for check in file.checks] == (["sha256", "sha1", "md5"] if strong else ["md5"])
    assert content(pin, file, Span(5, 10), ctx) == BODY[5:10]
    double.put("f", BODY[::-1])
    with pytest.raises(UpstreamChanged, match="now, and had"):
        content(pin, file, Span(5, 10), ctx)


def test_a_pin_of_the_api_is_not_kept_as_public(double: GDriveDouble) -> None:
    ctx = holder(double)
    pin = SOURCE.resolve(link(double, double.put("f", BODY)), ctx)
    assert SOURCE.realm(pin, ctx) != PUBLIC
    [file] = listed(pin, ctx)
    with pytest.raises(IntegrityError, match="edited"):
        SOURCE.read(pin, replace(file, version=""), Span(0, 1), ctx)
    with pytest.raises(IntegrityError, match="edited"):
        SOURCE.url(pin, replace(file, at=f"{double.root}/uc?id=x"))


@pytest.mark.parametrize(
    ("reason", "error", "words"),
    [
        ("downloadQuotaExceeded", SourceUnavailable, "too often today.*tomorrow"),
        ("dailyLimitExceeded", SourceUnavailable, "tomorrow"),
        ("cannotDownloadAbusiveFile", AccessDenied, "malware"),
        ("cannotDownloadFile", AccessDenied, "allows no download"),
        ("appNotAuthorizedToFile", AccessDenied, "gotdata login gdrive"),
        ("insufficientPermissions", AccessDenied, "gotdata login gdrive"),
        ("domainPolicy", AccessDenied, "organisation"),
        ("accessNotConfigured", AccessDenied, "switched the Drive API on"),
        ("somethingNew", AccessDenied, r"It is somethingNew\."),
    ],
)
def test_the_reason_of_a_403_is_told_in_words(double: GDriveDouble, reason: str, error: type, words: str) -> None:
    id = double.put("f", BODY)
    double.refused = reason
    with pytest.raises(error, match=words) as caught:
        SOURCE.resolve(link(double, id), holder(double))
    assert "Google Drive" in str(caught.value)
    assert len(double.server.requests) == 1, "nothing of this passes within minutes"


def test_a_rate_limit_hidden_in_a_403_passes(double: GDriveDouble) -> None:
    id = double.put("f", BODY)
    double.refused, double.refusals = "userRateLimitExceeded", 3
    assert SOURCE.resolve(link(double, id), holder(double)).version["name"] == "f"
    assert [request.status for request in double.server.requests] == [403, 403, 403, 200]


def test_there_are_no_versions(double: GDriveDouble) -> None:
    with pytest.raises(ResolveError, match="no versions for good"):
        SOURCE.resolve(replace(link(double, ID), options=(("version", "2"),)), context())


def test_a_page_that_a_doi_leads_to_is_known_by_its_address() -> None:
    url = f"{SITE}/drive/folders/{ID}"
    assert landing.recognise(url, context()) == Ref(url)
    assert gdrive.recognise(f"{SITE}/drive/my-drive", context()) is None

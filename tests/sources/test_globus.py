from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from gotdata.context import Context
from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.errors import (
    AccessDenied,
    AuthRequired,
    IntegrityError,
    NoRanges,
    NotFound,
    PolicyError,
    ResolveError,
    SourceError,
    SourceUnavailable,
    UpstreamChanged,
)
from gotdata.model import Pin, Ref, RemoteFile, Span
from gotdata.reach import PUBLIC_ONLY
from gotdata.report import Event
from gotdata.sources import globus, landing
from gotdata.sources.globus import Globus
from gotdata.sources.globus_place import Place as Meant
from gotdata.sources.globus_place import address, placed
from gotdata.testing.double import Switched
from gotdata.testing.globus_double import COLLECTION, LOCAL, TASK, GlobusDouble
from gotdata.testing.hostile_contract import HostileContract, Liar
from gotdata.testing.source_contract import BODY, Place, SourceContract, context

SOURCE = Globus()
APP = "https://app.globus.org"


def holder(double: GlobusDouble, https: bool = False, **values: object) -> Context:
    held = [Credential(f"{double.root}/v0.10/", "cred:api", (("Authorization", f"Bearer {double.token}"),))]
    if https:
        header = (("Authorization", f"Bearer {double.https_token}"),)
        held.append(Credential(f"{double.https_server}/", "cred:https", header))
    return context(Credentials(held), **values)


class Collection(Switched):
    """A folder of a public collection."""

    def __init__(self, double: GlobusDouble) -> None:
        super().__init__(double)
        double.folder("/data")
        self.ref = ref(double, "/data/")
        self.ctx = holder(double)

    def put(self, path: str, body: bytes) -> None:
        self.double.put(f"/data/{path}", body)

    def remove(self, path: str) -> None:
        self.double.remove(f"/data/{path}")

    def folder(self, path: str) -> None:
        self.double.folder(f"/data/{path}")

    def one(self, path: str) -> Ref:
        return ref(self.double, f"/data/{path}")

    def fill(self, count: int) -> None:
        self.double.page = 1000
        for number in range(count):
            self.put(f"many/{number}", b"")

    def deny(self) -> None:
        self.ctx = context()

    def cut(self, path: str, after: int) -> None:
        self.double.breaks[f"/data/{path}"] = after


def ref(double: GlobusDouble, path: str) -> Ref:
    return Ref(
        f"globus:{double.root}/file-manager?origin_id={COLLECTION}&origin_path={quote(path, safe='')}&two_pane=true"
    )


@pytest.fixture
def double() -> Iterator[GlobusDouble]:
    with GlobusDouble() as double:
        yield double


class TestCollection(SourceContract):
    source = SOURCE

    @pytest.fixture
    def place(self, double: GlobusDouble) -> Place:
        return Collection(double)


class TestLies(HostileContract):
    source = SOURCE

    @pytest.fixture
    def liar(self, double: GlobusDouble) -> Liar:
        place = Collection(double)
        place.put("f", BODY)
        return place


def listed(pin: Pin, ctx: Context) -> list[RemoteFile]:
    return list(SOURCE.files(pin, ctx))


def content(pin: Pin, file: RemoteFile, span: Span, ctx: Context) -> bytes:
    with SOURCE.read(pin, file, span, ctx) as stream:
        return stream.readall()


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        (f"globus://{COLLECTION}/share/godata/", Meant(APP, COLLECTION, "/share/godata")),
        (f"GLOBUS://{COLLECTION.upper()}", Meant(APP, COLLECTION, "/")),
        (f"globus:{COLLECTION}/a%20b", Meant(APP, COLLECTION, "/a b")),
        (f"{APP}/file-manager?origin_id={COLLECTION}&origin_path=%2F~%2Fruns%2F", Meant(APP, COLLECTION, "/~/runs")),
        (f"https://WWW.globus.org/app/transfer?origin_id={COLLECTION}", Meant(APP, COLLECTION, "/")),
        (f"{APP}/file-manager/collections/{COLLECTION}/overview", Meant(APP, COLLECTION, "/")),
    ],
)
def test_collections_are_understood(url: str, meant: Meant) -> None:
    assert placed(url) == meant
    assert placed(meant.text) == meant, "its own spelling means the same"
    assert SOURCE.claims(Ref(url))


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        (
            "https://g-c70289.0da32.08cc.data.globus.org/a/b.h5?download=1",
            "https://g-c70289.0da32.08cc.data.globus.org/a/b.h5",
        ),
        ("https://G-1234.fd635.8443.Data.Globus.org/b.h5", "https://g-1234.fd635.8443.data.globus.org/b.h5"),
        ("https://a4969.36fe.dn.glob.us/x", "https://a4969.36fe.dn.glob.us/x"),
        ("globus:https://data.example.org/x", "https://data.example.org/x"),
        ("https://data.globus.org.evil.example/x", ""),
        ("http://g-1.data.globus.org/x", ""),
        ("https://docs.globus.org/api/", ""),
        ("https://app.globus.org/activity", ""),
        ("https://[broken/x", ""),
    ],
)
def test_addresses_of_files_are_understood(url: str, meant: str) -> None:
    assert address(url) == meant
    assert SOURCE.claims(Ref(url)) is bool(meant)


def test_what_names_no_collection_is_refused() -> None:
    with pytest.raises(ResolveError, match="names no collection"):
        SOURCE.resolve(Ref("globus://not-a-uuid/x"), context())


def test_without_a_credential_globus_answers_nobody(double: GlobusDouble) -> None:
    with pytest.raises(AuthRequired, match="gotdata login globus"):
        SOURCE.resolve(Collection(double).ref, context())
    assert double.server.requests == []


def test_bytes_of_a_public_collection_are_everybody_s(double: GlobusDouble) -> None:
    place = Collection(double)
    place.put("f", BODY)
    pin = SOURCE.resolve(place.ref, place.ctx)
    [file] = listed(pin, place.ctx)
    assert SOURCE.realm(pin, context()) == PUBLIC
    assert content(pin, file, Span(5, 10), context()) == BODY[5:10], "a lock is read without a credential"
    [request] = double.store.requests
    assert request.headers["x-requested-with"] == "XMLHttpRequest"
    assert "authorization" not in request.headers
    assert pin.citation.title == "Happy Fun Collection"


def test_a_private_collection_has_a_credential_of_its_own(double: GlobusDouble) -> None:
    double.private = True
    place = Collection(double)
    place.put("f", BODY)
    pin = SOURCE.resolve(place.ref, place.ctx)
    [file] = listed(pin, place.ctx)
    with pytest.raises(AuthRequired, match=f"gotdata login globus://{COLLECTION}"):
        content(pin, file, Span(5, 10), place.ctx)
    ctx = holder(double, https=True)
    assert content(pin, file, Span(5, 10), ctx) == BODY[5:10]
    assert SOURCE.realm(pin, ctx) != PUBLIC


def test_a_page_to_log_in_is_no_file(double: GlobusDouble) -> None:
    double.private = double.browser = True
    place = Collection(double)
    place.put("f", BODY)
    pin = SOURCE.resolve(place.ref, place.ctx)
    [file] = listed(pin, place.ctx)
    for span in (Span(0, len(BODY)), Span(5, 10)):
        with pytest.raises(AuthRequired, match=rf"log in.*gotdata login globus://{COLLECTION}"):
            content(pin, file, span, place.ctx)
    with pytest.raises(AuthRequired, match=r"log in.*gotdata login http://127"):
        SOURCE.resolve(Ref(f"globus:{double.https_server}/data/f"), context())


def test_a_fault_that_says_404_is_tried_on_another_connection(double: GlobusDouble) -> None:
    place = Collection(double)
    place.put("f", BODY)
    pin = SOURCE.resolve(place.ref, place.ctx)
    [file] = listed(pin, place.ctx)
    double.failing = 2
    assert content(pin, file, Span(5, 10), place.ctx) == BODY[5:10]
    asked = double.store.requests
    assert [request.status for request in asked] == [404, 404, 206]
    assert len({request.peer for request in asked}) == 3


def test_a_fault_that_stays_is_no_missing_file(double: GlobusDouble) -> None:
    place = Collection(double)
    place.put("f", BODY)
    pin = SOURCE.resolve(place.ref, place.ctx)
    [file] = listed(pin, place.ctx)
    double.failing = 100
    with pytest.raises(SourceUnavailable, match="machine behind the collection failed"):
        content(pin, file, Span(5, 10), place.ctx)


def test_a_missing_file_is_asked_for_once(double: GlobusDouble) -> None:
    place = Collection(double)
    place.put("f", BODY)
    pin = SOURCE.resolve(place.ref, place.ctx)
    [file] = listed(pin, place.ctx)
    place.remove("f")
    with pytest.raises(NotFound, match="nothing there"):
        content(pin, file, Span(5, 10), place.ctx)
    assert len(double.store.requests) == 1


def test_no_head_and_no_range_of_a_suffix_is_asked(double: GlobusDouble) -> None:
    place = Collection(double)
    for size in (0, 1, 1000):
        place.put(f"f{size}", BODY[:size])
    pin = SOURCE.resolve(place.ref, place.ctx)
    for file in listed(pin, place.ctx):
        content(pin, file, Span(0, file.size or 0), place.ctx)
    assert {request.method for request in double.store.requests} == {"GET"}
    assert not any("=-" in request.headers.get("range", "") for request in double.store.requests)


def test_a_file_is_known_by_its_address_alone(double: GlobusDouble) -> None:
    double.put("/a/big file.h5", BODY)
    double.dated = True
    pin = SOURCE.resolve(Ref(f"globus:{double.https_server}/a/big%20file.h5"), context())
    [file] = listed(pin, context())
    assert (file.path, file.size) == ("big file.h5", len(BODY))
    assert content(pin, file, Span(0, len(BODY)), context()) == BODY
    assert content(pin, file, Span(5, 10), context()) == BODY[5:10]
    assert not any(request.headers.get("range") == "bytes=0-0" for request in double.store.requests)
    double.put("/a/big file.h5", BODY[::-1])
    with pytest.raises(UpstreamChanged):
        content(pin, file, Span(5, 10), context())


def test_a_folder_by_its_address_is_refused(double: GlobusDouble) -> None:
    double.folder("/data")
    for path in ("/data", "/data/", "/"):
        with pytest.raises(ResolveError, match="does not list"):
            SOURCE.resolve(Ref(f"globus:{double.https_server}{path}"), context())


def test_an_address_whose_length_is_not_told_is_refused(double: GlobusDouble) -> None:
    double.put("/f", BODY)
    double.unsized = True
    with pytest.raises(SourceError, match="how long"):
        SOURCE.resolve(Ref(f"globus:{double.https_server}/f"), context())


def test_a_missing_address_is_a_resolve_error(double: GlobusDouble) -> None:
    with pytest.raises(ResolveError, match="nothing there"):
        SOURCE.resolve(Ref(f"globus:{double.https_server}/no/such"), context())


def test_pages_of_a_folder_are_followed(double: GlobusDouble) -> None:
    double.page = 2
    place = Collection(double)
    for name in "abcde":
        place.put(name, b"1")
    assert len(listed(SOURCE.resolve(place.ref, place.ctx), place.ctx)) == 5


def test_links_to_folders_are_left_out_with_a_warning(double: GlobusDouble) -> None:
    place = Collection(double)
    place.put("d/f", BODY)
    double.links = {"/data/d/up": "/data", "/data/broken": "/nowhere"}
    told: list[Event] = []
    ctx = replace(place.ctx, reporter=told.append)
    assert [file.path for file in listed(SOURCE.resolve(place.ref, ctx), ctx)] == ["d/f"]
    assert sorted(event.text.partition("'")[2].partition("'")[0] for event in told) == ["broken", "d/up"]


@pytest.mark.parametrize(
    ("switch", "error", "words"),
    [
        ({"consent": True}, AccessDenied, "ConsentRequired.*gotdata login globus"),
        ({"token": "another"}, AuthRequired, "AuthenticationFailed.*gotdata login globus"),
        ({"asleep": True}, SourceUnavailable, "can't be reached now"),
    ],
)
def test_what_the_api_refuses_is_told_in_words(
    double: GlobusDouble, switch: dict[str, object], error: type, words: str
) -> None:
    place = Collection(double)
    for name, value in switch.items():
        setattr(double, name, value)
    with pytest.raises(error, match=words) as caught:
        SOURCE.resolve(place.ref, place.ctx)
    assert str(caught.value).startswith("Globus: ")


def test_there_are_no_versions(double: GlobusDouble) -> None:
    place = Collection(double)
    with pytest.raises(ResolveError, match="no versions"):
        SOURCE.resolve(replace(place.ref, options=(("version", "2"),)), place.ctx)


def test_a_forged_time_of_change_is_refused(double: GlobusDouble) -> None:
    place = Collection(double)
    place.put("f", BODY)
    pin = SOURCE.resolve(place.ref, place.ctx)
    [file] = listed(pin, place.ctx)
    with pytest.raises(IntegrityError, match="edited"):
        SOURCE.read(pin, replace(file, version=""), Span(0, 1), place.ctx)
    with pytest.raises(IntegrityError, match="edited"):
        SOURCE.url(pin, replace(file, path="../../private"))
    with pytest.raises(SourceError, match="edited"):
        SOURCE.files(Pin("globus", Ref("globus://x"), "n", {"folder": "/"}), place.ctx).__next__()


class TestTransfer:
    """A collection that sends nothing over HTTPS, and one of this machine's own."""

    @pytest.fixture
    def staged(self, double: GlobusDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Collection:
        monkeypatch.setattr("gotdata.sources.globus_transfer.PAUSES", (0.0,))
        double.https, double.lands = False, tmp_path
        place = Collection(double)
        place.put("f", BODY)
        place.ctx = holder(double, globus_endpoint=LOCAL, globus_folder=str(tmp_path))
        return place

    def test_without_a_local_endpoint_it_says_what_to_set(self, staged: Collection, double: GlobusDouble) -> None:
        with pytest.raises(SourceError, match=r"nothing over HTTPS.*globus_endpoint.*globus_folder"):
            SOURCE.resolve(staged.ref, holder(double))

    def test_a_folder_that_is_not_there_or_not_to_be_read_is_named(
        self, staged: Collection, double: GlobusDouble
    ) -> None:
        with pytest.raises(SourceError, match="no such folder"):
            SOURCE.resolve(staged.ref, holder(double, globus_endpoint=LOCAL, globus_folder="/no/such"))
        with pytest.raises(PolicyError, match="for others"):
            SOURCE.resolve(staged.ref, replace(staged.ctx, reach=PUBLIC_ONLY))

    def test_a_file_is_brought_whole_and_its_folder_goes(
        self, staged: Collection, double: GlobusDouble, tmp_path: Path
    ) -> None:
        double.task = lambda asked: ("ACTIVE", "Queued", "") if asked < 3 else ("SUCCEEDED", "OK", "")
        pin = SOURCE.resolve(staged.ref, staged.ctx)
        [file] = listed(pin, staged.ctx)
        with pytest.raises(NoRanges):
            SOURCE.read(pin, file, Span(5, 10), staged.ctx)
        assert content(pin, file, Span(0, len(BODY)), staged.ctx) == BODY
        assert list(tmp_path.iterdir()) == []
        [task] = double.tasks
        assert (task["source_endpoint"], task["destination_endpoint"]) == (COLLECTION, LOCAL)
        assert task["verify_checksum"] is True
        assert task["DATA"][0]["source_path"] == "/data/f"
        assert task["DATA"][0]["destination_path"].startswith(f"{tmp_path}/gotdata-")
        assert SOURCE.realm(pin, staged.ctx) != PUBLIC
        assert SOURCE.url(pin, file).endswith(f"{COLLECTION}/data/f")

    def test_the_endpoint_may_know_the_folder_by_another_path(self, staged: Collection, double: GlobusDouble) -> None:
        ctx = holder(double, globus_endpoint=f"{LOCAL}/~/in/", globus_folder=staged.ctx.settings.globus_folder)
        pin = SOURCE.resolve(staged.ref, ctx)
        double.lands = None
        with pytest.raises(SourceError, match=r"not in .*another path than /~/in"):
            content(pin, listed(pin, ctx)[0], Span(0, len(BODY)), ctx)
        assert double.tasks[0]["DATA"][0]["destination_path"].startswith("/~/in/gotdata-")

    @pytest.mark.parametrize(
        ("status", "nice"), [("FAILED", "TIMEOUT"), ("ACTIVE", "PERMISSION_DENIED"), ("INACTIVE", "AUTH")]
    )
    def test_a_task_that_fails_is_told_with_its_words(
        self, staged: Collection, double: GlobusDouble, tmp_path: Path, status: str, nice: str
    ) -> None:
        pin = SOURCE.resolve(staged.ref, staged.ctx)
        [file] = listed(pin, staged.ctx)
        double.task = lambda asked: (status, nice, "Error (open)\n550-GridFTP-Error: Path not allowed.")
        with pytest.raises(SourceError, match=rf"{nice}.*Path not allowed.*activity/{TASK}") as caught:
            content(pin, file, Span(0, len(BODY)), staged.ctx)
        assert "Globus: " in str(caught.value)
        assert double.cancelled == [TASK]
        assert list(tmp_path.iterdir()) == []

    def test_a_file_that_changed_before_it_was_brought_is_noticed(
        self, staged: Collection, double: GlobusDouble, tmp_path: Path
    ) -> None:
        pin = SOURCE.resolve(staged.ref, staged.ctx)
        [file] = listed(pin, staged.ctx)
        for body in (BODY[:-1], BODY[::-1]):
            staged.put("f", body)
            with pytest.raises(UpstreamChanged):
                content(pin, file, Span(0, len(BODY)), staged.ctx)
        assert list(tmp_path.iterdir()) == []

    def test_who_waits_may_give_up_and_the_task_ends(
        self, staged: Collection, double: GlobusDouble, tmp_path: Path
    ) -> None:
        def interrupt(asked: int) -> tuple[str, str, str]:
            raise KeyboardInterrupt

        pin = SOURCE.resolve(staged.ref, staged.ctx)
        [file] = listed(pin, staged.ctx)
        ctx = replace(staged.ctx, reporter=lambda event: interrupt(0))
        with pytest.raises(KeyboardInterrupt):
            content(pin, file, Span(0, len(BODY)), ctx)
        assert list(tmp_path.iterdir()) == []


def test_a_page_that_a_doi_leads_to_is_known_by_its_address() -> None:
    url = f"{APP}/file-manager?origin_id={COLLECTION}&origin_path=%2Fshare%2F"
    assert landing.recognise(url, context()) == Ref(url)
    assert globus.recognise(f"{APP}/activity", context()) is None

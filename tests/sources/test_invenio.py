from __future__ import annotations

from collections.abc import Iterator

import pytest

from gotdata.context import Context
from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.errors import AuthRequired, IntegrityError, NoRanges, ResolveError, SourceError, UpstreamChanged
from gotdata.model import Checksum, Citation, Pin, Ref, RemoteFile, Span
from gotdata.settings import Settings
from gotdata.sources.http_engine import Engine
from gotdata.sources.invenio import Invenio
from gotdata.sources.invenio_record import place_of
from gotdata.testing.double import Switched
from gotdata.testing.hostile_contract import HostileContract
from gotdata.testing.invenio_double import Repository
from gotdata.testing.source_contract import BODY, ODD_NAMES, Place, SourceContract, context

SOURCE = Invenio()


class Record(Switched):
    """The files of one record. It appears when its first file does, as a record without files can't be published."""

    def __init__(self, repository: Repository) -> None:
        super().__init__(repository)
        self.id = repository.publish({})
        self.ref = Ref(f"invenio:{repository.root}/records/{self.id}")
        self.ctx = context()

    def put(self, path: str, body: bytes) -> None:
        self.double.put(self.id, path, body)

    def remove(self, path: str) -> None:
        self.double.remove(self.id, path)

    def folder(self, path: str) -> None:
        raise NotImplementedError

    def one(self, path: str) -> Ref:
        return Ref(f"{self.ref.url}/files/{path.replace(' ', '%20')}?download=1")

    def fill(self, count: int) -> None:
        for number in range(count):
            self.put(f"many/{number}", b"")

    def cut(self, path: str, after: int) -> None:
        self.double.cut_file(self.id, path, after)


class TestInvenio(SourceContract):
    source = SOURCE
    checks = "md5"
    empty_folders = False
    odd_names = tuple(name for name in ODD_NAMES if name != "...")

    @pytest.fixture
    def place(self) -> Iterator[Place]:
        with Repository() as repository:
            yield Record(repository)


class TestInvenioAgainstLies(HostileContract):
    """The files of a record come in one answer: their listing knows no pages."""

    source = SOURCE
    lies = ("sizes", "names", "twins")

    @pytest.fixture
    def liar(self) -> Iterator[Record]:
        with Repository() as repository:
            record = Record(repository)
            record.put("counts.h5", BODY)
            yield record


@pytest.fixture
def repository() -> Iterator[Repository]:
    with Repository() as repository:
        yield repository


def resolved(repository: Repository, id: str, ctx: Context | None = None, **options: str) -> Pin:
    return SOURCE.resolve(Ref(f"invenio:{repository.root}/records/{id}", tuple(options.items())), ctx or context())


def listed(pin: Pin, ctx: Context | None = None) -> list[RemoteFile]:
    return list(SOURCE.files(pin, ctx or context()))


@pytest.mark.parametrize(
    ("url", "claimed"),
    [
        ("https://zenodo.org/records/1234567", True),
        ("https://zenodo.org/record/1234567#.Yx", True),
        ("https://zenodo.org/api/records/1234567", True),
        ("https://zenodo.org/doi/10.5281/zenodo.1234567", True),
        ("https://sandbox.zenodo.org/records/1/files/a.csv?download=1", True),
        ("https://ZENODO.org/records/1", True),
        ("invenio:https://data.example.org/records/cbc2k-q9x58", True),
        ("https://zenodo.org/communities/cells", False),
        ("https://zenodo.org.evil.example/records/1", False),
        ("https://example.org/records/1", False),
    ],
)
def test_references_are_claimed_by_their_text(url: str, claimed: bool) -> None:
    assert SOURCE.claims(Ref(url)) is claimed


@pytest.mark.parametrize("concepts", ["missing", "redirect"])
def test_a_concept_means_its_newest_version_and_the_pin_names_that(concepts: str) -> None:
    with Repository(concepts=concepts) as repository:  # type: ignore[arg-type]
        first = repository.publish({"a": b"1"})
        second = repository.publish({"a": b"22"}, after=first)
        pin = resolved(repository, repository.concept(first))
        assert pin.version == {"record": second}
        assert pin.ref.url == f"invenio:{repository.root}/records/{second}"
        assert resolved(repository, first).version == {"record": first}


def test_a_version_is_picked_by_its_word_its_number_or_its_id(repository: Repository) -> None:
    ids = [first := repository.publish({"a": b"1"}, version="1.0")]
    ids += [repository.publish({"a": b"1"}, version=f"{number}.0", after=first) for number in range(2, 8)]
    for wanted, index in (("3.0", 2), ("1.0", 0), ("4", 3), (ids[5], 5)):
        assert resolved(repository, first, version=wanted).version == {"record": ids[index]}
    with pytest.raises(ResolveError, match=r"no version 9; there are 7\.0, 6\.0"):
        resolved(repository, first, version="9")


def test_a_version_that_two_records_have_is_asked_about(repository: Repository) -> None:
    first = repository.publish({"a": b"1"}, version="v1")
    second = repository.publish({"a": b"1"}, version="v1", after=first)
    with pytest.raises(ResolveError, match=f"may be {second}, {first}"):
        resolved(repository, first, version="v1")


def test_the_citation_is_read_from_both_shapes(repository: Repository) -> None:
    id = repository.publish({"a": b"1"})
    wanted = Citation("Cells, counted", ("Noether, Emmy", "Curie, Marie"), repository.doi(id), "cc-by-4.0")
    pin = resolved(repository, id)
    assert pin.citation == wanted
    assert pin.namespace == f"doi:{repository.doi(id)}"
    repository.old = True
    assert resolved(repository, id).citation == wanted


def test_md5_sums_become_checks(repository: Repository) -> None:
    [file] = listed(resolved(repository, repository.publish({"a": b"1"})))
    assert file.checks == (Checksum("md5", "c4ca4238a0b923820dcc509a6f75849b"),)


@pytest.mark.parametrize(
    ("ranges", "path"), [("page", "records/{}/files/f"), ("api", "api/records/{}/files/f/content")]
)
def test_ranges_are_read_where_the_repository_sends_them(ranges: str, path: str) -> None:
    with Repository(ranges=ranges) as repository:  # type: ignore[arg-type]
        id = repository.publish({"f": BODY})
        pin = resolved(repository, id)
        [file] = listed(pin)
        assert file.at == repository.server.at(path.format(id))
        with SOURCE.read(pin, file, Span(5, 10), context()) as stream:
            assert stream.readall() == BODY[5:10]


def test_without_ranges_whole_files_are_read(repository: Repository) -> None:
    with Repository(ranges="") as repository:
        pin = resolved(repository, repository.publish({"f": BODY}))
        [file] = listed(pin)
        with SOURCE.read(pin, file, Span(0, len(BODY)), context()) as stream:
            assert stream.readall() == BODY
        with pytest.raises(NoRanges):
            SOURCE.read(pin, file, Span(5, 10), context())


def test_files_in_another_store_are_read_by_signed_redirects() -> None:
    with Repository(stored=True) as repository:
        pin = resolved(repository, repository.publish({"f": BODY}))
        [file] = listed(pin)
        with SOURCE.read(pin, file, Span(5, 10), context()) as stream:
            assert stream.readall() == BODY[5:10]
        assert "Signature" not in file.at
        assert {request.method for request in repository.store.requests} == {"GET"}


def test_a_broken_address_of_a_file_is_replaced_by_its_other(repository: Repository) -> None:
    id = repository.publish({"a/b c.bin": BODY})
    pin = resolved(repository, id)
    [file] = listed(pin)
    repository.server.remove(f"records/{id}/files/a/b c.bin")
    with SOURCE.read(pin, file, Span(0, len(BODY)), context()) as stream:
        assert stream.readall() == BODY


def test_a_restricted_record_says_what_would_open_it(repository: Repository) -> None:
    id = repository.publish({"a": BODY}, restricted=True)
    with pytest.raises(AuthRequired, match=r"restricted.*`gotdata login http://127.*` puts in a token"):
        resolved(repository, id)


def test_an_embargo_says_when_it_ends(repository: Repository) -> None:
    repository.embargo = "2999-01-01"
    id = repository.publish({"a": BODY}, restricted=True)
    with pytest.raises(AuthRequired, match="under embargo until 2999-01-01"):
        resolved(repository, id)


def test_a_token_opens_a_restricted_record_in_a_realm_of_its_own(repository: Repository) -> None:
    id = repository.publish({"a": BODY}, restricted=True)
    token = (("Authorization", f"Bearer {repository.token}"),)
    held = Credentials([Credential(f"{repository.root}/", "cred:mine", token)])
    ctx = context(held)
    pin = resolved(repository, id, ctx)
    [file] = listed(pin, ctx)
    with SOURCE.read(pin, file, Span(1, 3), ctx) as stream:
        assert stream.readall() == BODY[1:3]
    assert SOURCE.realm(pin, ctx) != PUBLIC


def test_a_withdrawn_record_is_said_to_be_gone(repository: Repository) -> None:
    id = repository.publish({"a": b"1"})
    repository.withdraw(id)
    with pytest.raises(ResolveError, match=r"any more.*withdrawn"):
        resolved(repository, id)


def test_a_record_without_files_is_said_to_have_none(repository: Repository) -> None:
    with pytest.raises(ResolveError, match="only a description"):
        resolved(repository, repository.publish({}))


def test_a_rate_limit_is_waited_for(repository: Repository) -> None:
    id = repository.publish({"a": b"1"})
    repository.limit = 2
    assert resolved(repository, id).version == {"record": id}
    assert [request.status for request in repository.server.requests] == [429, 429, 200]


def test_a_page_in_place_of_the_api_is_no_record(repository: Repository) -> None:
    repository.server.put("api/records/5", b"<html>", kind="text/html")
    with pytest.raises(SourceError, match="web page"):
        resolved(repository, "5")


def test_a_changed_file_of_the_same_size_is_noticed_on_a_range(repository: Repository) -> None:
    id = repository.publish({"a": BODY})
    pin = resolved(repository, id)
    [file] = listed(pin)
    repository.put(id, "a", BODY[::-1])
    with pytest.raises(UpstreamChanged, match="checksum"):
        SOURCE.read(pin, file, Span(5, 10), context())


def test_a_forged_locator_is_refused() -> None:
    pin = Pin("invenio", Ref("invenio:https://zenodo.org/records/1"), "doi:10.5281/zenodo.1", {"record": "1"})
    with pytest.raises(IntegrityError, match="edited"):
        Invenio().url(pin, RemoteFile("f.bin", 4, at="https://zenodo.org.evil.example/records/1/files/f.bin"))


@pytest.mark.parametrize(
    "url",
    [
        "https://ZENODO.org/record/5",
        "http://www.zenodo.org/records/5?token=x",
        "https://zenodo.org/api/records/5",
        "https://zenodo.org/doi/10.5281/zenodo.5",
    ],
)
def test_one_record_has_one_spelling(url: str) -> None:
    place = place_of(url)
    assert place is not None
    assert place.page == "https://zenodo.org/records/5"


@pytest.mark.parametrize("page", ["files/a/b c.csv?download=1", "preview/a/b%20c.csv?include_deleted=0"])
def test_pages_about_one_file_mean_it(repository: Repository, page: str) -> None:
    id = repository.publish({"a/b c.csv": b"1", "other": b"2"})
    pin = resolved(repository, f"{id}/{page}")
    assert pin.version == {"record": id, "file": "a/b c.csv"}
    assert [file.path for file in listed(pin)] == ["b c.csv"]


def test_keys_with_slashes_are_sent_as_they_are(repository: Repository) -> None:
    """An escaped slash was a 404 at Zenodo."""
    pin = resolved(repository, repository.publish({"jbferet/biodivMapR v1.zip": BODY}))
    [file] = listed(pin)
    assert file.path == "jbferet/biodivMapR v1.zip"
    with SOURCE.read(pin, file, Span(5, 10), context()) as stream:
        assert stream.readall() == BODY[5:10]
    assert file.at.endswith("/files/jbferet/biodivMapR%20v1.zip")


def test_a_repository_from_before_invenio_rdm_lists_files_in_its_records(repository: Repository) -> None:
    repository.before, repository.ranges = True, ""
    pin = resolved(repository, id := repository.publish({"a/b": BODY}))
    [file] = listed(pin)
    assert file.at == f"{repository.root}/api/files/bucket-{id}/a/b"
    with SOURCE.read(pin, file, Span(5, 10), context()) as stream:
        assert stream.readall() == BODY[5:10]


def test_a_draft_is_never_taken(repository: Repository) -> None:
    id = repository.publish({"a": b"1"})
    repository.draft(id)
    with pytest.raises(ResolveError, match="is a draft"):
        resolved(repository, id)


def test_a_limit_that_says_when_it_ends_is_waited_for(repository: Repository) -> None:
    id = repository.publish({"a": b"1"})
    repository.limit, repository.resets = 1, True
    waited: list[float] = []
    held, chosen = Credentials(), Settings()
    ctx = Context(chosen, held, Engine(chosen, held, sleep=waited.append, environ={}))
    assert resolved(repository, id, ctx).version == {"record": id}
    assert 1 <= waited[0] <= 3


def test_versions_that_lead_in_a_circle_are_an_error(repository: Repository) -> None:
    first = repository.publish({"a": b"1"})
    for _ in range(4):
        repository.publish({"a": b"1"}, after=first)
    repository.circles = True
    with pytest.raises(SourceError, match="a loop on the server"):
        resolved(repository, first, version="9")


def test_a_link_of_a_listing_to_another_site_is_not_followed(repository: Repository) -> None:
    """The bytes would be kept as the record's."""
    repository.ranges = "api"
    id = repository.publish({"a": BODY})
    pin = resolved(repository, id)
    repository.server.put(
        f"api/records/{id}/files",
        b'{"entries": [{"key": "a", "size": 4, "links": {"content": "https://evil.example/a"}}]}',
        kind="application/json",
    )
    [file] = listed(pin)
    assert file.at.startswith(repository.root)

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace

import pytest

from gotdata.errors import IntegrityError, ResolveError, SourceError, UpstreamChanged
from gotdata.model import Checksum, Citation, Pin, Ref, RemoteFile, Span
from gotdata.sources import cernopendata, landing
from gotdata.sources.cernopendata import CernOpenData
from gotdata.testing.cernopendata_double import EOS, Portal
from gotdata.testing.double import Switched
from gotdata.testing.hostile_contract import HostileContract
from gotdata.testing.source_contract import BODY, SourceContract, context

SOURCE = CernOpenData()


class Record(Switched):
    def __init__(self, portal: Portal) -> None:
        super().__init__(portal)
        self.number = portal.create()
        self.ref = Ref(f"cernopendata:{portal.page_of(self.number)}")
        self.ctx = context()

    def put(self, path: str, body: bytes) -> None:
        self.double.put(self.number, path, body)

    def remove(self, path: str) -> None:
        self.double.remove(self.number, path)

    def folder(self, path: str) -> None:
        raise NotImplementedError

    def one(self, path: str) -> Ref:
        return Ref(f"cernopendata:{self.double.page_of(self.number, path.rpartition('/')[2])}")

    def fill(self, count: int) -> None:
        for number in range(count):
            self.put(f"many-{number}", b"")

    def cut(self, path: str, after: int) -> None:
        self.double.cut_file(path, after)


class TestCernOpenData(SourceContract):
    source = SOURCE
    checks = "adler32"
    folders = False

    @pytest.fixture
    def place(self) -> Iterator[Record]:
        with Portal() as portal:
            yield Record(portal)


class TestCernOpenDataAgainstLies(HostileContract):
    """A record comes in one answer: its listing knows no pages, and no end but that of the answer."""

    source = SOURCE
    lies = ("sizes", "names", "twins")

    @pytest.fixture
    def liar(self) -> Iterator[Record]:
        with Portal() as portal:
            record = Record(portal)
            record.put("counts.root", BODY)
            yield record


@pytest.fixture
def portal() -> Iterator[Portal]:
    with Portal() as portal:
        yield portal


@pytest.fixture
def record(portal: Portal) -> Record:
    return Record(portal)


def resolved(record: Record) -> Pin:
    return SOURCE.resolve(record.ref, context())


def listed(record: Record) -> dict[str, RemoteFile]:
    return {file.path: file for file in SOURCE.files(resolved(record), context())}


def read(record: Record, file: RemoteFile, span: Span | None = None) -> bytes:
    with SOURCE.read(resolved(record), file, span or Span(0, file.size or 0), context()) as stream:
        return stream.readall()


@pytest.mark.parametrize(
    ("url", "claimed"),
    [
        ("http://opendata.cern.ch/record/5500", True),
        ("https://OPENDATA.cern.ch/record/5500?ln=en", True),
        ("https://opendata.cern.ch/api/records/5500", True),
        ("https://opendata.cern.ch/record/5500/files/a.root", True),
        ("cernopendata:5500", True),
        ("https://opendata.cern.ch/docs/about", False),
        ("https://opendata.cern.ch/eos/opendata/cms/a.root", False),
        ("https://opendata.cern.ch.evil.example/record/5500", False),
        ("https://zenodo.org/record/5500", False),
    ],
)
def test_references_are_claimed_by_their_text(url: str, claimed: bool) -> None:
    assert SOURCE.claims(Ref(url)) is claimed


@pytest.mark.parametrize("url", ["http://opendata.cern.ch/record/12353", "cernopendata:12353"])
def test_the_portal_is_asked_with_encryption(url: str) -> None:
    assert cernopendata._place(url) == cernopendata._Place("https://opendata.cern.ch", "12353")


def test_the_landing_page_of_a_doi_is_not_taken_for_invenio() -> None:
    page = "http://opendata.cern.ch/record/5500"
    assert landing.recognise(page, context()) == Ref(f"cernopendata:{page}")
    assert cernopendata.recognise("https://repository.example.org/record/5500", context()) is None


def test_files_of_indices_are_listed_too(record: Record) -> None:
    record.put("own.txt", b"1")
    record.double.put(record.number, "0000/a.root", b"22", indexed=True)
    assert {path: file.size for path, file in listed(record).items()} == {"own.txt": 1, "a.root": 2}


def test_a_file_of_the_record_and_of_an_index_is_one(record: Record) -> None:
    record.double.put(record.number, "0000/a.root", b"22", indexed=True)
    record.double.twice = True
    assert list(listed(record)) == ["a.root"]


def test_files_of_one_name_keep_the_folders_that_tell_them_apart(record: Record) -> None:
    for path in ("BTau/0000/a.root", "BTau/0001/a.root", "BTau/b.txt"):
        record.put(path, path.encode())
    found = listed(record)
    assert set(found) == {"0000/a.root", "0001/a.root", "b.txt"}
    assert read(record, found["0001/a.root"]) == b"BTau/0001/a.root"


def test_files_are_read_at_the_web_address_of_their_path_in_eos(record: Record) -> None:
    record.put("a b.root", BODY)
    [file] = listed(record).values()
    assert file.at == f"{record.double.root}{EOS}/a%20b.root"


def test_adler32_without_its_leading_zeros_is_completed(record: Record) -> None:
    record.double.short = True
    record.put("a", b"")
    record.put("b", b"ab")
    found = listed(record)
    assert found["a"].checks == (Checksum("adler32", "00000001"),)
    assert found["b"].checks == (Checksum("adler32", f"{zlib.adler32(b'ab'):08x}"),)


def test_without_a_digest_only_the_size_is_compared(record: Record) -> None:
    record.put("a", BODY)
    [file] = listed(record).values()
    record.double.digests = False
    pin = resolved(record)
    record.put("a", BODY[::-1])
    with SOURCE.read(pin, file, Span(0, 10), context()) as stream:
        assert stream.readall() == BODY[::-1][:10]


def test_a_page_about_an_error_with_status_200_is_no_file(record: Record) -> None:
    record.put("a", BODY)
    [file] = listed(record).values()
    record.double.broken = True
    with pytest.raises(UpstreamChanged, match="page about an error"):
        read(record, file)


def test_a_record_that_lists_other_files_now_is_not_what_was_pinned(record: Record) -> None:
    record.put("a", b"1")
    pin = resolved(record)
    record.put("b", b"2")
    with pytest.raises(UpstreamChanged, match="lists other files"):
        list(SOURCE.files(pin, context()))


def test_the_citation_and_the_namespace_are_the_dois(record: Record) -> None:
    record.put("a", b"1")
    doi = record.double.doi.lower()
    pin = resolved(record)
    assert pin.citation == Citation("Cells, collided", ("CMS Collaboration",), doi, "CC0-1.0")
    assert pin.namespace == f"doi:{doi}"
    record.double.doi = ""
    assert resolved(record).namespace == record.double.page_of(record.number)


def test_a_name_that_two_files_have_is_asked_about(record: Record) -> None:
    record.put("x/a.root", b"1")
    record.put("y/a.root", b"2")
    url = record.double.page_of(record.number, "a.root")
    with pytest.raises(ResolveError, match=r"has 2 files called a\.root"):
        SOURCE.resolve(Ref(f"cernopendata:{url}"), context())
    url = record.double.page_of(record.number, "y/a.root")
    pin = SOURCE.resolve(Ref(f"cernopendata:{url}"), context())
    assert [file.size for file in SOURCE.files(pin, context())] == [1]


def test_there_are_no_versions_to_ask_for(record: Record) -> None:
    record.put("a", b"1")
    with pytest.raises(ResolveError, match="keeps no versions"):
        SOURCE.resolve(Ref(record.ref.url, (("version", "2"),)), context())


def test_a_record_without_files_is_said_to_have_none(record: Record) -> None:
    with pytest.raises(ResolveError, match="only a description"):
        resolved(record)


@pytest.mark.parametrize("uri", ["", "root://eospublic.cern.ch//other/a", "ftp://x/eos/opendata/a"])
def test_a_file_outside_eos_is_an_error(uri: str) -> None:
    place = cernopendata._Place("https://opendata.cern.ch", "1")
    with pytest.raises(SourceError, match="no path in EOS"):
        cernopendata._files(place, {"files": [{"uri": uri, "size": 1}]})


def test_a_forged_locator_is_refused(record: Record) -> None:
    record.put("a", b"1")
    [file] = listed(record).values()
    with pytest.raises(IntegrityError, match="edited"):
        SOURCE.url(resolved(record), replace(file, at="https://evil.example/eos/opendata/a"))

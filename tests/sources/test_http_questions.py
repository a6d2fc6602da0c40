"""What one question tells of a file, and listings that are read whole."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from gotdata.errors import (
    SourceError,
)
from gotdata.model import Checksum, Span
from gotdata.sources import http_answer as answer
from gotdata.testing.server import Server
from tests.sources.engines import BODY, SIZE, engine, read


def test_json_refuses_pages_for_people(server: Server) -> None:
    url = server.put("f", b"{}", login=True)
    with pytest.raises(SourceError, match="a web page where JSON was due"):
        engine().json(url)


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b"\xff"])
def test_what_is_not_json_is_an_error(server: Server, body: bytes) -> None:
    with pytest.raises(SourceError, match="is not JSON"):
        engine().json(server.put("f", body, kind="application/json"))


@pytest.mark.parametrize("length", ["", "none"])
def test_a_text_is_bounded(server: Server, length: str) -> None:
    with pytest.raises(SourceError, match="more than 100 bytes"):
        engine().text(server.put("f", BODY, length=length), limit=100)


def test_one_question_tells_what_there_is_to_know(server: Server) -> None:
    headers = {
        "Repr-Digest": "sha-256=:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=:",
        "Digest": "adler32=045d01c1,md5=CY9rzUYh03PK3k6DJie09g==",
        "Content-MD5": "ignored, as it may be of the part",
        "Content-Disposition": "attachment; filename=\"a.txt\"; filename*=UTF-8''%e2%82%ac.txt",
    }
    facts = engine().probe(server.put("f", b"test", kind="Text/Plain; charset=x", headers=headers, etag='"v"'))
    assert (facts.size, facts.version, facts.kind, facts.name, facts.ranges) == (
        4,
        'etag:"v"',
        "text/plain",
        "€.txt",
        True,
    )
    assert facts.checks == (
        Checksum("adler32", "045d01c1"),
        Checksum("md5", "098f6bcd4621d373cade4e832627b4f6"),
        Checksum("sha256", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
    )


@pytest.mark.parametrize(
    ("faults", "size", "ranges"),
    [({}, SIZE, True), ({"ranges": False}, SIZE, False), ({"length": "none"}, SIZE, True)],
)
def test_the_size_is_learnt_without_the_body(
    server: Server, faults: dict[str, object], size: int, ranges: bool
) -> None:
    facts = engine().probe(server.put("f", BODY, **faults))
    assert (facts.size, facts.ranges) == (size, ranges)


def test_an_empty_file_has_size_0(server: Server) -> None:
    assert engine().probe(server.put("f", b"")).size == 0


def test_a_size_that_nobody_says_is_unknown(server: Server) -> None:
    assert engine().probe(server.put("f", BODY, length="none", ranges=False)).size is None


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ("attachment; filename=C:\\x\\y.txt", "y.txt"),
        ("inline", ""),
        ("", ""),
        ("attachment; filename*=nonsense''%ff", None),
        ("attachment; filename*=UTF-8''..%2f..%2fpasswd", "passwd"),
        ('attachment; filename="grün.csv"'.encode().decode("latin-1"), "grün.csv"),
    ],
)
def test_the_name_in_content_disposition_is_its_last_component(said: str, name: str | None) -> None:
    found = answer.file_name({"Content-Disposition": said})
    assert "/" not in found
    assert name is None or found == name


def test_the_md5_of_a_part_is_not_taken_for_that_of_the_whole(server: Server) -> None:
    url = server.put("f", b"test", headers={"Content-MD5": "098f6bcd4621d373cade4e832627b4f6"})
    assert engine().probe(url).checks == ()


def test_md5_is_read_in_either_spelling() -> None:
    wanted = (Checksum("md5", "098f6bcd4621d373cade4e832627b4f6"),)
    for said in ("CY9rzUYh03PK3k6DJie09g==", "098f6bcd4621d373cade4e832627b4f6"):
        assert answer.checks({"Content-MD5": said}, whole=True) == wanted
    assert answer.checks({"Content-MD5": "short"}, whole=True) == ()


def test_a_version_falls_back_to_the_time_of_the_last_change() -> None:
    assert answer.version_of({"ETag": '"x"', "Last-Modified": "then"}) == 'etag:"x"'
    assert answer.version_of({"ETag": "unquoted", "Last-Modified": "then"}) == "mtime:then"
    assert answer.version_of({"ETag": '""'}) == ""


def test_many_threads_share_one_engine(server: Server) -> None:
    url = server.put("f", BODY)
    http = engine(connections=4)
    wrong: list[int] = []

    def work(start: int) -> None:
        for offset in range(start, start + 4000, 100):
            if read(http, url, Span(offset, offset + 100), size=SIZE) != BODY[offset : offset + 100]:
                wrong.append(offset)

    run([lambda start=start: work(start) for start in range(0, 48_000, 4000)])  # type: ignore[misc]
    assert not wrong
    assert len(server.requests) == 480


def run(works: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

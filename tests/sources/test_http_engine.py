"""What the HTTP engine asks, and what of the answers it takes for the bytes that were pinned."""

from __future__ import annotations

import threading

import pytest

from gotdata.credentials import Credentials
from gotdata.errors import (
    NoRanges,
    SourceError,
    SourceUnavailable,
    UpstreamChanged,
)
from gotdata.model import Span
from gotdata.settings import Settings
from gotdata.sources import http_answer as answer
from gotdata.sources.http_engine import Engine
from gotdata.testing.server import Server
from tests.sources.engines import BODY, PART, SIZE, engine, read

# What is asked


def test_a_part_is_asked_by_range_and_the_whole_is_not(server: Server) -> None:
    url = server.put("f", BODY)
    assert read(engine(), url, PART, size=SIZE) == BODY[1000:3000]
    assert read(engine(), url, Span(0, SIZE), size=SIZE) == BODY
    assert [request.headers.get("range") for request in server.requests] == ["bytes=1000-2999", None]


def test_bytes_are_asked_as_they_are(server: Server) -> None:
    read(engine(), server.put("f", BODY), PART, size=SIZE)
    assert server.requests[0].headers["accept-encoding"] == "identity"
    assert server.requests[0].headers["user-agent"].startswith("gotdata/")


def test_if_range_goes_with_strong_etags_only(server: Server) -> None:
    for etag in ('"strong"', 'W/"weak"'):
        read(engine(), server.put("f", BODY, etag=etag), PART, size=SIZE, version=f"etag:{etag}")
    assert [request.headers.get("if-range") for request in server.requests] == ['"strong"', None]


def test_one_connection_carries_many_requests(server: Server) -> None:
    url = server.put("f", BODY)
    moved, empty = server.put("moved", redirect=url), server.put("empty")
    http = engine()
    for start in range(0, 10_000, 1000):
        with http.get(url, Span(start, start + 10), size=SIZE) as stream:
            stream.read(5)
        read(http, moved)
        read(http, empty)
    assert len({request.peer for request in server.requests}) == 1


# Versions


@pytest.mark.parametrize("version", ['etag:"old"', 'etag:W/"old"', "mtime:Sun, 06 Nov 1994 08:49:38 GMT"])
@pytest.mark.parametrize("span", [PART, None])
@pytest.mark.parametrize("if_range", [True, False])
def test_another_version_is_never_read(server: Server, version: str, span: Span | None, if_range: bool) -> None:
    url = server.put("f", BODY, etag='"new"', if_range=if_range)
    with pytest.raises(UpstreamChanged, match=r"/f is not what was pinned.*gotdata lock --update"):
        engine().get(url, span, size=SIZE, version=version)


@pytest.mark.parametrize(
    ("pinned", "said", "same"),
    [
        ('etag:"a"', '"a"', True),
        ('etag:"a"', 'W/"a"', False),
        ('etag:W/"a"', '"a"', True),
        ('etag:W/"a"', 'W/"a"', True),
        ('etag:"a"', "", False),
        ("", '"a"', True),
    ],
)
def test_weak_etags_compare_weakly_and_strong_ones_strongly(pinned: str, said: str, same: bool) -> None:
    assert answer.same_version({"ETag": said}, pinned) is same


def test_another_size_is_a_change(server: Server) -> None:
    url = server.put("f", BODY)
    for span in (PART, Span(0, SIZE - 1), Span(0, SIZE + 1)):
        with pytest.raises(UpstreamChanged):
            engine().get(url, span, size=span.stop if span != PART else SIZE - 1)


def test_a_file_that_became_shorter_than_the_part_is_a_change(server: Server) -> None:
    url = server.put("f", BODY[:100])
    with pytest.raises(UpstreamChanged):
        engine().get(url, PART, size=SIZE)


def test_a_file_without_a_length_that_became_longer_is_a_change(server: Server) -> None:
    url = server.put("f", BODY + b"x", length="none")
    with pytest.raises(UpstreamChanged, match="longer"):
        read(engine(), url, Span(0, SIZE), size=SIZE)


# Ranges that go wrong


def test_a_server_without_ranges_is_noticed_before_its_body_is_read(server: Server) -> None:
    url = server.put("f", BODY, ranges=False, hold=threading.Event())
    with pytest.raises(NoRanges, match="only be had whole"):
        engine().get(url, PART, size=SIZE)


def test_a_server_without_ranges_is_read_whole(server: Server) -> None:
    url = server.put("f", BODY, ranges=False)
    assert read(engine(), url, Span(0, SIZE), size=SIZE) == BODY
    assert read(engine(), url, Span(0, SIZE)) == BODY, "the span is the whole, though that was not known"


@pytest.mark.parametrize("said", ["bytes 0-1999/65536", "bytes 1000-2998/65536", "items 1-2/3", "bytes */65536"])
def test_another_range_than_was_asked_is_an_error(server: Server, said: str) -> None:
    url = server.put("f", BODY, content_range=said)
    with pytest.raises(SourceError, match="asked for bytes 1000-2999, the server sent"):
        engine().get(url, PART, size=SIZE)


def test_a_range_of_an_unknown_whole_will_do(server: Server) -> None:
    url = server.put("f", BODY, content_range="bytes 1000-2999/*")
    assert read(engine(), url, PART, size=SIZE) == BODY[1000:3000]


def test_a_compressed_answer_is_refused_unless_the_file_is_stored_so(server: Server) -> None:
    url = server.put("f", BODY, gzip=True)
    with pytest.raises(SourceError, match="sent compressed"):
        engine().get(url, PART, size=SIZE)
    with pytest.raises(SourceError, match="sent compressed"):
        engine().probe(url)
    stored = server.put("g", BODY, headers={"Content-Encoding": "gzip"})
    assert read(engine(), stored, PART, size=SIZE, encoded=True) == BODY[1000:3000]


def test_a_content_length_that_contradicts_the_range_is_an_error(server: Server) -> None:
    url = server.put("f", BODY, length="wrong")
    with pytest.raises(SourceError, match="Content-Length 2001 where 2000 bytes are due"):
        engine().get(url, PART, size=SIZE)


@pytest.mark.parametrize("length", ["none", "close"])
def test_a_missing_content_length_will_do_where_the_size_is_known(server: Server, length: str) -> None:
    url = server.put("f", BODY, length=length)
    assert read(engine(), url, PART, size=SIZE) == BODY[1000:3000]
    assert read(engine(), url, Span(0, SIZE), size=SIZE) == BODY


# Bodies that break off


@pytest.mark.parametrize("length", ["", "none", "close", "wrong"])
def test_a_body_cut_short_says_where(server: Server, length: str) -> None:
    url = server.put("f", BODY, cut=700, length=length)
    known: dict[str, object] = {} if length == "wrong" else {"size": SIZE}
    with pytest.raises(SourceUnavailable, match=r"/f: .* after (700|0) of 6553[67] bytes; try again"):
        read(engine(), url, **known)


def test_a_stream_that_broke_never_looks_ended(server: Server) -> None:
    stream = engine().get(server.put("f", BODY, cut=700), size=SIZE)
    with pytest.raises(SourceUnavailable):
        stream.readall()
    with pytest.raises(ValueError, match="broke"):
        stream.read(1)


def test_a_cut_listing_is_asked_again(server: Server) -> None:
    url = server.put("f", b"[1, 2]", cut=3, cuts=2)
    assert engine().json(url) == [1, 2]


def test_a_silent_server_ends_in_time(server: Server) -> None:
    held = threading.Event()
    url = server.put("f", BODY, hold=held)
    http = Engine(Settings(timeout=0.2, retries=0), Credentials(), environ={})
    with pytest.raises(SourceUnavailable, match="no bytes came in time after 0 of"):
        read(http, url, size=SIZE)
    held.set()


@pytest.mark.parametrize("said", ["none", "bytes", ""])
def test_what_a_server_says_of_its_ranges_counts_less_than_what_it_sends(server: Server, said: str) -> None:
    """Zenodo says none, and sends them."""
    url = server.put("f", BODY, headers={"Accept-Ranges": said})
    assert read(engine(), url, PART, size=SIZE) == BODY[1000:3000]
    assert engine().probe(url).ranges


def test_ranges_are_never_asked_from_the_end_nor_several_at_once(server: Server) -> None:
    """Globus refuses the former with 416, others ignore them; the latter come as multipart."""
    url = server.put("f", BODY)
    http = engine()
    http.probe(url)
    read(http, url, Span(SIZE - 10, SIZE), size=SIZE)
    asked = [request.headers.get("range", "") for request in server.requests]
    assert asked == ["bytes=0-0", f"bytes={SIZE - 10}-{SIZE - 1}"]

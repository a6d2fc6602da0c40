from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from gotdata.credentials import Credential, Credentials
from gotdata.errors import (
    AccessDenied,
    AuthRequired,
    GotdataError,
    NoRanges,
    NotFound,
    SourceError,
    SourceUnavailable,
    UpstreamChanged,
)
from gotdata.model import Checksum, Span
from gotdata.reach import Reach
from gotdata.report import Event
from gotdata.settings import Settings
from gotdata.sources import http_answer as answer
from gotdata.sources.http_engine import Engine
from gotdata.testing.server import Server

BODY = bytes(range(256)) * 256
SIZE = len(BODY)
PART = Span(1000, 3000)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def other() -> Iterator[Server]:
    with Server() as other:
        yield other


class Clock:
    """Time that passes only while someone waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def engine(
    clock: Clock | None = None, held: Credentials | None = None, environ: dict[str, str] | None = None, **values: object
) -> Engine:
    clock = clock or Clock()
    chosen = Settings(**values)  # type: ignore[arg-type]
    return Engine(chosen, held or Credentials(), clock=clock, sleep=clock.sleep, environ=environ or {})


def held_for(url: str, name: str = "one") -> Credentials:
    return Credentials([Credential(url, f"cred:{name}", (("Authorization", f"Bearer {name}"), ("X-Api-Key", name)))])


def read(http: Engine, url: str, span: Span | None = None, **known: object) -> bytes:
    with http.get(url, span, **known) as stream:  # type: ignore[arg-type]
        return stream.readall()


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


# Tries


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(server: Server, status: int) -> None:
    clock = Clock()
    assert read(engine(clock), server.put("f", BODY, statuses=(status, status))) == BODY
    assert len(server.requests) == 3
    assert 0 < clock.pauses[0] < clock.pauses[1] * 2, "each pause is longer, but for the jitter"


def test_what_does_not_pass_is_given_up_after_the_setting(server: Server) -> None:
    url = server.put("f", BODY, always=503)
    with pytest.raises(SourceUnavailable, match="answered 503"):
        engine(retries=3).get(url)
    assert len(server.requests) == 4


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 416, 418])
def test_what_will_not_pass_is_not_tried_again(server: Server, status: int) -> None:
    url = server.put("f", BODY, always=status)
    with pytest.raises(GotdataError):
        engine().get(url)
    assert len(server.requests) == 1


@pytest.mark.parametrize("date", [False, True])
def test_retry_after_is_obeyed_as_seconds_and_as_a_date(server: Server, date: bool) -> None:
    import time

    clock = Clock()
    wait = formatdate(time.time() + 30, usegmt=True) if date else "30"
    assert read(engine(clock), server.put("f", BODY, statuses=(503,), retry_after=wait)) == BODY
    assert 25 < clock.pauses[0] <= 30


def test_retry_after_counts_with_429_and_503_only(server: Server) -> None:
    clock = Clock()
    read(engine(clock), server.put("f", BODY, statuses=(502,), retry_after="3000"))
    assert clock.pauses[0] < 1
    assert answer.retry_after(200, {"Retry-After": "60"}) is None
    assert answer.retry_after(503, {"Retry-After": "soon"}) is None


def test_a_longer_wait_than_a_read_may_take_is_handed_on(server: Server) -> None:
    url = server.put("f", BODY, always=429, retry_after="90")
    with pytest.raises(SourceUnavailable, match="asks to wait 90 s") as caught:
        engine(timeout=60).get(url)
    assert caught.value.retry_after == 90
    assert len(server.requests) == 1


def test_a_question_waits_longer_than_a_read_and_says_so(server: Server) -> None:
    clock, events = Clock(), list[Event]()
    http = Engine(Settings(), Credentials(), reporter=events.append, clock=clock, sleep=clock.sleep, environ={})
    assert http.json(server.put("f", b"{}", statuses=(429,), retry_after="90")) == {}
    assert clock.pauses == [90]
    assert "waiting 90 s" in events[0].text


def test_no_connection_is_tried_again_and_then_said(server: Server) -> None:
    clock = Clock()
    with pytest.raises(SourceUnavailable, match=r"no connection to 127\.0\.0\.1:1 .*refused"):
        engine(clock, retries=2).get("http://127.0.0.1:1/x?token=secret1")
    assert len(clock.pauses) == 2


# What statuses mean


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (401, AuthRequired, r"`gotdata login http://127"),
        (403, AccessDenied, "Forbidden"),
        (404, NotFound, "not there; check the URL"),
        (410, NotFound, "not there any more"),
        (412, UpstreamChanged, "not what was pinned"),
        (416, UpstreamChanged, "not what was pinned"),
        (202, SourceError, "not ready yet, or it keeps programs out"),
        (204, SourceError, "without the file"),
        (451, AccessDenied, "Legal Reasons"),
        (418, SourceError, "418"),
    ],
)
def test_each_status_has_its_error(server: Server, status: int, error: type[GotdataError], words: str) -> None:
    url = server.put("f", BODY, always=status)
    with pytest.raises(error, match=words) as caught:
        engine().get(f"{url}?token=s3cr3t")
    assert server.url in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_a_refused_credential_is_said_to_have_been_refused(server: Server) -> None:
    url = server.put("f", BODY, auth="Bearer right")
    with pytest.raises(AuthRequired, match="was not taken"):
        engine(held=held_for(server.url)).get(url)


# Credentials and redirects


def test_a_credential_goes_with_every_request_below_its_prefix(server: Server) -> None:
    url = server.put("mine/f", BODY, auth="Bearer one")
    http = engine(held=held_for(server.url + "mine/"))
    assert read(http, url) == BODY
    server.put("mine2/f", BODY)
    read(http, server.at("mine2/f"))
    assert ["authorization" in request.headers for request in server.requests] == [True, False]


@pytest.mark.parametrize("held", [True, False])
def test_a_redirect_keeps_the_range_and_drops_credentials(server: Server, other: Server, held: bool) -> None:
    url = server.put("f", redirect=other.put("g", BODY, etag='"1"'))
    credentials, headers = (
        (held_for(server.url), {}) if held else (None, {"Authorization": "AWS4 x", "X-Amz-Date": "1"})
    )
    version = 'etag:"1"'
    assert read(engine(held=credentials), url, PART, size=SIZE, version=version, headers=headers) == BODY[1000:3000]
    first, second = server.requests[0].headers, other.requests[0].headers
    assert first["authorization"]
    assert (second["range"], second["if-range"]) == ("bytes=1000-2999", '"1"')
    assert not {"authorization", "x-api-key", "x-amz-date"} & second.keys()


def test_a_redirect_never_fetches_a_credential_of_its_target(server: Server, other: Server) -> None:
    url = server.put("f", redirect=other.put("g", BODY))
    with pytest.raises(AuthRequired, match="name that URL itself"):
        engine(held=held_for(other.url)).get(url)
    assert not other.requests


def test_a_redirect_on_one_host_cannot_reach_what_only_a_credential_opens(server: Server) -> None:
    url = server.put("open/f", redirect=server.put("shut/g", BODY))
    with pytest.raises(AuthRequired, match="name that URL itself"):
        engine(held=held_for(server.url + "shut/")).get(url)


def test_a_signed_target_is_not_sent_a_credential_besides(server: Server, other: Server) -> None:
    url = server.put("f", redirect=other.put("g", BODY, get_only=True) + "?X-Amz-Signature=abc")
    assert read(engine(held=held_for(other.url)), url) == BODY
    assert "authorization" not in other.requests[0].headers


def test_a_redirects_target_is_used_again_for_some_seconds(server: Server, other: Server) -> None:
    clock = Clock()
    http = engine(clock)
    url = server.put("f", redirect=other.put("g", BODY))
    for _ in range(3):
        assert read(http, url, PART, size=SIZE) == BODY[1000:3000]
    assert (len(server.requests), len(other.requests)) == (1, 3)
    clock.now += 60
    read(http, url, PART, size=SIZE)
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_target_that_ran_out_is_asked_for_anew(server: Server, other: Server, status: int) -> None:
    http = engine()
    url = server.put("f", redirect=other.put("old", BODY))
    read(http, url)
    other.change("old", always=status)
    server.change("f", redirect=other.put("new", BODY))
    assert read(http, url) == BODY
    server.change("f", redirect=other.at("old"))
    other.change("new", always=status)
    with pytest.raises(GotdataError, match=rf"/f \(by way of http://127.*{status}"):
        http.get(url)


def test_redirects_in_a_circle_end(server: Server) -> None:
    url = server.put("f", redirect="/f")
    with pytest.raises(SourceError, match="a loop"):
        engine().get(url)
    assert len(server.requests) == 10


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://host/x", "javascript:alert(1)"])
def test_a_redirect_leads_to_the_web_only(server: Server, target: str) -> None:
    url = server.put("f", redirect=target)
    with pytest.raises(SourceError, match=r"no web address|no URL"):
        engine().get(url)


def test_a_redirect_written_in_utf8_is_followed(server: Server) -> None:
    server.put("grün", BODY)
    url = server.put("f", redirect="/grün".encode().decode("latin-1"))
    assert read(engine(), url) == BODY


# Streams, proxies, TLS


def test_a_host_gets_no_more_streams_than_the_setting_says(server: Server) -> None:
    url = server.put("f", BODY)
    http = Engine(Settings(connections=2, timeout=0.1, retries=0), Credentials(), environ={})
    first, second = http.get(url), http.get(url)
    with pytest.raises(SourceUnavailable, match=r"all 2 streams .* stayed busy"):
        http.get(url)
    first.close()
    assert read(http, url) == BODY
    assert second.readall() == BODY, "at its end a stream is free without being closed"
    third, fourth = http.get(url), http.get(url)
    third.close()
    fourth.close()


def test_a_proxy_of_the_environment_is_used_unless_it_says_no(server: Server) -> None:
    server.put("x", BODY)
    proxy = server.url.replace("//", "//me:pa%20ss@")
    assert read(engine(environ={"http_proxy": proxy}), "http://data.invalid/x") == BODY
    assert server.requests[0].path == "http://data.invalid/x"
    assert server.requests[0].headers["proxy-authorization"] == "Basic bWU6cGEgc3M="
    http = engine(environ={"http_proxy": "http://127.0.0.1:1", "NO_PROXY": "127.0.0.1,.lan"})
    assert read(http, server.at("x")) == BODY


@pytest.mark.parametrize(
    ("environ", "used"),
    [
        ({"ALL_PROXY": "proxy:3128"}, "http://proxy:3128"),
        ({"HTTP_PROXY": "http://upper", "http_proxy": "http://lower"}, "http://lower"),
        ({"HTTP_PROXY": "http://evil", "REQUEST_METHOD": "GET"}, ""),
        ({"https_proxy": "http://proxy"}, ""),
        ({}, ""),
    ],
)
def test_proxies_are_named_as_in_other_tools(environ: dict[str, str], used: str) -> None:
    from gotdata.credentials import parse
    from gotdata.sources.http_connections import Connections

    assert Connections(Settings(), Clock(), environ)._proxy(parse("http://host/x")) == used


def test_a_proxy_of_another_kind_is_named_without_its_password() -> None:
    with pytest.raises(SourceError, match="neither http nor https") as caught:
        engine(environ={"all_proxy": "socks5://me:secret@proxy:1080"}).get("http://host/x")
    assert "secret" not in str(caught.value)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed: no certificate to serve TLS with")
    pem = tmp_path_factory.mktemp("tls") / "pem"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [
        openssl,
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-keyout",
        pem,
        "-out",
        f"{pem}.crt",
    ]
    subprocess.run([*command, *names], check=True, capture_output=True)
    with pem.open("a") as file:
        file.write(Path(f"{pem}.crt").read_text())
    return pem


@pytest.fixture
def secure(certificate: Path) -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Server(tls=context) as server:
        yield server


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_the_environment_names_the_authorities(secure: Server, certificate: Path, variable: str) -> None:
    url = secure.put("f", BODY)
    assert read(engine(environ={variable: f"{certificate}.crt"}), url, PART, size=SIZE) == BODY[1000:3000]


def test_an_unknown_authority_is_refused_at_once(secure: Server) -> None:
    clock = Clock()
    with pytest.raises(SourceError, match=r"certificate of 127.* is not trusted.*SSL_CERT_FILE"):
        engine(clock).get(secure.put("f", BODY))
    assert not clock.pauses


def test_a_certificate_is_held_to_the_name_where_addresses_are_bounded(secure: Server, certificate: Path) -> None:
    """Connections are made by number then, and the number must not stand for the name."""
    http = Engine(
        Settings(), Credentials(), environ={"SSL_CERT_FILE": f"{certificate}.crt"}, reach=Reach(("127.0.0.1/32",))
    )
    url = secure.put("f", BODY)
    assert read(http, url) == BODY
    with pytest.raises(SourceError, match=r"certificate of localhost.* is not trusted"):
        http.get(url.replace("127.0.0.1", "localhost"))


def test_a_redirect_never_leaves_encryption(secure: Server, server: Server, certificate: Path) -> None:
    url = secure.put("f", redirect=server.put("g", BODY))
    with pytest.raises(SourceError, match="without encryption: refused"):
        engine(environ={"SSL_CERT_FILE": f"{certificate}.crt"}).get(url)
    assert not server.requests


def test_a_bundle_that_is_not_there_is_named() -> None:
    with pytest.raises(SourceError, match=r"/no/such\.pem"):
        engine(environ={"SSL_CERT_FILE": "/no/such.pem"}).get("https://127.0.0.1:1/")


# Questions


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

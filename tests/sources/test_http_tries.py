"""What the HTTP engine tries again, and what statuses mean."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from gotdata.credentials import Credentials
from gotdata.errors import (
    AccessDenied,
    AuthRequired,
    GotdataError,
    NotFound,
    SourceError,
    SourceUnavailable,
    UpstreamChanged,
)
from gotdata.report import Event
from gotdata.settings import Settings
from gotdata.sources import http_answer as answer
from gotdata.sources.http_answer import login
from gotdata.sources.http_engine import Engine
from gotdata.testing.server import Reply, Server
from tests.sources.engines import BODY, Clock, engine, held_for, read

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
    ("path", "named"),
    [
        ("priv/f.csv", "priv/"),
        ("priv/deep/", "priv/deep/"),
        ("priv", "priv"),
        ("a%20b/$(id)/;x&y/f.csv", "a%20b/%24%28id%29/%3Bx%26y/"),
    ],
)
def test_a_login_is_named_at_what_was_refused_and_can_be_pasted(server: Server, path: str, named: str) -> None:
    server.otherwise = lambda request: Reply(401, {}, b"")
    with pytest.raises(AuthRequired) as caught:
        engine().get(server.url + path)
    assert str(caught.value).endswith(f"`gotdata login {server.url}{named}`")


def test_a_login_is_named_where_a_redirect_was_refused(server: Server) -> None:
    server.otherwise = lambda request: (
        Reply(302, {"Location": "/priv/"}, b"") if request.path == "/in" else Reply(401, {}, b"")
    )
    with pytest.raises(AuthRequired, match=r"`gotdata login http://[^/]*/priv/`"):
        engine().get(server.url + "in")


def test_a_credential_that_was_not_taken_is_replaced_where_it_is(server: Server) -> None:
    server.otherwise = lambda request: Reply(401, {}, b"")
    with pytest.raises(AuthRequired, match=r"was not taken; `gotdata login http://[^/]*/priv/` puts"):
        engine(held=held_for(f"{server.url}priv/")).get(server.url + "priv/deep/f.csv")


@pytest.mark.parametrize(
    ("url", "source", "command"),
    [
        ("https://api.osf.io/v2/nodes/x", "", "https://api.osf.io/"),
        ("https://huggingface.co/api/x", "huggingface", "huggingface"),
        ("https://hub.lab:8443/api/x", "huggingface", "huggingface:https://hub.lab:8443/"),
        ("https://gitlab.com/api/v4/x", "gitlab", "https://gitlab.com/"),
        ("https://api.sandbox.dandiarchive.org/api/", "dandi", "dandi:https://api.sandbox.dandiarchive.org/"),
        ("https://figshare.lab/v2/", "figshare", "figshare:https://figshare.lab/"),
        ("https://openneuro.org/crn/", "openneuro", "openneuro"),
        ("https://neuro.lab/crn/", "openneuro", "openneuro:https://neuro.lab/"),
    ],
)
def test_a_login_names_the_installation(url: str, source: str, command: str) -> None:
    assert login(url, source) == f"`gotdata login {command}`"


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

"""Where credentials go, and where redirects may lead."""

from __future__ import annotations

import pytest

from gotdata.errors import (
    AuthRequired,
    GotdataError,
    SourceError,
)
from gotdata.testing.server import Server
from tests.sources.engines import BODY, PART, SIZE, Clock, engine, held_for, read


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

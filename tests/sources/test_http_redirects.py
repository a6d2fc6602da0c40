"""Where credentials go, and where redirects may lead."""

from __future__ import annotations

from pathlib import Path

import pytest

from gotdata.credentials import Credential, Credentials, Sent, edit, load
from gotdata.errors import AccessDenied, AuthRequired, GotdataError, SourceError, SourceUnavailable
from gotdata.testing.server import Reply, Request, Server
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


def test_two_addresses_of_one_account_may_lead_to_each_other(server: Server, other: Server) -> None:
    """A provider's API redirects to where it keeps files: one token is for both."""
    other.put("g", BODY, auth="Bearer one")
    url = server.put("f", auth="Bearer one", redirect=other.at("g"))
    both = Credentials(
        Credential(prefix, "cred:one", (("Authorization", "Bearer one"),)) for prefix in (server.url, other.url)
    )
    assert read(engine(held=both), url) == BODY
    assert other.requests[0].headers["authorization"] == "Bearer one"


def test_a_query_that_is_a_credential_is_sent_and_never_shown(server: Server, other: Server) -> None:
    signed = Credential(server.url, "cred:one", live=lambda post: Sent(query="sv=1&sig=s3cr3t"))
    http = engine(held=Credentials([signed]))
    assert read(http, server.put("f", BODY)) == BODY
    assert read(http, f"{server.at('f')}?x=1") == BODY
    assert [request.path for request in server.requests] == ["/f?sv=1&sig=s3cr3t", "/f?x=1&sv=1&sig=s3cr3t"]
    page = http.text(server.put("page", b"text", redirect=server.put("there", b"text")))
    assert "s3cr3t" not in page.url
    with pytest.raises(AccessDenied) as caught:
        http.get(server.put("shut", always=403))
    assert "s3cr3t" not in str(caught.value)
    assert read(http, server.put("away", redirect=other.put("g", BODY))) == BODY
    assert "sig" not in other.requests[0].path


def test_a_token_is_renewed_on_the_way_and_no_sooner(server: Server, other: Server, tmp_path: Path) -> None:
    """A refresh token of credentials.toml, a token endpoint, and a server that takes what that gives."""
    given: list[str] = []

    def token(request: Request) -> Reply | None:
        assert (request.method, request.headers.get("authorization")) == ("POST", None)
        given.append(request.body.decode())
        return Reply(200, {"Content-Type": "application/json"}, b'{"access_token": "fresh", "expires_in": 3600}')

    other.otherwise = token
    path = tmp_path / "credentials.toml"
    entry = {"refresh": "again", "client": "me", "token_url": f"{other.url}token"}
    edit.put(path, server.url, entry)
    environ = {"GOTDATA_CREDENTIALS": str(path), "NETRC": str(tmp_path / "none")}
    http = engine(held=load(environ, service=True))
    url = server.put("f", BODY, auth="Bearer fresh")
    assert not given
    assert read(http, url) == read(http, url) == BODY
    assert given == ["grant_type=refresh_token&refresh_token=again&client_id=me"]


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (400, b'{"error": "invalid_grant"}', AuthRequired, "does not renew it .invalid_grant.; `gotdata login"),
        (500, b"", SourceUnavailable, "answered 500"),
        (200, b"<html>", SourceError, "where a token was due"),
        (200, b"{}", SourceError, "answered no access token"),
        (302, b"", SourceError, "where a token was due"),
    ],
)
def test_a_token_endpoint_that_gives_none_is_named(
    server: Server, other: Server, tmp_path: Path, status: int, body: bytes, error: type[Exception], words: str
) -> None:
    other.otherwise = lambda request: Reply(status, {"Location": server.url} if status == 302 else {}, body)
    path = tmp_path / "credentials.toml"
    edit.put(path, server.url, {"refresh": "s3cr3t", "client": "me", "token_url": f"{other.url}token"})
    environ = {"GOTDATA_CREDENTIALS": str(path), "NETRC": str(tmp_path / "none")}
    with pytest.raises(error, match=words) as caught:
        engine(held=load(environ, service=True), retries=0).get(server.put("f", BODY))
    assert "s3cr3t" not in str(caught.value)
    assert not server.requests, "nothing is asked without the credential that is due"


def test_what_a_tool_left_for_a_provider_stays_there_and_the_way_goes_on(server: Server, other: Server) -> None:
    """With GITHUB_TOKEN set, a link to a public file on GitHub still works, and is asked as by anybody."""
    left = Credentials([Credential(other.url, "cred:tool", (("Authorization", "Bearer tool"),), ambient=True)])
    there = other.put("g", BODY)
    assert read(engine(held=left), server.put("f", redirect=there)) == BODY
    http = engine(held=left)
    assert read(http, there, home=server.url) == BODY
    assert http.probe(there, home=server.url).size == SIZE
    assert http.text(there, home=server.url).text
    assert not any("authorization" in request.headers for request in other.requests)
    assert read(http, there) == BODY
    assert other.requests[-1].headers["authorization"] == "Bearer tool"


def test_what_a_key_was_told_is_not_asked_again_without_it(server: Server, other: Server) -> None:
    left = Credentials([Credential(server.url, "cred:tool", (("Authorization", "Bearer tool"),), ambient=True)])
    url = server.put("f", auth="Bearer tool", redirect=other.put("signed", BODY))
    http = engine(held=left)
    server.change("f", auth="")
    assert read(http, url) == BODY
    server.change("f", auth="Bearer tool", redirect="")
    with pytest.raises(AuthRequired):
        http.get(url, home="https://elsewhere.example/")


def test_a_credential_that_is_not_taken_is_named_by_where_it_was_found(server: Server) -> None:
    left = Credentials([Credential(server.url, "cred:tool", (("Authorization", "Bearer old"),), origin="$HF_TOKEN")])
    with pytest.raises(AuthRequired, match=r"\(from \$HF_TOKEN\) was not taken; `gotdata login http"):
        engine(held=left).get(server.put("f", BODY, auth="Bearer new"))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_every_kind_of_redirect_keeps_the_range(server: Server, other: Server, status: int) -> None:
    there = other.put("g", BODY)
    server.otherwise = lambda request: Reply(status, {"Location": there}, b"")
    assert read(engine(), server.at("f"), PART, size=SIZE) == BODY[1000:3000]
    assert other.requests[0].headers["range"] == "bytes=1000-2999"

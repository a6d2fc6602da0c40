"""Streams, proxies, TLS."""

from __future__ import annotations

import logging
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gotdata.credentials import Credential, Credentials, Sent
from gotdata.errors import (
    SourceError,
    SourceUnavailable,
)
from gotdata.reach import Reach
from gotdata.settings import Settings
from gotdata.sources.http_engine import Engine
from gotdata.testing.server import Server
from tests.sources.engines import BODY, PART, SIZE, Clock, engine, read


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


def test_no_query_is_in_the_log_of_the_connections(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.put("blob", BODY)
    held = Credentials([Credential(server.at(""), "cred:one", live=lambda post: Sent(query="sig=s3cr3t"))])
    with caplog.at_level(logging.DEBUG):
        assert read(engine(held=held), server.at("blob")) == BODY
        assert read(engine(), f"{server.at('blob')}?sig=s3cr3t") == BODY
    assert "/blob" in caplog.text
    assert "s3cr3t" not in caplog.text


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

"""``gotdata login``: asks, has it checked, stores it, lists it and forgets it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import stat
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import click
import pytest

from gotdata.credentials import Credentials, providers
from gotdata.errors import AuthRequired
from gotdata.settings import Settings
from gotdata.sources.http_engine import Engine
from gotdata.testing.server import Reply, Request, Server
from tests.cli.fakes import Line, Said

TOKEN = "s3cr3t-token"


def says(value: object, status: int = 200) -> Reply:
    return Reply(status, {"Content-Type": "application/json"}, json.dumps(value).encode())


class Dataverse:
    """Knows who asks, by the header that Dataverse wants."""

    def __call__(self, request: Request) -> Reply | None:
        known = request.headers.get("x-dataverse-key") == TOKEN
        match request.path:
            case "/api/info/version":
                return says({"status": "OK", "data": {"version": "6.4"}})
            case "/api/users/:me" if known:
                return says({"status": "OK", "data": {"identifier": "@me"}})
            case "/api/users/token" if known:
                return says({"status": "OK", "data": {"message": f"Token {TOKEN} expires on 2999-01-02 03:04:05.678"}})
        return says({"status": "ERROR"}, 401)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(index="") as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name in ("HF_TOKEN", "GITHUB_TOKEN", "GH_TOKEN", "GOTDATA_CREDENTIALS", "XDG_CONFIG_HOME", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "settings.toml").touch()
    monkeypatch.setenv("GOTDATA_SETTINGS", str(tmp_path / "settings.toml"))
    monkeypatch.setenv("GOTDATA_STORE", str(tmp_path / "store"))
    return tmp_path


def stored(home: Path) -> dict[str, Any]:
    path = home / "credentials.toml"
    return tomllib.loads(path.read_text()) if path.exists() else {}


def piped(gotdata: Line, monkeypatch: pytest.MonkeyPatch, text: str, *words: str) -> Said:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    said = gotdata("login", *words)
    assert TOKEN not in said.out + said.err
    return said


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """Somebody at a terminal, who answers each question with the token. What they were asked, and whether it was
    hidden."""
    asked: list[tuple[str, bool]] = []

    def prompt(text: str, hide_input: bool = False, **_: object) -> str:
        asked.append((text, hide_input))
        return TOKEN if hide_input else "me"

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(click, "prompt", prompt)
    return asked


def test_an_installation_is_known_by_its_answer_and_its_token_is_checked(
    gotdata: Line, server: Server, home: Path, person: list[tuple[str, bool]]
) -> None:
    server.otherwise = Dataverse()
    said = gotdata("login", f"{server.url}dataset.xhtml?persistentId=doi:10.5072/X")
    assert said.code == 0, said.err
    assert TOKEN not in said.out + said.err
    ((asked, hidden),) = person
    assert hidden
    assert f"made at {server.url}dataverseuser.xhtml" in asked
    entry = stored(home)[server.url]
    assert (entry["source"], entry["token"], entry["account"]) == ("dataverse", TOKEN, "@me")
    assert entry["expires"].year == 2999
    assert stat.S_IMODE((home / "credentials.toml").stat().st_mode) == 0o600


def test_a_token_that_is_not_taken_is_not_stored(
    gotdata: Line, server: Server, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.otherwise = Dataverse()
    said = piped(gotdata, monkeypatch, "wrong\n", server.url, "--with-token")
    assert said.code == 5
    assert "was not taken" in said.err
    assert not stored(home)
    assert piped(gotdata, monkeypatch, "wrong\n", server.url, "--with-token", "--no-check").code == 0
    assert stored(home)


def test_a_token_comes_from_a_pipe_only_when_that_is_said(
    gotdata: Line, server: Server, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.otherwise = Dataverse()
    said = piped(gotdata, monkeypatch, f"{TOKEN}\n", server.url)
    assert said.code == 2
    assert "--with-token" in said.err
    said = piped(gotdata, monkeypatch, f"{TOKEN}\n", server.url, "--with-token", "--json")
    assert said.json == [{"prefix": server.url, "account": "@me", "stored": str(home / "credentials.toml")}]


def test_a_place_that_wants_a_password_is_asked_for_one(
    gotdata: Line, server: Server, home: Path, person: list[tuple[str, bool]]
) -> None:
    server.put("private/x", b"x", auth="Basic bWU6czNjcjN0LXRva2Vu")
    assert gotdata("login", server.at("private/x")).code == 0
    assert person == [(f"User at {server.at('private/x')}", False), ("Password of me", True)]
    assert stored(home) == {server.at("private/x"): {"basic": f"me:{TOKEN}", "account": "me"}}


def test_any_other_place_gets_a_bearer_token_at_its_prefix(
    gotdata: Line, server: Server, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put("lab/x", b"x", auth=f"Bearer {TOKEN}")
    assert piped(gotdata, monkeypatch, TOKEN, server.at("lab/"), "--with-token").code == 0
    assert stored(home) == {server.at("lab/"): {"bearer": TOKEN}}


def test_a_signature_of_azure_is_kept_without_its_url(
    gotdata: Line, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "https://acc.blob.core.windows.net/box"
    said = piped(gotdata, monkeypatch, f"{url}?sv=1&sig={TOKEN}", url, "--with-token", "--no-check")
    assert said.code == 0, said.err
    assert stored(home) == {url: {"query": f"sv=1&sig={TOKEN}"}}


def closed(request: Request) -> Reply | None:
    """A web server with a password on one folder, and no provider's API."""
    if not request.path.startswith("/priv/"):
        return Reply(200, {"Content-Type": "text/html"}, b"<html>Welcome</html>")
    known = request.headers.get("authorization") == "Basic bWU6czNjcjN0LXRva2Vu"
    return None if known else Reply(401, {"WWW-Authenticate": 'Basic realm="lab"'}, b"")


def test_the_login_that_a_refusal_names_is_the_one_that_helps(
    gotdata: Line, server: Server, home: Path, person: list[tuple[str, bool]]
) -> None:
    server.otherwise = closed
    with pytest.raises(AuthRequired) as refused:
        Engine(Settings(), Credentials()).get(f"{server.url}priv/f.csv")
    named = re.search("`gotdata login (.*?)`", str(refused.value))
    assert named
    assert gotdata("login", named[1]).code == 0
    assert stored(home) == {server.at("priv/"): {"basic": f"me:{TOKEN}", "account": "me"}}


@pytest.mark.parametrize(
    ("ended", "code", "words"), [(EOFError, 2, "no token was given"), (KeyboardInterrupt, 130, "")]
)
@pytest.mark.parametrize("flags", [(), ("--json",)])
@pytest.mark.parametrize("user", [(), ("--user", "me")])
def test_who_types_nothing_is_not_told_of_a_fault(
    gotdata: Line,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    ended: type[BaseException],
    code: int,
    words: str,
    flags: tuple[str, ...],
    user: tuple[str, ...],
) -> None:
    def end(*_: object) -> str:
        raise ended

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("click.termui.hidden_prompt_func", end)
    said = gotdata("login", "osf", *user, *flags)
    assert said.code == code
    assert (words or "interrupted") in said.err
    assert "fault of gotdata" not in said.err
    assert not stored(home)


@pytest.mark.parametrize(
    ("source", "asked"),
    [
        ("github", "/api/v3/user"),
        ("huggingface", "/api/whoami-v2"),
        ("figshare", "/v2/account"),
        ("dandi", "/api/users/me/"),
        ("osf", "/v2/users/me/"),
        ("gdrive", "/drive/v3/about?fields=user(emailAddress)"),
    ],
)
def test_a_token_for_ones_own_installation_is_checked_there(
    gotdata: Line, server: Server, home: Path, monkeypatch: pytest.MonkeyPatch, source: str, asked: str
) -> None:
    server.otherwise = lambda request: says({})
    said = piped(gotdata, monkeypatch, TOKEN, f"{source}:{server.url}", "--with-token")
    assert said.code == 0, said.err
    assert [request.path for request in server.requests] == [asked]
    assert stored(home) == {server.url: {"source": source, "token": TOKEN}}


def test_one_s_own_installation_may_not_say_who_asks(
    gotdata: Line, server: Server, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert piped(gotdata, monkeypatch, TOKEN, f"figshare:{server.url}", "--with-token").code == 0
    assert stored(home) == {server.url: {"source": "figshare", "token": TOKEN}}


def test_one_s_own_installation_is_no_matter_of_the_public_one_s_pages(
    gotdata: Line, server: Server, home: Path, person: list[tuple[str, bool]]
) -> None:
    for source in ("github", "gdrive"):
        assert gotdata("login", f"{source}:{server.url}", "--no-check").code == 0
    assert person == [(f"Token for {server.url}", True)] * 2


@pytest.mark.parametrize(
    ("name", "url", "source"),
    [("zenodo", "https://zenodo.org/", "invenio"), ("4TU", "https://data.4tu.nl/", "figshare")],
)
def test_what_has_a_name_of_its_own_is_known_by_it(
    gotdata: Line, home: Path, monkeypatch: pytest.MonkeyPatch, name: str, url: str, source: str
) -> None:
    assert piped(gotdata, monkeypatch, TOKEN, name, "--with-token", "--no-check").code == 0
    assert stored(home) == {url: {"source": source, "token": TOKEN}}
    assert gotdata("login", "--remove", name).code == 0
    assert not stored(home)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("dataverse", "Dataverse is installed in many places"),
        ("invenio", "`gotdata login https://zenodo.org/` names one"),
        ("ckan", "`gotdata login https://HOST/` names one"),
        ("nobody", "neither a URL nor one of dataverse, osf"),
        ("s3", "aws configure"),
        ("http://lab.example/", "is not https"),
        ("globus", "--client ID is due"),
    ],
)
def test_a_place_that_can_t_be_logged_in_to_is_said_to_be_so(
    gotdata: Line, home: Path, person: list[tuple[str, bool]], where: str, words: str
) -> None:
    said = gotdata("login", where)
    assert said.code == 2
    assert words in said.err
    assert not person


def test_what_is_known_is_listed_without_secrets(gotdata: Line, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    (home / "credentials.toml").write_text(
        f'["https://a.example/"]\nbearer = "{TOKEN}"\naccount = "lab"\nexpires = 2020-01-01T00:00:00Z\n'
    )
    (home / "credentials.toml").chmod(0o600)
    said = gotdata("login", "--list", "--json")
    assert TOKEN not in said.out
    ours, theirs = said.json
    assert ours == {
        "prefix": "https://a.example/",
        "account": "lab",
        "kind": "bearer",
        "origin": str(home / "credentials.toml"),
        "until": "2020-01-01T00:00:00Z",
        "problem": "has run out",
    }
    assert (theirs["prefix"], theirs["origin"]) == ("https://huggingface.co/", "$HF_TOKEN")
    lines = gotdata("login", "--list")
    assert "has run out" in lines.out
    assert TOKEN not in lines.out


def test_an_entry_is_forgotten_and_no_other(gotdata: Line, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for host in "ab":
        piped(gotdata, monkeypatch, TOKEN, f"invenio:https://{host}.example/", "--with-token", "--no-check")
    assert gotdata("login", "--remove", "https://a.example").code == 0
    assert list(stored(home)) == ["https://b.example/"]
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    said = gotdata("login", "--remove", "huggingface")
    assert said.code == 2
    assert "comes from $HF_TOKEN" in said.err


def test_a_folder_of_mounted_secrets_is_not_written_to(
    gotdata: Line, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOTDATA_CREDENTIALS", str(home))
    said = piped(gotdata, monkeypatch, TOKEN, "osf", "--with-token", "--no-check")
    assert said.code == 2
    assert "folder of mounted secrets" in said.err


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], str]:
    import keyring
    from keyring.backend import KeyringBackend

    held: dict[tuple[str, str], str] = {}

    class Ours(KeyringBackend):
        priority = 1  # type: ignore[assignment]

        def get_password(self, service: str, username: str) -> str | None:
            return held.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None:
            held[service, username] = password

        def delete_password(self, service: str, username: str) -> None:
            del held[service, username]

    monkeypatch.setattr(keyring.core, "_keyring_backend", Ours())
    return held


def test_a_secret_goes_into_the_keyring_when_that_is_said_and_out_of_it_again(
    gotdata: Line, home: Path, keyring: dict[tuple[str, str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert piped(gotdata, monkeypatch, TOKEN, "osf", "--with-token", "--no-check", "--keyring").code == 0
    assert keyring == {("gotdata", "https://api.osf.io/"): TOKEN}
    assert TOKEN not in (home / "credentials.toml").read_text()
    assert gotdata("login", "--remove", "osf").code == 0
    assert not keyring
    assert not stored(home)


def test_without_a_keyring_the_file_is_named(gotdata: Line, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import keyring
    from keyring.backends.fail import Keyring as None_

    monkeypatch.setattr(keyring.core, "_keyring_backend", None_())
    said = piped(gotdata, monkeypatch, TOKEN, "osf", "--with-token", "--no-check", "--keyring")
    assert said.code == 2
    assert "without --keyring it goes into" in said.err


class Provider:
    """An OAuth provider: what it answers, in turn, at its token endpoint."""

    def __init__(self, server: Server, *answers: Reply) -> None:
        self.answers = list(answers)
        self.forms: list[dict[str, str]] = []
        self.collection: dict[str, object] = {}
        self.interval: float = 1
        self.url = server.url
        server.otherwise = self

    def __call__(self, request: Request) -> Reply | None:
        path = request.path.partition("?")[0]
        if path == "/device":
            return says(
                {
                    "device_code": "dev",
                    "user_code": "AB-CD",
                    "verification_url": f"{self.url}go",
                    "interval": self.interval,
                }
            )
        if path == "/token":
            self.forms.append(dict(parse_qsl(request.body.decode())))
            return self.answers.pop(0)
        if path == "/me" and request.headers.get("authorization") == "Bearer access":
            return says({"user": {"emailAddress": "me@example.org"}})
        if path == "/v0.10/endpoint/12345678-1234-1234-1234-123456789abc":
            return says({"https_server": "https://g-x.data.example:443", **self.collection})
        return None


def provided(monkeypatch: pytest.MonkeyPatch, source: str, url: str) -> None:
    """A provider of the table, at a server of ours."""
    known = providers.PROVIDERS[source]
    assert known.flow
    flow = replace(known.flow, begin=f"{url}device", token=f"{url}token")
    ours = replace(known, prefixes=(url,), flow=flow, check=f"{url}me" if known.check else "")
    monkeypatch.setitem(providers.PROVIDERS, source, ours)  # type: ignore[arg-type]


def test_a_device_flow_waits_for_the_person_and_keeps_the_refresh_token(
    gotdata: Line, server: Server, home: Path, person: list[tuple[str, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    provider = Provider(
        server,
        says({"error": "authorization_pending"}, 428),
        says({"error": "slow_down"}, 403),
        says({"access_token": "access", "expires_in": 3600, "refresh_token": "again"}),
        says({"access_token": "access", "expires_in": 3600}),
    )
    provided(monkeypatch, "gdrive", server.url)
    said = gotdata("login", "gdrive", "--client", "mine")
    assert said.code == 0, said.err
    assert "enter AB-CD" in said.err
    assert stored(home) == {
        server.url: {
            "source": "gdrive",
            "client": "mine",
            "client_secret": TOKEN,
            "refresh": "again",
            "account": "me@example.org",
        }
    }
    assert waited == [1.0, 1.0, 6.0]
    assert [form["grant_type"].rpartition(":")[2] for form in provider.forms] == [*["device_code"] * 3, "refresh_token"]


@pytest.mark.parametrize("answer", ["access_denied", "expired_token"])
def test_a_person_who_says_no_ends_the_device_flow(
    gotdata: Line,
    server: Server,
    home: Path,
    person: list[tuple[str, bool]],
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    Provider(server, says({"error": answer}, 400))
    provided(monkeypatch, "gdrive", server.url)
    said = gotdata("login", "gdrive", "--client", "mine")
    assert said.code == 5
    assert "run `gotdata login` again" in said.err
    assert not stored(home)


def test_a_code_is_pasted_and_proved_to_be_ours(
    gotdata: Line, server: Server, home: Path, person: list[tuple[str, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = {"access_token": "access", "expires_in": 14400}
    provider = Provider(server, says({**token, "refresh_token": "again"}), says(token))
    provided(monkeypatch, "dropbox", server.url)
    said = gotdata("login", "dropbox", "--client", "app", "--no-check")
    assert said.code == 0, said.err
    form = provider.forms[0]
    challenge = re.search(r"code_challenge=([\w-]+)", said.err)
    assert challenge
    digest = hashlib.sha256(form["code_verifier"].encode()).digest()
    assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == challenge[1]
    assert form["code"] == TOKEN
    entry = stored(home)[server.url]
    assert re.fullmatch("login-[0-9a-f]{16}", entry.pop("account"))
    assert entry == {"source": "dropbox", "client": "app", "refresh": "again"}


COLLECTION = "12345678-1234-1234-1234-123456789abc"


def globus(server: Server, monkeypatch: pytest.MonkeyPatch, **collection: object) -> Provider:
    """Globus's login, each time with other refresh tokens, and what its API says of a collection."""
    answers = []
    for number in (1, 2):
        scope = f"https://auth.globus.org/scopes/{COLLECTION}/https"
        other = {"access_token": "theirs", "expires_in": 1, "refresh_token": f"https{number}", "scope": scope}
        both = {"access_token": "a", "expires_in": 9, "refresh_token": f"api{number}", "other_tokens": [other]}
        answers += [says(both), says({"access_token": "a", "expires_in": 9})]
    provider = Provider(server, *answers)
    provider.collection = collection
    provided(monkeypatch, "globus", server.url)
    return provider


def scopes(said: Said) -> list[str]:
    """What was asked for, page by page."""
    pages = [line for line in said.err.splitlines() if "code_challenge=" in line]
    return [dict(parse_qsl(line.partition("?")[2]))["scope"] for line in pages]


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"entity_type": "GCSv5_guest_collection"},
        {"entity_type": "GCSv5_mapped_collection", "high_assurance": True},
    ],
    ids=["unknown", "guest", "high assurance"],
)
def test_a_collection_of_globus_brings_a_token_of_its_own(
    gotdata: Line,
    server: Server,
    home: Path,
    person: list[tuple[str, bool]],
    monkeypatch: pytest.MonkeyPatch,
    kind: dict[str, object],
) -> None:
    globus(server, monkeypatch, **kind)
    said = gotdata("login", f"globus://{COLLECTION}/some/path", "--client", "app", "--no-check")
    assert said.code == 0, said.err
    held = stored(home)
    assert all(entry.pop("account").startswith("login-") for entry in held.values())
    assert held == {
        server.url: {"source": "globus", "client": "app", "refresh": "api1"},
        "https://g-x.data.example/": {"client": "app", "refresh": "https1", "token_url": f"{server.url}token"},
    }
    assert len(scopes(said)) == 1
    assert "data_access" not in said.err


def test_a_mapped_collection_of_globus_is_asked_for_with_its_consent(
    gotdata: Line, server: Server, home: Path, person: list[tuple[str, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    globus(server, monkeypatch, entity_type="GCSv5_mapped_collection", high_assurance=False)
    said = gotdata("login", f"globus://{COLLECTION}/some/path", "--client", "app", "--no-check")
    assert said.code == 0, said.err
    own = f"https://auth.globus.org/scopes/{COLLECTION}"
    api = "urn:globus:auth:scope:transfer.api.globus.org:all"
    consent = f"[*{own}/data_access]"
    assert scopes(said) == [f"{api} {own}/https", f"{api}{consent} {own}/https{consent}"]
    assert [entry["refresh"] for entry in stored(home).values()] == ["api2", "https2"]


@pytest.mark.parametrize("words", [[TOKEN], ["--remove", TOKEN], [f"a:{TOKEN}/=="], ["--remove", f"a:{TOKEN}/=="]])
def test_a_token_in_the_place_of_a_name_is_not_repeated(gotdata: Line, home: Path, words: list[str]) -> None:
    said = gotdata("login", *words)
    assert said.code == 2
    assert "neither a URL nor one of" in said.err
    assert TOKEN not in said.out + said.err


def test_a_token_as_a_second_word_is_not_repeated(gotdata: Line, home: Path) -> None:
    said = gotdata("login", "osf", TOKEN)
    assert said.code == 2
    assert "with --with-token" in said.err
    assert TOKEN not in said.out + said.err


@pytest.mark.parametrize("token", [{"access_token": "a", "refresh_token": "\ud800"}, {"access_token": "\ud800"}])
def test_a_token_that_is_no_text_is_not_stored(
    gotdata: Line,
    server: Server,
    home: Path,
    person: list[tuple[str, bool]],
    monkeypatch: pytest.MonkeyPatch,
    token: dict[str, str],
) -> None:
    Provider(server, says(token))
    provided(monkeypatch, "dropbox", server.url)
    said = gotdata("login", "dropbox", "--client", "app", "--no-check")
    assert said.code == 1
    assert "answered no access token" in said.err
    assert not stored(home)


@pytest.mark.parametrize("interval", [float("nan"), float("inf"), 10**400, -1])
def test_an_interval_that_is_none_is_a_second_or_half_an_hour(
    gotdata: Line,
    server: Server,
    home: Path,
    person: list[tuple[str, bool]],
    monkeypatch: pytest.MonkeyPatch,
    interval: float,
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    provider = Provider(server, says({"error": "access_denied", "error_description": f"{TOKEN}, dev"}, 403))

    provider.interval = interval
    provided(monkeypatch, "gdrive", server.url)
    said = gotdata("login", "gdrive", "--client", "mine")
    assert said.code == 5
    assert waited in ([1.0], [1800.0])
    assert TOKEN not in said.err


def test_an_answer_that_is_too_deep_is_a_fault_of_the_endpoint(
    gotdata: Line, server: Server, home: Path, person: list[tuple[str, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    Provider(server, Reply(200, {"Content-Type": "application/json"}, b"[" * 15000))
    provided(monkeypatch, "dropbox", server.url)
    said = gotdata("login", "dropbox", "--client", "app", "--no-check")
    assert said.code == 1
    assert "where a token was due" in said.err

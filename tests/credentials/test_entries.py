"""Entries of credentials.toml: in which form, from where, and until when."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gotdata import credentials
from gotdata.credentials import Credential
from gotdata.errors import AuthRequired, ManifestError, SourceError
from tests.credentials.places import Home, headers, no_network


def find(home: Home, text: str, url: str = "https://h.example/x") -> Credential:
    home.write("credentials.toml", text)
    found = home.load().find(url)
    assert found
    return found


def test_a_token_goes_in_the_header_of_its_source_and_to_all_its_addresses(home: Home) -> None:
    text = """
        ["https://h.example/"]
        source = "dataverse"
        token = "tok"
        ["https://api.osf.io/"]
        source = "osf"
        token = "t2"
        """
    assert headers(find(home, text)) == {"X-Dataverse-key": "tok"}
    api, files = (home.load().find(url) for url in ("https://api.osf.io/x", "https://files.us.osf.io/x"))
    assert headers(api) == headers(files) == {"Authorization": "Bearer t2"}
    assert api
    assert files
    assert api.realm == files.realm


def test_a_query_is_sent_as_one(home: Home) -> None:
    found = find(home, '["https://h.example/"]\nquery = "?sv=1&sig=a%2Fb"')
    assert found.sent(no_network).query == "sv=1&sig=a%2Fb"
    assert "sig" not in repr(found)
    with pytest.raises(AuthRequired, match="can't be sent"):
        find(home, '["https://h.example/"]\nquery = "a b#c"').sent(no_network)


@pytest.mark.parametrize("entry", ['bearer = {file = "tok"}', 'bearer_file = "tok"', 'bearer_file = "@/tok"'])
def test_a_secret_in_a_file_is_read_at_each_use_and_keeps_its_realm(home: Home, entry: str) -> None:
    home.write("tok", "first\n", 0o644)
    found = find(home, f'["https://h.example/"]\n{entry.replace("@", str(home.path))}')
    assert headers(found) == {"Authorization": "Bearer first"}
    home.write("tok", "second\n", 0o644)
    assert headers(found) == {"Authorization": "Bearer second"}
    assert home.load().realm("https://h.example/") == home.load().realm("https://h.example/")


def test_a_header_may_lie_in_a_file(home: Home) -> None:
    home.write("key", "k")
    assert headers(find(home, '["https://h.example/"]\nheaders = {X-Key = {file = "key"}, X-Other = "o"}')) == {
        "X-Key": "k",
        "X-Other": "o",
    }


@pytest.mark.parametrize(
    ("text", "words"), [(None, "can't be read"), ("", "is empty"), ("two\nlines", "more than one line")]
)
def test_a_file_without_a_secret_is_named(home: Home, text: str | None, words: str) -> None:
    if text is not None:
        home.write("tok", text)
    found = find(home, '["https://h.example/"]\nbearer_file = "tok"')
    with pytest.raises(AuthRequired, match=words):
        headers(found)


def test_a_folder_of_mounted_files_is_read(home: Home) -> None:
    home.write("secrets/a.toml", '["https://a.example/"]\nbearer_file = "a"', 0o644)
    home.write("secrets/a", "tok", 0o644)
    home.write("secrets/b.toml", '["https://b.example/"]\nbasic = "me:x"', 0o644)
    home.write("secrets/..data/c.toml", '["https://c.example/"]\nbearer = "x"')
    home.environ["GOTDATA_CREDENTIALS"] = str(home.path / "secrets")
    found = home.load(service=True)
    assert headers(found.find("https://a.example/")) == {"Authorization": "Bearer tok"}
    assert found.find("https://b.example/")
    assert not found.find("https://c.example/")


def test_a_credential_that_has_run_out_says_which_command_helps(home: Home) -> None:
    found = find(home, '["https://h.example/"]\nbearer = "x"\nexpires = 2020-01-31')
    with pytest.raises(AuthRequired, match=r"has run out \(2020-01-31.*`gotdata login https://h.example/`"):
        headers(found)
    assert headers(find(home, '["https://h.example/"]\nbearer = "x"\nexpires = 2999-01-31T00:00:00Z'))


class Endpoint:
    """A token endpoint that gives a token for some seconds, numbered."""

    def __init__(self, lasts: float, more: Mapping[str, Any] | None = None) -> None:
        self.asked: list[Mapping[str, str]] = []
        self.lasts, self.more = lasts, more or {}

    def __call__(self, url: str, form: Mapping[str, str]) -> Mapping[str, Any]:
        self.asked.append({"url": url, **form})
        return {"access_token": f"t{len(self.asked)}", "expires_in": self.lasts, **self.more}


REFRESHED = '["https://h.example/"]\nrefresh = "r1"\nclient = "me"\ntoken_url = "https://auth.example/token"\n'


def test_a_token_is_renewed_before_it_ends_and_not_before(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    found, endpoint, now = find(home, REFRESHED), Endpoint(3600), time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    assert [dict(found.sent(endpoint).headers) for _ in range(3)] == 3 * [{"Authorization": "Bearer t1"}]
    now += 3600 - 60 - 1
    assert found.sent(endpoint).headers[0][1] == "Bearer t1"
    now += 2
    assert found.sent(endpoint).headers[0][1] == "Bearer t2"
    assert endpoint.asked[1] == {
        "url": "https://auth.example/token",
        "grant_type": "refresh_token",
        "refresh_token": "r1",
        "client_id": "me",
    }


def test_a_refresh_token_that_is_replaced_is_kept(home: Home) -> None:
    realm = find(home, REFRESHED).realm
    find(home, REFRESHED).sent(Endpoint(3600, {"refresh_token": "r2"}))
    assert 'refresh = "r2"' in (home.path / "credentials.toml").read_text()
    again = home.load().find("https://h.example/")
    assert again
    assert again.realm == realm
    endpoint = Endpoint(3600)
    again.sent(endpoint)
    assert endpoint.asked[0]["refresh_token"] == "r2"


def realm(home: Home, text: str) -> str:
    return find(home, text).realm


@pytest.mark.parametrize(
    "entry",
    [
        'bearer = {file = "secret"}',
        'basic = {file = "secret"}',
        'headers = {X-Key = {file = "secret"}}',
        'refresh = {file = "secret"}\nclient = "me"\ntoken_url = "https://auth.example/token"',
    ],
)
def test_another_secret_in_a_file_is_another_account_until_one_is_named(home: Home, entry: str) -> None:
    def both(text: str) -> set[str]:
        realms = set()
        for secret in ("alice:1", "bob:2"):
            home.write("secret", secret)
            realms.add(realm(home, text))
            assert realm(home, text) in realms
        return realms

    text = f'["https://h.example/"]\n{entry}'
    assert len(both(text)) == 2
    assert len(both(f'{text}\naccount = "lab"')) == 1


def test_another_secret_in_the_keyring_is_another_account_until_one_is_named(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, held = '["https://h.example/"]\nbearer = {keyring = true}\n', ["alice"]
    monkeypatch.setattr("gotdata.credentials.renew.from_keyring", lambda prefix: held[-1])
    before, named = realm(home, text), realm(home, text + 'account = "lab"')
    held.append("bob")
    assert realm(home, text) != before
    assert realm(home, text + 'account = "lab"') == named


def test_another_refresh_token_of_the_same_program_is_another_account(home: Home) -> None:
    assert realm(home, REFRESHED) == realm(home, REFRESHED)
    assert realm(home, REFRESHED) != realm(home, REFRESHED.replace("r1", "of bob"))
    named = REFRESHED + 'account = "lab"'
    assert realm(home, named) == realm(home, named.replace("r1", "r2"))


def test_another_token_of_the_grid_is_another_account(home: Home) -> None:
    text, realms = '["https://h.example/"]\nwlcg = true', set()
    for token in ("alice", "bob"):
        home.environ["BEARER_TOKEN"] = token
        realms.add(realm(home, text))
    assert len(realms) == 2


def test_a_secret_that_can_t_be_read_is_no_account_that_was_seen_before(home: Home) -> None:
    text = '["https://h.example/"]\nbearer_file = "absent"'
    assert realm(home, text) != realm(home, text)


@pytest.mark.parametrize("when", ["0001-01-01", "0001-01-01T00:00:00+14:00", "1970-01-01"])
def test_a_date_that_no_clock_knows_is_a_mistake(home: Home, when: str) -> None:
    with pytest.raises(ManifestError, match="expires must be a date"):
        find(home, f'["https://h.example/"]\nbearer = "x"\nexpires = {when}')


def test_the_last_date_of_all_is_never(home: Home) -> None:
    assert find(home, '["https://h.example/"]\nbearer = "x"\nexpires = 9999-12-31T23:59:59Z').expires is None


@pytest.mark.parametrize("lasts", [10**400, float("inf"), float("nan"), -1])
def test_a_token_that_lasts_absurdly_long_is_a_token(home: Home, lasts: float) -> None:
    assert dict(find(home, REFRESHED).sent(Endpoint(lasts)).headers) == {"Authorization": "Bearer t1"}


@pytest.mark.parametrize("more", [{"refresh_token": "\ud800"}, {"refresh_token": 5}, {"access_token": "\ud800"}])
def test_a_token_that_is_no_text_is_a_fault_of_its_endpoint(home: Home, more: Mapping[str, Any]) -> None:
    with pytest.raises(SourceError, match="answered no access token"):
        find(home, REFRESHED).sent(Endpoint(3600, more))
    assert 'refresh = "r1"' in (home.path / "credentials.toml").read_text()


def test_an_endpoint_that_echoes_a_secret_is_not_quoted(home: Home) -> None:
    text = REFRESHED.replace('"r1"', '"s3cr3t/r1"') + 'client_secret = "s3cr3t-of-app"'
    with pytest.raises(AuthRequired, match="does not renew it") as caught:
        find(home, text).sent(lambda url, form: {"error": f"no s3cr3t/r1, s3cr3t%2Fr1 of {form['client_secret']}"})
    assert "s3cr3t" not in str(caught.value)


def test_a_refusal_to_renew_says_which_command_helps(home: Home) -> None:
    with pytest.raises(
        AuthRequired, match=r"auth.example does not renew it \(invalid_grant\); `gotdata login https://h"
    ):
        find(home, REFRESHED).sent(lambda url, form: {"error": "invalid_grant"})


def test_a_refresh_token_never_goes_without_encryption(home: Home) -> None:
    home.write("credentials.toml", REFRESHED.replace("https://auth", "http://auth"))
    with pytest.raises(ManifestError, match="is not https"):
        home.load()


def test_bearer_tokens_of_the_grid_are_for_the_hosts_that_are_named(home: Home, tmp_path: Path) -> None:
    text = '["https://h.example/"]\nwlcg = true'
    home.environ["BEARER_TOKEN"] = "env"
    assert headers(find(home, text)) == {"Authorization": "Bearer env"}
    assert not home.load().find("https://other.example/")
    del home.environ["BEARER_TOKEN"]
    home.environ["BEARER_TOKEN_FILE"] = str(home.write("bt", "file\n"))
    assert headers(find(home, text)) == {"Authorization": "Bearer file"}
    del home.environ["BEARER_TOKEN_FILE"]
    home.environ["XDG_RUNTIME_DIR"] = str(tmp_path)
    home.write(f"bt_u{os.geteuid()}", "runtime\n")
    assert headers(find(home, text)) == {"Authorization": "Bearer runtime"}


def test_the_keyring_holds_a_secret_under_its_prefix(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    import keyring
    from keyring.backend import KeyringBackend

    class Ours(KeyringBackend):
        priority = 1  # type: ignore[assignment]

        def get_password(self, service: str, username: str) -> str | None:
            return {("gotdata", "https://h.example/"): "kept"}.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None: ...

        def delete_password(self, service: str, username: str) -> None: ...

    monkeypatch.setattr(keyring.core, "_keyring_backend", Ours())
    text = """
        ["https://h.example/"]
        source = "dataverse"
        token = {keyring = true}
        ["https://i.example"]
        bearer = {keyring = true}
        """
    assert headers(find(home, text)) == {"X-Dataverse-key": "kept"}
    with pytest.raises(AuthRequired, match=r"no more in the keyring.*`gotdata login https://i.example/`"):
        headers(find(home, text, "https://i.example/"))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ('source = "nobody"\ntoken = "s3cr3t"', "no known source; there are dataverse, osf"),
        ('token = "s3cr3t"', "a token and no source"),
        ('bearer = {fil = "s3cr3t"}', 'must be text, {file = "…"} or {keyring = true}'),
        ("bearer = 5", "must be text"),
        ('refresh = "s3cr3t"', "no token_url"),
        ('bearer = "s3cr3t"\nexpires = "soon"', "must be a date"),
        ('bearer = "s3cr3t"\nquery = "s3cr3t"', "needs one of"),
    ],
)
def test_a_mistake_is_named_and_no_secret_told(home: Home, entry: str, words: str) -> None:
    home.write("credentials.toml", f'["https://h.example/"]\n{entry}')
    with pytest.raises(ManifestError) as caught:
        home.load()
    assert words in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('# mine\n["https://h.example/"]\nbearer = "x"\ns3cr3t = ""', "an unknown key at line 4; there are bearer"),
        ('\ns3cr3t = "x"', "the entry at line 2 must be a table"),
        ('["s3cr3t"]\nbearer = "x"', "the entry at line 1 is no prefix such as https://host/folder/"),
        ('["http://[s3cr3t"]\nbearer = "x"', "the entry at line 1 is no prefix"),
    ],
)
def test_what_stands_in_the_wrong_place_is_said_by_its_line(home: Home, text: str, words: str) -> None:
    home.write("credentials.toml", text)
    with pytest.raises(ManifestError) as caught:
        home.load()
    assert words in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_what_was_written_down_comes_before_what_tools_left(home: Home) -> None:
    home.environ["HF_TOKEN"] = "env"
    home.write("credentials.toml", '["https://huggingface.co/"]\nbearer = "own"')
    assert headers(home.load().find("https://huggingface.co/x")) == {"Authorization": "Bearer own"}
    assert len(list(credentials.known(home.environ))) == 2

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gotdata.credentials import PUBLIC, Credential, Credentials, load, site
from gotdata.errors import ManifestError, SourceError


def held(*prefixes: str) -> Credentials:
    made = [Credential(prefix, f"cred:{prefix}", (("Authorization", prefix),)) for prefix in prefixes]
    return Credentials(made)


def sent(credential: Credential) -> dict[str, str]:
    """The headers of a request that is made with it, without a network."""
    return dict(credential.sent(lambda url, form: {}).headers)


def written(tmp_path: Path, text: str, mode: int = 0o600) -> dict[str, str]:
    """The environment of a person whose credentials.toml says ``text``."""
    path = tmp_path / "credentials.toml"
    path.write_text(text)
    path.chmod(mode)
    return {"GOTDATA_SETTINGS": str(tmp_path / "settings.toml"), "NETRC": str(tmp_path / "no-netrc")}


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://host/data", True),
        ("https://host/data/", True),
        ("https://host/data/x?y=z#w", True),
        ("https://HOST:443/data/x", True),
        ("https://host/da%74a/x", True),
        ("https://host/database", False),
        ("https://host/dat", False),
        ("https://host/", False),
        ("https://host:8443/data/x", False),
        ("http://host/data/x", False),
        ("http://host:443/data/x", False),
        ("https://host.evil/data/x", False),
        ("https://evil/data/x?https://host/data/", False),
        ("https://host@evil/data/x", False),
        ("https://evil\\@host/data/x", False),
        ("https://host/data/../secret", False),
        ("https://host/data/%2e%2e/secret", False),
        ("https://host/data/..%2fsecret", False),
        ("https://host/data/..\\secret", False),
    ],
)
def test_a_credential_is_for_what_lies_below_its_prefix(url: str, found: bool) -> None:
    assert (held("https://host:443/data").find(url) is not None) is found


def test_the_longest_prefix_counts() -> None:
    both = held("https://host:443/", "https://host:443/data/")
    credential = both.find("https://host/data/x")
    assert credential is not None
    assert credential.prefix == "https://host:443/data/"


def test_realms_tell_who_may_be_served() -> None:
    one = held("https://host:443/data/")
    assert one.realm("https://host/open/") == PUBLIC
    assert one.realm("https://host.evil/data/") == PUBLIC
    assert one.realm("https://host/data/x").startswith("cred:")
    assert one.realm("https://host/") == one.realm("https://host/data/x"), "what lies below may need it"
    assert one.realm("https://host/data/x") == held("https://host:443/data/").realm("https://host/data/y")
    two = held("https://host:443/data/", "https://host:443/data/deep/")
    assert two.realm("https://host/data/") != one.realm("https://host/data/")
    assert two.realm("https://host/data/other") == one.realm("https://host/data/other")


def test_a_site_is_scheme_host_and_port() -> None:
    assert site("https://Host/x") == site("https://host:443/") == "https://host:443"
    assert site("https://host/") != site("http://host/")
    with pytest.raises(SourceError, match="no URL"):
        site("http://[::1/")


def test_credentials_are_read_from_the_file_beside_the_settings(tmp_path: Path) -> None:
    environ = written(
        tmp_path,
        """
        ["https://a.example/data/"]
        bearer = "tok"
        ["https://b.example"]
        basic = "me:pa ss"
        ["https://c.example:8443/"]
        headers = {X-Api-Key = "k", X-Other = "o"}
        """,
    )
    found = load(environ)
    headers = {url: sent(one) for url in "abc" if (one := found.find(f"https://{url}.example/data/x"))}
    assert headers == {"a": {"Authorization": "Bearer tok"}, "b": {"Authorization": "Basic bWU6cGEgc3M="}}
    third = found.find("https://c.example:8443/x")
    assert third is not None
    assert sent(third) == {"X-Api-Key": "k", "X-Other": "o"}


def test_an_account_keeps_its_realm_when_its_token_changes(tmp_path: Path) -> None:
    def realm(line: str) -> str:
        return load(written(tmp_path, f'["https://host/"]\n{line}')).realm("https://host/")

    assert realm('bearer = "1"\naccount = "lab"') == realm('bearer = "2"\naccount = "lab"')
    assert realm('basic = "me:1"') == realm('basic = "me:2"') != realm('basic = "you:2"')
    assert realm('bearer = "1"') != realm('bearer = "2"')


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('["https://h/"]\nbearer = s3cr3t', "not TOML at line 2"),
        ('["https://h/"]\nbarer = "s3cr3t"', "an unknown key at line 2; there are bearer, basic, headers, "),
        ('["https://h/"]\naccount = "s3cr3t"', "needs one of"),
        ('["https://h/"]\nbearer = "s3cr3t"\nbasic = "s3cr3t:x"', "needs one of"),
        ('["h/data"]\nbearer = "s3cr3t"', "no prefix such as https://"),
        ('["s3://bucket/"]\nbearer = "s3cr3t"', "no prefix such as https://"),
        ('["https://h/"]\nheaders = {A = "s3cr3t\\nB: c"}', "on one line each"),
        ('["https://h/"]\nheaders = "s3cr3t"', "must be a table"),
        ('"https://h/" = "s3cr3t"', "must be a table"),
    ],
)
def test_a_mistake_is_named_and_no_secret_told(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ManifestError, match=words) as caught:
        load(written(tmp_path, text))
    assert str(tmp_path) in str(caught.value)
    assert "s3cr3t" not in str(caught.value)
    assert caught.value.__cause__ is None or "s3cr3t" not in str(caught.value.__cause__)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="chmod 600"):
        load(written(tmp_path, "", mode=0o640))


def test_a_mounted_secret_is_read_whatever_its_mode(tmp_path: Path) -> None:
    written(tmp_path, '["https://host/"]\nbearer = "tok"', mode=0o644)
    environ = {"GOTDATA_CREDENTIALS": str(tmp_path / "credentials.toml"), "NETRC": str(tmp_path / "no-netrc")}
    assert load(environ).find("https://host/x")
    with pytest.raises(ManifestError, match="nothing"):
        load({**environ, "GOTDATA_CREDENTIALS": str(tmp_path / "nothing")})


def test_netrc_is_for_https_at_its_own_port_and_never_by_default(tmp_path: Path) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine host login me password secret\ndefault login you password other\n")
    path.chmod(0o600)
    found = load({"NETRC": str(path), "GOTDATA_SETTINGS": str(tmp_path / "settings.toml")})
    credential = found.find("https://host/x")
    assert credential is not None
    assert sent(credential) == {"Authorization": "Basic bWU6c2VjcmV0"}
    assert not found.find("http://host/x")
    assert not found.find("https://host:8443/x")
    assert not found.find("https://elsewhere/x")
    assert not found.find("https://default/x")


def test_the_netrc_of_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine host login me password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert load({"GOTDATA_SETTINGS": str(tmp_path / "settings.toml")}).find("https://host/x")


def test_our_own_file_comes_before_netrc(tmp_path: Path) -> None:
    environ = written(tmp_path, '["https://host/"]\nbearer = "tok"')
    path = tmp_path / "netrc"
    path.write_text("machine host login me password secret\n")
    path.chmod(0o600)
    credential = load({**environ, "NETRC": str(path)}).find("https://host/x")
    assert credential is not None
    assert sent(credential) == {"Authorization": "Bearer tok"}


def test_a_netrc_that_is_not_understood_is_named_and_no_secret_told(tmp_path: Path) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine host login me pasword s3cr3t\n")
    with pytest.raises(ManifestError, match="netrc: can't be understood") as caught:
        load({"NETRC": str(path), "GOTDATA_SETTINGS": str(tmp_path / "settings.toml")})
    assert "s3cr3t" not in str(caught.value)


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    found = load(written(tmp_path, '["https://host/"]\nbearer = "s3cr3t"'))
    assert "s3cr3t" not in repr(found) + repr(found.find("https://host/"))

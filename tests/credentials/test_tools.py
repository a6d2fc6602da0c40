"""What other tools left in environment and home, and for which URLs it counts."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from gotdata import credentials
from gotdata.credentials import Unusable
from gotdata.credentials.providers import PROVIDERS, all_prefixes
from gotdata.credentials.rclone import reveal
from gotdata.errors import AuthRequired
from tests.credentials.places import Home, headers, no_network


@pytest.mark.parametrize(
    ("variable", "url", "header"),
    [
        ("HF_TOKEN", "https://huggingface.co/datasets/x", {"Authorization": "Bearer tok"}),
        ("OSF_TOKEN", "https://api.osf.io/v2/nodes/", {"Authorization": "Bearer tok"}),
        ("OSF_TOKEN", "https://files.de-1.osf.io/v1/x", {"Authorization": "Bearer tok"}),
        ("GH_TOKEN", "https://api.github.com/repos/x", {"Authorization": "Bearer tok"}),
        ("GITHUB_TOKEN", "https://raw.githubusercontent.com/x", {"Authorization": "Bearer tok"}),
        ("GITHUB_TOKEN", "https://github.com/x.git", {"Authorization": "Basic eC1hY2Nlc3MtdG9rZW46dG9r"}),
        ("DANDI_API_KEY", "https://api.dandiarchive.org/api/", {"Authorization": "token tok"}),
    ],
)
def test_a_variable_is_for_its_provider_s_hosts(home: Home, variable: str, url: str, header: dict[str, str]) -> None:
    home.environ[variable] = "tok"
    found = home.load()
    assert headers(found.find(url)) == header
    for elsewhere in ("https://huggingface.co.evil.example/", "http://huggingface.co/", "https://evil.example/tok"):
        assert found.find(elsewhere) is None
    for other in PROVIDERS.values():
        if variable not in other.environ:
            assert not any(found.find(prefix) for prefix in all_prefixes(other)), other.title


def test_the_addresses_of_a_provider_are_one_account(home: Home) -> None:
    home.environ["OSF_TOKEN"] = "tok"
    found = home.load()
    api, files = found.find("https://api.osf.io/x"), found.find("https://files.osf.io/x")
    assert api
    assert files
    assert api.realm == files.realm


def test_a_key_of_dataverse_is_for_the_server_that_is_named(home: Home) -> None:
    home.environ |= {"DATAVERSE_KEY": "tok", "DATAVERSE_SERVER": "dataverse.example.org"}
    found = home.load()
    assert headers(found.find("https://dataverse.example.org/api/x")) == {"X-Dataverse-key": "tok"}
    assert found.find("https://dataverse.harvard.edu/api/x") is None
    del home.environ["DATAVERSE_SERVER"]
    assert not list(home.load())


def test_hugging_face_s_file_is_found_with_the_name_of_its_token(home: Home) -> None:
    home.write(".cache/huggingface/token", "hf_x\n")
    home.write(".cache/huggingface/stored_tokens", "[laptop]\nhf_token = hf_x\n[other]\nhf_token = hf_y\n")
    found = home.load().find("https://huggingface.co/x")
    assert headers(found) == {"Authorization": "Bearer hf_x"}
    assert found
    assert found.account == "laptop"


def test_the_files_of_gh_and_glab_are_found(home: Home) -> None:
    home.write(
        ".config/gh/hosts.yml",
        "github.com:\n    users:\n        me:\n            oauth_token: inner\n    oauth_token: gho_x\n    user: me\n"
        "ghe.example:\n    oauth_token: other\n",
    )
    home.write(
        ".config/glab-cli/config.yml",
        "git_protocol: ssh\nhosts:\n"
        "    gitlab.example.org:\n        token: !!null glpat-x\n        api_host: elsewhere\n",
    )
    found = home.load()
    assert headers(found.find("https://api.github.com/x")) == {"Authorization": "Bearer gho_x"}
    assert headers(found.find("https://gitlab.example.org/x")) == {"PRIVATE-TOKEN": "glpat-x"}
    assert found.find("https://ghe.example/x") is None
    assert found.find("https://elsewhere/x") is None


def rclone(home: Home, text: str) -> Path:
    return home.write(".config/rclone/rclone.conf", text)


OBSCURED = "YWFhYWFhYWFhYWFhYWFhYXMaGgIlEQ"
"""``potato``, as rclone 1.60 obscures it with a counter of sixteen a's."""


def test_rclone_s_remotes_are_for_the_urls_that_they_name(home: Home) -> None:
    rclone(
        home,
        "[cloud]\ntype = webdav\nurl = https://cloud.example/dav/files/me\nvendor = nextcloud\n"
        f"user = me\npass = {OBSCURED}\n"
        "[token]\ntype = webdav\nurl = https://tok.example/dav\nbearer_token = tok\n"
        "[plain]\ntype = webdav\nurl = http://plain.example/dav\nuser = me\npass = x\n"
        "[web]\ntype = http\nurl = https://web.example/data\nheaders = Authorization,Bearer abc\n"
        "[blob]\ntype = azureblob\nsas_url = https://acc.blob.core.windows.net/box?sv=1&sig=s3cr3t\n"
        "[key]\ntype = azureblob\naccount = acc\nkey = s3cr3t\n"
        "[aws]\ntype = s3\nendpoint = https://s3.example\nsecret_access_key = s3cr3t\n",
    )
    found = home.load()
    assert headers(found.find("https://cloud.example/dav/files/me/x")) == {
        "Authorization": "Basic " + base64.b64encode(b"me:potato").decode()
    }
    assert found.find("https://cloud.example/dav/files/other/x") is None
    assert headers(found.find("https://tok.example/dav/x")) == {"Authorization": "Bearer tok"}
    assert found.find("http://plain.example/dav/x") is None
    assert headers(found.find("https://web.example/data/x")) == {"Authorization": "Bearer abc"}
    blob = found.find("https://acc.blob.core.windows.net/box/x")
    assert blob
    assert blob.sent(no_network).query == "sv=1&sig=s3cr3t"
    unusable = [one for one in credentials.known(home.environ) if isinstance(one, Unusable)]
    assert {one.origin.split("[")[1] for one in unusable} == {"plain]", "key]", "aws]"}
    assert "s3cr3t" not in repr(list(credentials.known(home.environ)))


def test_an_obscured_password_is_what_rclone_says(tmp_path: Path) -> None:
    assert reveal(OBSCURED) == "potato"
    program = shutil.which("rclone")
    if program is None:
        pytest.skip("rclone is not installed")
    config = tmp_path / "rclone.conf"
    config.touch()
    obscured = subprocess.run(
        [program, "--config", str(config), "obscure", "-"],
        input="pass wörd\n",
        text=True,
        capture_output=True,
        check=True,
    )
    assert reveal(obscured.stdout.strip()) == "pass wörd"


def test_an_obscured_password_that_is_none_is_told_when_it_is_needed(home: Home) -> None:
    rclone(home, "[bad]\ntype = webdav\nurl = https://cloud.example/\nuser = me\npass = x!\n")
    found = home.load().find("https://cloud.example/")
    with pytest.raises(AuthRequired, match="can't be read"):
        headers(found)


def test_rclone_s_token_is_used_until_it_ends_and_refreshed_where_its_client_is_known(home: Home) -> None:
    token = {"access_token": "old", "refresh_token": "again", "expiry": "2020-01-01T00:00:00.123456789+01:00"}
    rclone(home, f"[drive]\ntype = drive\ntoken = {json.dumps(token)}\n")
    found = home.load().find("https://www.googleapis.com/drive/v3/files")
    with pytest.raises(AuthRequired, match="has run out"):
        headers(found)
    rclone(home, f"[drive]\ntype = drive\nclient_id = mine\nclient_secret = s\ntoken = {json.dumps(token)}\n")
    found = home.load().find("https://www.googleapis.com/drive/v3/files")
    asked: list[tuple[str, dict[str, str]]] = []

    def post(url: str, form: object) -> dict[str, object]:
        assert isinstance(form, dict)
        asked.append((url, form))
        return {"access_token": "new", "expires_in": 3600}

    assert found
    assert found.sent(post).headers == (("Authorization", "Bearer new"),)
    url, form = asked[0]
    assert url == "https://oauth2.googleapis.com/token"
    assert form == {
        "grant_type": "refresh_token",
        "refresh_token": "again",
        "client_id": "mine",
        "client_secret": "s",
    }


def test_an_encrypted_rclone_config_is_said_to_be_one(home: Home) -> None:
    rclone(home, "# Encrypted rclone configuration File\n\nRCLONE_ENCRYPT_V0:\nabc\n")
    (found,) = credentials.known(home.environ)
    assert isinstance(found, Unusable)
    assert "encrypted" in found.reason


def test_a_service_takes_nothing_that_tools_left_in_its_home(home: Home) -> None:
    home.write(".cache/huggingface/token", "hf_x")
    home.write(".config/gh/hosts.yml", "github.com:\n    oauth_token: gho_x\n")
    rclone(home, "[token]\ntype = webdav\nurl = https://tok.example/dav\nbearer_token = tok\n")
    home.write(".config/gcloud/application_default_credentials.json", '{"type": "authorized_user", "client_id": "x"}')
    assert len(list(home.load())) > 3
    assert not list(home.load(service=True))
    home.environ["HF_TOKEN"] = "hf_named"
    assert headers(home.load(service=True).find("https://huggingface.co/")) == {"Authorization": "Bearer hf_named"}


@pytest.mark.parametrize("name", [".config/gh/hosts.yml", ".config/rclone/rclone.conf", ".cache/huggingface/token"])
@pytest.mark.parametrize("junk", [b"\xff\xfe\x00", b"[", b"a: b: c\n- [", b""])
def test_a_tool_s_file_that_can_t_be_understood_is_passed_by(home: Home, name: str, junk: bytes) -> None:
    home.write(name, "").write_bytes(junk)
    assert not [one for one in home.load() if one.origin.endswith("hosts.yml")]


def test_google_s_library_renews_what_its_file_says(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    import google.oauth2.credentials as library

    home.write(
        ".config/gcloud/application_default_credentials.json",
        json.dumps(
            {"type": "authorized_user", "client_id": "me", "client_secret": "s", "refresh_token": "r", "account": "a@b"}
        ),
    )

    def refresh(self: library.Credentials, request: object) -> None:
        self.token = "fresh"

    monkeypatch.setattr(library.Credentials, "refresh", refresh)
    found = home.load()
    assert headers(found.find("https://storage.googleapis.com/x")) == {"Authorization": "Bearer fresh"}
    assert found.find("https://www.googleapis.com/drive/v3/files") is None, "a person's Drive is another matter"


def test_profiles_of_aws_are_known_by_name_only(home: Home) -> None:
    home.write(".aws/credentials", "[default]\naws_access_key_id = a\naws_secret_access_key = s3cr3t\n")
    home.write(".aws/config", "[profile lab]\nendpoint_url = https://s3.lab.example\n[sso-session x]\na = b\n")
    found = list(credentials.tools.aws_profiles(home.environ, home.path))
    assert [(name, endpoint) for name, endpoint, _ in found] == [("default", ""), ("lab", "https://s3.lab.example")]


def test_no_program_is_run_and_no_network_asked_to_load(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **named: object) -> None:
        raise AssertionError(args)

    monkeypatch.setattr(os, "system", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr("socket.socket", refuse)
    home.environ["GH_TOKEN"] = "x"
    assert len(list(home.load())) == 3

"""Edits of credentials.toml keep what people wrote around them."""

from __future__ import annotations

import os
import stat
import sys
import threading
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotdata.credentials import edit
from gotdata.credentials.held import holder
from gotdata.errors import ManifestError

WRITTEN = """\
# keys of the lab

["https://a.example/"]   # ours
# asked for in May
bearer = "old"

# the second
["https://b.example/"]
basic = "me:x"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "credentials.toml"
    path.parent.mkdir()
    path.write_text(WRITTEN)
    path.chmod(0o600)
    return path


def test_an_entry_is_replaced_and_its_comments_stay(path: Path) -> None:
    edit.put(path, "https://a.example/", {"bearer": "new", "account": "lab"})
    assert path.read_text() == WRITTEN.replace('["https://a.example/"]   # ours', '["https://a.example/"]').replace(
        'bearer = "old"', 'bearer = "new"\naccount = "lab"'
    )


def test_an_entry_is_added_at_the_end(path: Path) -> None:
    edit.put(path, "https://c.example/", {"token": {"keyring": True}, "expires": datetime(2030, 1, 2, tzinfo=UTC)})
    text = path.read_text()
    assert text.startswith(WRITTEN + '\n["https://c.example/"]\n')
    assert tomllib.loads(text)["https://c.example/"] == {
        "token": {"keyring": True},
        "expires": datetime(2030, 1, 2, tzinfo=UTC),
    }


def test_an_entry_goes_with_its_comments_and_no_others(path: Path) -> None:
    edit.remove(path, "https://a.example/")
    assert path.read_text() == '# keys of the lab\n\n\n# the second\n["https://b.example/"]\nbasic = "me:x"\n'


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_what_is_written_is_its_owner_s_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "credentials.toml"
    edit.put(path, "https://a.example/", {"bearer": "x"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_link_stays_one(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.toml"
    link.symlink_to(path)
    edit.put(link, "https://a.example/", {"bearer": "new"})
    assert link.is_symlink()
    assert tomllib.loads(path.read_text())["https://a.example/"] == {"bearer": "new"}


@pytest.mark.parametrize(
    "text",
    ['"https://a.example/" = {bearer = "s3cr3t"}\n', 'x = """\n["https://a.example/"]\n"""\n', "s3cr3t"],
    ids=["inline", "a header in a text", "no TOML"],
)
def test_what_would_change_more_is_refused_and_left_as_it_was(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(ManifestError, match="by hand") as caught:
        edit.put(path, "https://a.example/", {"bearer": "new"})
    assert path.read_text() == text
    assert "s3cr3t" not in str(caught.value)


def test_of_edits_at_once_none_is_lost(path: Path) -> None:
    threads = [threading.Thread(target=edit.put, args=(path, f"https://h{n}/", {"bearer": "x"})) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(tomllib.loads(path.read_text())) >= {f"https://h{n}/" for n in range(12)}


@given(
    secret=st.text(st.characters(codec="utf-8"), min_size=1), prefix=st.text(st.characters(codec="utf-8"), min_size=1)
)
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, secret: str, prefix: str) -> None:
    path = tmp_path_factory.mktemp("any") / "credentials.toml"
    edit.put(path, prefix, {"bearer": secret})
    edit.put(path, prefix, {"bearer": secret, "account": "x"})
    assert tomllib.loads(path.read_text("utf-8")) == {prefix: {"bearer": secret, "account": "x"}}


def test_a_refresh_token_that_was_replaced_is_kept_where_it_stood(path: Path) -> None:
    edit.put(path, "https://c.example/", {"client": "me", "refresh": "first"})
    account = holder("me", "first")
    edit.replace_refresh(path, "https://c.example/", "second", account)
    kept = {"client": "me", "refresh": "second", "account": account}
    assert tomllib.loads(path.read_text())["https://c.example/"] == kept
    edit.replace_refresh(path.parent / "nowhere.toml", "https://c.example/", "third", account)


def test_a_refresh_token_does_not_replace_another_account_s(path: Path) -> None:
    edit.put(path, "https://c.example/", {"client": "me", "refresh": "of bob"})
    edit.replace_refresh(path, "https://c.example/", "of alice", holder("me", "older, of alice"))
    assert tomllib.loads(path.read_text())["https://c.example/"] == {"client": "me", "refresh": "of bob"}


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="this system opens no file without following links")
def test_a_link_in_the_place_of_the_lock_empties_nothing(path: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    lock = path.with_name(f".{path.name}.lock")
    lock.symlink_to(victim)
    with pytest.raises(ManifestError, match="can't be written"):
        edit.put(path, "https://a.example/", {"bearer": "new"})
    assert victim.read_text() == "precious"
    lock.unlink()
    edit.put(path, "https://a.example/", {"bearer": "new"})
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600

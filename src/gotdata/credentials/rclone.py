"""rclone.conf: the remotes of which it is certain which URLs they are for."""

from __future__ import annotations

import base64
import binascii
import configparser
import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from gotdata.credentials import renew
from gotdata.credentials.held import Credential, Post, Sent, Unusable, basic, digest
from gotdata.credentials.providers import PROVIDERS
from gotdata.credentials.urls import PORTS, parse, place
from gotdata.errors import AuthRequired, SourceError

KEY = bytes.fromhex("9c935b48730a554d6bfd7c63c886a92bd390198eb8128afbf4de162b8b95f638")
"""With which rclone makes a password unreadable at a glance: the same everywhere, and no secret (rclone,
fs/config/obscure)."""
_LONGEST = 1 << 20
_OAUTH = {
    "drive": ("gdrive", "https://oauth2.googleapis.com/token"),
    "google cloud storage": ("gcs", "https://oauth2.googleapis.com/token"),
    "dropbox": ("dropbox", "https://api.dropboxapi.com/oauth2/token"),
}
_KEPT = "its keys are for its own protocol, which is not read by these URLs"
Found = Iterator[Credential | Unusable]


def remotes(path: Path) -> Found:
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST).decode("utf-8")
    except (OSError, ValueError):
        return
    if "RCLONE_ENCRYPT_V0:" in text[:1000]:
        yield Unusable("", str(path), "is encrypted; `rclone config encryption remove` would undo that")
        return
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",), default_section="\0")
    try:
        parser.read_string(text)
    except configparser.Error:
        return
    for name in parser.sections():
        remote = dict(parser[name])
        yield from _remote(remote, f"{path} [{name}]")


def _remote(remote: Mapping[str, str], origin: str) -> Found:
    kind = remote.get("type", "")
    if kind in _OAUTH:
        yield from _oauth(remote, origin, *_OAUTH[kind])
    elif kind == "webdav":
        yield from _webdav(remote, origin)
    elif kind == "http":
        yield from _http(remote, origin)
    elif kind == "azureblob":
        yield from _azure(remote, origin)
    elif kind in ("s3", "swift", "sftp", "b2"):
        yield Unusable(remote.get("endpoint", "") or f"{kind}:", origin, _KEPT)


def _webdav(remote: Mapping[str, str], origin: str) -> Found:
    url = remote.get("url", "")
    if token := remote.get("bearer_token"):
        yield from _bound(url, origin, digest(token), "bearer", lambda post: f"Bearer {token}")
    elif (user := remote.get("user", "")) and (obscured := remote.get("pass", "")):
        password = _revealing(obscured, origin)
        yield from _bound(url, origin, user, "basic", lambda post: basic(f"{user}:{password(post)}"), user)


def _http(remote: Mapping[str, str], origin: str) -> Found:
    """Headers are a list: name,value,name,value."""
    words = next(iter(re.findall(r"[^\n]+", remote.get("headers", ""))), "").split(",")
    headers = dict(zip(words[::2], words[1::2], strict=False))
    value = headers.get("Authorization", "")
    if value and value.isprintable():
        yield from _bound(remote.get("url", ""), origin, digest(value), "header", lambda post: value)


def _azure(remote: Mapping[str, str], origin: str) -> Found:
    """A signature in ``sas_url`` is for the account or container that stands before it."""
    url, _, query = remote.get("sas_url", "").partition("?")
    if not query:
        yield Unusable(f"{remote.get('account', 'azureblob')}:", origin, "has no sas_url; account keys are not used")
        return
    if problem := _problem(url):
        yield Unusable(url, origin, problem)
        return
    yield Credential(
        place(url),
        f"cred:{digest(place(url), origin, query)}",
        live=lambda post: Sent(query=query),
        origin=origin,
        form="query",
    )


def _oauth(remote: Mapping[str, str], origin: str, source: str, token_url: str) -> Found:
    prefixes = PROVIDERS[source].prefixes
    try:
        token: Any = json.loads(remote.get("token", ""))
        access, refresh = str(token["access_token"]), str(token.get("refresh_token", ""))
        expiry = _instant(str(token.get("expiry", "")))
    except (ValueError, KeyError, TypeError, AttributeError):
        return
    client, secret = remote.get("client_id", ""), remote.get("client_secret", "")
    give: renew.Secret = renew.text(access)
    if refresh and client:
        give = renew.Refreshed(prefixes[0], token_url, client, renew.text(secret), renew.text(refresh))
        expiry = None
    account = digest(refresh or access)
    for prefix in prefixes:
        yield Credential(
            place(prefix),
            f"cred:{digest(place(prefixes[0]), account)}",
            live=lambda post: Sent((("Authorization", f"Bearer {give(post)}"),)),
            expires=expiry,
            origin=origin,
            form="bearer",
        )


def _bound(url: str, origin: str, account: str, form: str, value: Any, shown: str = "") -> Found:
    if problem := _problem(url):
        yield Unusable(url, origin, problem)
        return

    def live(post: Post) -> Sent:
        return Sent((("Authorization", value(post)),))

    realm = f"cred:{digest(place(url), account)}"
    yield Credential(place(url), realm, live=live, origin=origin, account=shown, form=form)


def _problem(url: str) -> str:
    try:
        parsed = parse(url)
    except SourceError:
        return "is no URL"
    if parsed.scheme not in PORTS or not parsed.host:
        return "is no http or https URL"
    local = parsed.host in ("127.0.0.1", "localhost", "[::1]")
    return "" if parsed.scheme == "https" or local else "is not https: the password would go unencrypted"


def _revealing(obscured: str, origin: str) -> renew.Secret:
    def secret(post: Post) -> str:
        try:
            return reveal(obscured)
        except ImportError:
            raise AuthRequired(f"{origin}: its password needs a library: pip install 'gotdata[rclone]'") from None
        except (ValueError, binascii.Error):
            raise AuthRequired(f"{origin}: its password can't be read; `rclone config` sets it anew") from None

    return secret


def reveal(obscured: str) -> str:
    """AES-256-CTR; the first block is the counter's start, all in base64 of URLs without padding."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    raw = base64.urlsafe_b64decode(obscured + "=" * (-len(obscured) % 4))
    if len(raw) < 16:
        raise ValueError("too short")
    decryptor = Cipher(algorithms.AES256(KEY), modes.CTR(raw[:16])).decryptor()
    return (decryptor.update(raw[16:]) + decryptor.finalize()).decode("utf-8")


def _instant(text: str) -> float | None:
    """RFC 3339, as Go writes it: with nine digits of a second. Go's zero time means never."""
    try:
        when = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    except ValueError:
        return None
    return when.timestamp() if when.year > 1 else None

"""Secrets that change: files that are replaced, keyrings, bearer tokens that a login leaves, OAuth refresh tokens."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from gotdata.credentials.held import Post, ended
from gotdata.credentials.urls import parse
from gotdata.errors import AuthRequired, ManifestError, SourceError
from gotdata.paths import redact

SPARE = 60.0
"""Seconds before its end at which a token is renewed: what is asked with it must still arrive."""
_AGES = 10.0 * 365 * 86400
"""Seconds that a token lasts at most, whatever its endpoint says."""
_SECRETS = frozenset({"refresh_token", "client_secret", "code", "code_verifier", "device_code"})
"""Of a form."""
_LONGEST = 64 << 10
"""Bytes of a file with a secret."""
Secret = Callable[[Post], str]
"""Gives a secret as it is now."""


def text(value: str) -> Secret:
    return lambda post: value


def file(path: Path, prefix: str) -> Secret:
    """Read at each use: whoever rotates a mounted secret replaces the file."""

    def read(post: Post) -> str:
        try:
            with path.open("rb") as opened:
                found = opened.read(_LONGEST).decode("utf-8").strip()
        except (OSError, ValueError) as error:
            raise AuthRequired(
                f"{prefix}: its credential lies in {path}, which can't be read ({_why(error)})"
            ) from None
        if not found:
            raise AuthRequired(f"{prefix}: its credential lies in {path}, which is empty")
        return found

    return read


def keyring(prefix: str) -> Secret:
    """What the system's keyring keeps for a prefix; asked for once a process."""
    known: list[str] = []

    def read(post: Post) -> str:
        if not known:
            known.append(from_keyring(prefix))
        return known[0]

    return read


SERVICE = "gotdata"
"""What ours is called in a keyring."""


def from_keyring(prefix: str) -> str:
    try:
        import keyring as system
        from keyring.errors import KeyringError
    except ImportError:
        raise AuthRequired(f"{prefix}: its credential is in the keyring: pip install 'gotdata[keyring]'") from None
    try:
        found = system.get_password(SERVICE, prefix)
    except KeyringError as error:
        raise AuthRequired(f"{prefix}: the keyring does not give its credential: {error}") from None
    if not found:
        raise ended(prefix, "its credential is no more in the keyring")
    return found


def wlcg(environ: Mapping[str, str], prefix: str) -> Secret:
    """WLCG Bearer Token Discovery 1.0: the variable, the file that a variable names, the user's files."""

    def read(post: Post) -> str:
        if token := environ.get("BEARER_TOKEN", "").strip():
            return token
        for path in _token_files(environ):
            if path.exists():
                return file(path, prefix)(post)
        raise AuthRequired(f"{prefix}: no bearer token was found (BEARER_TOKEN, BEARER_TOKEN_FILE, bt_u…): get one")

    return read


def _token_files(environ: Mapping[str, str]) -> list[Path]:
    if named := environ.get("BEARER_TOKEN_FILE"):
        return [Path(named)]
    name = f"bt_u{os.geteuid() if hasattr(os, 'geteuid') else 0}"
    folders = [environ.get("XDG_RUNTIME_DIR", ""), "/tmp"]  # noqa: S108
    return [path for folder in folders if folder and _own(path := Path(folder) / name)]


def _own(path: Path) -> bool:
    """In /tmp anybody can put a file of that name."""
    try:
        return path.lstat().st_uid == (os.geteuid() if hasattr(os, "geteuid") else 0)
    except OSError:
        return False


@dataclass(slots=True)
class Refreshed:
    """An access token of OAuth 2.0 (RFC 6749, 6), asked for when it is first needed and again before it ends.

    Attributes:
        refresh: the refresh token.
        keep: told when the provider gives another refresh token in place of the one that was used.
    """

    prefix: str
    url: str
    client: str
    client_secret: Secret
    refresh: Secret
    keep: Callable[[str], None] = lambda token: None
    _token: str = field(default="", repr=False)
    _until: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __call__(self, post: Post) -> str:
        with self._lock:
            if not self._token or time.time() > self._until - SPARE:
                self._renew(post)
            return self._token

    def _renew(self, post: Post) -> None:
        form = {"grant_type": "refresh_token", "refresh_token": self.refresh(post), "client_id": self.client}
        if secret := self.client_secret(post):
            form["client_secret"] = secret
        found = post(self.url, form)
        if refused := found.get("error"):
            said = redact(without(str(refused), form))
            raise ended(self.prefix, f"{parse(self.url).host} does not renew it ({said})")
        self._token, self._until = granted(found, self.url)
        other = found.get("refresh_token")
        if other and other != form["refresh_token"]:
            self.refresh = text(other)
            self.keep(other)


def granted(found: Mapping[str, Any], url: str) -> tuple[str, float]:
    """The access token in a token endpoint's answer, and when it ends."""
    token, lasts, refresh = found.get("access_token"), found.get("expires_in", 3600), found.get("refresh_token") or ""
    if not _is_token(token) or not _is_token(refresh) or not isinstance(lasts, int | float):
        raise SourceError(f"{redact(url)} answered no access token")
    return str(token), time.time() + (min(lasts, _AGES) if lasts > 0 else 0)


def _is_token(found: object) -> bool:
    return isinstance(found, str) and found.isascii() and found.isprintable()


def without(text: str, form: Mapping[str, str]) -> str:
    """What an endpoint said, without the secrets that were sent to it."""
    for name in _SECRETS & form.keys():
        for spelling in (form[name], quote(form[name], safe=""), quote_plus(form[name])):
            text = text.replace(spelling, "…") if spelling else text
    return text


GOOGLE = {
    "service_account": ("google.oauth2.service_account", "from_service_account_file"),
    "authorized_user": ("google.oauth2.credentials", "from_authorized_user_file"),
}
"""Kinds of application default credentials, and what of Google's library reads them."""


def google(path: Path, prefix: str, kind: str, scope: str) -> Secret:
    """What Google's own library makes of a file. The scope of a person's was decided when they logged in."""
    made: list[Any] = []

    def read(post: Post) -> str:
        try:
            import urllib3
            from google.auth.exceptions import GoogleAuthError
            from google.auth.transport import urllib3 as transport

            module, method = GOOGLE[kind]
            load: Any = getattr(import_module(module).Credentials, method)
        except ImportError:
            raise AuthRequired(f"{prefix}: {path} needs Google's library: pip install 'gotdata[google]'") from None
        asking: Any = transport
        try:
            if not made:
                made.append(load(str(path), **({"scopes": [scope]} if kind == "service_account" else {})))
            if not made[0].valid:  # it calls a token invalid some minutes before its end
                made[0].refresh(asking.Request(urllib3.PoolManager()))
        except (GoogleAuthError, ValueError) as error:
            raise AuthRequired(f"{prefix}: {path} gives no token: {redact(str(error))}") from None
        return str(made[0].token)

    return read


def _why(error: Exception) -> str:
    return (error.strerror or "") if isinstance(error, OSError) else "no text"


def check_url(url: str, what: str) -> None:
    """Raises ManifestError where secrets would go unencrypted to another machine."""
    parsed = parse(url)
    if parsed.scheme != "https" and parsed.host not in ("127.0.0.1", "localhost", "[::1]"):
        raise ManifestError(f"{what}: {redact(url)} is not https")

"""credentials.toml: what somebody wrote down, or `gotdata login` did."""

from __future__ import annotations

import re
import stat
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date as Date
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

from gotdata import settings
from gotdata.credentials import renew
from gotdata.credentials.held import Credential, Post, Sent, basic, digest, holder
from gotdata.credentials.providers import BEARER, PROVIDERS, Provider
from gotdata.credentials.renew import Secret
from gotdata.credentials.urls import PORTS, parse, place, spelt
from gotdata.errors import AuthRequired, ManifestError, SourceError
from gotdata.paths import redact

_KINDS = ("bearer", "basic", "headers", "query", "token", "refresh", "wlcg")
"""Of these an entry has one."""
_FIRST_YEAR = 1970
"""No credential ended in it or before; earlier dates are none for some clocks."""
_BESIDE = ("account", "expires", "source", "client", "client_secret", "token_url")
KEYS = (*_KINDS, "bearer_file", *_BESIDE)
Keep = Callable[[Path, str, str, str], None]


def path_of(environ: Mapping[str, str]) -> Path:
    """The file, or the folder of files, that holds the credentials of whoever runs this."""
    named = environ.get("GOTDATA_CREDENTIALS")
    return Path(named) if named else settings.settings_file(environ).with_name("credentials.toml")


def read(environ: Mapping[str, str], keep: Keep) -> Iterator[Credential]:
    """What it holds.

    Args:
        keep: told the file, the prefix, the refresh token and the account where a token is replaced by its provider.

    Raises:
        ManifestError: others can read it, or it can't be understood; its text is never shown.
    """
    path = path_of(environ)
    named = bool(environ.get("GOTDATA_CREDENTIALS"))
    if not named and not path.exists():
        return
    for one in sorted(path.glob("[!.]*.toml")) if path.is_dir() else [path]:
        for prefix, entry in entries(one, named).items():
            yield from _Reading(one, prefix, environ, keep).made(entry)


def made(path: Path, prefix: str, entry: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[Credential]:
    """What an entry would be. Raises ManifestError: as ``read``."""
    return _Reading(path, prefix, environ, lambda path, prefix, token, account: None).made(dict(entry))


def entries(path: Path, named: bool) -> dict[str, Any]:
    try:
        # A file that was named may be a mounted secret, whose mode its mounter decides.
        if not named and sys.platform != "win32" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ManifestError(f"{path}: others can read these credentials; chmod 600 {path}")
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        where = re.search(r"line \d+", str(error))
        raise ManifestError(f"{path}: not TOML{f' at {where[0]}' if where else ''}") from None


@dataclass(frozen=True, slots=True)
class _Reading:
    """One entry of one file."""

    path: Path
    prefix: str
    environ: Mapping[str, str]
    keep: Keep

    def wrong(self, what: str) -> ManifestError:
        return ManifestError(f"{self.path}: {self._entry()} {what}")

    def _entry(self) -> str:
        """How an entry is named to people. What is no address may be a secret in the wrong place."""
        with suppress(SourceError):
            if parse(self.prefix).scheme in PORTS and parse(self.prefix).host:
                return f'["{redact(self.prefix)}"]'
        return f"the entry{self._line(self.prefix)}"

    def _line(self, name: str) -> str:
        """Where a name stands for which there is no entry, or no such key in the entry; empty where that can't be
        seen."""
        try:
            lines = self.path.read_text("utf-8").split("\n")
        except (OSError, ValueError):
            return ""
        start = next((at for at, line in enumerate(lines) if self.prefix in line), 0)
        at = next((at for at in range(start, len(lines)) if name in lines[at]), None)
        return "" if at is None else f" at line {at + 1}"

    def made(self, entry: Any) -> Iterator[Credential]:
        """An entry of a provider that has several addresses is a credential for each of them, of one realm."""
        self._check(entry)
        source = entry.get("source", "")
        provider = PROVIDERS[source] if source else Provider("")
        kind = next(kind for kind in _KINDS if kind in entry)
        given = self._given(entry, kind)
        account = str(entry.get("account", "")) or self._account(entry, kind, given)
        secret = self._refreshed(entry, given, provider, account) if kind == "refresh" else given
        home = place(self.prefix)
        for prefix in provider.places(self.prefix):
            yield Credential(
                place(prefix),
                f"cred:{digest(home, account)}",
                live=_live(secret, self._sender(entry, kind, provider, prefix), prefix, self.path),
                expires=self._expires(entry),
                origin=str(self.path),
                account=str(entry.get("account", "")),
                form=", ".join(entry["headers"]) if kind == "headers" else kind,
            )

    def _check(self, entry: Any) -> None:
        if not isinstance(entry, dict):
            raise self.wrong("must be a table")
        if not self._entry().startswith("["):
            raise self.wrong("is no prefix such as https://host/folder/")
        if unknown := entry.keys() - set(KEYS):
            raise self.wrong(f"has an unknown key{self._line(min(unknown))}; there are {', '.join(KEYS)}")
        if "bearer_file" in entry:
            entry.setdefault("bearer", {"file": entry.pop("bearer_file")})
        if sum(bool(entry.get(kind)) for kind in _KINDS) != 1:
            raise self.wrong(f"needs one of {', '.join(_KINDS)}")
        if (source := entry.get("source", "")) and source not in PROVIDERS:
            raise self.wrong(f"has no known source; there are {', '.join(PROVIDERS)}")
        if "token" in entry and not source:
            raise self.wrong(f"has a token and no source: one of {', '.join(PROVIDERS)}")
        when = entry.get("expires", datetime.max)
        if not isinstance(when, Date) or when.year <= _FIRST_YEAR:
            raise self.wrong("expires must be a date, as 2030-01-31")

    def _given(self, entry: Mapping[str, Any], kind: str) -> Secret:
        if kind == "wlcg":
            return renew.wlcg(self.environ, self.prefix)
        if kind == "headers":
            return renew.text("")
        return self._text(entry, kind)

    def _text(self, entry: Mapping[str, Any], key: str) -> Secret:
        """A secret as it stands there, or where it lies: ``{file = "…"}``, ``{keyring = true}``."""
        match entry.get(key, ""):
            case str(value):
                return renew.text(value)
            case {"file": str(name), **rest} if not rest:
                return renew.file(self.path.parent / Path(name).expanduser(), redact(self.prefix))
            case {"keyring": True, **rest} if not rest:
                return renew.keyring(spelt(self.prefix))
        raise self.wrong(f'{key} must be text, {{file = "…"}} or {{keyring = true}}')

    def _refreshed(self, entry: Mapping[str, Any], given: Secret, provider: Provider, account: str) -> Secret:
        url = str(entry.get("token_url") or (provider.flow.token if provider.flow else ""))
        if not url:
            raise self.wrong("has a refresh token and no token_url")
        renew.check_url(url, f"{self.path}: token_url")
        secret = self._text(entry, "client_secret")
        client = str(entry.get("client", ""))
        return renew.Refreshed(
            spelt(self.prefix),
            url,
            client,
            secret,
            given,
            lambda token: self.keep(self.path, self.prefix, token, account),
        )

    def _sender(
        self, entry: Mapping[str, Any], kind: str, provider: Provider, prefix: str
    ) -> Callable[[str, Post], Sent]:
        if kind == "query":
            return lambda secret, post: Sent(query=secret.removeprefix("?"))
        if kind == "basic":
            return lambda secret, post: Sent((("Authorization", basic(secret)),))
        if kind == "token":
            return lambda secret, post: Sent(provider.headers(prefix, secret))
        if kind == "headers":
            given = entry["headers"]
            if not isinstance(given, dict) or not all(re.fullmatch(r"[\w-]+", name) for name in given):
                raise self.wrong("headers must be a table of name = value, on one line each")
            values = {name: self._text(given, name) for name in given}
            if not all(fit(value) for value in given.values() if isinstance(value, str)):
                raise self.wrong("headers must be a table of name = value, on one line each")
            return lambda secret, post: Sent(tuple((name, value(post)) for name, value in values.items()))
        return lambda secret, post: Sent(((BEARER[0], BEARER[1].format(secret)),))

    def _account(self, entry: Mapping[str, Any], kind: str, given: Secret) -> str:
        """Who it is, where nobody said so. Another secret may be another person's, so it is another account, wherever
        it lies; what can't be read now is nobody's that was seen before."""
        try:
            if kind == "headers":
                values = entry[kind] if isinstance(entry[kind], dict) else {}
                return digest(*(self._text(values, name)(_no_post) for name in values))
            value = given(_no_post)
        except AuthRequired:
            return token_hex(16)
        if kind == "basic":
            return value.partition(":")[0]
        if kind == "refresh":
            return holder(str(entry.get("client", "")), value)
        return digest(_old_form(kind, value))

    def _expires(self, entry: Mapping[str, Any]) -> float | None:
        when = entry.get("expires")
        if when is None or when.year == Date.max.year:  # never; and some clocks end a day before
            return None
        return when.timestamp() if isinstance(when, datetime) else datetime(*when.timetuple()[:3]).timestamp()


def _no_post(url: str, form: Mapping[str, str]) -> Mapping[str, Any]:
    raise AssertionError("what lies here needs no network")


def _old_form(kind: str, value: str) -> str:
    return f"Bearer {value}" if kind == "bearer" else value


def _live(secret: Secret, sender: Callable[[str, Post], Sent], prefix: str, path: Path) -> Callable[[Post], Sent]:
    def now(post: Post) -> Sent:
        sent = sender(secret(post), post)
        if not all(fit(value) for _, value in sent.headers) or not re.fullmatch(r"[\x21\x22\x24-\x7e]*", sent.query):
            raise AuthRequired(f"{redact(prefix)}: its credential in {path} is more than one line, and can't be sent")
        return sent

    return now


def fit(value: str) -> bool:
    """Whether a header's value stays in its line."""
    return value.isprintable()

"""Who asks: credentials of the operator or user, each bound to a URL prefix, found by the URL of each request."""

from __future__ import annotations

import base64
import hashlib
import netrc
import os
import re
import stat
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from gotdata import settings
from gotdata.errors import ManifestError, SourceError
from gotdata.paths import redact

PUBLIC = "public"
"""The realm of what anyone may have."""
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Credential:
    """Attributes:
    prefix: the URL prefix (scheme, host and port included) for which it may be used, and nothing else.
    realm: who may be served what came by it: ``cred:`` and the sha256 of the prefix and the account's name.
    headers: what it adds to a request. Never printed.
    """

    prefix: str
    realm: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)


class Credentials:
    """What this person or operator holds. ``find`` is asked with the URL of every request, redirects included."""

    def __init__(self, held: Iterable[Credential] = ()) -> None:
        # The longest prefix first; of two for one prefix, the one that was named first.
        self._held = sorted(held, key=lambda credential: -len(credential.prefix))

    def find(self, url: str) -> Credential | None:
        """The credential with the longest prefix that ``url`` falls under, or None: then the request is anonymous."""
        wanted = _place(url) if self._held else ""
        return next((credential for credential in self._held if _below(wanted, credential.prefix)), None)

    def realm(self, *urls: str) -> str:
        """Who may be served what lies at or below ``urls``: ``public`` where no credential covers any of it or a part,
        else ``cred:`` and a sha256 over the realms of all that do (so that a key for a sub-folder counts too)."""
        realms: set[str] = set()
        for wanted in map(_place, urls if self._held else ()):
            covering = next((one.realm for one in self._held if _below(wanted, one.prefix)), None)
            realms |= {one.realm for one in self._held if _below(one.prefix, wanted)}
            realms |= {covering} if covering else set()
        return f"cred:{_sha256(*sorted(realms))}" if realms else PUBLIC

    def __repr__(self) -> str:
        return f"Credentials({[credential.prefix for credential in self._held]})"


def parse(url: str) -> Url:
    """A URL as it will be sent: one parser for what is judged and what is asked, so that they can't differ.

    Raises:
        SourceError: it is none.
    """
    try:
        urlsplit(url)  # what the standard library can't read would fail later, and elsewhere
        return parse_url(url)
    except (LocationParseError, ValueError):
        raise SourceError(f"{redact(url)} is no URL") from None


def site(url: str) -> str:
    """The web origin of a URL (RFC 6454): scheme, host and port."""
    parsed = parse(url)
    scheme = parsed.scheme or ""
    return f"{scheme}://{parsed.host or ''}:{parsed.port or _PORTS.get(scheme, 0)}"


def load(environ: Mapping[str, str] = os.environ) -> Credentials:
    """What ``credentials.toml`` (beside ``settings.toml``, or where ``$GOTDATA_CREDENTIALS`` says) and ``~/.netrc`` (or
    ``$NETRC``) hold; the former first.

    Raises:
        ManifestError: a file that others can read, or that can't be understood; its text is never shown.
    """
    return Credentials([*_from_toml(environ), *_from_netrc(environ)])


def _from_toml(environ: Mapping[str, str]) -> Iterator[Credential]:
    named = environ.get("GOTDATA_CREDENTIALS")
    path = Path(named) if named else settings.settings_file(environ).with_name("credentials.toml")
    if not named and not path.exists():
        return
    try:
        # A file that was named may be a mounted secret, whose mode its mounter decides.
        if not named and sys.platform != "win32" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ManifestError(f"{path}: others can read these credentials; chmod 600 {path}")
        held = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        where = re.search(r"line \d+", str(error))
        raise ManifestError(f"{path}: not TOML{f' at {where[0]}' if where else ''}") from None
    for prefix, entry in held.items():
        yield _credential(path, prefix, entry)


def _credential(path: Path, prefix: str, entry: Any) -> Credential:
    def wrong(what: str) -> ManifestError:
        return ManifestError(f'{path}: ["{redact(prefix)}"] {what}')

    if not isinstance(entry, dict):
        raise wrong("must be a table")
    if unknown := entry.keys() - {"bearer", "basic", "headers", "account"}:
        raise wrong(f"has {', '.join(sorted(unknown))}; there are bearer, basic, headers, account")
    if parse(prefix).scheme not in _PORTS or not parse(prefix).host:
        raise wrong("is no prefix such as https://host/folder/")
    bearer, basic, headers = entry.get("bearer", ""), entry.get("basic", ""), entry.get("headers", {})
    if [bool(bearer), bool(basic), bool(headers)].count(True) != 1:
        raise wrong("needs one of bearer, basic, headers")
    if bearer:
        headers = {"Authorization": f"Bearer {bearer}"}
    if basic:
        headers = {"Authorization": _basic(str(basic))}
    if not isinstance(headers, dict) or not all(_fit_for_header(name, value) for name, value in headers.items()):
        raise wrong("headers must be a table of name = value, on one line each")
    account = str(entry.get("account", "") or str(basic).partition(":")[0] or _sha256(*headers.values()))
    return _made(prefix, account, headers)


def _from_netrc(environ: Mapping[str, str]) -> Iterator[Credential]:
    named = environ.get("NETRC")
    path = Path(named or Path.home() / ".netrc")
    if not path.exists():
        return
    try:
        found = netrc.netrc(str(path))
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror}") from error
    except netrc.NetrcParseError as error:
        # Its message may quote a password.
        line = f" at line {error.lineno}" if error.lineno else ", or others can read it"
        raise ManifestError(f"{path}: can't be understood{line}") from None
    for host, (login, _, password) in found.hosts.items():
        # "default" would send a password to any host that a manifest names.
        if host != "default" and re.fullmatch(r"[A-Za-z0-9._-]+", host):
            yield _made(f"https://{host}/", login, {"Authorization": _basic(f"{login}:{password}")})


def _made(prefix: str, account: str, headers: Mapping[str, str]) -> Credential:
    place = _place(prefix)
    return Credential(place, f"cred:{_sha256(place, account)}", tuple(headers.items()))


def _basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _fit_for_header(name: str, value: object) -> bool:
    return bool(re.fullmatch(r"[\w-]+", name)) and isinstance(value, str) and value.isprintable()


def _place(url: str) -> str:
    """A URL in the one spelling in which prefixes are compared, without its query; empty where a part of its path could
    be read as ``..``, which may lead anywhere on that host."""
    path = unquote(parse(url).path or "/")
    if {"..", "."} & set(re.split(r"[/\\;]", path)):  # what follows a ; is no part of a name to some servers
        return ""
    return site(url) + path


def _below(place: str, prefix: str) -> bool:
    """At or below, on the boundary of a path's component."""
    if not place or not prefix:
        return False
    return place == prefix or place.startswith(prefix if prefix.endswith("/") else prefix + "/")


def _sha256(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()

"""A credential, and all that somebody holds: found by the URL of each request."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gotdata.credentials.urls import below, place, spelt
from gotdata.errors import AuthRequired

PUBLIC = "public"
"""The realm of what anyone may have."""

Form = Mapping[str, str]
Post = Callable[[str, Form], Mapping[str, Any]]
"""Sends a form to a token endpoint and gives the JSON that it answers, a refusal's too. Whoever has a network brings
it: this package has none."""


class Sent(NamedTuple):
    """What a credential adds to a request: headers, and a query that is appended to its URL."""

    headers: tuple[tuple[str, str], ...] = ()
    query: str = ""


@dataclass(frozen=True, slots=True)
class Credential:
    """Attributes:
    prefix: the URL prefix (scheme, host and port included) for which it may be used, and nothing else.
    realm: who may be served what came by it: ``cred:`` and the sha256 of the account's name and the place that knows
        it. Stable when a token is renewed, where the account has a name. Two credentials of one realm are one account
        at one provider.
    headers: what it adds to each request, where that is always the same. Never printed.
    live: gives what is sent at the time of a request: files are replaced, tokens renewed.
    expires: seconds since 1970; None where that is not known, or where it is renewed.
    origin: where it was found, for people.
    form: what it is, for people: ``bearer``, ``basic``, a header's name, …
    ambient: a tool left it for all of its provider's hosts; nobody said that it is for what lies there.
    """

    prefix: str
    realm: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    live: Callable[[Post], Sent] | None = field(default=None, repr=False, compare=False)
    expires: float | None = None
    origin: str = ""
    account: str = ""
    form: str = ""
    ambient: bool = False

    def sent(self, post: Post) -> Sent:
        """What goes with a request now.

        Raises:
            AuthRequired: it has run out and can't be renewed, or the file or keyring that held it has it no more.
        """
        if self.expires is not None and self.expires <= time.time():
            raise ended(self.prefix, f"the credential from {self.origin} has run out ({date(self.expires)})")
        return self.live(post) if self.live is not None else Sent(self.headers)


@dataclass(frozen=True, slots=True)
class Unusable:
    """Something that was found and can't be used as it is. ``reason`` says what to do."""

    prefix: str
    origin: str
    reason: str


class Credentials:
    """What this person or operator holds. ``find`` is asked with the URL of every request, redirects included."""

    def __init__(self, held: Iterable[Credential] = ()) -> None:
        # The longest prefix first; of two for one prefix, the one that was named first.
        self._held = sorted(held, key=lambda credential: -len(credential.prefix))

    def __iter__(self) -> Iterator[Credential]:
        return iter(self._held)

    def find(self, url: str) -> Credential | None:
        """The credential with the longest prefix that ``url`` falls under, or None: then the request is anonymous."""
        wanted = place(url) if self._held else ""
        return next((credential for credential in self._held if below(wanted, credential.prefix)), None)

    def realm(self, *urls: str) -> str:
        """Who may be served what lies at or below ``urls``: ``public`` where no credential covers any of it or a part,
        else ``cred:`` and a sha256 over the realms of all that do (so that a key for a sub-folder counts too)."""
        realms: set[str] = set()
        for wanted in map(place, urls if self._held else ()):
            covering = next((one.realm for one in self._held if below(wanted, one.prefix)), None)
            realms |= {one.realm for one in self._held if below(one.prefix, wanted)}
            realms |= {covering} if covering else set()
        return f"cred:{digest(*sorted(realms))}" if realms else PUBLIC

    def __repr__(self) -> str:
        return f"Credentials({[credential.prefix for credential in self._held]})"


def ended(prefix: str, why: str) -> AuthRequired:
    where = spelt(prefix)
    return AuthRequired(f"{where}: {why}; `gotdata login {where}` puts a new one in its place")


def date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def basic(pair: str) -> str:
    """The header of ``user:password``."""
    return "Basic " + base64.b64encode(pair.encode()).decode()


def holder(client: str, refresh: str) -> str:
    """Who a refresh token is for, where nobody said so: another person's is another account."""
    return digest(client, refresh)


def digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()

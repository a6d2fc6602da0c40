"""Who asks: credentials of the operator or user, each bound to a URL prefix, found by the URL of each request."""

from __future__ import annotations

from dataclasses import dataclass, field

PUBLIC = "public"
"""The realm of what anyone may have."""


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

    def find(self, url: str) -> Credential | None:
        """The credential with the longest prefix that ``url`` falls under, or None: then the request is anonymous."""
        raise NotImplementedError

    def realm(self, url: str) -> str:
        """Who may be served what lies at or below ``url``: ``public`` where no credential covers it or any part of it,
        else ``cred:`` and a sha256 over the realms of all that do (so that a key for a sub-folder counts too)."""
        raise NotImplementedError

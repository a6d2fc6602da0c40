"""One request and where it is sent on to: redirects, credentials, and what a refusal means."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version as installed
from typing import Any
from urllib.parse import urlencode, urljoin

from gotdata.credentials import PUBLIC, Credentials, parse, site
from gotdata.errors import AuthRequired, GotdataError, NotFound, SourceError
from gotdata.paths import redact, secret
from gotdata.sources import http_answer as answer
from gotdata.sources.http_answer import Explain, Refusal
from gotdata.sources.http_connections import Connections
from gotdata.sources.http_response import Response

HOPS = 10
"""Redirects that one request follows."""
_AUTHORIZATION = "Authorization"
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TARGET_SECONDS = 20.0
"""How long a redirect's target is used again: small reads stay cheap, and signed URLs live longer than that."""
_TARGETS = 4096
_REFUSAL = 16 * 1024
"""Bytes of a refusal's body that a source is shown."""
_TRAVELS = frozenset({"accept", "range", "if-range", "want-digest", "want-repr-digest"})
"""Headers of the caller that go on to another origin."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, as a source makes it."""

    url: str
    headers: Mapping[str, str]
    ok: frozenset[int]
    explain: Explain | None = None
    method: str = "GET"
    body: bytes | None = None
    alone: bool = False
    """As nobody: on the word of a place whose account is another."""


class Asker:
    """Sends one request as far as it is sent on. Thread-safe.

    Args:
        clock: seconds that never go back.
        timeout: seconds in which an OAuth endpoint must answer.
    """

    def __init__(
        self, connections: Connections, credentials: Credentials, clock: Callable[[], float], timeout: float
    ) -> None:
        self._connections, self._credentials, self._clock, self._timeout = connections, credentials, clock, timeout
        self._agent = f"gotdata/{installed('gotdata')}"
        self._lock = threading.Lock()
        self._targets: dict[str, tuple[str, float]] = {}

    def anonymous(self) -> Asker:
        """One without credentials, which remembers nothing of what was told to who showed a key."""
        return Asker(self._connections, Credentials(), self._clock, self._timeout)

    def follow(self, asked: Asked, end: float) -> Response:
        """One try: from the URL, or a target that it named some seconds ago, to an answer with a status in ``ok``."""
        url = asked.url
        # Who asks for another media type may be sent elsewhere: doi.org does so. And what was remembered may have been
        # told to who showed a key.
        lasting = asked.method == "GET" and not {_AUTHORIZATION, "Accept"} & asked.headers.keys() and not asked.alone
        target = self._known_target(url) if lasting else ""
        if target:
            # A signed URL runs out with 400, 401, 403 or 404: ask for a new one.
            with contextlib.suppress(SourceError, NotFound):
                return self.hops(asked, target, end)
        response = self.hops(asked, url, end)
        if response.url != url and lasting:
            self._remember(url, response.url)
        return response

    def hops(self, asked: Asked, url: str, end: float) -> Response:
        """From ``url``, redirect by redirect, to an answer with a status in ``ok``."""
        first = asked.url
        way: list[tuple[str, Mapping[str, str]]] = []
        for _ in range(HOPS):
            sent, query, credential = self._headers(asked, url)
            response = self._connections.send(first, url, sent, end, asked.method, asked.body, query)
            location = response.headers.get("Location")
            if response.status in asked.ok:
                response.way = tuple(way)
                return response
            if response.status not in REDIRECTS or not location:
                raise self._fault(asked, url, response, credential)
            response.close()
            way.append((url, response.headers))
            url = self.target(url, location)
            if asked.method != "GET" and site(url) != site(first):
                raise SourceError(f"{redact(first)} redirects a {asked.method} to {redact(url)}, another site: refused")
            if response.status == 303 and asked.method != "GET":
                asked = replace(asked, method="GET", body=None)
        raise SourceError(f"{redact(first)} was redirected {HOPS} times, and still is: a loop on the server")

    def _fault(self, asked: Asked, url: str, response: Response, credential: bool) -> GotdataError:
        """What a refusal means: to the provider, where its source can tell, else by its status."""
        # A fault may stick to a connection (Globus): the next try must have another.
        response.abandon()
        text = _beginning(response) if asked.explain else ""
        response.close()
        if asked.explain:
            refusal = Refusal(url, response.status, response.headers, text, credential)
            if error := asked.explain(refusal):
                return error
        found = self._credentials.find(url) if credential else None
        return answer.fault(response.status, response.headers, asked.url, credential, url, found)

    @staticmethod
    def target(url: str, location: str) -> str:
        """Where a redirect leads. Raises SourceError: to no web address, or out of encryption."""
        try:
            target = urljoin(url, answer.utf8(location.strip()))
        except ValueError:
            raise SourceError(f"{redact(url)} redirects to {redact(location)}, which is no URL") from None
        old, new = parse(url), parse(target)
        if new.scheme not in ("http", "https") or not new.host:
            raise SourceError(f"{redact(url)} redirects to {redact(target)}, which is no web address")
        if old.scheme == "https" and new.scheme == "http":
            raise SourceError(f"{redact(url)} redirects to {redact(target)}, without encryption: refused")
        return target

    def _headers(self, asked: Asked, url: str) -> tuple[dict[str, str], str, bool]:
        """What goes to ``url``, on the way from where was asked: headers, a query that its URL gets, and whether a
        credential is among them."""
        first = asked.url
        home = site(url) == site(first)
        sent = {"User-Agent": self._agent, "Accept": "*/*", "Accept-Encoding": "identity"}
        sent |= {name: value for name, value in asked.headers.items() if home or name.lower() in _TRAVELS}
        if _AUTHORIZATION in sent:
            return sent, "", True
        if not home and secret(url):
            return sent, "", False
        credential = self._credentials.find(url)
        if credential is None:
            return sent, "", False
        if credential.realm != (PUBLIC if asked.alone else self._account(first)):
            # One that a tool left for all of its provider's hosts is no word about this URL: it stays at home.
            if credential.ambient:
                return sent, "", False
            raise AuthRequired(
                f"{redact(first)} redirects to {redact(url)}, for which there is a credential of yours: "
                "name that URL itself in gotdata.yml if it may be used"
            )
        more = credential.sent(self.post_form)
        return sent | dict(more.headers), more.query, True

    def _known_target(self, url: str) -> str:
        with self._lock:
            target, until = self._targets.get(url, ("", 0.0))
            return target if until > self._clock() else ""

    def _remember(self, url: str, target: str) -> None:
        with self._lock:
            until = self._clock() + _TARGET_SECONDS
            if url not in self._targets and len(self._targets) >= _TARGETS:
                self._targets.clear()
            self._targets[url] = (target, until)

    def alone(self, url: str, home: str) -> bool:
        """Whether a URL that another place names is asked without the credential that there is for it.

        Raises:
            AuthRequired: somebody put that credential there for this URL, and would wonder.
        """
        found = self._credentials.find(url)
        if not home or found is None or found.realm == self._account(home):
            return False
        if not found.ambient:
            raise AuthRequired(
                f"{redact(home)} names {redact(url)}, for which there is a credential of yours: "
                "name that URL itself in gotdata.yml if it may be used"
            )
        return True

    def post_form(self, url: str, form: Mapping[str, str]) -> Mapping[str, Any]:
        """What an OAuth endpoint answers, a refusal's JSON too. The form holds secrets: no redirect is followed.

        Raises:
            SourceUnavailable, SourceError: it answered something else, or nothing.
        """
        sent = {"User-Agent": self._agent, "Accept": "application/json", **_FORM}
        end = self._clock() + self._timeout
        with self._connections.send(url, url, sent, end, "POST", urlencode(form).encode()) as response:
            status, text = response.status, _beginning(response)
        if status in answer.PASSING:
            raise answer.fault(status, response.headers, url)
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise SourceError(f"{redact(url)} answered {status} where a token was due")
        return found if status == 200 or "error" in found else {"error": str(status)}

    def _account(self, url: str) -> str:
        """The realm of the credential that a request would carry."""
        found = self._credentials.find(url)
        return found.realm if found else PUBLIC


def _beginning(response: Response) -> str:
    """Of a refusal's body, as far as it comes."""
    piece, text = memoryview(bytearray(_REFUSAL)), bytearray()
    with contextlib.suppress(GotdataError, ValueError):
        while len(text) < _REFUSAL and (count := response.readinto(piece[: _REFUSAL - len(text)])):
            text += piece[:count]
    return text.decode("utf-8", "replace")

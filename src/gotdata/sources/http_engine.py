"""The one range-reading HTTP engine that all sources share: pool, limits, retries, redirects, versions.

Synchronous, and safe to use from several threads: concurrency is the caller's."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version as installed
from typing import Any, TypeVar
from urllib.parse import urlencode, urljoin

from gotdata.credentials import PUBLIC, Credentials, parse, site
from gotdata.errors import AuthRequired, GotdataError, NotFound, SourceError, SourceUnavailable
from gotdata.model import Span
from gotdata.paths import redact, secret
from gotdata.reach import ANYWHERE, Reach
from gotdata.report import Event, Reporter, silent
from gotdata.settings import Settings
from gotdata.sources import http_answer as answer
from gotdata.sources.http_answer import Explain, Facts, Refusal
from gotdata.sources.http_connections import Connections
from gotdata.sources.http_page import Page, parsed
from gotdata.sources.http_response import Response, facts, judge, refuse_encoding

T = TypeVar("T")

HOPS = 10
"""Redirects that one request follows."""
PATIENCE = 300.0
"""Seconds for which a question (a listing, a record) is asked again where the server asks to wait: Zenodo counts
requests by the minute. Reads of bytes end within the setting ``timeout``."""
TEXT_LIMIT = 64 << 20
"""Bytes of a listing page or an API's answer."""
_AUTHORIZATION = "Authorization"
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_JSON = {"Content-Type": "application/json"}
_OK = {"PROPFIND": frozenset({200, 207}), "POST": frozenset({200, 202})}
"""Statuses with which a question is answered, where these are more than 200."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TARGET_SECONDS = 20.0
"""How long a redirect's target is used again: small reads stay cheap, and signed URLs live longer than that."""
_TARGETS = 4096
_REFUSAL = 16 * 1024
"""Bytes of a refusal's body that a source is shown."""
_TRAVELS = frozenset({"accept", "range", "if-range", "want-digest", "want-repr-digest"})
"""Headers of the caller that go on to another origin."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request, as a source makes it."""

    url: str
    headers: Mapping[str, str]
    ok: frozenset[int]
    explain: Explain | None = None
    method: str = "GET"
    body: bytes | None = None
    alone: bool = False
    """As nobody: on the word of a place whose account is another."""


class Engine:
    """Sends requests that change nothing.

    Credentials are found by the URL of every request, redirects included. One that covers only the redirect's target is
    never sent: the bytes would be kept as if they were the first URL's, which others may read.

    Args:
        clock: seconds that never go back.
        sleep: waits; so that a test need not.
        environ, reach: as of ``Connections``.
    """

    def __init__(
        self,
        settings: Settings,
        credentials: Credentials,
        *,
        reporter: Reporter = silent,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        environ: Mapping[str, str] = os.environ,
        reach: Reach = ANYWHERE,
    ) -> None:
        self._settings = settings
        self._credentials = credentials
        self._reporter = reporter
        self._clock = clock
        self._sleep = sleep
        self._connections = Connections(settings, clock, environ, reach)
        self._agent = f"gotdata/{installed('gotdata')}"
        self._lock = threading.Lock()
        self._targets: dict[str, tuple[str, float]] = {}

    def get(
        self,
        url: str,
        span: Span | None = None,
        *,
        size: int | None = None,
        version: str = "",
        headers: Mapping[str, str] | None = None,
        encoded: bool = False,
        explain: Explain | None = None,
        home: str = "",
    ) -> Response:
        """The bytes of ``span``, or the whole, as a stream that the caller closes.

        Args:
            size: of the whole; where given, another size is a change upstream. A span of the whole asks no range.
            version: as ``RemoteFile.version``; the answer must be of it.
            headers: of the caller; sent to its host only. With ``Authorization`` among them no credential is looked up.
            encoded: a Content-Encoding is part of the stored file, as S3 has them, and its bytes are what is wanted.
            explain: what a refusal means to this provider.
            home: the place on whose word ``url`` is asked, where that is another: a listing that names files of other
                hosts. As with a redirect, no credential is used that is not that place's own.

        Raises:
            UpstreamChanged, NoRanges, SourceUnavailable, AuthRequired, AccessDenied, NotFound, SourceError
        """
        part = None if span is None or (span.start == 0 and span.stop == size) else span
        wanted = dict(headers or {})
        if part is not None:
            if part.size <= 0:
                raise ValueError(f"an empty span {part} can't be asked for")
            wanted["Range"] = f"bytes={part.start}-{part.stop - 1}"
            if version.startswith('etag:"'):
                wanted["If-Range"] = version.removeprefix("etag:")
        asked = _Asked(url, wanted, frozenset({200, 206}), explain, alone=self._alone(url, home))

        def once(end: float) -> Response:
            response = self._follow(asked, end)
            try:
                judge(response, part, size, version, encoded)
            except BaseException:
                response.close()
                raise
            return response

        return self._again(once, self._settings.timeout)

    def probe(
        self, url: str, headers: Mapping[str, str] | None = None, explain: Explain | None = None, home: str = ""
    ) -> Facts:
        """What one byte's request tells of a file. HEAD would not do: URLs signed for GET refuse it. ``explain`` and
        ``home`` as of ``get``."""
        wanted = {**(headers or {}), "Range": "bytes=0-0"}
        byte = _Asked(url, wanted, frozenset({200, 206, 416}), explain, alone=self._alone(url, home))

        def once(end: float) -> Facts:
            with self._follow(byte, end) as response:
                if response.status != 416:
                    return facts(response)
            # An empty file has no first byte.
            with self._follow(replace(byte, headers=headers or {}, ok=frozenset({200})), end) as response:
                return facts(response)

        return self._again(once, PATIENCE)

    def text(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        limit: int = TEXT_LIMIT,
        *,
        explain: Explain | None = None,
        method: str = "GET",
        body: bytes | None = None,
        home: str = "",
    ) -> Page:
        """A page, whole. Bytes that are not UTF-8 stand in it as surrogates.

        Args:
            explain, home: as of ``get``.
            method, body: of a question that can't be put in a URL (PROPFIND, POST of a query). It is asked again after
                a failure as any other is, and follows no redirect to another site.
        """
        ok = _OK.get(method, frozenset({200}))
        asked = _Asked(url, headers or {}, ok, explain, method, body, self._alone(url, home))

        def once(end: float) -> Page:
            with self._follow(asked, end) as response:
                refuse_encoding(response)
                text = bytearray()
                piece = memoryview(bytearray(256 * 1024))
                while count := response.readinto(piece):
                    text += piece[:count]
                    if len(text) > limit:
                        raise SourceError(f"{redact(url)} answered more than {limit} bytes where a listing was due")
                kind = answer.media_type(response.headers)
                return Page(response.url, kind, text.decode("utf-8", "surrogateescape"), response.headers)

        return self._again(once, PATIENCE)

    def json(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        limit: int = TEXT_LIMIT,
        *,
        explain: Explain | None = None,
        post: object = None,
        home: str = "",
    ) -> Any:
        """An API's answer. A page for people in its place (a login, a bot wall) is a SourceError. ``post`` is sent as
        the JSON body of a POST."""
        method, body, sent = ("GET", None, {}) if post is None else ("POST", json.dumps(post).encode(), _JSON)
        headers = {"Accept": "application/json", **sent, **(headers or {})}
        page = self.text(url, headers, limit, explain=explain, method=method, body=body, home=home)
        return parsed(page)

    def hop(self, url: str, headers: Mapping[str, str] | None = None, *, explain: Explain | None = None) -> Page:
        """What a server that sends on to others says beside that: its headers, and in ``url`` where it sends to (where
        it answers by itself: itself). Nothing is read of a body."""
        asked = _Asked(url, headers or {}, _REDIRECTS | {200, 206}, explain)

        def once(end: float) -> Page:
            with self._hops(asked, url, end) as response:
                location = response.headers.get("Location")
                target = self._target(url, location) if response.status in _REDIRECTS and location else url
                return Page(target, answer.media_type(response.headers), "", response.headers)

        return self._again(once, PATIENCE)

    def _alone(self, url: str, home: str) -> bool:
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
        end = self._clock() + self._settings.timeout
        with self._connections.send(url, url, sent, end, "POST", urlencode(form).encode()) as response:
            status, text = response.status, _beginning(response)
        if status in answer.PASSING:
            raise answer.fault(status, response.headers, url)
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise SourceError(f"{redact(url)} answered {status} where a token was due")
        return found if status == 200 or "error" in found else {"error": str(status)}

    @cached_property
    def anonymous(self) -> Engine:
        """The same connections, and no credential for anything: to ask what strangers name."""
        made = copy(self)
        made._credentials = Credentials()
        made._targets = {}  # of those remembered, some were told to who showed a key
        return made

    def trying_again(self, times: int) -> Engine:
        """The same engine, which gives up after so many tries more, if not sooner."""
        made = copy(self)
        made._settings = replace(self._settings, retries=min(times, self._settings.retries))
        return made

    def close(self) -> None:
        self._connections.close()

    def _account(self, url: str) -> str:
        """The realm of the credential that a request would carry."""
        found = self._credentials.find(url)
        return found.realm if found else PUBLIC

    def _again(self, once: Callable[[float], T], patience: float) -> T:
        """What ``once`` returns, tried again while that may help and there is time. It is told when that ends."""
        end = self._clock() + patience
        for attempt in itertools.count():
            try:
                return once(end)
            except SourceUnavailable as error:
                pause = error.retry_after
                if pause is None:
                    pause = min(8.0, 0.1 * 3**attempt) * random.uniform(0.5, 1)  # noqa: S311
                if attempt >= self._settings.retries or self._clock() + pause >= end:
                    raise
                if pause > 5:
                    self._reporter(Event("warning", text=f"{error}; waiting {pause:.0f} s"))
                self._sleep(pause)
        raise AssertionError("endless")

    def _follow(self, asked: _Asked, end: float) -> Response:
        """One try: from the URL, or a target that it named some seconds ago, to an answer with a status in ``ok``."""
        url = asked.url
        # Who asks for another media type may be sent elsewhere: doi.org does so. And what was remembered may have been
        # told to who showed a key.
        lasting = asked.method == "GET" and not {_AUTHORIZATION, "Accept"} & asked.headers.keys() and not asked.alone
        target = self._known_target(url) if lasting else ""
        if target:
            # A signed URL runs out with 400, 401, 403 or 404: ask for a new one.
            with contextlib.suppress(SourceError, NotFound):
                return self._hops(asked, target, end)
        response = self._hops(asked, url, end)
        if response.url != url and lasting:
            self._remember(url, response.url)
        return response

    def _hops(self, asked: _Asked, url: str, end: float) -> Response:
        first = asked.url
        way: list[tuple[str, Mapping[str, str]]] = []
        for _ in range(HOPS):
            sent, query, credential = self._headers(asked, url)
            response = self._connections.send(first, url, sent, end, asked.method, asked.body, query)
            location = response.headers.get("Location")
            if response.status in asked.ok:
                response.way = tuple(way)
                return response
            if response.status not in _REDIRECTS or not location:
                raise self._fault(asked, url, response, credential)
            response.close()
            way.append((url, response.headers))
            url = self._target(url, location)
            if asked.method != "GET" and site(url) != site(first):
                raise SourceError(f"{redact(first)} redirects a {asked.method} to {redact(url)}, another site: refused")
            if response.status == 303 and asked.method != "GET":
                asked = replace(asked, method="GET", body=None)
        raise SourceError(f"{redact(first)} was redirected {HOPS} times, and still is: a loop on the server")

    def _fault(self, asked: _Asked, url: str, response: Response, credential: bool) -> GotdataError:
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
        origin = found.origin if found else ""
        return answer.fault(response.status, response.headers, asked.url, credential, url, origin)

    @staticmethod
    def _target(url: str, location: str) -> str:
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

    def _headers(self, asked: _Asked, url: str) -> tuple[dict[str, str], str, bool]:
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


def _beginning(response: Response) -> str:
    """Of a refusal's body, as far as it comes."""
    piece, text = memoryview(bytearray(_REFUSAL)), bytearray()
    with contextlib.suppress(GotdataError, ValueError):
        while len(text) < _REFUSAL and (count := response.readinto(piece[: _REFUSAL - len(text)])):
            text += piece[:count]
    return text.decode("utf-8", "replace")

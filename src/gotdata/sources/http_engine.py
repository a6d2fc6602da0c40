"""The one range-reading HTTP engine that all sources share: pool, limits, retries, redirects, versions.

Synchronous, and safe to use from several threads: concurrency is the caller's."""

from __future__ import annotations

import itertools
import json
import os
import random
import time
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

from gotdata.credentials import Credentials
from gotdata.errors import SourceError, SourceUnavailable
from gotdata.model import Span
from gotdata.paths import redact
from gotdata.reach import ANYWHERE, Reach
from gotdata.report import Event, Reporter, silent
from gotdata.settings import Settings
from gotdata.sources import http_answer as answer
from gotdata.sources.http_answer import Explain, Facts
from gotdata.sources.http_asking import REDIRECTS, Asked, Asker
from gotdata.sources.http_connections import Connections
from gotdata.sources.http_page import Page, parsed
from gotdata.sources.http_response import Response, facts, judge, refuse_encoding

T = TypeVar("T")

PATIENCE = 300.0
"""Seconds for which a question (a listing, a record) is asked again where the server asks to wait: Zenodo counts
requests by the minute. Reads of bytes end within the setting ``timeout``."""
TEXT_LIMIT = 64 << 20
"""Bytes of a listing page or an API's answer."""
_JSON = {"Content-Type": "application/json"}
_OK = {"PROPFIND": frozenset({200, 207}), "POST": frozenset({200, 202})}
"""Statuses with which a question is answered, where these are more than 200."""


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
        self._reporter = reporter
        self._clock = clock
        self._sleep = sleep
        self._connections = Connections(settings, clock, environ, reach)
        self._asker = Asker(self._connections, credentials, clock, settings.timeout)

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
        asked = Asked(url, wanted, frozenset({200, 206}), explain, alone=self._asker.alone(url, home))

        def once(end: float) -> Response:
            response = self._asker.follow(asked, end)
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
        byte = Asked(url, wanted, frozenset({200, 206, 416}), explain, alone=self._asker.alone(url, home))

        def once(end: float) -> Facts:
            with self._asker.follow(byte, end) as response:
                if response.status != 416:
                    return facts(response)
            # An empty file has no first byte.
            with self._asker.follow(replace(byte, headers=headers or {}, ok=frozenset({200})), end) as response:
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
        asked = Asked(url, headers or {}, ok, explain, method, body, self._asker.alone(url, home))

        def once(end: float) -> Page:
            with self._asker.follow(asked, end) as response:
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
        asked = Asked(url, headers or {}, REDIRECTS | {200, 206}, explain)

        def once(end: float) -> Page:
            with self._asker.hops(asked, url, end) as response:
                location = response.headers.get("Location")
                target = self._asker.target(url, location) if response.status in REDIRECTS and location else url
                return Page(target, answer.media_type(response.headers), "", response.headers)

        return self._again(once, PATIENCE)

    def post_form(self, url: str, form: Mapping[str, str]) -> Mapping[str, Any]:
        """As ``Asker.post_form``."""
        return self._asker.post_form(url, form)

    @cached_property
    def anonymous(self) -> Engine:
        """The same connections, and no credential for anything: to ask what strangers name."""
        made = copy(self)
        made._asker = self._asker.anonymous()
        return made

    def trying_again(self, times: int) -> Engine:
        """The same engine, which gives up after so many tries more, if not sooner."""
        made = copy(self)
        made._settings = replace(self._settings, retries=min(times, self._settings.retries))
        return made

    def close(self) -> None:
        self._connections.close()

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

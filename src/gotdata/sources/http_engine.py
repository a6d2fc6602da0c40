"""The one range-reading HTTP engine that all sources share: pool, limits, retries, redirects, versions.

Synchronous, and safe to use from several threads: concurrency is the caller's."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import re
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version as installed
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urljoin
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

import urllib3
from urllib3.exceptions import HTTPError, LocationValueError, NewConnectionError, SSLError
from urllib3.exceptions import TimeoutError as Late
from urllib3.util import Timeout, Url

from gotdata.credentials import Credentials, parse, site
from gotdata.errors import (
    AccessDenied,
    AuthRequired,
    NoRanges,
    NotFound,
    SourceError,
    SourceUnavailable,
    UpstreamChanged,
)
from gotdata.model import Span
from gotdata.paths import redact, secret
from gotdata.report import Event, Reporter, silent
from gotdata.settings import Settings
from gotdata.sources import http_answer as answer
from gotdata.sources.http_answer import Facts, Response

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

T = TypeVar("T")

HOPS = 10
"""Redirects that one request follows."""
PATIENCE = 300.0
"""Seconds for which a question (a listing, a record) is asked again where the server asks to wait: Zenodo counts
requests by the minute. Reads of bytes end within the setting ``timeout``."""
TEXT_LIMIT = 64 << 20
"""Bytes of a listing page or an API's answer."""
HTML = ("text/html", "application/xhtml+xml")
_PROXY = re.compile(r"(?i)(http|https|all|no)_proxy")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TARGET_SECONDS = 20.0
"""How long a redirect's target is used again: small reads stay cheap, and signed URLs live longer than that."""
_TARGETS = 4096
_TRAVELS = frozenset({"accept", "range", "if-range", "want-repr-digest"})
"""Headers of the caller that go on to another origin."""


@dataclass(frozen=True, slots=True)
class Page:
    """A text that was read whole. ``url`` is where it came from in the end."""

    url: str
    kind: str
    text: str


class Engine:
    """Sends GET requests.

    Credentials are found by the URL of every request, redirects included. One that covers only the redirect's target is
    never sent: the bytes would be kept as if they were the first URL's, which others may read.

    Args:
        clock: seconds that never go back.
        sleep: waits; so that a test need not.
        environ: where proxies (``https_proxy``, ``no_proxy``) and CA bundles (``SSL_CERT_FILE``,
            ``REQUESTS_CA_BUNDLE``) are named.
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
    ) -> None:
        self._settings = settings
        self._credentials = credentials
        self._reporter = reporter
        self._clock = clock
        self._sleep = sleep
        self._environ = environ
        self._proxies = _proxies(environ)
        self._agent = f"gotdata/{installed('gotdata')}"
        self._lock = threading.Lock()
        self._pools: dict[str, urllib3.PoolManager] = {}
        self._streams: dict[str, threading.BoundedSemaphore] = {}
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
    ) -> Response:
        """The bytes of ``span``, or the whole, as a stream that the caller closes.

        Args:
            size: of the whole; where given, another size is a change upstream. A span of the whole asks no range.
            version: as ``RemoteFile.version``; the answer must be of it.
            headers: of the caller; sent to this host only. With an Authorization among them no other is looked up.
            encoded: a Content-Encoding is part of the stored file, as S3 has them, and its bytes are what is wanted.

        Raises:
            UpstreamChanged, NoRanges, SourceUnavailable, AuthRequired, AccessDenied, NotFound, SourceError
        """
        part = None if span is None or (span.start == 0 and span.stop == size) else span
        asked = dict(headers or {})
        if part is not None:
            if part.size <= 0:
                raise ValueError(f"an empty span {part} can't be asked for")
            asked["Range"] = f"bytes={part.start}-{part.stop - 1}"
            if version.startswith('etag:"'):
                asked["If-Range"] = version.removeprefix("etag:")

        def once(end: float) -> Response:
            response = self._follow(url, asked, {200, 206}, end)
            try:
                _judge(response, part, size, version, encoded)
            except BaseException:
                response.close()
                raise
            return response

        return self._again(once, self._settings.timeout)

    def probe(self, url: str, headers: Mapping[str, str] | None = None) -> Facts:
        """What one byte's request tells of a file. HEAD would not do: URLs signed for GET refuse it."""

        def once(end: float) -> Facts:
            with self._follow(url, {**(headers or {}), "Range": "bytes=0-0"}, {200, 206, 416}, end) as response:
                if response.status != 416:
                    return _facts(response)
            # An empty file has no first byte.
            with self._follow(url, headers or {}, {200}, end) as response:
                return _facts(response)

        return self._again(once, PATIENCE)

    def text(self, url: str, headers: Mapping[str, str] | None = None, limit: int = TEXT_LIMIT) -> Page:
        """A page, whole. Bytes that are not UTF-8 stand in it as surrogates."""

        def once(end: float) -> Page:
            with self._follow(url, headers or {}, {200}, end) as response:
                _refuse_encoding(response)
                body = bytearray()
                piece = memoryview(bytearray(256 * 1024))
                while count := response.readinto(piece):
                    body += piece[:count]
                    if len(body) > limit:
                        raise SourceError(f"{redact(url)} answered more than {limit} bytes where a listing was due")
                kind = answer.media_type(response.headers)
                return Page(response.url, kind, body.decode("utf-8", "surrogateescape"))

        return self._again(once, PATIENCE)

    def json(self, url: str, headers: Mapping[str, str] | None = None, limit: int = TEXT_LIMIT) -> Any:
        """An API's answer. A page for people in its place (a login, a bot wall) is a SourceError."""
        page = self.text(url, {"Accept": "application/json", **(headers or {})}, limit)
        if page.kind in HTML:
            raise SourceError(f"{redact(url)} answered a web page where JSON was due: a login, or no such API there")
        try:
            return json.loads(page.text)
        except (ValueError, RecursionError):
            raise SourceError(f"{redact(url)} answered {page.kind or 'something'} that is not JSON") from None

    def close(self) -> None:
        for pool in self._pools.values():
            pool.clear()

    def _again(self, once: Callable[[float], T], patience: float) -> T:
        """What ``once`` returns, tried again while that may help and there is time. It is told when that ends."""
        end = self._clock() + patience
        for attempt in itertools.count():
            try:
                return once(end)
            except SourceUnavailable as error:
                pause = error.retry_after
                if pause is None:
                    pause = min(8.0, 0.25 * 2**attempt) * random.uniform(0.5, 1)  # noqa: S311
                if attempt >= self._settings.retries or self._clock() + pause >= end:
                    raise
                if pause > 5:
                    self._reporter(Event("warning", text=f"{error}; waiting {pause:.0f} s"))
                self._sleep(pause)
        raise AssertionError("endless")

    def _follow(self, url: str, headers: Mapping[str, str], ok: set[int], end: float) -> Response:
        """One try: from the URL, or a target that it named some seconds ago, to an answer with a status in ``ok``."""
        target = "" if "Authorization" in headers else self._known_target(url)
        if target:
            # A signed URL runs out with 400, 401, 403 or 404: ask for a new one.
            with contextlib.suppress(AccessDenied, AuthRequired, NotFound, SourceError):
                return self._hops(url, target, headers, ok, end)
        response = self._hops(url, url, headers, ok, end)
        if response.url != url and "Authorization" not in headers:
            self._remember(url, response.url)
        return response

    def _hops(self, first: str, url: str, headers: Mapping[str, str], ok: set[int], end: float) -> Response:
        for _ in range(HOPS):
            sent, credential = self._headers(first, url, headers)
            response = self._send(first, url, sent, end)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or not location:
                if response.status in ok:
                    return response
                response.close()
                raise answer.fault(response.status, response.headers, first, credential)
            response.close()
            url = self._target(url, location)
        raise SourceError(f"{redact(first)} was redirected {HOPS} times, and still is: a loop on the server")

    @staticmethod
    def _target(url: str, location: str) -> str:
        target = urljoin(url, location.strip())
        old, new = parse(url), parse(target)
        if new.scheme not in ("http", "https") or not new.host:
            raise SourceError(f"{redact(url)} redirects to {redact(target)}, which is no web address")
        if old.scheme == "https" and new.scheme == "http":
            raise SourceError(f"{redact(url)} redirects to {redact(target)}, without encryption: refused")
        return target

    def _headers(self, first: str, url: str, headers: Mapping[str, str]) -> tuple[dict[str, str], bool]:
        """What goes to ``url``, on the way from ``first``; and whether a credential is among it."""
        home = site(url) == site(first)
        sent = {"User-Agent": self._agent, "Accept": "*/*", "Accept-Encoding": "identity"}
        sent |= {name: value for name, value in headers.items() if home or name.lower() in _TRAVELS}
        if "Authorization" in sent:
            return sent, True
        if not home and secret(url):
            return sent, False
        credential = self._credentials.find(url)
        if credential != self._credentials.find(first):
            if credential is not None:
                raise AuthRequired(
                    f"{redact(first)} redirects to {redact(url)}, for which there is a credential of yours: "
                    "name that URL itself in gotdata.yml if it may be used"
                )
            return sent, False
        return sent | dict(credential.headers if credential else ()), credential is not None

    def _send(self, first: str, url: str, headers: dict[str, str], end: float) -> Response:
        release = self._stream(first, url, end)
        try:
            left = max(0.001, end - self._clock())
            raw: BaseHTTPResponse = self._pool(url).urlopen(
                "GET",
                url,
                headers=headers,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
                timeout=Timeout(
                    connect=min(self._settings.connect_timeout, left), read=min(self._settings.timeout, left)
                ),
            )
            return Response(raw, first, url, release)
        except BaseException as error:
            release()
            if isinstance(error, HTTPError | OSError | ValueError):
                raise self._translated(first, url, error) from error
            raise

    @staticmethod
    def _translated(first: str, url: str, error: Exception) -> SourceError:
        where, host = redact(first), parse(url).netloc or "its host"
        if isinstance(error, SSLError):
            reason = f"the certificate of {host} is not trusted ({error}); SSL_CERT_FILE names a CA bundle"
            return SourceError(f"{where}: {reason}") if "CERT" in str(error) else SourceUnavailable(f"{where}: {error}")
        if isinstance(error, NewConnectionError):
            return SourceUnavailable(f"{where}: no connection to {host} ({error.__cause__ or 'refused'}); try again")
        if isinstance(error, Late):
            return SourceUnavailable(f"{where}: {host} did not answer in time; try again")
        if isinstance(error, LocationValueError):
            return SourceError(f"{where} is no web address")
        return SourceUnavailable(f"{where}: the connection to {host} broke ({type(error).__name__}); try again")

    def _stream(self, first: str, url: str, end: float) -> Callable[[], None]:
        """Waits for one of the host's streams; what is returned gives it back."""
        with self._lock:
            free = self._streams.setdefault(site(url), threading.BoundedSemaphore(self._settings.connections))
        if not free.acquire(timeout=max(0.0, end - self._clock())):
            raise SourceUnavailable(
                f"{redact(first)}: all {self._settings.connections} streams to {site(url)} stayed busy; try again"
            )
        return free.release

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

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        bundle = self._environ.get("SSL_CERT_FILE") or self._environ.get("REQUESTS_CA_BUNDLE")
        try:
            return ssl.create_default_context(cafile=bundle)
        except OSError as error:
            raise SourceError(
                f"the CA bundle {bundle} (SSL_CERT_FILE, REQUESTS_CA_BUNDLE) can't be read: {error}"
            ) from error

    def _pool(self, url: str) -> urllib3.PoolManager:
        proxy = self._proxy(parse(url))
        with self._lock:
            if proxy not in self._pools:
                size = self._settings.connections
                options: dict[str, Any] = {"num_pools": 32, "maxsize": size, "ssl_context": self._tls}
                self._pools[proxy] = (
                    urllib3.ProxyManager(proxy, proxy_headers=_proxy_headers(proxy), **options)
                    if proxy
                    else urllib3.PoolManager(**options)
                )
            return self._pools[proxy]

    def _proxy(self, url: Url) -> str:
        """The proxy that the environment names for a URL, or empty."""
        if proxy_bypass_environment(url.netloc or "", self._proxies):
            return ""
        named = self._proxies.get(url.scheme or "") or self._proxies.get("all", "")
        proxy = f"http://{named}" if named and "://" not in named else named
        if proxy and parse(proxy).scheme not in ("http", "https"):
            raise SourceError(f"the proxy {redact(proxy)} is neither http nor https; mend {url.scheme}_proxy")
        return proxy


def _proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """``{"https": …, "no": …}``; of both spellings the lower-case one wins. In a CGI program HTTP_PROXY is a header of
    whoever asked."""
    named = {name.lower().removesuffix("_proxy"): environ[name] for name in sorted(environ) if _PROXY.fullmatch(name)}
    if "REQUEST_METHOD" in environ and "http_proxy" not in environ:
        named.pop("http", None)
    return named


def _proxy_headers(proxy: str) -> dict[str, str]:
    auth = parse(proxy).auth
    return dict(urllib3.make_headers(proxy_basic_auth=unquote(auth))) if auth else {}


def _judge(response: Response, part: Span | None, size: int | None, version: str, encoded: bool) -> None:
    """Refuses an answer that is not what was asked for, before its body is read."""
    if not answer.same_version(response.headers, version):
        raise _changed(response, "its version is another")
    if not encoded:
        _refuse_encoding(response)
    if response.status == 206:
        _judge_part(response, part, size)
        return
    if size is not None and response.length not in (None, size):
        raise _changed(response, f"it has {response.length} bytes, and had {size}")
    whole = size if size is not None else response.length
    if part is not None and not (part.start == 0 and part.stop == whole):
        raise NoRanges(f"{redact(response.asked)} can only be had whole: its server sends no ranges")
    if whole is not None:
        response.expect(whole)


def _judge_part(response: Response, part: Span | None, size: int | None) -> None:
    span, total = answer.content_range(response.headers)
    if size is not None and total not in (None, size):
        raise _changed(response, f"it has {total} bytes, and had {size}")
    if part is None or span != part:
        asked = "the whole" if part is None else f"bytes {part.start}-{part.stop - 1}"
        got = response.headers.get("Content-Range", "no Content-Range")
        raise SourceError(f"{redact(response.asked)}: asked for {asked}, the server sent {redact(got)}")
    if response.length not in (None, part.size):
        raise SourceError(f"{redact(response.asked)}: Content-Length {response.length} where {part.size} bytes are due")
    response.expect(part.size)


def _changed(response: Response, what: str) -> UpstreamChanged:
    return UpstreamChanged(
        f"{redact(response.asked)} is not what was pinned: {what}; `gotdata lock --update` takes the new version up"
    )


def _refuse_encoding(response: Response) -> None:
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding != "identity":
        raise SourceError(
            f"{redact(response.asked)} was sent compressed ({redact(encoding)}) though that was refused: "
            "its size and ranges can't be known"
        )


def _facts(response: Response) -> Facts:
    _refuse_encoding(response)
    span, size = answer.content_range(response.headers)
    if response.status == 200:
        size = response.length
    elif span != Span(0, 1):
        raise SourceError(f"{redact(response.asked)}: asked for its first byte, the server sent another range")
    return Facts(
        url=response.url,
        size=size,
        version=answer.version(response.headers),
        checks=answer.checks(response.headers, whole=response.status == 200),
        kind=answer.media_type(response.headers),
        name=answer.file_name(response.headers),
        ranges=response.status == 206,
    )

"""The connections of the HTTP engine: pools, streams per host, proxies, TLS."""

from __future__ import annotations

import logging
import re
import ssl
import threading
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any
from urllib.parse import unquote
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

import urllib3
from urllib3.exceptions import HTTPError, LocationValueError, NewConnectionError, SSLError
from urllib3.exceptions import TimeoutError as Late
from urllib3.util import Timeout, Url

from gotdata.credentials import parse, site
from gotdata.errors import SourceError, SourceUnavailable
from gotdata.paths import redact
from gotdata.reach import ANYWHERE, Reach
from gotdata.settings import Settings
from gotdata.sources.http_reach import bounded, check_host
from gotdata.sources.http_response import Response

_PROXY = re.compile(r"(?i)(http|https|all|no)_proxy")


class _Unasked(logging.Filter):
    """Takes the queries out of what urllib3 logs of its requests: some are keys."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(one.partition("?")[0] if isinstance(one, str) else one for one in record.args)
        return True


_UNASKED = _Unasked()
for _name in ("urllib3.connectionpool", "urllib3.util.retry"):
    logging.getLogger(_name).addFilter(_UNASKED)


class Connections:
    """Sends one request, without a second try. Thread-safe.

    Args:
        environ: where proxies (``https_proxy``, ``no_proxy``) and CA bundles (``SSL_CERT_FILE``,
            ``REQUESTS_CA_BUNDLE``) are named.
        reach: where connections may end. The proxy itself is the operator's: it may be anywhere.
    """

    def __init__(
        self, settings: Settings, clock: Callable[[], float], environ: Mapping[str, str], reach: Reach = ANYWHERE
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._environ = environ
        self._reach = reach
        self._proxies = _proxies(environ)
        self._lock = threading.Lock()
        self._pools: dict[str, urllib3.PoolManager] = {}
        self._streams: dict[str, threading.BoundedSemaphore] = {}

    def send(
        self,
        first: str,
        url: str,
        headers: dict[str, str],
        end: float,
        method: str = "GET",
        body: bytes | None = None,
        query: str = "",
    ) -> Response:
        """``query`` is a secret that the URL gets on the wire, and nowhere else."""
        release = self._stream(first, url, end)
        try:
            left = max(0.001, end - self._clock())
            raw: urllib3.BaseHTTPResponse = self._pool(url).urlopen(
                method,
                f"{url}{'&' if '?' in url else '?'}{query}" if query else url,
                body=body,
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

    def close(self) -> None:
        for pool in self._pools.values():
            pool.clear()

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
        parsed = parse(url)
        proxy = self._proxy(parsed)
        if proxy and not self._reach.anywhere:
            check_host(parsed.host or "", self._reach)
        key = f"{parsed.scheme} {proxy}"
        with self._lock:
            if key not in self._pools:
                # Reading the authorities takes 20 ms, which plain http need not wait for.
                tls = self._tls if key.startswith("https ") or proxy.startswith("https:") else None
                options: dict[str, Any] = {"maxsize": self._settings.connections, "ssl_context": tls}
                if proxy:
                    headers = _proxy_headers(proxy)
                    self._pools[key] = urllib3.ProxyManager(
                        proxy, proxy_headers=headers, proxy_ssl_context=tls, **options
                    )
                else:
                    self._pools[key] = pools = urllib3.PoolManager(num_pools=32, **options)
                    if not self._reach.anywhere:
                        pools.pool_classes_by_scheme = bounded(pools.pool_classes_by_scheme, self._reach)
            return self._pools[key]

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

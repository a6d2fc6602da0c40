"""`gotdata login`: finds out what a place wants, has it checked, and writes it where every request looks."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

from gotdata import credentials
from gotdata.credentials import Credentials, Unusable, edit, file, renew, tools
from gotdata.credentials.providers import PROVIDERS, Flow, Provider, of
from gotdata.credentials.urls import parse, place, site, spelt
from gotdata.errors import AccessDenied, AuthRequired, GotdataError, ManifestError, NotFound, SourceError
from gotdata.login_flows import Client, Talk, run
from gotdata.outcome import Key
from gotdata.paths import redact, shown
from gotdata.settings import Settings
from gotdata.sources.http_answer import Refusal
from gotdata.sources.http_engine import Engine
from gotdata.sources.http_page import parsed

_COLLECTION = re.compile(r"globus:(?://)?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:/.*)?", re.I)
_AZURE = re.compile(r"https://[a-z0-9]+\.(?:blob|dfs)\.core\.[a-z.]+/")
_ENDS = re.compile(r"expires on (\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)")
_SHORT = {"zenodo": "https://zenodo.org/", "4tu": "figshare:https://data.4tu.nl/"}
"""What people call an installation that has a name of its own."""
_HTTPS_SCOPE = "https://auth.globus.org/scopes/{}/https"
_DATA_SCOPE = "https://auth.globus.org/scopes/{}/data_access"


@dataclass(frozen=True, slots=True)
class Target:
    """Where one logs in. ``form`` is ``token``, ``bearer``, ``basic`` or ``query``; ``source`` is empty where no
    provider is known there. ``collection`` is Globus's."""

    prefix: str
    form: str
    source: str = ""
    collection: str = ""

    @property
    def provider(self) -> Provider:
        return PROVIDERS[self.source] if self.source else Provider(site(self.prefix))

    @property
    def elsewhere(self) -> bool:
        """It is somebody's own installation of what there is once: the public one learns nothing of its secrets, and
        gives it none."""
        return bool(self.provider.prefixes) and self.prefix not in self.provider.prefixes

    @property
    def page(self) -> str:
        """Where a token is made, or empty."""
        return "" if self.elsewhere else self.provider.page.format(self.prefix.rstrip("/"))

    @property
    def flow(self) -> Flow | None:
        return None if self.elsewhere else self.provider.flow

    @property
    def question(self) -> str:
        """The URL at which it is said who asks, or empty."""
        asked = self.provider.check
        if asked and self.elsewhere:
            asked = self.provider.own or re.sub("^https://[^/]+", "", asked)
        return self.prefix.rstrip("/") + asked if asked.startswith("/") else asked


def target(where: str, engine: Engine) -> Target:
    """What ``where`` means: a source's name, a URL, or ``SOURCE:URL`` for an installation that its host does not tell.
    A URL of an unknown host is asked what it is, without a credential.

    Raises:
        ManifestError: it is none of these.
    """
    where = _SHORT.get(where.lower(), where)
    if found := _COLLECTION.fullmatch(where):
        return Target(PROVIDERS["globus"].prefixes[0], "token", "globus", found[1].lower())
    if provider := PROVIDERS.get(where):
        if not provider.prefixes:
            raise ManifestError(
                f"{provider.title} is installed in many places: `gotdata login {provider.example}` names one"
            )
        return Target(provider.prefixes[0], "token", where)
    named, _, rest = where.partition(":")
    url = rest if named in PROVIDERS and "://" in rest else where
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        if where in ("s3", "aws") or where.startswith("s3:"):
            raise ManifestError("S3's keys are those of AWS's own tools: `aws configure`, or AWS_ACCESS_KEY_ID")
        # It may be the token itself.
        raise ManifestError(f"what is named is neither a URL nor one of {', '.join(PROVIDERS)}")
    renew.check_url(url, "a login")
    if url is not where:
        return Target(spelt(url), "token", named)
    if known := of(url):
        source, provider = known
        return Target(provider.prefixes[0] if provider.prefixes else f"{spelt(site(url))}", "token", source)
    if _AZURE.match(spelt(url)):
        return Target(spelt(url), "query")
    return _asked(url, engine)


def _asked(url: str, engine: Engine) -> Target:
    """The kind of an installation by what it answers to everyone, else what its 401 wants."""
    root = site(url)
    for source, provider in PROVIDERS.items():
        if provider.known_by:
            question, *keys = provider.known_by
            with suppress(SourceError, NotFound):
                if _under(engine.json(root + question), keys):
                    return Target(spelt(root), "token", source)
    wanted: list[str] = []

    def note(refusal: Refusal) -> GotdataError | None:
        wanted.append(refusal.headers.get("WWW-Authenticate", ""))
        return None

    with suppress(SourceError, NotFound):
        engine.probe(url, explain=note)
    basic = any(re.search(r"(?i)\bbasic\b", one) for one in wanted)
    return Target(spelt(url), "basic" if basic else "bearer")


def grant(where: Target, client: Client, talk: Talk, settings: Settings) -> dict[str, dict[str, Any]]:
    """What a provider's flow gives, as entries of credentials.toml by their prefixes."""
    flow = where.flow
    assert flow is not None, where
    if where.collection:
        return _collection(where, flow, client, talk, settings)
    return {where.prefix: _entry(where.source, run(flow, client, flow.scope, talk), client, flow)}


def _collection(where: Target, flow: Flow, client: Client, talk: Talk, settings: Settings) -> dict[str, dict[str, Any]]:
    """Entries for Globus's API and for a collection's server. A mapped collection (none of high assurance) gives
    nothing without a consent of its own, for which no other may be asked: what it is, the API says to who has logged
    in."""
    https, data = _HTTPS_SCOPE.format(where.collection), _DATA_SCOPE.format(where.collection)
    found = run(flow, client, f"{flow.scope} {https}", talk)
    entry = _entry(where.source, found, client, flow)
    about = _about(where, entry, settings)
    if about.get("entity_type") == "GCSv5_mapped_collection" and about.get("high_assurance") is not True:
        talk.tell("This collection asks for a consent of its own:")
        found = run(flow, client, f"{flow.scope}[*{data}] {https}[*{data}]", talk)
        entry = _entry(where.source, found, client, flow)
    entries = {where.prefix: entry}
    others = found.get("other_tokens")
    for other in others if isinstance(others, list) else ():
        if isinstance(other, dict) and "/https" in str(other.get("scope")):
            entries[_server_of(where, about)] = _entry("", other, client, flow) | {"token_url": flow.token}
    return entries


def _entry(source: str, found: Mapping[str, Any], client: Client, flow: Flow) -> dict[str, Any]:
    named = {"source": source} if source else {}
    token, until = renew.granted(found, flow.token)
    if refresh := found.get("refresh_token"):
        secret = {"client_secret": client.secret} if client.secret else {}
        # Whoever logs in next may be somebody else: until the provider says who it is, they have no account in common.
        return {**named, "client": client.id, **secret, "refresh": refresh, "account": f"login-{token_hex(8)}"}
    return {**named, "token" if source else "bearer": token, "expires": datetime.fromtimestamp(until, UTC)}


def _about(where: Target, entry: Mapping[str, Any], settings: Settings) -> Mapping[str, Any]:
    with _engine(where.prefix, entry, settings) as engine:
        found = engine.json(f"{where.prefix}v0.10/endpoint/{where.collection}")
    return found if isinstance(found, dict) else {}


def _server_of(where: Target, about: Mapping[str, Any]) -> str:
    """The HTTPS address of a collection."""
    server = str(about.get("https_server") or "")
    if not server.startswith("https://"):
        raise SourceError(f"the collection {where.collection} has no HTTPS server: its files can't be read by URL")
    return spelt(server)


def check(where: Target, entry: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """The entry, with the account's name and the token's end as far as the provider tells them.

    Raises:
        AuthRequired, AccessDenied: it is not taken.
        SourceUnavailable: nobody answered.
    """
    question = where.question
    with _engine(where.prefix, entry, settings) as engine:
        if not question:
            _touch(where, engine)
            return entry
        try:
            page = engine.text(question)
        except NotFound:
            if where.elsewhere:
                return entry
            raise
        name = _under(parsed(page), where.provider.name) if where.provider.name else None
        ends = _ENDS.search(_said_of_token(where, engine)) or re.match(
            r"(\S+ [\d:]+) UTC", page.headers.get("github-authentication-token-expiration", "")
        )
    known: dict[str, Any] = {"account": shown(str(name))} if isinstance(name, str | int) else {}
    if ends and "expires" not in entry:
        known["expires"] = datetime.fromisoformat(ends[1]).replace(tzinfo=UTC)
    return {**entry, **known}


def _said_of_token(where: Target, engine: Engine) -> str:
    if where.source != "dataverse":
        return ""
    with suppress(GotdataError):
        return engine.text(f"{where.prefix.rstrip('/')}/api/users/token").text
    return ""


def _touch(where: Target, engine: Engine) -> None:
    """Nobody says who asks there. That it is not refused is all that can be seen; a folder may have no index."""
    with suppress(NotFound):
        try:
            engine.probe(where.prefix)
        except (AuthRequired, AccessDenied):
            if where.form != "query":
                raise
        except SourceError as error:
            if error.transient:
                raise


class _engine:
    """An HTTP engine with one credential, closed at its end."""

    def __init__(self, prefix: str, entry: Mapping[str, Any], settings: Settings) -> None:
        held = file.made(Path("the new entry"), prefix, entry, os.environ)
        self._engine = Engine(replace(settings, retries=min(settings.retries, 2)), Credentials(held))

    def __enter__(self) -> Engine:
        return self._engine

    def __exit__(self, *_: object) -> None:
        self._engine.close()


def _under(found: object, keys: Any) -> Any:
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


# Keeping


def keep(prefix: str, entry: dict[str, Any], in_keyring: bool, environ: Mapping[str, str] = os.environ) -> str:
    """Writes an entry, its secret into the system's keyring where that is wanted. Gives where it is now.

    Raises:
        ManifestError: it can't be written there.
    """
    path = _writable(environ)
    if not in_keyring:
        edit.put(path, prefix, entry)
        return str(path)
    secret = next(key for key in ("token", "bearer", "basic", "query", "refresh") if key in entry)
    system, error = _keyring()
    try:
        system.set_password(renew.SERVICE, prefix, entry[secret])
    except error as failed:
        raise ManifestError(f"the keyring does not take it: {failed}; without --keyring it goes into {path}") from None
    edit.put(path, prefix, {**entry, secret: {"keyring": True}})
    return f"the keyring, named in {path}"


def forget(where: str, environ: Mapping[str, str] = os.environ) -> str:
    """Takes out the entry that a URL or source's name has. Gives its prefix.

    Raises:
        ManifestError: there is none of ours; it says where else one is.
    """
    path = _writable(environ)
    where = _SHORT.get(where.lower(), where)
    named, _, rest = where.partition(":")
    where = rest if named in PROVIDERS and "://" in rest else where
    provider = PROVIDERS.get(where)
    url = provider.prefixes[0] if provider and provider.prefixes else where
    if "://" not in url:  # it may be a token
        raise ManifestError(f"what is named is neither a URL nor one of {', '.join(PROVIDERS)}")
    held = file.entries(path, named=True) if path.exists() else {}
    if match := next((prefix for prefix in held if place(prefix) == place(url)), ""):
        if {"keyring": True} in held[match].values():
            system, error = _keyring()
            with suppress(error):
                system.delete_password(renew.SERVICE, match)
        edit.remove(path, match)
        return match
    found = credentials.load(environ).find(url) if parse(url).host else None
    elsewhere = f"; what is used for it comes from {found.origin}, and is removed there" if found else ""
    raise ManifestError(f'{path} has no entry ["{redact(url)}"]{elsewhere}')


def _writable(environ: Mapping[str, str]) -> Path:
    path = file.path_of(environ)
    if path.is_dir():
        raise ManifestError(f"{path} is a folder of mounted secrets: its files are written by who mounts it")
    return path


def _keyring() -> tuple[Any, type[Exception]]:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        raise ManifestError("there is no keyring here: pip install 'gotdata[keyring]'") from None
    return keyring, KeyringError


def known(environ: Mapping[str, str] = os.environ) -> Iterator[Key]:
    """What is known for which URLs, in the order in which it is looked for. No secret."""
    for one in credentials.known(environ):
        if isinstance(one, Unusable):
            yield Key(redact(one.prefix), "", "", one.origin, "", one.reason)
            continue
        ends = datetime.fromtimestamp(one.expires, UTC) if one.expires is not None else None
        over = "has run out" if ends and ends <= datetime.now(UTC) else ""
        until = ends.strftime("%Y-%m-%dT%H:%M:%SZ") if ends else ""
        yield Key(spelt(one.prefix), one.account, one.form, one.origin, until, over)
    for name, endpoint, origin in tools.aws_profiles(environ, Path.home()):
        yield Key(endpoint or "s3://", name, "profile", origin, "", "")

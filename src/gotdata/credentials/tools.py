"""The places where other tools keep what they know: environment, netrc, Hugging Face, GitHub, GitLab, Google, rclone.

What is found is bound to the tool's own hosts. None of them is asked for what only it can give: no program is run."""

from __future__ import annotations

import configparser
import json
import netrc
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from gotdata.credentials import renew
from gotdata.credentials.held import Credential, Post, Sent, Unusable, basic, digest
from gotdata.credentials.providers import PROVIDERS
from gotdata.credentials.rclone import remotes
from gotdata.credentials.urls import place
from gotdata.errors import ManifestError
from gotdata.paths import shown

Found = Iterator[Credential | Unusable]
_LONGEST = 1 << 20
"""Bytes of a tool's file."""


def environment(environ: Mapping[str, str]) -> Found:
    """Variables of the providers' own tools, each for that provider's hosts and no others."""
    for source, provider in PROVIDERS.items():
        name = next((name for name in provider.environ if environ.get(name)), "")
        yield from token(source, environ.get(name, ""), f"${name}")
    # The one of which there are many says where its key is for.
    server, key = environ.get("DATAVERSE_SERVER", ""), environ.get("DATAVERSE_KEY", "")
    if server and key:
        root = server if "://" in server else f"https://{server}"
        if urlsplit(root).scheme == "https":
            yield made(f"{root.rstrip('/')}/", digest(key), PROVIDERS["dataverse"].headers("", key), "$DATAVERSE_KEY")
        else:
            yield Unusable(root, "$DATAVERSE_SERVER", "is not https")


def token(source: str, value: str, origin: str, account: str = "", expires: float | None = None) -> Found:
    """A provider's token, at all of its addresses."""
    provider = PROVIDERS[source]
    if not value:
        return
    if not value.isprintable() or " " in value:
        yield Unusable(provider.prefixes[0], origin, "is no token")
        return
    for prefix in provider.prefixes:
        yield made(
            prefix,
            account or digest(value),
            provider.headers(prefix, value),
            origin,
            shown=account,
            home=provider.prefixes[0],
            expires=expires,
        )


def made(
    prefix: str,
    account: str,
    headers: tuple[tuple[str, str], ...],
    origin: str,
    *,
    shown: str = "",
    home: str = "",
    expires: float | None = None,
) -> Credential:
    realm = f"cred:{digest(place(home or prefix), account)}"
    kind = headers[0][1].partition(" ")[0].lower() if headers[0][0] == "Authorization" else headers[0][0]
    form = kind if kind in ("basic", "bearer") or headers[0][0] != "Authorization" else "token"
    return Credential(place(prefix), realm, headers, expires=expires, origin=origin, account=shown, form=form)


def from_netrc(environ: Mapping[str, str], home: Path) -> Found:
    """Raises ManifestError: it can't be understood, or others can read it."""
    path = Path(environ.get("NETRC") or home / ".netrc")
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
            yield made(
                f"https://{host}/",
                login,
                (("Authorization", basic(f"{login}:{password}")),),
                str(path),
                shown=login,
            )


def of_tools(environ: Mapping[str, str], home: Path) -> Found:
    """The files of other tools. What can't be read or understood of them is passed by: they are not ours."""
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    yield from _huggingface(environ, home)
    yield from _hosts(Path(environ.get("GH_CONFIG_DIR") or config / "gh") / "hosts.yml", "github", ())
    yield from _hosts(Path(environ.get("GLAB_CONFIG_DIR") or config / "glab-cli") / "config.yml", "gitlab", ("hosts",))
    yield from _google(environ, config)
    yield from remotes(Path(environ.get("RCLONE_CONFIG") or config / "rclone" / "rclone.conf"))


def aws_profiles(environ: Mapping[str, str], home: Path) -> Iterator[tuple[str, str, str]]:
    """Name, endpoint and file of each profile. Their keys are S3's own affair: see ``sources.s3_access``."""
    for variable, name in (("AWS_SHARED_CREDENTIALS_FILE", "credentials"), ("AWS_CONFIG_FILE", "config")):
        path = Path(environ.get(variable) or home / ".aws" / name)
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read_string(_text(path))
        except configparser.Error:
            continue
        for section in parser.sections():
            kind, _, profile = section.rpartition(" ")
            if kind in ("", "profile"):
                yield profile, parser.get(section, "endpoint_url", fallback=""), str(path)


def _huggingface(environ: Mapping[str, str], home: Path) -> Found:
    folder = Path(environ.get("HF_HOME") or Path(environ.get("XDG_CACHE_HOME") or home / ".cache") / "huggingface")
    path = Path(environ.get("HF_TOKEN_PATH") or folder / "token")
    value = _text(path).strip()
    names = configparser.RawConfigParser(strict=False)
    try:
        names.read_string(_text(Path(environ.get("HF_STORED_TOKENS_PATH") or folder / "stored_tokens")))
        known = {names.get(name, "hf_token", fallback=""): name for name in names.sections()}
    except configparser.Error:
        known = {}
    yield from token("huggingface", value, str(path), known.get(value, ""))


def _hosts(path: Path, source: str, below: tuple[str, ...]) -> Found:
    """gh's and glab's files: maps of hosts, without any of YAML's finer points."""
    hosts: dict[str, dict[str, str]] = {}
    for keys, value in _plain_yaml(_text(path)):
        if keys[: len(below)] == below and len(keys) == len(below) + 2:
            hosts.setdefault(keys[-2], {})[keys[-1]] = value
    for host, said in hosts.items():
        value = said.get("oauth_token") or said.get("token") or ""
        if not value or not re.fullmatch(r"[\w.-]+", host):
            continue
        if host == "github.com":
            yield from token(source, value, str(path), said.get("user", ""))
        elif source == "gitlab":
            yield made(
                f"https://{host}/", said.get("user") or digest(value), PROVIDERS[source].headers("", value), str(path)
            )


def _plain_yaml(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """The scalars of nested maps, each with the keys that lead to it."""
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        match = re.fullmatch(r"""( *)(["']?)([\w.-]+)\2:(?: +(?:!!\w+ )?(["']?)(.*?)\4)?\s*""", line)
        if not match:
            continue
        indent = len(match[1])
        above = [(at, key) for at, key in above if at < indent] + [(indent, match[3])]
        if match[5]:
            yield tuple(key for _, key in above), match[5]


def _google(environ: Mapping[str, str], config: Path) -> Found:
    """Application default credentials: what a service account, a workload or `gcloud` left there."""
    named = environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    path = Path(
        named or Path(environ.get("CLOUDSDK_CONFIG") or config / "gcloud") / "application_default_credentials.json"
    )
    try:
        said = json.loads(_text(path))
        kind = str(said["type"])
        who = str(said.get("client_email") or said.get("account") or said.get("client_id") or kind)
    except (ValueError, TypeError, AttributeError, KeyError):
        return
    if kind not in renew.GOOGLE:
        yield Unusable(PROVIDERS["gcs"].prefixes[0], str(path), f"is of the kind {shown(kind)}, which is not read")
        return
    for source in ("gcs", "gdrive"):
        flow = PROVIDERS[source].flow
        assert flow is not None, source
        if source == "gdrive" and kind == "authorized_user":
            continue  # what a person's `gcloud` has is not for their Drive
        for prefix in PROVIDERS[source].prefixes:
            secret = renew.google(path, prefix, kind, flow.scope)
            yield Credential(
                place(prefix),
                f"cred:{digest(place(prefix), who)}",
                live=_bearer(secret),
                origin=str(path),
                account=who,
                form="bearer",
            )


def _bearer(secret: renew.Secret) -> Callable[[Post], Sent]:
    return lambda post: Sent((("Authorization", f"Bearer {secret(post)}"),))


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST).decode("utf-8")
    except (OSError, ValueError):
        return ""

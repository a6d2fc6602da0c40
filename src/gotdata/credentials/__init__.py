"""Who asks: credentials of the operator or user, each bound to a URL prefix, found by the URL of each request."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from gotdata.credentials.held import PUBLIC, Credential, Credentials, Post, Sent, Unusable
from gotdata.credentials.urls import parse, site, spelt

__all__ = ["PUBLIC", "Credential", "Credentials", "Post", "Sent", "Unusable", "known", "load", "parse", "site", "spelt"]


def load(environ: Mapping[str, str] = os.environ, *, service: bool = False) -> Credentials:
    """What ``credentials.toml`` holds (beside ``settings.toml``, or where ``$GOTDATA_CREDENTIALS`` says), then the
    environment, ``~/.netrc`` (or ``$NETRC``), then the files of other tools.

    Args:
        service: it works for others: only what its operator wrote down for it counts, not what tools left in a home.

    Raises:
        ManifestError: a file of ours that others can read, or one that can't be understood; its text is never shown.
    """
    return Credentials(one for one in known(environ, service=service) if isinstance(one, Credential))


def known(environ: Mapping[str, str] = os.environ, *, service: bool = False) -> Iterator[Credential | Unusable]:
    """As ``load``, with what was found and can't be used."""
    # Loaded when asked: the process that answers the kernel holds nothing, and starts while somebody waits.
    from gotdata.credentials import file, tools
    from gotdata.credentials.edit import replace_refresh

    home = Path.home()
    yield from file.read(environ, replace_refresh)
    yield from map(_ambient, tools.environment(environ))
    yield from tools.from_netrc(environ, home)
    if not service:
        yield from map(_ambient, tools.of_tools(environ, home))


def _ambient(one: Credential | Unusable) -> Credential | Unusable:
    return replace(one, ambient=True) if isinstance(one, Credential) else one

"""What lies behind a web page about data: its repository, if one of ours knows the page; else the files that the page
itself names for programs."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from gotdata.context import Context
from gotdata.model import Ref

RECOGNISERS: Sequence[str] = (
    "globus",
    "dropbox",
    "gdrive",
    "osf",
    "webdav",
    "figshare",
    "dryad",
    "mendeley",
    "dataverse",
    "cernopendata",
    "dandi",
    "openneuro",
    "invenio",
    "ckan",
    "signposting",
    "schemaorg",
)
"""Modules of this package with a function ``recognise(url, ctx) -> Ref | None``, in the order in which they are asked.
Those that judge a page by its address come before those that ask its server; the generic ones come last."""


def recognise(url: str, ctx: Context) -> Ref | None:
    """The reference that a landing page stands for; None where nobody knows it.

    Raises:
        SourceUnavailable: a server that was asked did not answer.
    """
    for name in RECOGNISERS:
        module = importlib.import_module(f"gotdata.sources.{name}")
        found: Ref | None = module.recognise(url, ctx)
        if found is not None:
            return found
    return None

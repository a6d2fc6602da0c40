"""Which sources there are, in the order in which they are asked. Modules load when they are first used."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from functools import cache
from importlib.metadata import entry_points
from typing import cast

from gotdata.errors import ResolveError, SourceError
from gotdata.model import Ref
from gotdata.paths import redact, shown
from gotdata.sources.base import Source
from gotdata.sources.signs import SCHEMES, may_claim

OWN: Mapping[str, str] = {
    "archive": "gotdata.sources.archive:Archive",
    "doi": "gotdata.sources.doi:Doi",
    "drs": "gotdata.sources.drs:Drs",
    "dataverse": "gotdata.sources.dataverse:Dataverse",
    "osf": "gotdata.sources.osf:Osf",
    "invenio": "gotdata.sources.invenio:Invenio",
    "figshare": "gotdata.sources.figshare:Figshare",
    "dryad": "gotdata.sources.dryad:Dryad",
    "mendeley": "gotdata.sources.mendeley:Mendeley",
    "globus": "gotdata.sources.globus:Globus",
    "dropbox": "gotdata.sources.dropbox:Dropbox",
    "gdrive": "gotdata.sources.gdrive:GDrive",
    "dandi": "gotdata.sources.dandi:Dandi",
    "openneuro": "gotdata.sources.openneuro:OpenNeuro",
    "ckan": "gotdata.sources.ckan:Ckan",
    "cernopendata": "gotdata.sources.cernopendata:CernOpenData",
    "s3": "gotdata.sources.s3:S3",
    "gcs": "gotdata.sources.gcs:Gcs",
    "azure": "gotdata.sources.azure:Azure",
    "croissant": "gotdata.sources.croissant:Croissant",
    "dvc": "gotdata.sources.dvc:Dvc",
    "huggingface": "gotdata.sources.huggingface:HuggingFace",
    "github": "gotdata.sources.github:GitHub",
    "gitlab": "gotdata.sources.gitlab:GitLab",
    "webdav": "gotdata.sources.webdav:WebDav",
    "osdf": "gotdata.sources.osdf:Osdf",
    "datapackage": "gotdata.sources.datapackage:DataPackage",
    "rocrate": "gotdata.sources.rocrate:RoCrate",
    "pooch": "gotdata.sources.pooch:Pooch",
    "signposting": "gotdata.sources.signposting:Signposting",
    "schemaorg": "gotdata.sources.schemaorg:SchemaOrg",
    "file": "gotdata.sources.file:File",
    "http": "gotdata.sources.http:Http",
}
"""Name → module:class. A source that knows certain https hosts stands before plain HTTP."""
OPTIONS = (
    "absent",
    "account",
    "addressing",
    "anonymous",
    "base",
    "billing_project",
    "components",
    "descriptor",
    "endpoint",
    "region",
    "remote",
    "requester_pays",
    "resolver",
    "root",
    "snapshot",
    "unpack",
    "version",
)
"""What may stand beside a reference of ours. A DOI hands on what the source that it leads to knows."""
FLAGS = ("anonymous", "components", "descriptor", "requester_pays", "unpack")
_TRUTHS = ("true", "yes", "1", "on", "false", "no", "0", "off")
EXTRAS: Mapping[str, str] = {"s3": "s3"}
"""The extra that a source's libraries come with."""


@cache
def registry() -> Mapping[str, str]:
    """``OWN`` and what other packages offer as entry points of the group ``gotdata.sources``, which are asked first;
    none of them can take a name that is ours."""
    found = {point.name: point.value for point in entry_points(group="gotdata.sources")}
    return {**{name: value for name, value in sorted(found.items()) if name not in OWN}, **OWN}


@cache
def source(name: str) -> Source:
    """The source of a name, as a pin has it.

    Raises:
        SourceError: there is none, or the library that it needs is not installed; the message says what to do.
    """
    # To look through all that is installed takes longer than to mount: ours are found without.
    place = OWN.get(name) or registry().get(name)
    if place is None:
        raise SourceError(f"no source is called {name!r}; there are {', '.join(registry())}")
    module, _, attribute = place.partition(":")
    try:
        return cast(Source, getattr(importlib.import_module(module), attribute)())
    except ImportError as error:
        raise SourceError(f"the source {name} needs {error.name or error}: {remedy(name)}") from error


def remedy(name: str) -> str:
    """The command that makes a source work."""
    return f"pip install 'gotdata[{EXTRAS[name]}]'" if name in EXTRAS else f"reinstall the package that brings {name}"


def _check_options(ref: Ref) -> None:
    """A reference of ours has options of ours: one that is spelled wrong would be passed over. Raises ResolveError."""
    where = redact(ref.url)
    for name, value in ref.options:
        # What is ours to write, and what S3 itself refuses with better words.
        if name not in OPTIONS and not re.fullmatch(r"place-\d+|profile", name):
            close = get_close_matches(name, OPTIONS, 1)
            said = f"did you mean {close[0]}?" if close else f"there are {', '.join(OPTIONS)}"
            raise ResolveError(f"{where}: no source knows the option '{shown(name)}'; {said}")
        if name in FLAGS and value.lower() not in _TRUTHS:
            raise ResolveError(f"{where}: {name} is true or false, not '{shown(value)}'")


def pick(ref: Ref) -> Source:
    """The first source that claims a reference.

    Raises:
        ResolveError: none does; it lists the schemes there are. Or it has an option that no source of ours knows.
        SourceError: the one that would is not fully installed.
    """
    scheme = ref.url.partition(":")[0].lower()
    for name in registry():
        if name in OWN and not may_claim(name, ref):
            continue
        try:
            found = source(name)
        except SourceError:
            if name == scheme:
                raise
            continue
        with suppress(ValueError):  # a URL that can't be taken apart is nobody's
            if found.claims(ref):
                if name in OWN:
                    _check_options(ref)
                return found
    schemes = {*OWN, *SCHEMES} - {"archive"}
    close = get_close_matches(scheme, schemes, 1)
    guess = f"; did you mean {close[0]}:…?" if close else ""
    raise ResolveError(f"no source knows {redact(ref.url)}{guess}; there are {', '.join(sorted(schemes))}")

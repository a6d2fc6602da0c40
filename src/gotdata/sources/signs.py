"""What a reference must hold for a source to be asked about it at all, so that thirty modules are not loaded to
find that a URL is a plain one's. It only leaves out; ``Source.claims`` decides. Who is in no table is always asked."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gotdata.model import Ref

SCHEMES: Mapping[str, str] = {
    "gs": "gcs",
    "az": "azure",
    "abfs": "azure",
    "abfss": "azure",
    "wasb": "azure",
    "wasbs": "azure",
    "hf": "huggingface",
    "hdl": "dataverse",
    "perma": "dataverse",
    "dav": "webdav",
    "davs": "webdav",
    "pelican": "osdf",
    "stash": "osdf",
    "http": "http",
    "https": "http",
}
"""Schemes that don't have their source's name."""

WEB: Mapping[str, str] = {
    "doi": r"doi\.org/",
    "drs": "/ga4gh/drs/",
    "dataverse": r"persistentid|\.xhtml|/api/(v1/)?(datasets|files|access)/|hdl\.handle\.net|/citation",
    "osf": r"osf\.io",
    "invenio": "zenodo",
    "figshare": "figshare|4tu|/articles?/|/ndownloader/",
    "dryad": "dryad",
    "mendeley": "mendeley",
    "dandi": "dandi",
    "openneuro": "openneuro",
    "ckan": "/dataset|/api/(3/)?action/",
    "cernopendata": "opendata",
    "globus": "globus|glob",
    "dropbox": "dropbox",
    "gdrive": "google",
    "s3": "amazon|aws",
    "gcs": "google",
    "azure": "azure|windows|chinacloudapi|usgovcloudapi",
    "dvc": r"\.dvc|dvc\.lock",
    "huggingface": r"huggingface|hf\.co",
    "github": "github",
    "gitlab": r"gitlab|/-/|salsa\.debian|codebase\.helmholtz|framagit",
    "webdav": r"\.php|/s/|dav",
    "osdf": "osdf|pelican|osg",
    "croissant": "croissant",
    "datapackage": "datapackage",
    "rocrate": "ro-crate",
    "pooch": r"(?!)",
    "signposting": r"(?!)",
    "schemaorg": r"(?!)",
    "file": r"(?!)",
}
"""What a web address that is a source's holds, in any case of its letters; ``(?!)`` is found in none."""


def may_claim(name: str, ref: Ref) -> bool:
    """Whether a source of ours is worth loading to be asked about a reference."""
    scheme, colon, rest = ref.url.lower().partition(":")
    if name == "archive":
        return ref.flag("unpack")
    if scheme in ("http", "https"):
        return re.search(WEB.get(name, ""), rest) is not None
    return not colon or name not in (*WEB, *SCHEMES.values()) or name in (scheme, SCHEMES.get(scheme))

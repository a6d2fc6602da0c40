"""What a word of the command line means: a dataset of the manifest and a path in it, or a reference."""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import unquote

from gotdata.cli.call import Call
from gotdata.errors import ManifestError
from gotdata.model import Ref
from gotdata.tree.base import Tree

Options = tuple[tuple[str, str], ...]


def tree(call: Call, place: str, options: Options) -> tuple[Tree, str]:
    """The tree that ``place`` names, and the path in it: that of a dataset where the first component is its name, else
    that of a reference."""
    if ref := named(call, place, options):
        return call.loose().tree(ref), ""
    name, _, path = place.partition("/")
    return call.project().tree(name), path.strip("/")


def named(call: Call, place: str, options: Options) -> Ref | None:
    """The reference that ``place`` is, or None where it begins with a dataset's name.

    Raises:
        ManifestError: it is neither; says which datasets there are.
    """
    name = place.partition("/")[0]
    if _is_reference(place):
        return ref(place, options)
    known = call.project().manifest.data
    if name not in known:
        near = get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known) or 'none yet'}."
        raise ManifestError(
            f"no dataset {name!r} in gotdata.yml; {hint} A reference has a scheme, as https://… or doi:…"
        )
    if options:
        raise ManifestError(f"-o is for references; {name} has its options in gotdata.yml")
    return None


def ref(text: str, options: Options) -> Ref:
    """A reference of the command line: a relative path is one of the working folder."""
    from gotdata.manifest import reference, tidy  # brings the YAML reader, which `ls NAME --help` does without

    found = reference(tidy(text), dict(options))
    scheme, _, path = found.url.partition(":")
    if scheme != "file" or path.startswith("///"):
        return found
    # Not resolved: a link on the way may be what is meant.
    return Ref(Path(os.path.abspath(unquote(path))).as_uri(), found.options)


def _is_reference(place: str) -> bool:
    """No dataset's name begins like a path, holds a colon, or is the prefix of a DOI."""
    return bool(re.match(r"[./~]|[^/]*:|10\.\d{4,9}/", place))

"""Whether a place lies at or below another, as the rules of a policy need it: in one spelling, or refused. A place that
two servers could read in two ways is not judged at all."""

from __future__ import annotations

import re
from urllib.parse import unquote

from gotdata.credentials import parse, site
from gotdata.errors import PolicyError, SourceError

ALL = "*"
"""Every place but the files of this machine."""
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:(?://)?")
_WEB = re.compile(
    r"(?i)https?://(?P<host>[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::\d*)?(?P<path>/[^?#]*)?(?:[?#].*)?"
)
"""Matched on the text as it is: the parser decodes hosts, and takes out what it thinks can be taken out."""
_ROUNDS = 4
"""Times that a path is decoded in search of what could climb."""


def place(text: str) -> str:
    """A reference's place, in the spelling in which places are compared.

    ``https://host:443/path`` of a web address, without its query, also where its source's word stands before it
    (``invenio:https://…``); a DOI in lower case, also where it is written as the resolver's address; ``file:`` and the
    decoded path of one on this machine; all else as it is written.

    Raises:
        PolicyError: it could be read in more ways than one, and why.
    """
    if not text.isprintable() or not text.isascii() or " " in text:
        raise PolicyError("it holds spaces, control characters or letters beyond ASCII: write them as %XX, or xn--…")
    scheme, _, rest = text.partition(":")
    scheme = scheme.lower()
    if scheme not in ("http", "https", "file") and re.match(r"(?i)https?:", rest):
        return place(rest)
    if scheme in ("http", "https"):
        return _web(text)
    if scheme == "file":
        return "file:" + _file(rest)
    rest = _decoded(rest).lower() if scheme == "doi" else rest
    slashes = "//" if rest.startswith("//") else ""
    body = rest.removeprefix(slashes)
    _check_path(body)
    return f"{scheme}:{slashes}{body}" + ("/" if slashes and body and "/" not in body else "")


def prefix(text: str) -> str:
    """A place of a rule, as ``within`` takes it: a place, a scheme (``doi:``), or ``*``.

    Raises:
        PolicyError: it can't stand in a rule.
    """
    if text == ALL:
        return ALL
    if "*" in text:
        raise PolicyError("a place is a prefix, no pattern: https://host/folder/")
    if text.lower().startswith("file:"):
        raise PolicyError("folders of this machine are allowed by `local:`")
    if re.search(r"[?#]", text):
        raise PolicyError("a place ends before '?' and '#': what stands there is not judged")
    if _SCHEME.fullmatch(text.lower()):
        return text.lower().removesuffix("//")
    if not _SCHEME.match(text.lower()):
        raise PolicyError("a scheme is due: https://host/, s3://bucket/, doi:10.5281/, or '*' for every place")
    return place(text)


def within(found: str, above: str) -> bool:
    """Whether a place lies at or below a prefix, by whole components."""
    if found.startswith("file:"):
        return False
    if above == ALL or found == above:
        return True
    return found.startswith(above if above.endswith(("/", ":")) else above + "/")


def _web(text: str) -> str:
    try:
        parsed = parse(text)
    except SourceError:
        raise PolicyError("it is no URL") from None
    raw = _WEB.fullmatch(text)
    if raw is None or ".." in raw["host"]:
        raise PolicyError("a host is due after https://, of letters, digits, '.' and '-': no user, no dot at its end")
    path = raw["path"] or "/"
    _check_path(path.removeprefix("/"))
    if parsed.port is None and re.fullmatch(r"(dx\.|www\.)?doi\.org", parsed.host or ""):
        return "doi:" + _decoded(path).removeprefix("/").lower()
    return site(text) + _decoded(path)


def _check_path(path: str) -> None:
    decoded = [path]
    while (further := _decoded(decoded[-1])) != decoded[-1]:
        if len(decoded) == _ROUNDS:
            raise PolicyError("its path is encoded over and over")
        decoded.append(further)
    if any("\\" in text or text.count("/") != path.count("/") for text in decoded):
        raise PolicyError("its path holds a backslash, or a slash as %2F, which servers read in two ways")
    parts = [re.split(r"[/;]", text) for text in decoded]
    if any({".", ".."} & set(one) for one in parts):
        raise PolicyError("its path holds '.' or '..', which may lead anywhere")
    if "" in path.removesuffix("/").split("/")[1:] or path.startswith("/"):
        raise PolicyError("its path holds '//', which servers read in two ways")


def _file(rest: str) -> str:
    """The path, decoded, of a ``file:`` reference."""
    path = _decoded(re.sub(r"^//(localhost)?(?=/)", "", rest))
    if not path.startswith("/") or path.startswith("//"):
        raise PolicyError("it is relative, or of another machine: an absolute path is due, file:///path")
    if "\0" in path or {".", ".."} & set(path.split("/")):
        raise PolicyError("its path holds '.' or '..', which may lead anywhere")
    return path


def _decoded(text: str) -> str:
    """Bytes that are not UTF-8 stay apart from one another, as surrogates."""
    return unquote(text, errors="surrogateescape")

"""The only judge of names that come from elsewhere: paths in listings, targets of links, targets of deliveries. And
what of them, and of URLs, may be shown to people."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

from gotdata.errors import DeliveryError, ManifestError, SourceError

COMPONENT_LIMIT = 255
"""Bytes in one component: what Linux file systems hold."""
PATH_LIMIT = 4096
"""Bytes in a whole path, or in the target of a link."""

RESERVED = (".git", ".gotdata", "gotdata.yml", "gotdata.lock", "gotdata.lock.d")
"""Names that no target may be or lie below, wherever they stand: git's folder runs hooks, the others are our own."""


def remote_path(text: str) -> str:
    """A path of a listing, as a snapshot may hold it: relative components joined by ``/``.

    Carried as they are: newlines and other control characters (``shown`` escapes them), backslashes and names that
    Windows forbids (``unportable`` says so), any normalisation form, and bytes that are not UTF-8, as surrogates
    (PEP 383). The answer does not depend on the platform, so that a snapshot is the same everywhere.

    Raises:
        SourceError: it is empty, absolute, too long, not encodable, or has a component that is empty, ``.``, ``..`` or
            holds NUL.
    """
    raw = _encoded(text, "file")
    for component in raw.split(b"/"):
        if component in (b"", b".", b".."):
            what = "an empty component" if not component else f"the component {component.decode()!r}"
            raise _refused("file", text, "it is absolute" if raw.startswith(b"/") else f"it has {what}")
        if len(component) > COMPONENT_LIMIT:
            raise _refused("file", text, f"it has a component of {len(component)} bytes, above {COMPONENT_LIMIT}")
    # Escaped bytes that together are UTF-8 must become the characters they are: else one name has two spellings.
    return raw.decode("utf-8", "surrogateescape")


def link_target(path: str, target: str) -> str:
    """What a link at ``path`` may point to: something below the tree's root, by a relative path that climbs first and
    never again after it went down. (Lexically ``a/..`` is harmless, but where ``a`` is itself a link to the root, it is
    outside.)

    Raises:
        SourceError: it is empty, absolute, too long, holds NUL, climbs late, or leaves the tree.
    """
    raw = _encoded(target, f"link {shown(path)} to")
    if raw.startswith(b"/"):
        raise _refused("link", path, f"its target {shown(target)} is absolute")
    parts = [part for part in raw.split(b"/") if part not in (b"", b".")]
    climbs = next((index for index, part in enumerate(parts) if part != b".."), len(parts))
    if b".." in parts[climbs:]:
        raise _refused("link", path, f"its target {shown(target)} goes down and then up again")
    if climbs > path.count("/"):
        raise _refused("link", path, f"its target {shown(target)} is outside the dataset")
    return raw.decode("utf-8", "surrogateescape")


def _encoded(text: str, what: str) -> bytes:
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise _refused(what, text, "it is not text that can be encoded") from None
    if not raw:
        raise _refused(what, text, "it is empty")
    if b"\0" in raw:
        raise _refused(what, text, "it holds a NUL")
    if len(raw) > PATH_LIMIT:
        raise _refused(what, text[:100] + "…", f"it has {len(raw)} bytes, above {PATH_LIMIT}")
    return raw


def _refused(what: str, text: str, why: str) -> SourceError:
    return SourceError(
        f"refused the {what} '{shown(text)}': {why}. Tell who publishes it, or leave it out by `files:` in gotdata.yml"
    )


_WINDOWS_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)")


def unportable(path: str) -> str:
    """Why Windows or macOS can't hold a path that ``remote_path`` let in, or empty. On Windows such a path must not
    reach the file system: ``a\\..\\b`` or ``C:b`` mean another place there."""
    if any("\ud800" <= char <= "\udfff" for char in path):
        return "a name that is not UTF-8"
    if found := re.search(r'[\x00-\x1f<>:"\\|?*]', path):
        return f"the character '{shown(found[0])}'"
    for component in path.split("/"):
        if component.endswith((" ", ".")):
            return "a name that ends in a space or a dot"
        if _WINDOWS_DEVICES.match(component):
            return f"the device name {component}"
    return ""


def fold(name: str) -> str:
    """The spelling that two names share if a file system that ignores case or normalisation takes them for one."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def clashes(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Pairs of entries of one folder that differ only by case or normalisation form.

    Args:
        paths: in the order of a snapshot (by components), parents named or not. Names of the folders that are open are
            held, and of no others: the memory is that of the largest folder.
    """
    trail: list[str] = []
    seen: list[dict[str, str]] = [{}]
    for path in paths:
        parts = path.split("/")
        shared = 0
        while shared < min(len(trail), len(parts)) and trail[shared] == parts[shared]:
            shared += 1
        del seen[shared + 1 :]
        for depth in range(shared, len(parts)):
            first = seen[depth].setdefault(fold(parts[depth]), parts[depth])
            if first != parts[depth]:
                parent = parts[:depth]
                yield "/".join([*parent, first]), "/".join([*parent, parts[depth]])
            seen.append({})
        trail = parts


def target_path(to: str) -> str:
    """A target as a manifest may name it: relative components joined by ``/``, below the root. Judged by its text.

    Raises:
        ManifestError: ``to`` must be and isn't such a path; says why, without naming a dataset.
    """
    if not to.isprintable():
        raise ManifestError(f"a target can't hold control characters: '{shown(to)}'")
    if "\\" in to:
        raise ManifestError(f"'{to}' holds a backslash: separate folders by '/'")
    if to.startswith("/") or re.match(r"[A-Za-z]:", to):
        raise ManifestError(f"'{to}' is absolute: a target is relative to the repository's root")
    if to.startswith("~"):
        raise ManifestError(f"'{to}' begins with '~': a target is relative to the repository's root")
    parts = [part for part in to.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ManifestError(f"'{to}' holds '..': a target lies below the repository's root")
    if not parts:
        raise ManifestError(f"'{to}' is the repository's root: name a folder below it")
    if reserved := _reserved(parts):
        raise ManifestError(f"'{to}' can't be a target: {reserved} has another use")
    if any(len(part.encode()) > COMPONENT_LIMIT for part in parts) or len("/".join(parts).encode()) > PATH_LIMIT:
        raise ManifestError(f"a target of {len(to)} characters is too long: '{to[:60]}…'")
    return "/".join(parts)


def _reserved(parts: Iterable[str]) -> str:
    """Git's folder is taken by any spelling that a file system may take for it."""
    return next((part for part in parts if fold(part.rstrip(" .")) in RESERVED), "")


def target(root: Path, to: str) -> Path:
    """Where a delivery to ``to`` lies on this machine: absolute, below the real ``root``, with no link left in it.

    Raises:
        ManifestError: as ``target_path``.
        DeliveryError: a link on the way leads out of the root, or into what may not be a target.
    """
    relative = target_path(to)
    base = Path(os.path.realpath(root))
    # Not strict: what does not exist yet, and the mount point of a dead server, are their own place.
    real = Path(os.path.realpath(base / relative))
    if base not in real.parents:
        raise DeliveryError(f"{relative}: a link on the way leads out of {base}, to {real}: remove it, or change `to:`")
    if reserved := _reserved(real.relative_to(base).parts):
        raise DeliveryError(f"{relative}: a link on the way leads into {reserved}: remove it, or change `to:`")
    return real


def shown(text: str) -> str:
    """``text`` as a terminal may have it: control characters, invisible ones, direction marks and bytes that are not
    UTF-8 are escaped. Idempotent."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    point = ord(char)
    if 0xDC80 <= point <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{point - 0xDC00:02x}"
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char) or (
        f"\\x{point:02x}" if point < 0x80 else f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"
    )


_USER = re.compile(r"(?<![^\s:])//(?:[^\s/?#]*|[^\s/?#@:]*:(?!\d+[/?#])\S{0,256})@")
"""Also where a password holds a slash that should be escaped. Bounded, as hostile text must not cost quadratic time."""
_PARAMETER = re.compile(r"(?<=[?&;#])([^=&;#?\s]+)=([^&;#\s]+)")
_SECRET = re.compile(
    r"(?i).*(token|secret|passw|signature|credential|api[-_]?key|access[-_]?key|private[-_]?link|view[-_]?only|authorization).*"
    r"|(sig|auth|pwd|jwt|hmac)"
)
_PRIVATE = re.compile(r"(?i).*key|code|.*session.*")
"""Names that may be harmless in a reference, and whose values we still don't print."""
_WEB = re.compile(r"(?i)(?<![a-z0-9])https?://")
_SHARE = re.compile(r"(?i)((?:figshare\.com(?:/account)?/s|datadryad\.org(?:/stash)?/share)/+)[\w-]+")
"""Pages that are private but for their address: Figshare's private links, what Dryad shows to reviewers."""


def secret_name(name: str) -> bool:
    """Whether a value of this name is a secret."""
    return bool(_SECRET.fullmatch(name)) or name.lower() == "key"


def secret(url: str) -> str:
    """What in ``url`` is a secret, in words that don't tell it, or empty."""
    user = _USER.search(url)
    if user and (":" in user[0] or url.lower().startswith("http")):
        return "a user or password before the host's name"
    if _SHARE.search(url):
        return "the address of a private link, by which anybody reads what is not published"
    names = [unquote(found[1]) for found in _PARAMETER.finditer(url)]
    # The object of a bucket may be asked for by its key; on the web `key` is how API keys are sent.
    wrong = secret_name if _WEB.search(url) else _SECRET.fullmatch
    return next((f"the parameter {shown(name)}" for name in names if wrong(name)), "")


def redact(text: str) -> str:
    """A URL, or a message that holds some, as people may see it: without user and password, without the values of
    parameters that are or may be secrets, without the keys of private links, and ``shown``."""

    def hide(found: re.Match[str]) -> str:
        name = unquote(found[1])
        return f"{found[1]}=…" if _SECRET.fullmatch(name) or _PRIVATE.fullmatch(name) else found[0]

    return shown(_SHARE.sub(r"\1…", _PARAMETER.sub(hide, _USER.sub("//", text))))

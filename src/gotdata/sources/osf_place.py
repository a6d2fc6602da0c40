"""What an address of the OSF names: a project or file by its id, a storage, a folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from gotdata.credentials import parse
from gotdata.errors import SourceError

_REGIONS = ("us", "ca-1", "de-1", "au-1", "kr-1")
_GUID = r"(?P<guid>[2-9a-hj-kmnp-z]{5}(?:_v\d+)?)"
"""OSF leaves out letters and digits that look alike, so ``login`` is no id."""
_ITEM = r"(?P<item>[0-9a-f]{24})"
_FORMS = (
    rf"/download/(?:{_ITEM}|{_GUID})",
    rf"/(?:v2/)?files/(?:{_ITEM}|{_GUID})(?:/.*)?",
    rf"/v1/resources/(?P<of>\w+)/providers/\w+/{_ITEM}",
    rf"/v2/(?:nodes|registrations|preprints|guids)/{_GUID}(?:/.*)?",
    rf"/(?:(?P<of>\w+)/files/osfstorage|(?P<alone>\w+)/osfstorage/files)/{_ITEM}",
    rf"/{_GUID}/files/(?P<storage>[a-z]\w+)(?:/(?P<path>.+))?",
    rf"/(?:(?:project|preprints/\w+|registries/[\w-]+|preprints|registrations)/)?{_GUID}(?:/[a-z].*)?",
)


@dataclass(frozen=True, slots=True)
class Site:
    """An installation. ``web`` and ``api`` end without a slash, ``files`` with one."""

    web: str
    api: str
    files: tuple[str, ...]

    @property
    def homes(self) -> tuple[str, ...]:
        return (f"{self.api}/", *self.files, f"{self.web}/download/")


@dataclass(frozen=True, slots=True)
class Place:
    """Attributes:
    guid: of a project, registration, component or file.
    item: the long id of a file or folder, which wins.
    storage, path: what of a project is wanted; empty: all.
    """

    site: Site
    guid: str = ""
    item: str = ""
    storage: str = ""
    path: str = ""

    @property
    def page(self) -> str:
        return f"{self.site.web}/download/{self.item}" if self.item else f"{self.site.web}/{self.guid}"


def _own(domain: str) -> Site:
    hosts = (f"files.{domain}", *(f"files.{region}.{domain}" for region in _REGIONS))
    return Site(f"https://{domain}", f"https://api.{domain}/v2", tuple(f"https://{host}/" for host in hosts))


_SITES = {"osf.io": _own("osf.io"), "test.osf.io": _own("test.osf.io")}
_HOST = re.compile(r"(?:www\.|api\.|files\.(?:(?!test\.)[\w-]+\.)?)?((?:test\.)?osf\.io)")


def known(url: str) -> bool:
    """Whether it is an address of OSF itself that names something."""
    try:
        parsed = parse(url)
    except SourceError:
        return False
    return parsed.scheme in ("http", "https") and bool(_HOST.fullmatch(parsed.host or "")) and place(url) is not None


def place(url: str) -> Place | None:
    """What a reference names; None where it names nothing. After ``osf:`` any host may stand, or the id alone."""
    text = url.removeprefix("osf:")
    if "://" not in text:
        text = f"https://osf.io/{text.removeprefix('//').removeprefix('osf.io/')}"
    try:
        parsed = parse(text)
    except SourceError:
        return None
    own = _HOST.fullmatch(parsed.host or "")
    if parsed.scheme not in ("http", "https") or (own is None and not url.startswith("osf:")):
        return None
    root = f"{parsed.scheme}://{parsed.netloc}"
    site = _SITES[own[1]] if own else Site(root, f"{root}/v2", (f"{root}/v1/",))
    path = re.sub(r"/{2,}", "/", unquote(parsed.path or "")).rstrip("/")
    for form in _FORMS:
        # Ids ignore case; paths in a storage don't.
        if match := re.fullmatch(form, path, re.IGNORECASE):
            found = {name: value or "" for name, value in match.groupdict().items()}
            guid, item = found.get("guid", "").lower(), found.get("item", "").lower()
            return Place(site, guid, item, found.get("storage", "").lower(), found.get("path", "").strip("/"))
    return None

"""What a reference to Azure Blob Storage names: an account, a container, a blob or a prefix. Text only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from gotdata.errors import ResolveError
from gotdata.model import Ref
from gotdata.paths import redact, shown

_OPTIONS = ("account", "snapshot", "version")
_HOST = re.compile(
    r"(?P<account>[a-z0-9]{3,24})(?P<zone>-secondary|\.z\d+)?\.(?:blob|dfs)"
    r"\.(?P<cloud>core\.windows\.net|storage\.azure\.net|core\.chinacloudapi\.cn|core\.usgovcloudapi\.net)"
)
_CONTAINER = re.compile(r"\$(root|web|logs)|[a-z0-9](?:-?[a-z0-9]){2,62}")
_HADOOP = re.compile(r"(?is)(?:az|abfss?|wasbs?|azure)://(?:(?P<container>[^/@]+)@)?(?P<rest>[^/]+)(?:/(?P<key>.*))?")
"""``az://CONTAINER/KEY`` (adlfs) and ``abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/KEY`` (Hadoop)."""


@dataclass(frozen=True, slots=True)
class Place:
    """Attributes:
    root: ``https://ACCOUNT.blob.core.windows.net``, without a slash at its end; elsewhere maybe with the account.
    key: a blob, or (see ``is_folder``) a prefix.
    """

    root: str
    container: str
    key: str = ""

    @property
    def home(self) -> str:
        """The container: every request lies there or below."""
        return f"{self.root}/{quote(self.container)}"

    @property
    def url(self) -> str:
        return self.at(self.key)

    def at(self, key: str) -> str:
        """The URL of a blob."""
        return f"{self.home}/{quote(key, safe='/!$()*,:;=@~', errors='surrogateescape')}"

    def listing(self, **more: str) -> str:
        wanted = {"restype": "container", "comp": "list", "include": "metadata", "prefix": self.key, **more}
        return f"{self.home}?{urlencode({name: value for name, value in wanted.items() if value})}"

    @property
    def ref(self) -> Ref:
        """The canonical reference."""
        known = _HOST.fullmatch(urlsplit(self.root).hostname or "")
        return Ref(self.url if known else f"azure:{self.url}")


def is_folder(key: str) -> bool:
    return not key or key.endswith("/")


def claims(url: str) -> bool:
    if re.match(r"(?i)(az|abfss?|wasbs?|azure):", url):
        return True
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and _HOST.fullmatch(parts.hostname or "") is not None
    except ValueError:
        return False


def parse(ref: Ref) -> tuple[Place, Mapping[str, str]]:
    """The place, and which ``version`` or ``snapshot`` of it is wanted, if one is.

    Raises:
        ResolveError: it is none of Azure Blob Storage, and why.
    """
    where = redact(ref.url)
    if unknown := [name for name, _ in ref.options if name not in _OPTIONS]:
        raise ResolveError(f"{where}: azure knows no option {shown(unknown[0])!r}; there are {', '.join(_OPTIONS)}")
    place, asked = _named(ref)
    if not _CONTAINER.fullmatch(place.container):
        raise ResolveError(f"{where} names no container: https://ACCOUNT.blob.core.windows.net/CONTAINER/BLOB is due")
    if any(part in (".", "..") for part in place.key.split("/")):
        raise ResolveError(f"{where}: a name with '.' or '..' between slashes can't be asked for by HTTP")
    wanted = {"version": ref.option("version") or asked.get("versionid", "")}
    wanted["snapshot"] = ref.option("snapshot") or asked.get("snapshot", "")
    wanted = {name: value for name, value in wanted.items() if value}
    if len(wanted) > 1 or not all(re.fullmatch(r"[\d:.TZ-]{10,40}", value) for value in wanted.values()):
        raise ResolveError(
            f"{where}: `version` or `snapshot` is a time such as 2026-01-31T12:00:00.1234567Z, one of both"
        )
    if wanted and is_folder(place.key):
        raise ResolveError(f"{where} is a folder, and a version or a snapshot is of one blob")
    return place, wanted


def _named(ref: Ref) -> tuple[Place, Mapping[str, str]]:
    if match := _HADOOP.fullmatch(ref.url):
        container, account = (match["container"], match["rest"]) if match["container"] else (match["rest"], "")
        return Place(_account(ref, account or ref.option("account")), container, match["key"] or ""), {}
    try:
        parts = urlsplit(re.sub(r"(?i)^azure:(?=https?://)", "", ref.url))
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host or parts.scheme not in ("http", "https") or "@" in parts.netloc:
        raise ResolveError(f"{redact(ref.url)} names nothing in Azure: az://CONTAINER/BLOB with `account:` is due")
    path = parts.path[1:]
    if known := _HOST.fullmatch(host):
        root = _root(known)
    else:
        address = f"[{host}]" if ":" in host else host
        root = f"{parts.scheme}://{address}{f':{port}' if port else ''}"
        if _is_address(host):  # as Azure's emulators have it, and its clients
            account, _, path = path.partition("/")
            root = f"{root}/{quote(unquote(account))}"
    container, slash, key = path.partition("/")
    if not slash and "." in container:  # of the container that need not be named
        container, key = "$root", container
    asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return Place(root, unquote(container), unquote(key, errors="surrogateescape")), asked


def _account(ref: Ref, named: str) -> str:
    host = named.lower() if "." in named else f"{named.lower()}.blob.core.windows.net"
    known = _HOST.fullmatch(host)
    if not known:
        raise ResolveError(f"{redact(ref.url)}: `account: NAME` is due, the name of an Azure storage account")
    return _root(known)


def _root(known: re.Match[str]) -> str:
    """Files of a data lake (``dfs``) are blobs, too."""
    return f"https://{known['account']}{known['zone'] or ''}.blob.{known['cloud']}"


def _is_address(host: str) -> bool:
    try:
        return host == "localhost" or bool(ip_address(host))
    except ValueError:
        return False

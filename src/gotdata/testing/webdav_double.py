"""A cloud that speaks WebDAV on loopback: the folders of an account, and links that share one, as Nextcloud and
ownCloud have them (https://docs.nextcloud.com/server/latest/developer_manual/client_apis/WebDAV/)."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from email.utils import formatdate
from urllib.parse import quote, unquote, urlsplit
from xml.sax.saxutils import escape

from gotdata.testing.double import Double, ranged, reply
from gotdata.testing.server import Reply, Request

TOKEN = "yT8wQz3RkLmN4pX"  # noqa: S105
FOLDERS = "/remote.php/dav/files/ada"
_OLD = "/public.php/webdav"
_TIME = formatdate(784111777, usegmt=True)
_BODY = '<?xml version="1.0" encoding="utf-8"?>\n'


class Cloud(Double):
    """Attributes:
    account: where the files of the account are.
    token: the password of the account whose files these are; asked for where ``denied`` is set.
    share: which folder (or file) the link with ``TOKEN`` shares.
    endpoint: the address at which shares are answered: ``nextcloud``, ``owncloud`` or ``old``.
    password: of the share; empty: none.
    absolute: addresses in listings are whole URLs, of a host that only the server's proxy knows.
    sums: listings tell checksums; etags: they tell ETags.
    lengths: folders have a length too, as those of XRootD do.
    locked: requests that are answered 423; upkeep: 503, before any other answer.
    moved: a folder that is asked for without its slash is redirected.
    breaks: how many bytes the next bodies have, each once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, bytes] = {}
        self.folders: set[str] = {""}
        self.account = FOLDERS
        self.share = ""
        self.endpoint = "nextcloud"
        self.password = ""
        self.absolute = False
        self.sums = True
        self.etags = True
        self.lengths = False
        self.locked = self.upkeep = 0
        self.moved = False
        self.breaks: list[int] = []

    def put(self, path: str, body: bytes) -> None:
        self.files[path] = body
        self.folder(path.rpartition("/")[0])

    def folder(self, path: str) -> None:
        while path:
            self.folders.add(path)
            path = path.rpartition("/")[0]

    def refusal(self, request: Request) -> Reply:
        return Reply(401, {"WWW-Authenticate": 'Basic realm="Nextcloud", charset="UTF-8"'}, b"")

    def allowed(self, request: Request) -> bool:
        return self._basic(request) == f"ada:{self.token}"

    def answer(self, request: Request, path: str) -> Reply | None:
        if self.upkeep or self.locked:
            status = 503 if self.upkeep else 423
            self.upkeep, self.locked = max(0, self.upkeep - 1), max(0, self.locked - (status == 423))
            return Reply(status, {"X-Nextcloud-Maintenance-Mode": "1"} if status == 503 else {}, b"")
        if path == "/status.php":
            said = {"installed": True, "maintenance": False, "versionstring": "31.0.4", "productname": "Nextcloud"}
            return reply(200, said)
        if re.fullmatch(rf"(/index\.php)?/s/{TOKEN}", path):
            return Reply(200, {"Content-Type": "text/html; charset=UTF-8"}, b"<html><title>Nextcloud</title></html>")
        raw = urlsplit(request.path).path
        for root, folder in self._roots():
            if raw == root or raw.startswith(f"{root}/"):
                if folder == self.share and root != self.account and not self._opened(root, request):
                    return self.refusal(request)
                return self._at(request, root, folder, raw.removeprefix(root).strip("/"))
        return None

    def _roots(self) -> Iterator[tuple[str, str]]:
        shares = {"nextcloud": f"/public.php/dav/files/{TOKEN}", "owncloud": f"/remote.php/dav/public-files/{TOKEN}"}
        yield shares.get(self.endpoint, _OLD), self.share
        yield self.account, ""

    def _opened(self, root: str, request: Request) -> bool:
        user, _, password = self._basic(request).partition(":")
        if root == _OLD and user != TOKEN:
            return False
        ajax = request.headers.get("x-requested-with") == "XMLHttpRequest"
        return password == self.password and (ajax or request.method == "GET")

    @staticmethod
    def _basic(request: Request) -> str:
        kind, _, value = request.headers.get("authorization", "").partition(" ")
        return base64.b64decode(value).decode() if kind == "Basic" else ""

    def _at(self, request: Request, root: str, folder: str, below: str) -> Reply | None:
        path = "/".join(filter(None, (folder, unquote(below, errors="surrogateescape"))))
        if self.hostile == "many" and request.method == "PROPFIND":
            return self._endless(root, below)
        if path not in self.files and path not in self.folders:
            return Reply(404, {"Content-Type": "application/xml; charset=utf-8"}, _fault("NotFound"))
        if request.method == "PROPFIND":
            if self.moved and path in self.folders and not urlsplit(request.path).path.endswith("/"):
                return Reply(301, {"Location": urlsplit(request.path).path + "/"}, b"")
            return self._listed(request, root, folder, path)
        if path in self.folders:
            return Reply(405, {}, _fault("MethodNotAllowed"))
        body = self.files[path]
        headers = {"ETag": etag(body), "Last-Modified": _TIME}
        return ranged(request, body, headers if self.etags else {}, self.breaks.pop() if self.breaks else None)

    def _listed(self, request: Request, root: str, folder: str, path: str) -> Reply:
        # Who asks for all at once gets one level.
        depth = request.headers.get("depth", "infinity")
        shown = [path]
        if depth != "0" and path in self.folders:
            above = f"{path}/" if path else ""
            known = sorted(self.folders | self.files.keys())
            shown += [one for one in known if one.startswith(above) and one != path and "/" not in one[len(above) :]]
        if self.hostile == "twins":
            shown += shown[1:]
        hrefs = [self._response(self._href(root, folder, one), one) for one in shown if one or one == path]
        if self.hostile == "loop":
            hrefs.append(self._response(self._href(root, folder, path), path))
        if self.hostile == "names" and path in self.folders:
            hrefs.append(self._response(f"{self._href(root, folder, path)}..%2F..%2Fetc%2Fpasswd", ""))
        return _multistatus(hrefs)

    def _href(self, root: str, folder: str, path: str) -> str:
        below = path.removeprefix(folder).strip("/")
        href = f"{root}/{quote(below, errors='surrogateescape')}"
        href = f"{href}/" if path in self.folders and below else href
        return f"http://internal.example{href}" if self.absolute else href

    def _response(self, href: str, path: str) -> str:
        name = escape(path.rpartition("/")[2].encode("utf-8", "replace").decode())
        if path in self.folders and not href.endswith("passwd"):
            said = f'<d:resourcetype><d:collection/></d:resourcetype><d:getetag>"{len(self.files):x}"</d:getetag>'
            said += f"<d:displayname>{name}</d:displayname>"
            if self.lengths:
                return _one(href, f"{said}<d:getcontentlength>4096</d:getcontentlength>")
            return _one(href, said, "<d:getcontentlength/>")
        body = self.files.get(path, b"")
        size = len(body) + (self.hostile == "sizes")
        said = f"<d:resourcetype/><d:getcontentlength>{size}</d:getcontentlength><d:displayname>{name}</d:displayname>"
        if self.etags:
            said += f"<d:getetag>{escape(etag(body))}</d:getetag>"
        if self.sums:
            sha1 = hashlib.sha1(body, usedforsecurity=False).hexdigest()
            md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
            said += f"<oc:checksums><oc:checksum>SHA1:{sha1} MD5:{md5}</oc:checksum></oc:checksums>"
        return _one(href, said, "" if self.sums else "<oc:checksums/>")

    def _endless(self, root: str, below: str) -> Reply:
        """A million files in a thousand folders."""
        hrefs = [_one(f"{root}/{below}", "<d:resourcetype><d:collection/></d:resourcetype>")]
        deep = bool(re.fullmatch(r"d\d+", below.rpartition("/")[2]))
        for number in range(1000):
            inside = f"{root}/{below}/f{number}" if deep else f"{root}/{below}/d{number}/"
            kind = "<d:resourcetype/><d:getcontentlength>1</d:getcontentlength>" if deep else _FOLDER
            hrefs.append(_one(inside, kind))
        return _multistatus(hrefs)


_FOLDER = "<d:resourcetype><d:collection/></d:resourcetype>"


def _one(href: str, said: str, missing: str = "") -> str:
    lost = f"<d:propstat><d:prop>{missing}</d:prop><d:status>HTTP/1.1 404 Not Found</d:status></d:propstat>"
    said += f"<d:getlastmodified>{_TIME}</d:getlastmodified>"
    known = f"<d:propstat><d:prop>{said}</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>"
    return f"<d:response><d:href>{escape(href)}</d:href>{known}{lost if missing else ''}</d:response>"


def _multistatus(responses: list[str]) -> Reply:
    text = (
        f'{_BODY}<d:multistatus xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns">{"".join(responses)}</d:multistatus>'
    )
    return Reply(207, {"Content-Type": "application/xml; charset=utf-8"}, text.encode())


def _fault(name: str) -> bytes:
    return f'{_BODY}<d:error xmlns:d="DAV:" xmlns:s="http://sabredav.org/ns"><s:exception>{name}</s:exception></d:error>'.encode()


def etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:24]}"'

"""What S3 says of objects: pages of listings, versions, checksums."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gotdata.errors import (
    AccessDenied,
    AuthRequired,
    GotdataError,
    NotFound,
    ResolveError,
    SourceError,
    SourceUnavailable,
)
from gotdata.model import Checksum, Kind, RemoteFile
from gotdata.paths import redact, shown
from gotdata.report import Event, Reporter

if TYPE_CHECKING:
    from gotdata.sources.s3_access import Access

EMPTY_PAGES = 100
"""Pages that may come one after the other with nothing in them."""
_NO_VERSION = ("", "null")
"""VersionIds of what was written while the bucket kept no versions: the next write replaces it."""
_ARCHIVES = ("GLACIER", "DEEP_ARCHIVE")
"""Storage classes that are not read before they are restored. (GLACIER_IR is.)"""
_CHECKSUMS = {
    "ChecksumSHA256": ("sha256", 32),
    "ChecksumSHA1": ("sha1", 20),
    "ChecksumCRC64NVME": ("crc64nvme", 8),
    "ChecksumCRC32C": ("crc32c", 4),
    "ChecksumCRC32": ("crc32", 4),
}

Answer = Mapping[str, Any]


def object_version(access: Access, key: str, wanted: str) -> dict[str, str]:
    """The version that an object has now, or the one that is wanted, in the words of a pin.

    Raises:
        NotFound, AccessDenied, AuthRequired
    """
    where = redact(access.bucket.url(key))
    if wanted == "null":
        raise ResolveError(f"{where}: the version 'null' is replaced by the next write: leave `version` out")
    head = _head(access, key, wanted)
    version = str(head.get("VersionId", ""))
    if wanted and wanted != version:
        raise ResolveError(f"{where} has no versions: its bucket does not keep them")
    if version not in _NO_VERSION and (wanted or _readable(access, key, version)):
        return {"id": version}
    return {"etag": _etag(head), "size": str(head["ContentLength"])}


def folder_version(access: Access, prefix: str) -> dict[str, str]:
    """How the files of a prefix are bound, in the words of a pin: a prefix itself has no version.

    Raises:
        NotFound: nothing lies below it.
    """
    page = _page(access, prefix, access.client.list_objects_v2, {"MaxKeys": 1})
    if prefix and not page.get("Contents") and not page.get("IsTruncated"):
        raise NotFound(f"{redact(access.bucket.url(prefix))}: no object's key begins with that")
    return {"listing": "versions" if _keeps_versions(access, prefix) else "objects"}


def _keeps_versions(access: Access, prefix: str) -> bool:
    """Whether versions can be listed and read. Judged by the first page: whether a bucket keeps versions may be asked
    by few. Where the answer is wrong, files are bound to their ETag."""
    try:
        page = _page(access, prefix, access.client.list_object_versions, {})
    except SourceUnavailable:
        raise
    except GotdataError:
        return False
    latest = [found for found in page.get("Versions", ()) if found.get("VersionId", "") not in _NO_VERSION]
    return bool(latest) and _readable(access, str(latest[0]["Key"]), str(latest[0]["VersionId"]))


def _readable(access: Access, key: str, version: str) -> bool:
    """Many who may read an object may not read it by its version."""
    try:
        _head(access, key, version)
    except (AccessDenied, AuthRequired, NotFound):
        return False
    return True


def entry(access: Access, key: str, pinned: Mapping[str, str], reporter: Reporter) -> RemoteFile:
    """The one file of an object's pin."""
    head = _head(access, key, pinned.get("id", ""), pinned.get("etag", ""))
    if head.get("StorageClass") in _ARCHIVES and 'ongoing-request="false"' not in str(head.get("Restore", "")):
        reporter(_archived(access, key, head, "must be restored before it can be read"))
    version = _version({"VersionId": pinned.get("id", ""), "ETag": pinned.get("etag", "")})
    checks = checksums(head, in_aws=not access.bucket.endpoint)
    return RemoteFile(key.rpartition("/")[2], int(head["ContentLength"]), version=version, checks=checks)


def entries(access: Access, prefix: str, pinned: Mapping[str, str], reporter: Reporter) -> Iterator[RemoteFile]:
    """All files of a prefix's pin. No checksums: they would cost a request for each object, and `gotdata lock --hash`
    gives better ones."""
    warned = False
    for found in _versions(access, prefix) if pinned.get("listing") == "versions" else _objects(access, prefix):
        key, size = str(found.get("Key", "")), found.get("Size")
        if not key.startswith(prefix) or not isinstance(size, int) or size < 0:
            where = redact(access.bucket.url(prefix))
            raise SourceError(f"{where}: its listing holds {shown(key)!r} of {size} bytes, which can't be")
        if found.get("StorageClass") in _ARCHIVES and not warned:
            warned = True
            reporter(_archived(access, key, found, "and maybe others must be restored before they can be read"))
        path = key.removeprefix(prefix)
        if path.endswith("/") and size == 0:
            yield RemoteFile(path.removesuffix("/"), 0, Kind.DIR)
        elif path:
            yield RemoteFile(path, size, version=_version(found))


def _archived(access: Access, key: str, found: Answer, what: str) -> Event:
    return Event("warning", text=f"{redact(access.bucket.url(key))} is archived ({found['StorageClass']}): it {what}")


def _objects(access: Access, prefix: str) -> Iterator[Answer]:
    marks = {"ContinuationToken": "NextContinuationToken"}
    for page in _pages(access, prefix, access.client.list_objects_v2, marks, ("Contents",)):
        yield from page.get("Contents", ())


def _versions(access: Access, prefix: str) -> Iterator[Answer]:
    marks = {"KeyMarker": "NextKeyMarker", "VersionIdMarker": "NextVersionIdMarker"}
    for page in _pages(access, prefix, access.client.list_object_versions, marks, ("Versions", "DeleteMarkers")):
        yield from (found for found in page.get("Versions", ()) if found.get("IsLatest"))


def _pages(
    access: Access, prefix: str, ask: Callable[..., Answer], marks: Mapping[str, str], lists: tuple[str, ...]
) -> Iterator[Answer]:
    """The pages of a listing, to its end.

    Args:
        marks: a parameter of the next question → what the page before calls it.
        lists: where a page has its entries.
    """
    where = redact(access.bucket.url(prefix))
    began_with: set[tuple[str, str]] = set()
    empty = 0
    at: dict[str, str] = {}
    while True:
        page = _page(access, prefix, ask, at)
        first = next((found for name in lists for found in page.get(name, ())), None)
        if first is None:
            empty += 1
        else:
            began = (str(first.get("Key", "")), str(first.get("VersionId", "")))
            if began in began_with:
                raise SourceError(f"{where}: its listing leads back to {shown(began[0])!r}, without an end")
            began_with.add(began)
            empty = 0
        yield page
        if not page.get("IsTruncated"):
            return
        at = {parameter: page[mark] for parameter, mark in marks.items() if page.get(mark)}
        if not at or empty > EMPTY_PAGES:
            raise SourceError(f"{where}: its listing says that there is more, and not where")


def _page(access: Access, prefix: str, ask: Callable[..., Answer], more: Mapping[str, Any]) -> Answer:
    with access.asked(prefix):
        page = ask(**access.wants, Prefix=prefix, **more)
    if "IsTruncated" not in page:
        # Any well-formed page with status 200, such as a login, would pass for an empty listing.
        where = redact(access.bucket.url(prefix))
        raise SourceError(f"{where} answered something that is no listing of S3; check the `endpoint:`")
    return page


def _head(access: Access, key: str, version: str, etag: str = "") -> Answer:
    bound = {**({"VersionId": version} if version else {}), **({"IfMatch": etag} if etag else {})}
    with access.asked(key):
        answer: Answer = access.client.head_object(**access.wants, Key=key, ChecksumMode="ENABLED", **bound)
    if "ContentLength" not in answer:
        raise SourceError(f"{redact(access.bucket.url(key))}: its size is not told; check the `endpoint:`")
    return answer


def _etag(answer: Answer) -> str:
    """In quotes, which some stores leave out."""
    text = str(answer.get("ETag", "")).strip('"')
    return f'"{text}"' if text else ""


def _version(found: Answer) -> str:
    """As ``RemoteFile.version``."""
    if (version := str(found.get("VersionId", ""))) not in _NO_VERSION:
        return f"id:{version}"
    etag = _etag(found)
    return f"etag:{etag}" if etag else ""


def checksums(head: Answer, in_aws: bool) -> tuple[Checksum, ...]:
    """Those that are of the whole object: not of its parts' checksums, and no ETag that only looks like an MD5.

    An ETag is the MD5 of what was put in one part and is not encrypted with a key of one's own (AWS, "Checking object
    integrity"). Other stores promise nothing of the kind.
    """
    etag = _etag(head).strip('"')
    whole = head.get("ChecksumType", "COMPOSITE" if "-" in etag else "FULL_OBJECT") == "FULL_OBJECT"
    found = []
    for field, (algorithm, length) in _CHECKSUMS.items():
        if whole and (digest := _digest(head.get(field), length)):
            found.append(Checksum(algorithm, digest))
    plain = head.get("ServerSideEncryption", "AES256") == "AES256" and "SSECustomerAlgorithm" not in head
    if in_aws and plain and re.fullmatch(r"[0-9a-f]{32}", etag):
        found.append(Checksum("md5", etag))
    elif digest := _digest(head.get("Metadata", {}).get("md5chksum"), 16):
        found.append(Checksum("md5", digest))  # rclone leaves it with what it uploads in parts
    return tuple(found)


def _digest(text: object, length: int) -> str:
    """A digest of ``length`` bytes that stands in base64, as hexadecimal; empty where it is none."""
    try:
        raw = base64.b64decode(str(text or ""), validate=True)
    except binascii.Error:
        return ""
    return raw.hex() if len(raw) == length else ""

"""An archive as the folder in it: ``unpack: true`` beside a reference of any other source that means one file.

Members of a zip or a tar are parts of it, read by ranges. What is packed as a whole (tar.gz) has no parts: it is
unpacked into the store when it is locked, and elsewhere when the first of its files is read.
"""

from __future__ import annotations

import io
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import quote

from gotdata.context import Cache, Context
from gotdata.errors import IntegrityError, NoRanges, ResolveError, SourceError
from gotdata.model import Checksum, Kind, Pin, Ref, RemoteFile, Span
from gotdata.origin import Bound, Wanted
from gotdata.paths import redact, remote_path, shown
from gotdata.resolve import resolve
from gotdata.sources import archive_tar, archive_zip, registry
from gotdata.sources.archive_packed import MAGIC, Packed
from gotdata.sources.base import Powers, Source
from gotdata.sources.file import admitted
from gotdata.sources.ranged import Cut, Ranged, exactly

if TYPE_CHECKING:
    from gotdata.store.base import Held

SMALL = 32 << 20
"""Bytes up to which an archive is brought whole: one question instead of one for each member."""
_HEAD = 512
_INNER = "in."
"""Before the words of the archive's own pin, among those of this one."""


class Archive:
    """Its pin holds that of the archive, the archive as it was listed, what kind it is, and of a packed one the size
    and sha256 of what is in it."""

    name = "archive"
    schemes: tuple[str, ...] = ()
    powers = Powers(placed=False)

    def claims(self, ref: Ref) -> bool:
        return ref.flag("unpack")

    def resolve(self, ref: Ref, ctx: Context) -> Pin:
        pin = resolve(_packed(ref), ctx, registry.pick)
        source = registry.source(pin.source)
        archive = _Archive(source, pin, _only(source, pin, ctx), ctx)
        file = archive.file
        words = {"source": pin.source, "file": file.path, "size": str(file.size), "at": file.at}
        words |= {"version": file.version, "checks": " ".join(map(str, file.checks)), **archive.known()}
        words |= {f"{_INNER}{name}": value for name, value in pin.version.items()}
        said = {name: value for name, value in words.items() if value}
        whole = Ref(pin.ref.url, tuple(sorted((*pin.ref.options, ("unpack", "true")))))
        return Pin(self.name, whole, f"{pin.namespace}/{quote(file.path, safe='')}", said, pin.citation)

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        archive = _pinned(pin, ctx)
        kind = pin.version.get("kind", "")
        if kind == "zip":
            return archive_zip.members(archive.open, archive.size, archive.where, archive.file.version)
        if kind == "tar":
            file = io.BufferedReader(Ranged(archive.open, archive.size))
            return archive_tar.members(file, archive.where, archive.file.version, hashed=False)
        return _unpacked(pin, archive)

    def read(self, pin: Pin, file: RemoteFile, span: Span, ctx: Context) -> io.RawIOBase:
        archive = _pinned(pin, ctx)
        kind = pin.version.get("kind", "")
        if file.version != archive.file.version:
            # Kept as one version of the archive, bytes of another would be read by who has that locked.
            raise IntegrityError(f"{archive.where}: '{shown(file.path)}' is of another version: the lock was edited")
        try:
            if kind == "zip":
                return archive_zip.read(archive.open, file, span, archive.size, archive.where)
            start = int(file.at)
        except ValueError:
            raise IntegrityError(f"{archive.where}: {shown(file.at)} is no place in it: the lock was edited") from None
        part = Span(start + span.start, start + span.stop)
        return archive.open(part) if kind == "tar" else _Part(archive.content(pin), part)

    def url(self, pin: Pin, file: RemoteFile) -> str:
        """Below the archive's, as a fragment, which no other source's has. Where and how it is read stands in it: else
        a forged lock could have other bytes of the archive kept as this file's."""
        archive = _pinned(pin, None)
        kind = pin.version.get("kind", "")
        return f"{archive.url}#{quote(kind)}:{quote(file.at)}:{quote(file.path, errors='surrogateescape')}"

    def realm(self, pin: Pin, ctx: Context) -> str:
        archive = _pinned(pin, ctx)
        return archive.source.realm(archive.pin, ctx)

    def local(self, pin: Pin, file: RemoteFile) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class _Archive:
    """A file of another source. ``ctx`` is None where nothing is read."""

    source: Source
    pin: Pin
    file: RemoteFile
    ctx: Context | None

    @property
    def size(self) -> int:
        return self.file.size or 0

    @property
    def url(self) -> str:
        return self.source.url(self.pin, self.file)

    @property
    def where(self) -> str:
        return redact(self.url)

    def open(self, span: Span) -> io.RawIOBase:
        """Bytes of the archive, from the store where it is, or is to be, there."""
        if span.size <= 0:
            return Cut(b"", 0)
        assert self.ctx
        if self.ctx.cache and self.size <= SMALL:
            return _Part(self.whole(), span)
        try:
            return self.source.read(self.pin, self.file, span, self.ctx)
        except NoRanges:
            return _Part(self.whole(), span)

    def whole(self) -> Held:
        return self._cache().whole(self._wanted())

    def _cache(self) -> Cache:
        if not self.ctx or not self.ctx.cache:
            raise SourceError(f"{self.where} can only be read whole, for which there is no store here")
        return self.ctx.cache

    def known(self) -> dict[str, str]:
        """What kind it is; of a packed one, what is in it, for which it is read through."""
        head = exactly(self.open(Span(0, min(_HEAD, self.size))), _HEAD)
        if head.startswith((b"PK\3\4", b"PK\5\6")):
            return {"kind": "zip"}
        if archive_tar.is_tar(head):
            return {"kind": "tar"}
        packing = next((name for magic, name in MAGIC.items() if head.startswith(magic)), "")
        if not packing:
            raise ResolveError(
                f"{self.where} can't be unpacked: it is no zip, tar, gz, bz2, xz or zst; without `unpack: true` it "
                "appears as it is"
            )
        with Packed(_Part(self.whole(), Span(0, self.size)), packing, self.size, self.where) as content:
            tar = archive_tar.is_tar(exactly(content, _HEAD))
            while content.read(1 << 20):
                pass
            kind = f"tar.{packing}" if tar else packing
            return {"kind": kind, "content": str(content.size), "sha256": content.sha256.hexdigest()}

    def content(self, pin: Pin) -> Held:
        """What is in a packed one, whole, from the store."""
        cache = self._cache()
        try:
            size, check = int(pin.version["content"]), Checksum("sha256", pin.version["sha256"])
            packing = pin.version["kind"].removeprefix("tar.")
        except (KeyError, ValueError):
            raise IntegrityError(f"{self.where}: its pin does not say what is in it: the lock was edited") from None
        if packing not in MAGIC.values():
            raise IntegrityError(f"{self.where}: {shown(packing)} is no kind of archive: the lock was edited")

        def start(span: Span) -> io.RawIOBase:
            if span != Span(0, size):
                raise NoRanges(f"{self.where} can only be unpacked from its start")
            return Packed(self._stream(), packing, self.size, self.where)

        assert self.ctx
        realm = self.source.realm(self.pin, self.ctx)
        origin = Bound(f"{self.url}#", self.file.version, (check,), realm, False, "", start)
        return cache.whole(Wanted(f"{self.where}, unpacked", size, str(check), (origin,)))

    def _stream(self) -> io.RawIOBase:
        """All of it, from the store if it is there; not brought there, as the caller is on the way into it."""
        cache = self._cache()
        assert self.ctx
        held = cache.peek(self._wanted())
        span = Span(0, self.size)
        return _Part(held, span) if held else self.source.read(self.pin, self.file, span, self.ctx)

    def _wanted(self) -> Wanted:
        assert self.ctx
        ctx, file = self.ctx, self.file
        realm, local = self.source.realm(self.pin, ctx), self.source.local(self.pin, file)
        ranges = self.source.powers.ranges

        def start(span: Span) -> io.RawIOBase:
            return self.source.read(self.pin, file, span, ctx)

        origin = Bound(self.url, file.version, file.checks, realm, ranges, local, start)
        strong = next((str(check) for check in file.checks if check.algorithm in ("sha256", "sha512")), "")
        return Wanted(self.where, self.size, strong or "weak:archive##", (origin,))


class _Part(io.RawIOBase):
    """Bytes of a file of the store."""

    def __init__(self, held: Held, span: Span) -> None:
        super().__init__()
        self._held, self._at, self._stop = held, span.start, min(span.stop, held.size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        view = memoryview(buffer).cast("B")
        data = self._held.pread(Span(self._at, min(self._at + len(view), self._stop))) or b""
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._held.close()
        super().close()


def _unpacked(pin: Pin, archive: _Archive) -> Iterator[RemoteFile]:
    """The files in a packed one, each with its sha256: it was read through anyway."""
    held = archive.content(pin)
    if pin.version["kind"].startswith("tar."):
        file = io.BufferedReader(Ranged(lambda span: Cut(held.pread(span) or b"", span.size), held.size))
        yield from archive_tar.members(file, archive.where, archive.file.version, hashed=True)
        return
    size = held.size
    held.close()
    name = posixpath.basename(archive.file.path)
    check = Checksum("sha256", pin.version["sha256"])
    yield RemoteFile(posixpath.splitext(name)[0] or name, size, at="0", version=archive.file.version, checks=(check,))


def _only(source: Source, pin: Pin, ctx: Context) -> RemoteFile:
    """The one file that a pin holds."""
    found = list(islice((file for file in source.files(pin, ctx) if file.kind is Kind.FILE), 3))
    if len(found) != 1:
        names = ", ".join(shown(file.path) for file in found)
        raise ResolveError(
            f"{redact(pin.ref.url)} holds {f'{names} …' if found else 'no file'}: `unpack: true` is for one archive; "
            "name the URL of that file"
        )
    return found[0]


def _pinned(pin: Pin, ctx: Context | None) -> _Archive:
    said = pin.version
    try:
        checks = tuple(Checksum(*check.split(":")) for check in said.get("checks", "").split())
        size = int(said["size"])
        file = RemoteFile(
            remote_path(said["file"]), size, at=said.get("at", ""), version=said.get("version", ""), checks=checks
        )
        inner = {name.removeprefix(_INNER): value for name, value in said.items() if name.startswith(_INNER)}
        source = registry.source(said["source"])
    except (KeyError, ValueError, TypeError, SourceError):
        raise IntegrityError(f"{redact(pin.ref.url)}: its pin names no archive: the lock was edited") from None
    # What rules were asked about is the reference: nothing else may be read than a file of it.
    ref = _packed(pin.ref)
    if source.name == Archive.name or not source.claims(ref):
        raise IntegrityError(f"{redact(pin.ref.url)} is no reference of {source.name}: the lock was edited")
    archive = _Archive(source, Pin(source.name, ref, pin.namespace.rpartition("/")[0], inner), file, ctx)
    if source.powers.local and ctx is not None:
        admitted(source.local(archive.pin, file), ctx.reach)
    return archive


def _packed(ref: Ref) -> Ref:
    """The archive itself."""
    return Ref(ref.url, tuple(option for option in ref.options if option[0] != "unpack"))

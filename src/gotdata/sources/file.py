"""Files and folders of this machine, shared disks included. Also ``here:``, where such a folder stands for a URL."""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

from gotdata.context import Context
from gotdata.errors import (
    AccessDenied,
    GotdataError,
    NotFound,
    PolicyError,
    ResolveError,
    SourceError,
    SourceUnavailable,
    UpstreamChanged,
)
from gotdata.model import Kind, Pin, Ref, RemoteFile, Span
from gotdata.paths import remote_path, shown
from gotdata.reach import ANYWHERE, Reach
from gotdata.report import Event
from gotdata.settings import Settings
from gotdata.sources.base import Powers


class File:
    """``file:///mnt/x``, or ``file:big/x`` below the folder that the option ``root`` names. Versions are the time of
    the last change, to the nanosecond."""

    name = "file"
    schemes = ("file",)
    powers = Powers(local=True)

    def claims(self, ref: Ref) -> bool:
        return ref.url.lower().startswith("file:")

    def resolve(self, ref: Ref, ctx: Context) -> Pin:
        top = admitted(place(ref), ctx.reach)
        if asked := ref.option("version"):
            raise ResolveError(f"{shown(top)}: a folder keeps no versions, so {shown(asked)} can't be asked for")
        try:
            status = os.stat(top)
        except FileNotFoundError:
            raise ResolveError(
                f"there is nothing at {shown(top)}: check the path, and whether its disk is mounted"
            ) from None
        except OSError as error:
            raise _translated(top, error) from error
        if stat.S_ISDIR(status.st_mode):
            return Pin(self.name, ref, ref.url, {"kind": "folder"})
        if stat.S_ISREG(status.st_mode):
            return Pin(self.name, ref, ref.url, {"kind": "file", "version": _version(status)})
        raise ResolveError(f"{shown(top)} is neither a file nor a folder")

    def files(self, pin: Pin, ctx: Context) -> Iterator[RemoteFile]:
        top = admitted(place(pin.ref), ctx.reach)
        try:
            if pin.version["kind"] == "folder":
                yield from _walk(top, ctx)
                return
            file = _file(os.path.basename(top), os.stat(top))
        except OSError as error:
            raise _translated(error.filename or top, error) from error
        if file.version != pin.version["version"]:
            raise _changed(top)
        yield file

    def read(self, pin: Pin, file: RemoteFile, span: Span, ctx: Context) -> io.RawIOBase:
        follow = pin.version["kind"] == "file"
        return _Stream(admitted(self.local(pin, file), ctx.reach), file, span, follow)

    def url(self, pin: Pin, file: RemoteFile) -> str:
        return "file://" + quote_from_bytes(os.fsencode(self.local(pin, file)).replace(b"\\", b"/"))

    def realm(self, pin: Pin, ctx: Context) -> str:
        return ctx.credentials.realm("")

    def local(self, pin: Pin, file: RemoteFile) -> str:
        top = place(pin.ref)
        return top if pin.version["kind"] == "file" else os.path.join(top, *file.path.split("/"))


def place(ref: Ref) -> str:
    """The path that a ``file:`` reference names.

    Raises:
        ResolveError: it is relative, and there is no ``root``; or it names another machine.
    """
    rest = ref.url[len("file:") :]
    if rest.startswith("//"):
        host, slash, tail = rest[2:].partition("/")
        if host not in ("", "localhost"):
            raise ResolveError(
                f"{shown(ref.url)} names the host {shown(host)}: a file is of this machine, file:///path"
            )
        rest = slash + tail
    path = os.fsdecode(unquote_to_bytes(rest))
    if sys.platform == "win32":
        path = path.lstrip("/") if path[2:3] == ":" else path
    if "\0" in path:
        raise ResolveError(f"{shown(ref.url)} holds a NUL")
    if not os.path.isabs(path) and not ref.option("root"):
        raise ResolveError(f"{shown(ref.url)} is relative to a repository, and there is none: write file:///path")
    return os.path.normpath(os.path.join(ref.option("root"), path))


def admitted(path: str, reach: Reach) -> str:
    """``path``, if it may be read for whoever asks. Raises PolicyError."""
    if not reach.path(path):
        raise PolicyError(
            f"{shown(path)} is of the machine that would read it for others; services read what `local` in policy.yml "
            "allows, `bake` and `entrypoint` what lies in the repository"
        )
    return path


def here(url: str, settings: Settings, reach: Reach = ANYWHERE) -> Path | None:
    """Where what ``url`` means lies on this machine, as the operator says by the setting ``here``; None where they say
    nothing of it, nothing is there, or it is out of reach. The longest prefix counts, on the boundary of a component.
    """
    for prefix, folder in sorted(settings.here.items(), key=lambda item: -len(item[0])):
        if url == prefix or url.startswith(prefix.rstrip("/") + "/"):
            rest = os.fsdecode(unquote_to_bytes(url[len(prefix) :])).strip("/")
            path = Path(folder, remote_path(rest)) if rest else Path(folder)
            return path if reach.path(path) and path.exists() else None
    return None


def _walk(top: str, ctx: Context) -> Iterator[RemoteFile]:
    """Everything below a folder, depth first; no link is followed."""
    real = os.path.realpath(top)
    folders = [""]
    while folders:
        folder = folders.pop()
        empty = True
        with os.scandir(os.path.join(top, folder)) as entries:
            for entry in entries:
                empty = False
                path = folder + entry.name
                if entry.is_symlink():
                    yield _link(top, real, path)
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(f"{path}/")
                elif entry.is_file(follow_symlinks=False):
                    yield _file(path, os.stat(entry.path, follow_symlinks=False))
                else:
                    what = f"{shown(entry.path)} is a device, pipe or socket: left out"
                    ctx.reporter(Event("warning", path=path, text=what))
        if empty and folder:
            yield RemoteFile(folder.removesuffix("/"), 0, Kind.DIR)


def _file(path: str, status: os.stat_result) -> RemoteFile:
    executable = sys.platform != "win32" and bool(status.st_mode & 0o100)
    return RemoteFile(path, status.st_size, version=_version(status), executable=executable)


def _link(top: str, real: str, path: str) -> RemoteFile:
    """A link, its target rewritten where the raw one would only be right in this place.

    Raises:
        SourceError: it points outside the folder.
    """
    at = os.path.join(top, path)
    raw = os.readlink(at)
    goal, parent = os.path.realpath(at), os.path.realpath(os.path.dirname(at))
    if os.path.commonpath([goal, real]) != real:
        raise SourceError(
            f"the link {shown(at)} points outside its folder, to {shown(raw)}: "
            "put the file there in its place, or leave the link out"
        )
    plain = os.path.normpath(raw)
    stays = not os.path.isabs(plain) and os.path.realpath(os.path.join(parent, plain)) == goal
    stays = stays and plain.count("..") <= path.count("/")
    target = (plain if stays else os.path.relpath(goal, parent)).replace(os.sep, "/")
    return RemoteFile(path, len(os.fsencode(target)), Kind.LINK, target=target)


def _version(status: os.stat_result) -> str:
    return f"mtime:{status.st_mtime_ns}"


def _changed(path: str) -> UpstreamChanged:
    return UpstreamChanged(f"{shown(path)} was changed since it was locked; `gotdata lock --update` takes it up")


def _translated(path: str | bytes, error: OSError) -> GotdataError:
    name = shown(os.fsdecode(path))
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return NotFound(f"{name} is not there any more")
    if isinstance(error, PermissionError):
        return AccessDenied(f"{name} can't be read by this user ({os.strerror(error.errno or 0)})")
    return SourceUnavailable(f"{name}: {error.strerror or error}; is its disk there?")


class _Stream(io.RawIOBase):
    """A part of a file, whose version is compared before the first byte and after the last."""

    def __init__(self, path: str, file: RemoteFile, span: Span, follow: bool) -> None:
        super().__init__()
        self._path, self._file, self._left = path, file, span.size
        # A pipe that took the file's place would block open; a link could lead out of the folder.
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
        try:
            self._fd = os.open(path, flags if follow else flags | getattr(os, "O_NOFOLLOW", 0))
        except OSError as error:
            self._fd = -1
            raise _translated(path, error) from error
        try:
            self._compare()
            os.lseek(self._fd, span.start, os.SEEK_SET)
        except BaseException:
            self.close()
            raise

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        view = memoryview(buffer).cast("B")[: self._left]
        if not view:
            return 0
        try:
            count = _receive(self._fd, view)
        except OSError as error:
            raise _translated(self._path, error) from error
        self._left -= count
        if count == 0 or self._left == 0:
            self._compare()
        if count == 0:
            raise _changed(self._path)
        return count

    def _compare(self) -> None:
        status = os.fstat(self._fd)
        if (status.st_size, _version(status)) != (self._file.size, self._file.version):
            raise _changed(self._path)

    def close(self) -> None:
        if not self.closed and self._fd >= 0:
            os.close(self._fd)
        super().close()


def _receive(fd: int, view: memoryview) -> int:
    if sys.platform != "win32":
        return os.readv(fd, [view])
    piece = os.read(fd, len(view))
    view[: len(piece)] = piece
    return len(piece)

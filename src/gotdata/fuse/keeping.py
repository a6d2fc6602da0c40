"""The keeper: holds what mounts need to outlive their servers, and answers in a server's place when none comes. It is
not upgraded with the rest, so it does little, and depends on nothing that changes."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import struct
import sys
import time
from collections.abc import Sequence

from gotdata.fuse import message
from gotdata.fuse.ledger import Ledger, check
from gotdata.fuse.message import Kind, Packet
from gotdata.fuse.resend import ask_again

if sys.platform != "linux":
    raise ImportError("gotdata.fuse needs Linux")

import fcntl
import resource
import select
import socket

GRACE = 15.0
"""Seconds in which a new server may come before waiting readers get EIO."""
_DEVICE = os.makedev(10, 229)
_IN = struct.Struct("<IIQQ")
_OUT = struct.Struct("<IiQ")
_BUFFER = 1 << 17
_BACKING_CLOSE = 0x4004E502
_FORGET, _RELEASE, _RELEASEDIR, _INTERRUPT, _DESTROY, _BATCH_FORGET = 2, 18, 29, 36, 38, 42
_SILENT = {_FORGET, _INTERRUPT, _DESTROY, _BATCH_FORGET}


class Mount:
    """One connection of /dev/fuse, in the place of a server where there is none."""

    def __init__(self, name: str, fuse: int, ledger: int, note: int) -> None:
        """Raises ValueError where these are not what a mount needs; the descriptors stay the caller's then."""
        device = os.fstat(fuse)
        if not name or device.st_rdev != _DEVICE:
            raise ValueError("no mount")
        check(ledger)
        os.set_blocking(fuse, False)
        self.name, self.fds = name, (fuse, ledger, note)
        self.fuse = fuse
        self.server: socket.socket | None = None
        self.pid = 0
        self.due: float | None = None
        """When its readers have waited enough for a server."""
        self._ledger: Ledger | None = None

    @property
    def ended(self) -> bool:
        """Whether the kernel has done with it."""
        poll = select.poll()
        poll.register(self.fuse, 0)
        return bool(poll.poll(0))

    def begin(self) -> None:
        """From now on requests are refused, those first that the server left unanswered."""
        self.due = None
        try:
            ledger = self._ledger = Ledger(os.dup(self.fds[1]))
        except (OSError, ValueError):  # spoilt by its server: then nothing is counted
            ask_again(self.fuse, 0, ())
        else:
            ask_again(self.fuse, ledger.flags, ledger.taken)

    def refuse(self, buffer: bytearray) -> None:
        """Answers one request. Raises OSError: ENODEV where the kernel has done with it."""
        os.readv(self.fuse, [buffer])
        _, op, unique, node = _IN.unpack_from(buffer)
        if op in _SILENT:
            return
        status = errno.EIO
        if op in (_RELEASE, _RELEASEDIR):
            status = 0
            if op == _RELEASE and self._ledger and (backing := self._ledger.release(unique, node)):
                with contextlib.suppress(OSError):
                    fcntl.ioctl(self.fuse, _BACKING_CLOSE, struct.pack("<I", backing))
        os.write(self.fuse, _OUT.pack(_OUT.size, -status, unique))

    def end(self) -> None:
        """A server answers from now on, or nobody."""
        self.due = None
        if self._ledger:
            self._ledger.close()
            self._ledger = None

    def close(self) -> None:
        self.end()
        message.close(self.fds)


class Keeping:
    """The mounts that are held, and the connections of those who ask for them. Whatever one of these says, the others
    are served: what can't be understood ends its connection."""

    def __init__(self, listener: socket.socket, grace: float) -> None:
        self._listener, self._grace = listener, grace
        self._mounts: dict[str, Mount] = {}
        self._orphans: dict[int, Mount] = {}  # by the descriptors that are looked at
        self._clients: dict[int, socket.socket] = {}
        self._watchers: set[socket.socket] = set()
        self._served: dict[socket.socket, Mount] = {}
        self._buffer = bytearray(_BUFFER)
        self._poll = select.poll()
        self._listen(True)

    @property
    def empty(self) -> bool:
        return not self._mounts

    def run(self) -> None:
        while True:
            for fd, happened in self._poll.poll(self._patience()):
                if fd == self._listener.fileno():
                    self._accept()
                elif fd in self._clients:
                    self._hear(self._clients[fd])
                elif fd in self._orphans:
                    self._look(self._orphans[fd], happened)
            now = time.monotonic()
            for mount in [mount for mount in self._orphans.values() if mount.due is not None and mount.due <= now]:
                self._say(mount, f"no server came within {self._grace:g} s; its readers get EIO until one does")
                mount.begin()
                self._poll.modify(mount.fuse, select.POLLIN)

    def _patience(self) -> float | None:
        due = [mount.due for mount in self._orphans.values() if mount.due is not None]
        return max(0.0, min(due) - time.monotonic()) * 1000 + 1 if due else None

    def _listen(self, on: bool) -> None:
        self._poll.register(self._listener, select.POLLIN if on else 0)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            self._listen(False)  # no descriptor is left: until one is given back
            return
        _, uid, _ = struct.unpack("iII", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid not in (0, os.geteuid()):
            client.close()
            return
        client.setblocking(False)
        self._clients[client.fileno()] = client
        self._poll.register(client, select.POLLIN)

    def _hear(self, client: socket.socket) -> bool:
        """Whether it said something, and may say more."""
        try:
            packet = message.receive(client)
        except BlockingIOError:
            return False
        except (OSError, ValueError):
            packet = None
        if packet is None:
            self._leave(client)
            return False
        try:
            self._do(client, packet)
        except OSError as error:
            self._answer(client, error.errno or errno.EIO)
        except Exception:  # not even our own mistake may end the mounts
            self._leave(client)
        finally:
            message.close(packet.fds)
        return True

    def _do(self, client: socket.socket, packet: Packet) -> None:
        """Raises OSError, which is the answer; whatever else it raises ends the connection. Descriptors that it keeps
        it takes out of the packet."""
        match packet.kind:
            case Kind.HOLD:
                self._hold(packet)
            case Kind.SERVE:
                self._serve(client, self._mount(packet))
                return
            case Kind.PID:
                self._served[client].pid = packet.number
                return
            case Kind.TAKE:
                self._answer(client, fds=self._mount(packet).fds)
                return
            case Kind.LIST:
                self._list(client)
                return
            case Kind.DROP:
                self._drop(self._mount(packet))
            case Kind.WATCH:
                self._watchers.add(client)
            case _:
                raise OSError(errno.ENOSYS, "a keeper of this version does not know that")
        self._answer(client)

    def _answer(self, client: socket.socket, number: int = 0, fds: Sequence[int] = ()) -> None:
        try:
            message.send(client, Kind.DONE, number=number, fds=fds)
        except OSError:
            self._leave(client)  # it does not listen

    def _mount(self, packet: Packet) -> Mount:
        try:
            return self._mounts[packet.name]
        except KeyError:
            raise OSError(errno.ENOENT, "no such mount") from None

    def _say(self, mount: Mount, text: str) -> None:
        with contextlib.suppress(OSError):  # its log may be on a full disk
            print(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {mount.name}: {text}", file=sys.stderr, flush=True)

    def _hold(self, packet: Packet) -> None:
        if packet.name in self._mounts:
            raise OSError(errno.EEXIST, "held already")
        fuse, ledger, note = packet.fds
        mount = Mount(packet.name, fuse, ledger, note)
        packet.fds.clear()
        self._mounts[mount.name] = mount
        self._orphan(mount)

    def _serve(self, client: socket.socket, mount: Mount) -> None:
        while mount.server and self._hear(mount.server):
            pass  # it may have ended just now
        if mount.server or client in self._served:
            raise OSError(errno.EBUSY, "served already")
        if mount.name not in self._mounts:
            raise OSError(errno.ENOENT, "no such mount")
        if mount.fuse in self._orphans:
            del self._orphans[mount.fuse]
            self._poll.unregister(mount.fuse)
        mount.end()
        mount.server = client
        self._served[client] = mount
        self._answer(client, fds=mount.fds)

    def _orphan(self, mount: Mount) -> None:
        """Nobody serves it. Its end is seen from here on; while it is served, looking at it would wake us for every
        request."""
        mount.server, mount.pid = None, 0
        mount.due = time.monotonic() + self._grace
        self._orphans[mount.fuse] = mount
        self._poll.register(mount.fuse, 0)

    def _look(self, mount: Mount, happened: int) -> None:
        """At one that nobody serves."""
        try:
            if not happened & select.POLLERR:
                mount.refuse(self._buffer)
                return
        except OSError as error:
            # ENOENT: its caller died before it was read, or while it was answered.
            if error.errno in (errno.EAGAIN, errno.EINTR, errno.ENOENT):
                return
        self._drop(mount)
        self._tell(mount.name)

    def _drop(self, mount: Mount) -> None:
        del self._mounts[mount.name]
        if mount.server:
            del self._served[mount.server]
        else:
            del self._orphans[mount.fuse]
            self._poll.unregister(mount.fuse)
        mount.close()

    def _list(self, client: socket.socket) -> None:
        fd = message.file(b"".join(message.listed(mount.pid, mount.name) for mount in self._mounts.values()))
        try:
            self._answer(client, fds=[fd])
        finally:
            os.close(fd)

    def _tell(self, name: str) -> None:
        for watcher in list(self._watchers):
            try:
                message.send(watcher, Kind.GONE, name)
            except OSError:
                self._leave(watcher)

    def _leave(self, client: socket.socket) -> None:
        """The other end is gone, or said something that it should not have."""
        if self._clients.pop(client.fileno(), None) is None:
            return
        self._poll.unregister(client)
        client.close()
        self._watchers.discard(client)
        mount = self._served.pop(client, None)
        if mount:
            self._orphan(mount)
            if mount.ended:
                self._drop(mount)
            self._tell(mount.name)
        self._listen(True)


def main(path: str, grace: str = str(GRACE), ready: str = "") -> None:
    """The process. With ``ready``, the end of a pipe, it goes on in the background, and closes that when it can be
    asked. Where another keeper answers at ``path`` there is nothing to do."""
    if ready and os.fork():
        os._exit(0)
    try:
        listener = _listener(path)
        if listener is None:
            return
        keeping = Keeping(listener, float(grace))
    except (OSError, ValueError) as error:
        sys.exit(f"no keeper at {path}: {error}")

    def end(*_: object) -> None:
        if keeping.empty:
            raise SystemExit

    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("-1000")  # its end is the end of every mount
    if ready:
        os.close(int(ready))
    try:
        keeping.run()
    finally:
        os.unlink(path)


def _listener(path: str) -> socket.socket | None:
    """None where another keeper answers there."""
    folder = os.path.dirname(path)
    os.makedirs(folder, 0o700, exist_ok=True)
    state = os.stat(folder)
    if state.st_uid != os.geteuid() or state.st_mode & 0o077:
        raise PermissionError(
            errno.EPERM, "others may reach this folder; it must be yours alone, with mode 0700", folder
        )
    lock = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with message.connection() as other, contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            other.connect(path)
            return None
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        listener = message.connection()
        listener.bind(path)
        os.chmod(path, 0o600)
        listener.listen(64)
        listener.setblocking(False)
        return listener
    finally:
        os.close(lock)

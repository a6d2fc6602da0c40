"""The process that answers the kernel: dispatch, index look-ups, pread, and nothing else. It must never wait for a
network, nor hold the interpreter for long: every process that touches the mount would wait with it."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator

from gotdata.errors import GotdataError, NotFound
from gotdata.fuse import files, protocol
from gotdata.fuse.connection import Connection
from gotdata.fuse.ledger import Ledger
from gotdata.fuse.link import Request
from gotdata.fuse.log import Log
from gotdata.fuse.meter import Meter
from gotdata.fuse.opens import Opens
from gotdata.fuse.protocol import Op
from gotdata.fuse.reads import Reads
from gotdata.fuse.resend import HAS_RESEND, ask_again
from gotdata.fuse.spec import Spec
from gotdata.fuse.workers import Forked, Worker
from gotdata.model import Kind, Node
from gotdata.tree.base import Lazy

if sys.platform != "linux":
    raise ImportError("gotdata.fuse needs Linux")

import select
import socket

Answer = bytes | int | None
"""A body, an errno, or None where the answer comes later."""


class Server:
    """Stateless but for the ledger: node id = row of the snapshot, file handle = 0, cookie = row + 1. So whoever has
    the descriptor and the ledger may start another server after this one died. ``ready`` is called when the kernel was
    greeted."""

    def __init__(
        self, connection: Connection, ledger: Ledger, tree: Lazy, spec: Spec, log: Log, ready: Callable[[], None]
    ) -> None:
        self._connection, self._ledger, self._tree, self._spec = connection, ledger, tree, spec
        self._log, self._ready = log, ready
        self._owner = protocol.Owner(os.getuid(), os.getgid(), spec.mtime, 0o222 if spec.writable else 0)
        self._xattrs = {name: value.encode() for name, value in spec.xattrs.items()}
        self._files = files.Files(spec.dataset, tree, files.room())
        self._opens = Opens(connection, ledger)
        meter = Meter(spec.dataset, spec.warn_walk, spec.max_fetch, ledger, log)
        self._reads = Reads(connection, self._files, meter, ledger, log, spec.timeout, self._send)
        self._workers = [Worker(spec, log, self._reads.wanted) for _ in range(spec.workers)]
        self._listening: dict[int, Worker] = {}
        self._notes_requests = False
        self._operations: dict[int, Callable[[protocol.Request], Answer]] = {
            Op.INIT: self._init,
            Op.LOOKUP: self._lookup,
            Op.GETATTR: self._getattr,
            Op.STATX: self._statx,
            Op.READLINK: self._readlink,
            Op.OPEN: self._open,
            Op.RELEASE: self._release,
            Op.READ: self._reads.read,
            Op.READDIR: self._readdir,
            Op.READDIRPLUS: self._readdir,
            Op.STATFS: self._statfs,
            Op.GETXATTR: self._getxattr,
            Op.LISTXATTR: self._listxattr,
            Op.INTERRUPT: self._interrupt,
            **dict.fromkeys(protocol.SILENT, lambda _: None),
            **dict.fromkeys(protocol.WRITES, lambda _: errno.EROFS),
        }
        self._poll = select.poll()
        self._poll.register(connection.fd, select.POLLIN)

    def adopt(self, sock: socket.socket, process: Forked) -> None:
        """Takes a worker that runs."""
        self._workers[0].adopt(sock, process)

    def run(self) -> None:
        """Until the file system is unmounted."""
        ask_again(self._connection.fd, self._ledger.flags, self._ledger.taken)
        if self._ledger.greeted:
            self._begin()
        full = False
        try:
            while not self._connection.closed:
                for fd, _ in self._poll.poll(self._patience()):
                    try:
                        self._turn(fd)
                    except Exception as error:
                        self._log.unexpected(self._spec.dataset, error)
                if full != self._reads.full:
                    full = not full
                    self._poll.modify(self._connection.fd, 0 if full else select.POLLIN)
        finally:
            self._reads.close()
            for worker in self._workers:
                worker.close()

    def _turn(self, fd: int) -> None:
        if fd != self._connection.fd:
            self._hear(fd)
        elif request := self._connection.receive():
            if self._notes_requests:
                self._ledger.take(request.unique, self._reads.oldest or request.unique)
            self._dispatch(request)

    def _patience(self) -> float | None:
        """Milliseconds until something is due by itself."""
        due = [seconds for seconds in (self._reads.expire(), self._files.sweep()) if seconds is not None]
        return min(due) * 1000 + 1 if due else None

    def _dispatch(self, request: protocol.Request) -> None:
        operation = self._operations.get(request.op)
        try:
            answer = operation(request) if operation else errno.ENOSYS
        except GotdataError as error:
            if not isinstance(error, NotFound):
                self._log(f"{self._files.name(request.node)}: {error}")
            answer = error.errno or errno.EIO
        except Exception as error:
            self._log.unexpected(f"{self._files.name(request.node)}: request {request.op}", error)
            answer = errno.EIO
        if answer is None:
            return
        if isinstance(answer, int):
            self._connection.refuse(request.unique, answer)
        elif not self._connection.reply(request.unique, answer) and request.op == Op.OPEN:
            self._opens.refused(request.node)

    def _send(self, request: Request) -> None:
        worker = self._workers[request.node % len(self._workers)]
        worker.send(request)
        self._listen(worker)

    def _hear(self, fd: int) -> None:
        worker = self._listening[fd]
        try:
            replies = worker.receive()
        finally:
            self._listen(worker)
        for reply in replies:
            self._reads.arrived(reply)

    def _listen(self, worker: Worker) -> None:
        """A worker that was started, again maybe, has another descriptor."""
        fd = worker.sock.fileno() if worker.sock else -1
        if self._listening.get(fd) is worker:
            return
        for old in [old for old, other in self._listening.items() if other is worker]:
            del self._listening[old]
            if old != self._connection.fd:
                self._poll.unregister(old)
        if fd >= 0:
            self._listening[fd] = worker
            self._poll.register(fd, select.POLLIN)

    def _init(self, request: protocol.Request) -> Answer:
        kernel = protocol.greeting(request.body)
        if kernel.major != protocol.MAJOR or kernel.minor < protocol.OLDEST:
            self._log(f"this kernel speaks FUSE {kernel.major}.{kernel.minor}; 7.{protocol.OLDEST} or later is needed")
            return errno.EPROTO
        again = self._ledger.greeted
        self._ledger.greet(kernel.minor, kernel.flags)
        self._opens = Opens(self._connection, self._ledger)
        self._connection.reply(request.unique, protocol.welcome(kernel))
        if not again:
            self._begin()
        return None

    def _begin(self) -> None:
        self._notes_requests = not self._ledger.flags & HAS_RESEND
        self._ready()
        # Now, so that the first reader need not wait for it.
        for worker in self._workers:
            worker.begin()
            self._listen(worker)

    def _lookup(self, request: protocol.Request) -> Answer:
        if len(request.body) > protocol.NAME_LIMIT + 1:
            return errno.ENAMETOOLONG
        try:
            node = self._tree.lookup(request.node, protocol.name(request.body))
        except NotFound:
            return protocol.NO_ENTRY
        return protocol.entry(node, self._owner)

    def _getattr(self, request: protocol.Request) -> Answer:
        return protocol.attributes(self._tree.node(request.node), self._owner)

    def _statx(self, request: protocol.Request) -> Answer:
        return protocol.statx(self._tree.node(request.node), self._owner)

    def _readlink(self, request: protocol.Request) -> Answer:
        return self._tree.node(request.node).target.encode("utf-8", "surrogateescape")

    def _open(self, request: protocol.Request) -> Answer:
        if protocol.open_flags(request.body) & os.O_ACCMODE != os.O_RDONLY:
            return errno.EROFS
        known = request.node in self._opens
        held = None if known else self._files.fresh(request.node).held
        return self._opens.open(request.unique, request.node, held)

    def _release(self, request: protocol.Request) -> Answer:
        self._opens.release(request.unique, request.node)
        return b""

    def _readdir(self, request: protocol.Request) -> Answer:
        offset, size = protocol.window(request.body)
        plus = request.op == Op.READDIRPLUS
        parts: list[bytes] = []
        for node, name, cookie in self._entries(request.node, offset):
            prefix = b""
            if plus:
                prefix = protocol.NO_ENTRY if cookie <= _DOTS else protocol.entry(node, self._owner)
            part = protocol.dirent(node.id, name, node.kind, cookie, prefix)
            size -= len(part)
            if size < 0:
                break
            parts.append(part)
        return b"".join(parts)

    def _entries(self, id: int, after: int) -> Iterator[tuple[Node, bytes, int]]:
        """A folder's entries after a cookie: `.` is 1, `..` is 2, a child its id + 1. No child's id is below 2."""
        if after < _DOTS:
            folder = self._tree.node(id)
            if after < 1:
                yield folder, b".", 1
            yield self._tree.node(folder.parent or id), b"..", _DOTS
        for node in self._tree.children(id, max(after - 1, 1)):
            yield node, node.name.encode("utf-8", "surrogateescape"), node.id + 1

    def _statfs(self, _: protocol.Request) -> Answer:
        return protocol.statfs(self._spec.bytes, self._spec.files)

    def _attributes(self, node: Node) -> dict[str, bytes]:
        # A weak identity names the origin, which may be hidden here.
        hidden = node.identity.startswith("weak:") and "user.gotdata.source" not in self._xattrs
        if node.kind is not Kind.FILE or hidden:
            return self._xattrs
        return {**self._xattrs, "user.gotdata.identity": node.identity.encode()}

    def _getxattr(self, request: protocol.Request) -> Answer:
        name = protocol.xattr_name(request.body)
        if not name.startswith("user.gotdata."):
            return errno.ENODATA
        value = self._attributes(self._tree.node(request.node)).get(name)
        return errno.ENODATA if value is None else _fit(value, protocol.xattr_size(request.body))

    def _listxattr(self, request: protocol.Request) -> Answer:
        names = b"".join(name.encode() + b"\0" for name in self._attributes(self._tree.node(request.node)))
        return _fit(names, protocol.xattr_size(request.body))

    def _interrupt(self, request: protocol.Request) -> Answer:
        self._reads.interrupt(protocol.interrupted(request.body))
        return None


_DOTS = 2


def _fit(value: bytes, room: int) -> bytes | int:
    if room == 0:
        return protocol.xattr_needed(len(value))
    return value if len(value) <= room else errno.ERANGE

"""How each inode is open: through the kernel's cache, or handed through to the store's file (passthrough).

The kernel fixes this from an inode's first OPEN to its last RELEASE, a memory map included; the other kind meanwhile
gives the reader EIO. So a file that becomes whole changes its kind when it is opened with nobody having it open.
"""

from __future__ import annotations

import contextlib
import errno

from gotdata.fuse import protocol
from gotdata.fuse.connection import Connection
from gotdata.fuse.ledger import Ledger
from gotdata.store.base import Held

_NO_FILE = -1
_CACHED = protocol.opened(protocol.Fopen.KEEP_CACHE)


class Opens:
    """All inodes that are open, as the ledger has them. Where the kernel takes no backing files, OPEN is refused once
    with ENOSYS: then it never asks again, nor says RELEASE, and small files open without a round trip."""

    def __init__(self, connection: Connection, ledger: Ledger) -> None:
        self._connection, self._ledger = connection, ledger
        offered = ledger.flags & protocol.Init.PASSTHROUGH
        self._passthrough = ledger.passthrough if offered else False

    def __contains__(self, node: int) -> bool:
        return node in self._ledger

    def open(self, unique: int, node: int, held: Held | None) -> bytes | int:
        """The answer to OPEN, or an errno. ``held`` is needed unless the inode is open already. Whoever sends the
        answer and learns that nobody wants it calls ``refused``."""
        backing = 0
        if node not in self._ledger:
            assert held is not None
            backing = self._back(held.fd if held.whole and not held.in_place else _NO_FILE)
            if self._passthrough is False:
                return errno.ENOSYS
        backing = self._ledger.open(unique, node, backing)
        return protocol.opened(protocol.Fopen.PASSTHROUGH, backing) if backing else _CACHED

    def release(self, unique: int, node: int) -> None:
        self._close(self._ledger.release(unique, node))

    def refused(self, node: int) -> None:
        self._close(self._ledger.refused(node))

    def _close(self, backing: int) -> None:
        if backing:
            with contextlib.suppress(OSError):  # the kernel may have let go of it with the whole connection
                self._connection.backing_close(backing)

    def _back(self, fd: int) -> int:
        """Hands a file over; 0 where that can't be. The first answer that tells something decides for good: rights are
        judged before the file is, so even no file at all can tell that they lack."""
        if self._passthrough is False or (self._passthrough and fd == _NO_FILE):
            return 0
        try:
            backing = self._connection.backing_open(fd)
        except OSError as error:
            if self._passthrough is None and error.errno != errno.EBADF:
                self._passthrough = self._ledger.passthrough = False
            return 0
        self._passthrough = self._ledger.passthrough = True
        return backing

"""One open /dev/fuse: requests in, answers and notices out. Answers may be given from any thread."""

from __future__ import annotations

import errno
import os
import sys

from gotdata.fuse import protocol

if sys.platform != "linux":
    raise ImportError("gotdata.fuse needs Linux")

import fcntl


class Connection:
    """``closed`` becomes true once the kernel has done with it: it was unmounted, or aborted."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self.closed = False
        self._buffer = bytearray(protocol.BUFFER)
        self._view = memoryview(self._buffer)

    def receive(self) -> protocol.Request | None:
        """The next request; None where there is none now, or no more."""
        try:
            os.readv(self.fd, [self._buffer])
        except OSError as error:
            # ENOENT: its caller died before we could read it.
            if error.errno not in (errno.EAGAIN, errno.EINTR, errno.ENOENT):
                self.closed = True
            return None
        return protocol.parse(self._view)

    def reply(self, unique: int, body: bytes = b"") -> bool:
        """Whether the kernel still wanted the answer. After a restart, or for an answer given twice, it doesn't."""
        try:
            return self._write(protocol.OUT_HEADER.pack(protocol.OUT_HEADER.size + len(body), 0, unique), body)
        except OSError as error:
            return self.refuse(unique, error.errno or errno.EIO)

    def refuse(self, unique: int, number: int) -> bool:
        """Answers with an errno."""
        return self._write(protocol.OUT_HEADER.pack(protocol.OUT_HEADER.size, -number, unique))

    def notify(self, code: protocol.Notify, body: bytes = b"") -> bool:
        """Tells the kernel something it did not ask for. INVAL_INODE waits for pages that are being read: never from
        the thread that answers READs."""
        return self._write(protocol.OUT_HEADER.pack(protocol.OUT_HEADER.size + len(body), code, 0), body)

    def _write(self, *parts: bytes) -> bool:
        try:
            os.writev(self.fd, parts)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENODEV, errno.ECONNABORTED):
                return False
            raise
        return True

    def backing_open(self, fd: int) -> int:
        """Hands a file to the kernel for passthrough; gives its id.

        Raises:
            OSError: EPERM without CAP_SYS_ADMIN in the first user namespace, ELOOP from a stacked file system such as
                overlayfs, ENOTTY before Linux 6.9.
        """
        return int(fcntl.ioctl(self.fd, protocol.BACKING_OPEN, bytearray(protocol.BACKING_MAP.pack(fd, 0, 0)), True))

    def backing_close(self, id: int) -> None:
        fcntl.ioctl(self.fd, protocol.BACKING_CLOSE, protocol.BACKING_ID.pack(id))

"""One file of a tree as Python's own kind of file."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from gotdata.errors import StoreError
from gotdata.model import Span
from gotdata.store.window import Window
from gotdata.tree.base import Lazy

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class TreeFile(io.RawIOBase):
    """Reads a file of a tree at any offset; what is missing in the store comes as it is read. Not for several threads
    at once, as no Python file is. Errors are those of ``Tree.read``."""

    def __init__(self, tree: Lazy, id: int, name: str) -> None:
        super().__init__()
        self.name = name
        self._tree, self._id = tree, id
        self._held = tree.held(id)
        self._window = Window()
        self._at = 0

    @property
    def size(self) -> int:
        return self._held.size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        if start + offset < 0:
            raise ValueError(f"{self.name}: can't seek before its start")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self.pread(Span(self._at, self._at + len(view)))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def pread(self, span: Span) -> bytes:
        """The bytes of ``span`` cut to the file's size. Raises ValueError where the file is closed."""
        if self.closed:
            raise ValueError(f"{self.name}: read of a closed file")
        span = Span(min(span.start, self.size), min(span.stop, self.size))
        data = self._held.pread(span)
        ahead = 0 if self._held.whole or self._held.in_place else self._window.read(span)
        if data is None or ahead:
            self._tree.ensure(self._id, span, ahead)
            data = self._held.pread(span)
        if data is None:
            raise StoreError(
                f"{self.name}: bytes {span.start}-{span.stop} went missing while they were read; try again"
            )
        return data

    def close(self) -> None:
        if not self.closed:
            self._held.close()
        super().close()

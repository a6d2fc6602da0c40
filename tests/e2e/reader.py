"""What runs in a container of a test: reads files whose content follows from their number, and compares every byte.
It needs nothing but Python. Until SIGTERM; then its report, as JSON, is on its output.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

BLOCK = 4096
"""Bytes in which a file's number and the block's own stand over and over: no two are equal."""
_PIECE = 256 << 10


def content(number: int, start: int, stop: int) -> bytes:
    """Bytes of the file ``NUMBER.bin``."""
    first, last = start // BLOCK, -(-stop // BLOCK)
    blocks = b"".join(b"%06x %08x" % (number, block) * (BLOCK // 15) + b"." for block in range(first, last))
    return blocks[start - first * BLOCK : stop - first * BLOCK]


class Reader:
    def __init__(self, folder: Path, news: Path, name: int) -> None:
        self._sizes = {int(path.stem): path.stat().st_size for path in sorted(folder.glob("*.bin"))}
        self._folder, self._name = folder, name
        self._news = os.open(news, os.O_WRONLY | os.O_NONBLOCK)
        self._random = random.Random(name)
        self._stop = False
        self.reads = self.bytes = 0
        self.wrong: list[str] = []
        signal.signal(signal.SIGTERM, self._end)

    def _end(self, *_: object) -> None:
        self._stop = True

    def run(self, way: str) -> None:
        ways: dict[str, Callable[[], Iterator[None]]] = {
            "sequential": self._sequential,
            "random": self._anywhere,
            "mapped": self._mapped,
            "held": self._held,
            "once": self._once,
        }
        try:
            for _ in ways[way]():
                with suppress(BlockingIOError):  # they are all told already
                    os.write(self._news, bytes([self._name]))
                if self._stop:
                    return
        except OSError as error:
            self.wrong.append(str(error))

    def _check(self, number: int, start: int, due: int, data: bytes) -> None:
        self.reads += 1
        self.bytes += len(data)
        stop = min(start + due, self._sizes[number])
        if data != content(number, start, stop):
            self.wrong.append(f"{number}: {len(data)} bytes at {start}, {stop - start} were due")

    def _open(self, number: int) -> int:
        return os.open(self._folder / f"{number:04}.bin", os.O_RDONLY)

    def _somewhere(self, number: int) -> tuple[int, int]:
        start = self._random.randrange(self._sizes[number])
        return start, min(self._random.randrange(1, 100_000), self._sizes[number] - start)

    def _sequential(self) -> Iterator[None]:
        """Opens each file anew, and has nothing left in the kernel's cache."""
        while True:
            for number in self._random.sample(sorted(self._sizes), len(self._sizes)):
                fd = self._open(number)
                _forget(fd)
                for start in range(0, self._sizes[number] + 1, _PIECE):
                    self._check(number, start, _PIECE, os.read(fd, _PIECE))
                    yield
                os.close(fd)

    def _anywhere(self) -> Iterator[None]:
        fds = {number: self._open(number) for number in self._sizes}
        while True:
            number = self._random.choice(list(fds))
            start, size = self._somewhere(number)
            _forget(fds[number])
            self._check(number, start, size, os.pread(fds[number], size, start))
            yield

    def _mapped(self) -> Iterator[None]:
        maps = {}
        for number, size in self._sizes.items():
            fd = self._open(number)
            maps[number] = fd, mmap.mmap(fd, size, prot=mmap.PROT_READ)
        while True:
            number = self._random.choice(list(maps))
            fd, mapped = maps[number]
            start, size = self._somewhere(number)
            mapped.madvise(mmap.MADV_DONTNEED)
            _forget(fd)
            self._check(number, start, size, mapped[start : start + size])
            yield

    def _held(self) -> Iterator[None]:
        """The descriptors of the beginning, each read on from where it was."""
        fds = {number: self._open(number) for number in self._sizes}
        while True:
            for number, fd in fds.items():
                start = os.lseek(fd, 0, os.SEEK_CUR)
                self._check(number, start, _PIECE, os.read(fd, _PIECE))
                if start >= self._sizes[number]:
                    os.lseek(fd, 0, os.SEEK_SET)
                    _forget(fd)
                yield

    def _once(self) -> Iterator[None]:
        for number, size in self._sizes.items():
            fd = self._open(number)
            self._check(number, 0, size, os.pread(fd, size + 1, 0))
            os.close(fd)
        yield


def _forget(fd: int) -> None:
    """So that the next read asks the server, or the store's file system."""
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def main(folder: str, news: str, name: str, way: str) -> None:
    reader = Reader(Path(folder), Path(news), int(name))
    reader.run(way)
    print(json.dumps({"reads": reader.reads, "bytes": reader.bytes, "wrong": reader.wrong[:5]}))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Threads that fetch. Daemons: a stalled network never keeps the program from ending."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from functools import partial as bind

Job = Callable[[], None]


class Pool:
    """Up to ``size`` threads, started when they are needed. A job must not raise, and has its submitter's context."""

    def __init__(self, size: int, name: str) -> None:
        self._size, self._name = max(1, size), name
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._closed = False

    def submit(self, job: Job) -> bool:
        """Whether it will be done: not once the pool was closed."""
        with self._changed:
            if self._closed:
                return False
            self._jobs.append(bind(copy_context().run, job))
            if self._idle < len(self._jobs) and len(self._threads) < self._size:
                thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._changed.notify()
            return True

    def close(self, patience: float = 1.0) -> None:
        """Drops what has not begun, and waits a little for what has."""
        with self._changed:
            self._closed = True
            self._jobs.clear()
            self._changed.notify_all()
        until = time.monotonic() + patience
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    @property
    def backlog(self) -> int:
        """Jobs that have not begun."""
        return len(self._jobs)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                self._changed.wait_for(lambda: self._jobs or self._closed)
                self._idle -= 1
                if not self._jobs:
                    return
                job = self._jobs.popleft()
            job()
            del job  # else an idle thread keeps its last file open

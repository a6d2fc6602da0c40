"""What a stage needs of the world, handed in and never global."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gotdata.reach import ANYWHERE, Reach
from gotdata.report import Reporter, silent
from gotdata.settings import Settings

if TYPE_CHECKING:
    from gotdata.credentials import Credentials
    from gotdata.origin import Wanted
    from gotdata.sources.http_engine import Engine
    from gotdata.store.base import Held


class Cache(Protocol):
    """The store, for a source that needs a file whole before it can read in it."""

    def whole(self, wanted: Wanted) -> Held:
        """As ``store.reader.Reader.whole``. The file's own origin must not ask for another by this: use ``peek``."""

    def peek(self, wanted: Wanted) -> Held | None:
        """The whole file where it is here already; the caller closes it."""


@dataclass(frozen=True, slots=True)
class Context:
    """``clock`` gives seconds that never go back. ``reach`` bounds what may be read of this machine, and what ``http``
    may ask. Without a ``cache`` everything is read where it lies."""

    settings: Settings
    credentials: Credentials
    http: Engine
    reporter: Reporter = silent
    clock: Callable[[], float] = time.monotonic
    reach: Reach = ANYWHERE
    cache: Cache | None = None

"""What a stage needs of the world, handed in and never global."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gotdata.reach import ANYWHERE, Reach
from gotdata.report import Reporter, silent
from gotdata.settings import Settings

if TYPE_CHECKING:
    from gotdata.credentials import Credentials
    from gotdata.sources.http_engine import Engine


@dataclass(frozen=True, slots=True)
class Context:
    """``clock`` gives seconds that never go back. ``reach`` bounds what may be read of this machine, and what ``http``
    may ask."""

    settings: Settings
    credentials: Credentials
    http: Engine
    reporter: Reporter = silent
    clock: Callable[[], float] = time.monotonic
    reach: Reach = ANYWHERE

"""An HTTP engine without waits, for tests of how it asks."""

from __future__ import annotations

from gotdata.credentials import Credential, Credentials
from gotdata.model import Span
from gotdata.settings import Settings
from gotdata.sources.http_engine import Engine

BODY = bytes(range(256)) * 256
SIZE = len(BODY)
PART = Span(1000, 3000)


class Clock:
    """Time that passes only while someone waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def engine(
    clock: Clock | None = None, held: Credentials | None = None, environ: dict[str, str] | None = None, **values: object
) -> Engine:
    clock = clock or Clock()
    chosen = Settings(**values)  # type: ignore[arg-type]
    return Engine(chosen, held or Credentials(), clock=clock, sleep=clock.sleep, environ=environ or {})


def held_for(url: str, name: str = "one") -> Credentials:
    return Credentials([Credential(url, f"cred:{name}", (("Authorization", f"Bearer {name}"), ("X-Api-Key", name)))])


def read(http: Engine, url: str, span: Span | None = None, **known: object) -> bytes:
    with http.get(url, span, **known) as stream:  # type: ignore[arg-type]
        return stream.readall()

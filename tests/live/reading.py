"""What every test against a real provider does: resolve, list, read a range and the whole, verify."""

from __future__ import annotations

from gotdata.context import Context
from gotdata.credentials import Credentials
from gotdata.digests import begin
from gotdata.model import Kind, Ref, Span
from gotdata.settings import Settings
from gotdata.sources.http_engine import Engine
from gotdata.testing.source_contract import follow


def check(ref: Ref, source: str, checks: str = "", largest: int = 16 << 20) -> None:
    """Reads the smallest file as a guest: it has the checksum ``checks``, and not more than ``largest`` bytes."""
    settings, nobody = Settings(), Credentials()
    ctx = Context(settings, nobody, Engine(settings, nobody))
    found, pin = follow(ref, ctx)
    assert found.name == source
    files = [file for file in found.files(pin, ctx) if file.kind is Kind.FILE and file.size]
    file = min(files, key=lambda one: one.size or 0)
    assert file.size is not None
    assert file.size <= largest, file
    with found.read(pin, file, Span(0, file.size), ctx) as stream:
        body = stream.readall()
    with found.read(pin, file, Span(file.size // 2, file.size), ctx) as stream:
        assert stream.readall() == body[file.size // 2 :]
    told = {one.algorithm: one.hex for one in file.checks}
    assert not checks or checks in told, f"{source} tells {sorted(told)} of {file.path}"
    for algorithm, wanted in told.items():
        hash = begin(algorithm, file.size)
        hash.update(body)
        assert hash.hexdigest() == wanted, algorithm

"""``gotdata plan``"""

from __future__ import annotations

from collections.abc import Iterator

import click

from gotdata.cli import verb, where
from gotdata.cli.call import Call
from gotdata.measure import count, size
from gotdata.outcome import Plan
from gotdata.paths import redact


@verb.verb("plan")
@click.argument("names", metavar="[NAME…|REF]", nargs=-1, shell_complete=verb.complete_names)
@verb.options
@verb.demand
@verb.as_json
def run(call: Call, names: tuple[str, ...], options: where.Options, demand: str | None) -> None:
    """Changes nothing: how many bytes would come before `up` returns, how many maybe later, from which hosts, by which
    delivery and why not a better one. All datasets, those named, or a reference that is in no manifest."""
    ref = where.named(call, names[0], options) if len(names) == 1 else None
    plans = [call.loose().plan(ref)] if ref else call.project().plan(names, demand=demand or "")
    call.answer(plans, lines(plans))


def lines(plans: list[Plan]) -> Iterator[str]:
    for one in plans:
        yield f"{one.name} → {one.to}  as {one.delivery}: {one.why}"
        yield f"  from {redact(one.reference)}"
        yield f"  {count(one.files, 'file')}, {size(one.bytes)}, {one.level}"
        hosts = ", ".join(one.hosts) or "this machine"
        yield f"  {size(one.fetch)} now and up to {size(one.lazy)} later, from {hosts}"
        for warning in one.warnings:
            yield f"  warning: {warning}"

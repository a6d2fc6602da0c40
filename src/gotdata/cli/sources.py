"""``gotdata sources``"""

from __future__ import annotations

from gotdata.cli import show, verb
from gotdata.cli.call import Call


@verb.verb("sources", exits=(0, 130))
@verb.as_json
def run(call: Call) -> None:
    """And for what it can't read yet, the command that installs what is missing."""
    known = call.loose().sources()
    rows = ((one.name, " ".join(f"{scheme}:" for scheme in one.schemes), one.missing or "ready") for one in known)
    call.answer(known, show.table(("SOURCE", "SCHEMES", "HERE"), rows))

"""The first page of help: every verb in a line. It needs no parser, so that ``gotdata --help`` is there at once."""

from __future__ import annotations

from textwrap import fill

COMPLETE = "_GOTDATA_COMPLETE"
"""The variable by which a shell's completion script asks."""

VERBS = {
    "init": "Write a commented gotdata.yml.",
    "add": "Add a dataset to gotdata.yml.",
    "import": "Add what another tool's file names.",
    "lock": "Pin what gotdata.yml refers to, in gotdata.lock.",
    "up": "Make the data appear at its place.",
    "down": "Take the data away from its place.",
    "bake": "Put a copy into the image that is being built.",
    "entrypoint": "Deliver, then start a container's command.",
    "daemon": "Serve the containers and users of this machine.",
    "run": "Have the data there as long as a command runs.",
    "fetch": "Bring now what is mounted lazily.",
    "status": "Say what is up, and how much of it is here.",
    "plan": "Say what `up` would do, and why.",
    "diff": "Show how the data changed, as a code review does.",
    "ls": "List a folder of a dataset or reference.",
    "cat": "Write a file of a dataset or reference to standard output.",
    "get": "Download a reference: parallel, resumed, verified.",
    "export": "Write what is locked as Croissant or Data Package.",
    "verify": "Read what is here again, against the lock.",
    "cache": "Look after the store of this machine.",
    "login": "Store a credential, or say what is known.",
    "sources": "Say what this install can read.",
    "doctor": "Find out what this machine can do, by doing it.",
    "policy": "Say what the operator's rules allow.",
    "schema": "Print the JSON Schema of gotdata.yml, for editors.",
    "completion": "Print the completion script of a shell.",
}

DONE, FAILED, INTERRUPTED = 0, 1, 130
"""What no error of ``gotdata.errors`` or of the parser brings with it."""

EXITS = {
    DONE: "done",
    FAILED: "failed",
    2: "usage or manifest",
    3: "drift or mismatch",
    4: "source unavailable (try again)",
    5: "not allowed",
    INTERRUPTED: "interrupted",
}

OPTIONS = {
    "-C DIR": "act as if started in DIR",
    "--store PATH": "the folder of the store (else $GOTDATA_STORE, else the cache folder)",
    "-q, --quiet": "no progress; warnings and errors remain",
    "--debug": "show tracebacks (or set GOTDATA_DEBUG)",
    "--version": "print the version",
    "-h, --help": "print this; after a verb, its help",
}


def exits(codes: tuple[int, ...] = tuple(EXITS)) -> str:
    """The exit codes as every help ends: ``0 done, 1 failed, …``."""
    return ", ".join(f"{code} {EXITS[code]}" for code in codes)


def page() -> str:
    rows = [*VERBS.items(), ("", ""), *OPTIONS.items()]
    width = max(len(left) for left, _ in rows) + 2
    table = "\n".join(f"  {left:{width}}{right}".rstrip() for left, right in rows)
    return (
        "Usage: gotdata [OPTIONS] VERB [ARGS]…\n\n"
        "Data appears where gotdata.yml says: the same path, the same bytes, read-only.\n\n"
        f"{table}\n\n{fill(f'Exit codes: {exits()}', 100)}\n"
    )

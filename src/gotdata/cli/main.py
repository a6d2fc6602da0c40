"""The way into the command line, and out: every exit code is decided here."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gotdata.cli import front
from gotdata.cli.front import DONE, FAILED, INTERRUPTED

if TYPE_CHECKING:
    from gotdata.cli.call import Call


def main() -> int:
    code = DONE
    for stream in (sys.stdout, sys.stderr):
        # A console that has no → gets \u2192, not a crash.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code = _answer(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:  # before it could be told from others
        code = INTERRUPTED
    except BrokenPipeError:
        # Python flushes once more at its end, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _answer(args: list[str]) -> int:
    if front.COMPLETE not in os.environ and args in ([], ["-h"], ["--help"]):
        print(front.page(), end="")
        return DONE
    from gotdata.cli.call import Call

    call = Call()
    signal.signal(signal.SIGINT, call.interrupt)
    return run(args, call)


def run(args: Sequence[str], call: Call) -> int:
    """Does what ``args`` say and gives the exit code. No exception leaves it."""
    try:
        import click

        from gotdata.cli.root import complete, root

        if instruction := os.environ.get(front.COMPLETE):
            return complete(instruction)
        try:
            with call, root.make_context("gotdata", list(args), obj=call) as context:
                root.invoke(context)
            return DONE
        except click.exceptions.Exit as done:
            return done.exit_code
        except click.ClickException as wrong:
            wrong.show()
            return wrong.exit_code
        except Exception as error:
            return _failed(error, call)
    except KeyboardInterrupt:
        print("gotdata: interrupted", file=sys.stderr)
        return INTERRUPTED


def _failed(error: Exception, call: Call) -> int:
    from gotdata.errors import GotdataError

    if isinstance(error, BrokenPipeError):
        return DONE  # Whoever read the answer had enough of it.
    if call.debug:
        import traceback

        traceback.print_exc()
    if isinstance(error, GotdataError):
        call.refuse(error)
        return error.exit_code
    if isinstance(error, OSError):
        call.refuse(GotdataError(str(error)))
    else:
        what = f"{type(error).__name__}: {error}"
        call.refuse(GotdataError(f"{what}\nThis is a fault of gotdata. Please report it with what --debug prints."))
    return FAILED

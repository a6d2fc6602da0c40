"""One call of the command line: its flags, what it opened, and how it answers."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self

from gotdata.cli import front
from gotdata.paths import redact, shown

if TYPE_CHECKING:
    from gotdata.errors import GotdataError
    from gotdata.loose import Loose
    from gotdata.progress import Progress
    from gotdata.project import Project

GRACE = 10.0
"""Seconds in which an interrupted verb cleans up."""


def _project(flags: Mapping[str, Any], reporter: Progress, bounded: bool) -> Project:
    from gotdata.project import Project

    return Project.find(Path(), flags, reporter, bounded)


def _loose(flags: Mapping[str, Any], reporter: Progress) -> Loose:
    from gotdata.loose import Loose

    return Loose.open(flags, reporter)


@dataclass(slots=True)
class Call:
    """What the verbs are handed. It closes what it opened. ``find_project`` and ``open_loose`` are how it reaches the
    project, and what needs none."""

    flags: dict[str, Any] = field(default_factory=dict)
    quiet: bool = False
    debug: bool = False
    json: bool = False
    find_project: Callable[[Mapping[str, Any], Progress, bool], Project] = _project
    open_loose: Callable[[Mapping[str, Any], Progress], Loose] = _loose
    _progress: Progress | None = None
    _opened: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()
        self._opened.close()

    def interrupt(self, *_: object) -> NoReturn:
        """Ctrl-C, as a handler of signals. What waits for a server is woken, so that it can clean up; what does not end
        even then does not keep the process."""
        threading.Thread(target=self._give_up, daemon=True).start()
        raise KeyboardInterrupt

    def _give_up(self) -> None:
        threading.Thread(target=self._opened.close, daemon=True).start()
        threading.main_thread().join(GRACE)
        if threading.main_thread().is_alive():
            print("gotdata: interrupted", file=sys.stderr)
        os._exit(front.INTERRUPTED)

    def project(self, bounded: bool = False) -> Project:
        """``bounded``: see ``Project.find``."""
        return self._opened.enter_context(self.find_project(self.flags, self.progress, bounded))

    def loose(self) -> Loose:
        return self._opened.enter_context(self.open_loose(self.flags, self.progress))

    @property
    def progress(self) -> Progress:
        if self._progress is None:
            from gotdata.progress import on

            self._progress = on(sys.stderr, quiet=self.quiet)
        return self._progress

    def clear(self) -> None:
        """Takes the progress off the terminal. It comes back when something else is reported."""
        if self._progress is not None:
            self._progress.close()
            self._progress = None

    def answer(self, found: Any, lines: Iterable[str]) -> None:
        """Prints ``found`` as one JSON document where that is asked for, else the lines for people: whatever remotes
        and locks put into them, a terminal obeys none of it."""
        self.clear()
        # A reader who has enough and goes away changes nothing about how the verb ends.
        with suppress(BrokenPipeError):
            if self.json:
                write_json(found)
            else:
                for line in lines:
                    print(shown(line))
            sys.stdout.flush()

    def refuse(self, error: GotdataError) -> None:
        """Prints an error on standard error, as JSON where the answer would have been JSON."""
        self.clear()
        if self.json:
            said = {
                "error": type(error).__name__,
                "exit_code": error.exit_code,
                "message": redact(str(error)),
                "transient": error.transient,
            }
            print(json.dumps(said), file=sys.stderr)
        else:
            for line in str(error).splitlines():
                print(f"gotdata: {redact(line)}", file=sys.stderr)


def write_json(found: Any) -> None:
    """A list is written with a line for each of its elements, as they come."""
    if isinstance(found, Mapping) or is_dataclass(found):
        print(json.dumps(plain(found), indent=2))
        return
    before = "[\n"
    for value in found:
        sys.stdout.write(before + json.dumps(plain(value)))
        before = ",\n"
    print("[]" if before == "[\n" else "\n]")


def plain(value: Any) -> Any:
    """A value of ``outcome`` as JSON has it: keys are the names of its fields, ``delivery`` is ``as`` as in the
    manifest."""
    if is_dataclass(value):
        return {
            "as" if item.name == "delivery" else item.name: plain(getattr(value, item.name)) for item in fields(value)
        }
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value

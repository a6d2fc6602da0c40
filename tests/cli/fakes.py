"""A project, and what needs none, that answer what a test gives them, and remember what they were asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from gotdata.cli.call import Call
from gotdata.cli.main import run


@dataclass
class Fake:
    """``answers``: by a method's name, what it gives, or the error that it raises."""

    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    closed: int = 0

    def __getattr__(self, name: str) -> Any:
        def asked(*given: Any, **named: Any) -> Any:
            self.asked.append((name, *given, named))
            answer = self.answers[name]
            if isinstance(answer, BaseException):
                raise answer
            return answer

        return asked

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed += 1


@dataclass
class FakeManifest:
    data: Mapping[str, Any]


class FakeProject(Fake):
    manifest = FakeManifest({"cells": None, "mice": None})


@dataclass
class Said:
    code: int
    raw: bytes
    raw_err: bytes

    @property
    def err(self) -> str:
        return self.raw_err.decode()

    @property
    def out(self) -> str:
        return self.raw.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Line:
    """The command line, with a project and a loose workbench of ours."""

    capsys: pytest.CaptureFixture[bytes]
    project: FakeProject = field(default_factory=FakeProject)
    loose: Fake = field(default_factory=Fake)
    found: list[tuple[Any, ...]] = field(default_factory=list)

    def __call__(self, *args: str, start: Path = Path()) -> Said:
        def find_project(flags: Mapping[str, Any], reporter: Any, bounded: bool) -> Any:
            self.found.append((Path.cwd(), dict(flags)))
            return self.project

        def open_loose(flags: Mapping[str, Any], reporter: Any) -> Any:
            self.found.append((Path.cwd(), dict(flags)))
            return self.loose

        with chdir(start):
            code = run(args, Call(find_project=find_project, open_loose=open_loose))
        return Said(code, *self.capsys.readouterr())

from __future__ import annotations

import pytest

from tests.cli.fakes import Line


@pytest.fixture
def gotdata(capsysbinary: pytest.CaptureFixture[bytes]) -> Line:
    return Line(capsysbinary)

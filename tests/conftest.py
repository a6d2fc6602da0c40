"""What all tests share: a machine that nobody's files, settings or keys leak into, and a list of what could not run."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.e2e import engine as engines

hypothesis.settings.register_profile("gotdata", deadline=None, print_blob=True)
hypothesis.settings.register_profile("campaign", deadline=None, print_blob=True, max_examples=5_000)
hypothesis.settings.load_profile("gotdata")

_PEOPLES_OWN = ("GOTDATA_", "AWS_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(scope="session", autouse=True)
def _nobodys_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.upper().startswith(_PEOPLES_OWN):
                patch.delenv(name)
        for name, folder in {"HOME": "", "XDG_CACHE_HOME": ".cache", "XDG_CONFIG_HOME": ".config"}.items():
            patch.setenv(name, str(home / folder))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store, for this test alone."""
    folder = tmp_path_factory.mktemp("store")
    monkeypatch.setenv("GOTDATA_STORE", str(folder))
    return folder


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[engines.Engine]:
    """A real container engine, shared by all tests: name what is made there after the test, and remove it."""
    with engines.shared(tmp_path_factory) as shared:
        yield shared


@pytest.fixture(scope="module")
def engine_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gotdata-engine-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def own_engine(engine_folder: Path) -> Iterator[engines.Engine]:
    """An engine for the tests of one module that make volumes: an engine asks each driver that it ever met, for 15
    seconds where that one answers no more. It has no way to other networks, and so builds no images."""
    with engines.dockerd(engine_folder, *engines.ALONE) as own:
        engines.have_image(own)
        yield own


@pytest.fixture(scope="module")
def drivers() -> Iterator[None]:
    """As ``engines.drivers``, for all tests of a module: that have drivers, or whose engine must meet none."""
    with engines.drivers():
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    if reasons:
        terminalreporter.section("could not run here")
        for reason, count in reasons.most_common():
            terminalreporter.write_line(f"{count:4} skipped: {reason or 'NO REASON GIVEN'}")

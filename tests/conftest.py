"""What all tests share: a machine that nobody's files, settings or keys leak into, and a list of what could not run."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from gotdata.testing.conformance import Table
from tests.e2e import engine as engines

hypothesis.settings.register_profile("gotdata", deadline=None, print_blob=True)
hypothesis.settings.register_profile("campaign", deadline=None, print_blob=True, max_examples=5_000)
hypothesis.settings.load_profile("gotdata")

collect_ignore = [] if os.environ.get("GOTDATA_LIVE") else ["live"]
"""What asks the real providers: `make live`."""

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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-table", action="store_true", help="write the conformance table that this run shows")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Conformance(config))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Notes what a test of a contract suite shows, where it may run beside others."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if isinstance(item, pytest.Function):
        if item.cls and (columns := getattr(item.function, "shows", ())):
            report.user_properties.append(("shows", (item.cls.source.name, item.cls.against, columns)))
        if client := getattr(item.module, "CLIENT", None):
            report.user_properties.append(("client", client))


class Conformance:
    """Makes the conformance table of what the tests showed, or holds the page to it."""

    page = Path(__file__).parents[1] / "docs" / "sources" / "index.md"

    def __init__(self, config: pytest.Config) -> None:
        self.config, self.table = config, Table()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped or (report.when != "call" and report.passed):
            return
        for kind, value in report.user_properties:
            if kind == "shows":
                source, against, columns = value  # type: ignore[misc]
                self.table.note(source, against, tuple(columns), report.passed)
            elif kind == "client" and report.passed:
                source, package = value  # type: ignore[misc]
                self.table.clients[source].add(package)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.config.option.write_table:
            self.page.write_text(self.table.written(self.page.read_text("utf-8")), "utf-8")
        elif self._broken() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if broken := self._broken():
            terminalreporter.section("docs/sources/index.md says otherwise: `make conformance` writes it anew")
            terminalreporter.write_line("\n".join(broken))

    def _broken(self) -> list[str]:
        """Of a run of all tests."""
        whole = self.config.args == ["tests"] and not self.config.option.keyword
        return self.table.broken(self.page.read_text("utf-8")) if whole else []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    if reasons:
        terminalreporter.section("could not run here")
        for reason, count in reasons.most_common():
            terminalreporter.write_line(f"{count:4} skipped: {reason or 'NO REASON GIVEN'}")

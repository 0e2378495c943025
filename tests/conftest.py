"""A ROS 2 domain for each test session, and no test skipped unseen."""

import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from sim_training.demos.ros_domain import TEST_DOMAINS, claim_domain

# Set by `make test`: a missing rclpy, or a skipped test, is then a failure.
REQUIRE_ROS = "SAC_ROS_REQUIRE_ROS"
# The one file that needs what PyPI does not have: ROS 2's launch.
MAY_SKIP = "tests/package/test_launch_files.py"


class SkipWatch:
    """Fails the session if a test was skipped that must run."""

    def __init__(self) -> None:
        self.skipped: list[str] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not hasattr(report, "wasxfail"):
            self._note(report)

    def _note(self, report: pytest.CollectReport | pytest.TestReport) -> None:
        if report.skipped and not report.nodeid.startswith(MAY_SKIP):
            self.skipped.append(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.skipped and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.skipped:
            terminalreporter.section(f"skipped although {REQUIRE_ROS}=1: this run fails", red=True)
            for nodeid in self.skipped:
                terminalreporter.line(nodeid)


@pytest.fixture(autouse=True)
def ros_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of ROS for each test: an emergency stop outlives its node, but not its test."""
    home = tmp_path_factory.mktemp("ros_home")
    monkeypatch.setenv("ROS_HOME", str(home))
    return home


def missing_ros() -> str | None:
    """Return why rclpy cannot be imported, or None if it can."""
    try:
        importlib.import_module("rclpy")
    except ImportError as error:
        return str(error)
    return None


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get(REQUIRE_ROS) != "1":
        return
    if (reason := missing_ros()) is not None:
        raise pytest.UsageError(
            f"{REQUIRE_ROS}=1, but rclpy cannot be imported: {reason};"
            " pip install -e '.[ros]', or source your ROS 2"
        )
    config.pluginmanager.register(SkipWatch())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if (reason := missing_ros()) is not None:
        for item in items:
            if item.get_closest_marker("ros"):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def isolated_ros() -> Iterator[None]:
    """Keep this session's nodes, and the logs they write, to itself."""
    domain, claim = claim_domain(TEST_DOMAINS)
    with claim, tempfile.TemporaryDirectory() as logs, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(domain))
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        patch.setenv("ROS_LOG_DIR", logs)
        yield


# How fast this machine is says nothing about a property.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

# Before a test file imports torch or matplotlib: two threads on two busy cores are slower than one,
# and there may be no screen.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(autouse=True)
def denormal_numbers() -> Iterator[None]:
    """Take back that training in this process flushes them: other tests draw them."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)

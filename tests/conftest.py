"""What holds for every test: no network, long ones only on request, and skipped tests are summarised by reason."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import pytest
from support import needs

with suppress(ImportError):
    import pyproj  # noqa: F401  before ecCodes: docs/laptop.md

collect_ignore = ["kube", "support"]  # imported by tests, with libraries that may not be installed

_LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0")

MUST_RUN_ALL = "HRRR_DASK_MUST_RUN_ALL_TESTS"
"""Environment variable: a skipped test is a failure. For CI, which has all that tests need."""

LONG = (
    "tests/archive/test_messages.py",
    "tests/audit/test_verify.py",
    "tests/benchmark_scripts/",
    "tests/decode/test_numba_engine.py",
    "tests/end_to_end/",
    "tests/events/",
    "tests/faults/",
    "tests/job/test_loop.py",
    "tests/kubernetes/",
    "tests/read/test_forks.py",
    "tests/read/test_plain_xarray.py",
    "tests/report/test_heatmap.py",
    "tests/tables/",
    "tests/telemetry/",
    "tests/test_demo.py",
    "tests/test_notebooks.py",
)
"""Tests with clusters, servers, kernels, kills and measurements, and the notebooks: most of the time of all tests."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that runs every test."""
    parser.addoption("--all", action="store_true", help="also run the tests that take long, as CI does")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the tests that take long, unless they are wanted; then they come first, so that none is late at the end."""
    if config.getoption("--all"):
        items.sort(key=lambda item: not item.nodeid.startswith(LONG))
    else:
        for item in items:
            if item.nodeid.startswith(LONG):
                item.add_marker(pytest.mark.skip(reason=needs.LONG))


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    """Make any connection beyond this machine an error."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else "127."  # a path is a local socket
        if not str(host).startswith(_LOOPBACK):
            raise AssertionError(f"a test connected to {host}: tests stay on this machine")
        connect(self, address)  # type: ignore[arg-type]

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", guarded)
    yield
    patch.undo()


def _skipped(terminalreporter: pytest.TerminalReporter) -> Counter[str]:
    """Reason to the number of tests, or of whole modules, that were skipped for it."""
    return Counter(
        report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else str(report.longrepr)
        for report in terminalreporter.stats.get("skipped", ())
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line for each reason for which tests were skipped."""
    for reason, number in _skipped(terminalreporter).most_common():
        terminalreporter.write_line(
            f"skipped: {number} {'test or module' if number == 1 else 'tests or modules'}: {reason}"
        )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where nothing may be skipped."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get(MUST_RUN_ALL) and reporter is not None and _skipped(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED

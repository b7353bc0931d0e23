"""Rules for the whole test run: what is left out is named, and in a complete run nothing may be left out."""

from collections.abc import Generator

import pytest
from hypothesis import settings

from tests import needs

settings.register_profile("steady", deadline=None, derandomize=True)  # the same examples everywhere, and no clock as a judge
settings.load_profile("steady")

ON_REQUEST = ("container", "slow")
"""Markers of tests that run only when -m asks for them."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what runs only on request."""
    asked = str(config.getoption("markexpr"))
    waiting = [mark for mark in ON_REQUEST if mark not in asked]
    left_out = [item for item in items if any(item.get_closest_marker(mark) for mark in waiting)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure when every test has to run."""
    report = yield
    if needs.complete_run() and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in a run in which nothing may be left out: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn the skip of a whole file into an error when every test has to run."""
    report = yield
    if needs.complete_run() and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped in a run in which nothing may be left out: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was left out, with the number of tests, before the closing line."""
    reasons: dict[str, int] = {}
    for report in terminalreporter.getreports("skipped"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[reason] = reasons.get(reason, 0) + 1
    if reasons:
        terminalreporter.section("left out")
        for reason, count in sorted(reasons.items()):
            terminalreporter.write_line(f"{count:4} tests: {reason.removeprefix('Skipped: ')}")

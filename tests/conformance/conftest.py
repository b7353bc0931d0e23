"""Chooses whom the facts are asked of: the emulator, or with NOVA_SONIC_REMOTE=1 Bedrock."""

import json
import os
from collections import Counter
from collections.abc import Generator
from datetime import UTC, datetime

import pytest

from tests.conformance.facts import FACTS, Remote
from tests.conformance.page import RESULTS
from tests.conformance.target import BedrockTarget, LocalTarget, Target

IS_REMOTE = os.environ.get("NOVA_SONIC_REMOTE") == "1"
IS_PATIENT = os.environ.get("NOVA_SONIC_REMOTE_SLOW") == "1"
_OUTCOMES: dict[str, str] = {}
"""What the facts came to: yes, no or not checked."""


def _is_asked(fact_id: str) -> bool:
    fact = next(fact for fact in FACTS if fact.id == fact_id)
    if not IS_REMOTE:
        return not fact.unchecked
    return fact.remote is Remote.CHEAP or (fact.remote is Remote.SLOW and IS_PATIENT)


def _fact_of(item: pytest.Item) -> str | None:
    if not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
        return None
    found = item.callspec.params.get("fact_id")
    return None if found is None else str(found)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the facts that this target can be asked for."""
    left_out = [item for item in items if (fact_id := _fact_of(item)) is not None and not _is_asked(fact_id)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def target() -> Target:
    """Return whom to ask."""
    return BedrockTarget() if IS_REMOTE else LocalTarget()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Take note of what Bedrock said to a fact."""
    report = yield
    fact_id = _fact_of(item)
    if fact_id is not None and (report.when == "call" or report.skipped):
        if report.passed:
            _OUTCOMES[fact_id] = "yes"
        elif call.excinfo is not None and call.excinfo.errisinstance((AssertionError, TimeoutError)):
            _OUTCOMES[fact_id] = "no"
        else:
            _OUTCOMES[fact_id] = "not checked"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line how many facts hold."""
    if _OUTCOMES:
        counts = Counter(_OUTCOMES.values())
        where = "Bedrock" if IS_REMOTE else "the emulator"
        words = f"{counts['yes']} as believed, {counts['no']} not, {counts['not checked']} not checked, of {len(FACTS)}"
        terminalreporter.write_line(f"facts about the stream, asked of {where}: {words}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Keep what Bedrock said."""
    del session
    if IS_REMOTE and _OUTCOMES and not os.environ.get("AWS_ENDPOINT_URL_BEDROCK_RUNTIME"):  # what another endpoint says proves nothing
        before = json.loads(RESULTS.read_text(encoding="utf-8"))["facts"] if RESULTS.is_file() else {}
        result = {"date": datetime.now(UTC).date().isoformat(), "facts": dict(sorted((before | _OUTCOMES).items()))}
        RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

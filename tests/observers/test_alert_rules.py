"""Alerts for people who run the server: raised once when something is too much, and again only after a quiet time."""

import asyncio
import re
from datetime import UTC, datetime

import pytest

from observers.alert_rules import AlertRules, AlertWatch, Rule, rules
from publishing.events import Alert, Severity
from session.events import EndReason, SessionEnded, SessionFailed
from telemetry.counters import Counters
from tests.project.tree import product_files

AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
TABLE = (Rule("thing_failed", "things_failing", "Things fail.", 3, 60.0), Rule("session_failed", "sessions_failing", "Fail.", 2, 60.0))


class Desk:
    """Takes alerts."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self.came = asyncio.Event()

    def send(self, alert: Alert) -> None:
        self.alerts.append(alert)
        self.came.set()


class Clock:
    """Monotonic seconds, moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def raised(times: list[float], quiet_seconds: float = 900.0) -> list[float]:
    """Return when an alert is raised of things that fail at these seconds."""
    applied = AlertRules(TABLE, quiet_seconds)
    return [now for now in times if applied.counted("thing_failed", 1, now, AT) is not None]


def test_an_alert_is_raised_when_its_limit_is_reached() -> None:
    assert raised([0, 10, 20]) == [20]


def test_what_is_spread_over_a_longer_time_raises_none() -> None:
    assert raised([0, 40, 80, 120, 160]) == []


def test_the_beginning_of_the_window_does_not_count() -> None:
    assert raised([0, 30, 60]) == []
    assert raised([0, 30, 59.9]) == [59.9]


def test_an_alert_is_raised_again_after_the_quiet_time_alone() -> None:
    assert raised([0, 1, 2, 3, 50, 100, 101, 102, 103, 104], quiet_seconds=100) == [2, 102]


def test_many_at_once_count_as_many() -> None:
    assert AlertRules(TABLE).counted("thing_failed", 7, 0.0, AT) is not None
    assert AlertRules(TABLE).counted("thing_failed", 0, 0.0, AT) is None
    assert AlertRules(TABLE).counted("unknown", 7, 0.0, AT) is None


def test_each_code_of_a_session_is_counted_apart() -> None:
    desk, clock = Desk(), Clock()
    watch = AlertWatch(AlertRules(TABLE), desk, Counters(), clock, wall=lambda: AT)
    for code in ("a", "b", "c", "b"):
        watch.on_event("s", SessionFailed(code, "text", retryable=True))
    watch.on_event("s", SessionEnded(EndReason.FAILED))

    assert [(alert.code, alert.details["detail"], alert.details["count"]) for alert in desk.alerts] == [("sessions_failing", "b", "2")]


def test_counters_are_compared_with_what_they_were() -> None:
    desk, clock, counters = Desk(), Clock(), Counters()
    counters.add("thing_failed", 2)
    watch = AlertWatch(AlertRules(TABLE), desk, counters, clock, wall=lambda: AT)
    watch.look()
    watch.look()
    counters.add("thing_failed", 1)
    watch.look()

    assert [alert.details["count"] for alert in desk.alerts] == ["3"]


async def test_the_watch_looks_by_itself_and_ends() -> None:
    desk, counters = Desk(), Counters()
    looked = asyncio.Semaphore(0)

    class Noted(Counters):
        def read(self) -> dict[str, int]:
            looked.release()
            return counters.read()

    watch = AlertWatch(AlertRules(TABLE), desk, Noted(), Clock(), look_seconds=0.0)
    await watch.aclose()
    watch.start()
    async with asyncio.timeout(5):
        for _ in range(3):
            await looked.acquire()
        counters.add("thing_failed", 3)
        await desk.came.wait()
    await watch.aclose()

    assert [alert.code for alert in desk.alerts] == ["things_failing"]


@pytest.mark.parametrize("counted", ["model_away", "event_lost", "conversation_turn_lost", "audit_entry_dropped"])
def test_what_must_never_happen_is_critical_at_once(counted: str) -> None:
    alert = AlertRules(rules(5)).counted(counted, 1, 0.0, AT)

    assert alert is not None
    assert alert.severity is Severity.CRITICAL


def test_every_rule_has_a_limit_and_names_its_counter_once() -> None:
    table = rules(5)

    assert len({rule.counted for rule in table}) == len(table)
    assert all(rule.at_least >= 1 and rule.window_seconds > 0 for rule in table)
    assert AlertRules(table).counted("session_failed", 4, 0.0, AT, "x") is None
    assert AlertRules(table).counted("session_failed", 5, 0.0, AT, "x") is not None


def test_every_counter_of_a_rule_is_counted_somewhere() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in product_files() if path.name != "alert_rules.py")
    lines = {f"{name}_{end}" for name in re.findall(r"Backlog\(\s*\"(\w+)\"", text) for end in ("lost", "refused")}
    counted = lines | set(re.findall(r"counters\.add\(\s*\"(\w+)\"", text))

    assert [name for name in AlertRules(rules(5)).counters if name not in counted] == []

"""Raises alerts for people who run the server: one table of what is counted, and how much of it is too much.

An alert is raised once when its limit is reached, and again only after a quiet time in which it would have been raised anew.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from publishing.events import Alert, Severity
from publishing.interfaces import AlertSender
from session.events import SessionEvent, SessionFailed
from telemetry.counters import Counters

LOOK_SECONDS: Final = 10.0
"""How often the counters are looked at."""
QUIET_SECONDS: Final = 900.0
MOST_REMEMBERED: Final = 10_000
SESSION_FAILED: Final = "session_failed"


@dataclass(frozen=True, slots=True)
class Rule:
    """When something that is counted is too much."""

    counted: str
    """`session_failed`, of each code apart, or a counter of the process."""
    code: str
    """Of the alert."""
    message: str
    at_least: int
    """How many within the window."""
    window_seconds: float
    severity: Severity = Severity.WARNING


def rules(failures: int) -> tuple[Rule, ...]:
    """Return the table.

    Args:
        failures: sessions that fail with one code within five minutes, at which somebody should look.
    """
    lost = "Records were lost, because their store was away for longer than what waits has room."
    refused = "Records were left out, because their store never takes them as they are."
    return (
        Rule(SESSION_FAILED, "sessions_failing", "Conversations fail, and all with the same code.", failures, 300.0),
        Rule("model_away", "model_unavailable", "The model does not answer: new conversations are refused.", 1, 60.0, Severity.CRITICAL),
        Rule("stream_throttled", "model_throttled", "The model's service refuses streams: the quota is too small.", 20, 300.0),
        Rule("auth_refused", "many_refused_tokens", "Many clients come with tokens that are not accepted.", 100, 300.0),
        Rule("recording_failed", "recordings_failing", "A recording of a conversation could not be stored whole.", 1, 60.0),
        *(
            Rule(name, "records_lost", lost, 1, 60.0, Severity.CRITICAL)
            for name in (
                "connection_record_dropped",
                "audit_entry_dropped",
                "conversation_turn_lost",
                "voice_session_lost",
                "event_lost",
                "alert_lost",
            )
        ),
        Rule(
            "recording_dropped_ms", "recordings_incomplete", "Recordings are silent where their sound could not be stored in time.", 1, 60.0
        ),
        *(
            Rule(name, "records_refused", refused, 1, 60.0)
            for name in ("conversation_turn_refused", "voice_session_refused", "event_refused", "event_unwritable", "alert_refused")
        ),
    )


class _Window:
    """What was counted of one thing lately."""

    __slots__ = ("counted", "quiet_until")

    def __init__(self) -> None:
        self.counted: deque[tuple[float, int]] = deque(maxlen=MOST_REMEMBERED)
        self.quiet_until = float("-inf")

    def add(self, amount: int, now: float, seconds: float) -> int:
        """Count something; return how much it is within the last seconds."""
        self.counted.append((now, amount))
        while self.counted and self.counted[0][0] <= now - seconds:
            self.counted.popleft()
        return sum(amount for _, amount in self.counted)


class AlertRules:
    """Applies the table. Pure: the time is an argument.

    Args:
        table: the rules.
        quiet_seconds: how long an alert is not raised again.
    """

    def __init__(self, table: tuple[Rule, ...], quiet_seconds: float = QUIET_SECONDS) -> None:
        self._rules = {rule.counted: rule for rule in table}
        self._quiet_seconds = quiet_seconds
        self._windows: dict[tuple[str, str], _Window] = {}

    @property
    def counters(self) -> tuple[str, ...]:
        """Names of the counters that have a rule."""
        return tuple(name for name in self._rules if name != SESSION_FAILED)

    def counted(self, name: str, amount: int, now: float, at: datetime, detail: str = "") -> Alert | None:
        """Take note of something that happened, and return the alert if it is too much.

        Args:
            name: what is counted.
            amount: how often it happened.
            now: monotonic seconds.
            at: UTC wall time.
            detail: counted apart from others; one of few.
        """
        rule = self._rules.get(name)
        if rule is None or amount <= 0:
            return None
        window = self._windows.setdefault((name, detail), _Window())
        total = window.add(amount, now, rule.window_seconds)
        if total < rule.at_least or now < window.quiet_until:
            return None
        window.quiet_until = now + self._quiet_seconds
        details = {"counted": name, "count": str(total), "seconds": f"{rule.window_seconds:.0f}"} | ({"detail": detail} if detail else {})
        return Alert(code=rule.code, message=rule.message, at=at, severity=rule.severity, details=details)


class AlertWatch:
    """Listens to sessions and looks at the counters.

    Args:
        applied: the rules.
        alerts: takes the alerts.
        counters: of the process.
        now: monotonic seconds.
        wall: UTC wall time.
        look_seconds: how often the counters are looked at.
    """

    def __init__(
        self,
        applied: AlertRules,
        alerts: AlertSender,
        counters: Counters,
        now: Callable[[], float],
        *,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._applied = applied
        self._alerts = alerts
        self._counters = counters
        self._now = now
        self._wall = wall
        self._look_seconds = look_seconds
        self._seen: Mapping[str, int] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look at the counters from now on."""
        self._seen = self._counters.read()
        self._task = asyncio.create_task(self._look_often())

    async def aclose(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def on_event(self, session_id: str, event: SessionEvent) -> None:
        """Take note of a session that failed; all other events cost one comparison."""
        del session_id
        if isinstance(event, SessionFailed):
            self._count(SESSION_FAILED, 1, event.code)

    def look(self) -> None:
        """Look at the counters once."""
        counts = self._counters.read()
        seen, self._seen = self._seen, counts
        for name in self._applied.counters:
            self._count(name, counts.get(name, 0) - seen.get(name, 0))

    def _count(self, name: str, amount: int, detail: str = "") -> None:
        alert = self._applied.counted(name, amount, self._now(), self._wall(), detail)
        if alert is not None:
            self._alerts.send(alert)

    async def _look_often(self) -> None:
        while True:
            await asyncio.sleep(self._look_seconds)
            self.look()

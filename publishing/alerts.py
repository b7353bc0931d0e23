"""Alerts of this process: told in the log without anything personal, kept for operators to look at, and passed on."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from publishing.events import Alert
from telemetry.counters import Counters

log = structlog.get_logger()

KEPT: Final = 200
"""Alerts that operators can look at; older ones are gone here, wherever they were sent."""


class AlertDesk:
    """Takes every alert of the process.

    Args:
        counters: gets `alert_sent`.
        passed_on: are given each alert as well; must return at once.
        kept: how many are kept.
    """

    def __init__(self, counters: Counters, passed_on: Sequence[Callable[[Alert], object]] = (), kept: int = KEPT) -> None:
        self._counters = counters
        self._passed_on = tuple(passed_on)
        self._alerts: deque[Alert] = deque(maxlen=kept)

    def send(self, alert: Alert) -> None:
        """Take an alert."""
        log.warning("alert", code=alert.code, severity=alert.severity.value, session_id=alert.session_id or None)
        self._counters.add("alert_sent")
        self._alerts.append(alert)
        for give in self._passed_on:
            give(alert)

    def newest(self, limit: int) -> tuple[Alert, ...]:
        """Return the last alerts, the newest first."""
        return tuple(reversed(self._alerts))[:limit]

"""One log line per session with everything that was counted, and the process's counters."""

import structlog

from session.errors import SessionIdle
from session.events import Interrupted, SessionContinued, SessionEnded, SessionEvent, SessionFailed, SessionStarted, ToolFinished
from session.interfaces import Clock
from telemetry.counters import Counters

log = structlog.get_logger()


class SessionLog:
    """Listens to all sessions.

    Args:
        counters: gets `session_*`, `tool_*` and `interruption_happened`.
        clock: monotonic seconds.
    """

    def __init__(self, counters: Counters, clock: Clock) -> None:
        self._counters = counters
        self._clock = clock
        self._started_at: dict[str, float] = {}
        self._failures: dict[str, str] = {}

    def on_event(self, session_id: str, event: SessionEvent) -> None:
        """Take note of an event; speech, by far the most of them, costs one comparison of classes."""
        match event:
            case SessionStarted():
                self._started_at[session_id] = self._clock.now()
                self._counters.add("session_started")
                chosen = {"assistant": event.assistant, "language": event.language, "voice_id": event.voice_id}
                log.info("session.started", session_id=session_id, **chosen)
            case SessionContinued():
                self._started_at.setdefault(session_id, self._clock.now())  # one that another process began
            case SessionFailed(code=SessionIdle.code):  # nothing has failed
                self._failures[session_id] = event.code
                self._counters.add("session_idle")
            case SessionFailed():
                self._failures[session_id] = event.code
                self._counters.add("session_failed")
                log.warning("session.failed", session_id=session_id, code=event.code, ref=event.ref)
            case SessionEnded():
                self._counters.add("session_closed")
                self._closed(session_id, event)
            case ToolFinished():
                self._counters.add("tool_finished" if event.error_code is None else "tool_failed")
            case Interrupted():
                self._counters.add("interruption_happened")
            case _:
                pass

    def _closed(self, session_id: str, event: SessionEnded) -> None:
        """Write the canonical line; a session that never opened lasted no time."""
        now = self._clock.now()
        duration = round(now - self._started_at.pop(session_id, now), 3)
        code = self._failures.pop(session_id, None)
        log.info(
            "session.closed", session_id=session_id, reason=event.reason.value, code=code, duration_seconds=duration, **event.statistics
        )

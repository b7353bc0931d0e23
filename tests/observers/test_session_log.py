"""The line that tells a session's whole story."""

import pytest
from structlog.testing import capture_logs

from observers.session_log import SessionLog
from s2s.events import Role, Stage
from session.events import (
    ContinueReason,
    EndReason,
    Interrupted,
    SessionContinued,
    SessionEnded,
    SessionFailed,
    SessionStarted,
    SpeechChunk,
    ToolFinished,
    ToolStarted,
    TranscriptUpdated,
)
from telemetry.counters import Counters


class SetClock:
    """A clock that the test sets."""

    seconds = 100.0

    def now(self) -> float:
        return self.seconds


STARTED = SessionStarted("s1", "carlos", "es", "carlos", "m", 16_000, 24_000)


def test_a_session_that_ends_leaves_one_line_with_its_statistics() -> None:
    clock = SetClock()
    observer = SessionLog(Counters(), clock)

    with capture_logs() as lines:
        observer.on_event("s1", STARTED)
        clock.seconds += 61.25
        observer.on_event("s1", SessionEnded(EndReason.CLIENT, 1000, {"turns": 4, "tool_calls": 1}))

    assert lines[-1] == {
        "event": "session.closed",
        "log_level": "info",
        "session_id": "s1",
        "reason": "client",
        "code": None,
        "duration_seconds": 61.25,
        "turns": 4,
        "tool_calls": 1,
    }


def test_a_session_of_another_process_lasts_from_when_it_goes_on_here() -> None:
    clock = SetClock()
    observer = SessionLog(Counters(), clock)

    with capture_logs() as lines:
        observer.on_event("s1", SessionContinued(ContinueReason.RESUMED, 300))
        clock.seconds += 5.5
        observer.on_event("s1", SessionEnded(EndReason.CLIENT))

    assert lines[-1]["duration_seconds"] == 5.5


@pytest.mark.req("S4-06")
def test_a_failure_is_named_in_the_line() -> None:
    observer = SessionLog(Counters(), SetClock())

    with capture_logs() as lines:
        observer.on_event("s1", SessionFailed("model_busy", "Later.", retryable=True, ref="r1"))
        observer.on_event("s1", SessionEnded(EndReason.FAILED, 1013, {}))
        observer.on_event("s2", SessionEnded(EndReason.CLIENT, 1000, {}))

    closed = [line for line in lines if line["event"] == "session.closed"]
    assert [(line["session_id"], line["reason"], line["code"], line["duration_seconds"]) for line in closed] == [
        ("s1", "failed", "model_busy", 0.0),
        ("s2", "client", None, 0.0),
    ]


def test_what_happened_is_counted() -> None:
    counters = Counters()
    observer = SessionLog(counters, SetClock())
    for event in (
        STARTED,
        Interrupted(2, 100),
        ToolFinished(1, "u1", "consultarOrder", "{}", None, 5),
        ToolFinished(1, "u2", "consultarOrder", "{}", "not_found", 5),
        SessionFailed("model_busy", "Later.", retryable=True),
        SessionEnded(EndReason.FAILED),
    ):
        observer.on_event("s1", event)

    assert counters.read() == {
        "interruption_happened": 1,
        "session_closed": 1,
        "session_failed": 1,
        "session_started": 1,
        "tool_failed": 1,
        "tool_finished": 1,
    }


def test_nothing_that_was_said_reaches_the_log() -> None:
    observer = SessionLog(Counters(), SetClock())

    with capture_logs() as lines:
        observer.on_event("s1", TranscriptUpdated(1, Role.USER, Stage.FINAL, "mi DNI es 12345678"))
        observer.on_event("s1", ToolStarted(1, "u1", "consultarOrder", '{"dni":"12345678"}'))
        observer.on_event("s1", ToolFinished(1, "u1", "consultarOrder", '{"name":"Juan"}', None, 5))
        observer.on_event("s1", SpeechChunk(2, b"\0\0"))

    assert lines == []

"""What is written down of a stream, and what is forgotten."""

from datetime import UTC, datetime

import pytest

from nova_sonic_local import journal as limits
from nova_sonic_local.journal import Card, Direction, Journal, Row, StreamLog
from tests.emulator.stage import VirtualClock


def card(number: int) -> Card:
    return Card(number, f"request-{number}", "amazon.nova-2-sonic-v1:0", "echo", datetime(2026, 1, 2, tzinfo=UTC))


class Watcher:
    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.endings: list[tuple[float, object]] = []

    def observe(self, row: Row) -> None:
        self.rows.append(row)

    def observe_end(self, seconds: float, ending: object) -> None:
        self.endings.append((seconds, ending))


async def test_rows_have_the_time_since_the_stream_was_opened() -> None:
    clock = VirtualClock()
    log = StreamLog(card(1), clock)
    log.heard(b"{}")
    await clock.advance(1.5)
    log.said(b"{1}", 2)

    assert log.rows() == [Row(1, 0.0, Direction.IN, 2, None, b"{}"), Row(2, 1.5, Direction.OUT, 3, 2, None)]
    assert (log.inputs, log.traffic_in.events, log.traffic_out.audio_events) == (1, 1, 1)


def test_sound_is_kept_when_it_is_asked_for() -> None:
    log = StreamLog(card(1), VirtualClock(), keeps_sound=True)
    log.heard(b"sound", 4)

    assert [row.data for row in log.rows()] == [b"sound"]


def test_the_first_events_and_the_newest_are_kept() -> None:
    log = StreamLog(card(1), VirtualClock())
    total = limits.FIRST_EVENTS_KEPT + limits.NEWEST_EVENTS_KEPT + 50
    for _ in range(total):
        log.said(b"{}")
    numbers = [row.number for row in log.rows()]

    assert numbers[: limits.FIRST_EVENTS_KEPT] == list(range(1, limits.FIRST_EVENTS_KEPT + 1))
    assert numbers[limits.FIRST_EVENTS_KEPT :] == list(range(total - limits.NEWEST_EVENTS_KEPT + 1, total + 1))
    assert log.dropped == 50


def test_audio_pushes_nothing_else_out() -> None:
    log = StreamLog(card(1), VirtualClock())
    log.heard(b"{}")
    for _ in range(limits.AUDIO_EVENTS_KEPT + 7):
        log.heard(b"sound", 4)
    rows = log.rows()

    assert (rows[0].data, len(rows), log.dropped) == (b"{}", 1 + limits.AUDIO_EVENTS_KEPT, 7)


@pytest.mark.parametrize("keeps_sound", [False, True])
def test_what_is_kept_of_a_stream_is_bounded_in_bytes(*, keeps_sound: bool) -> None:
    limit = limits.SOUND_KEPT_BYTES if keeps_sound else limits.JSON_KEPT_BYTES
    log = StreamLog(card(1), VirtualClock(), keeps_sound=keeps_sound)
    large = bytes(limit // 3)
    for _ in range(4):
        log.heard(large)
    log.said(b"{}")

    assert [row.size for row in log.rows()] == [limit // 3] * 4 + [2]
    assert [row.data is None for row in log.rows()] == [False, False, False, True, log.kept_bytes + 2 > limit]
    assert log.kept_bytes <= limit


def test_room_comes_back_when_an_event_is_dropped() -> None:
    log = StreamLog(card(1), VirtualClock(), keeps_sound=True)
    piece = bytes(limits.SOUND_KEPT_BYTES // limits.AUDIO_EVENTS_KEPT)
    for _ in range(2 * limits.AUDIO_EVENTS_KEPT):
        log.heard(piece, 4)

    assert all(row.data is not None for row in log.rows())
    assert log.kept_bytes == limits.AUDIO_EVENTS_KEPT * len(piece)


async def test_an_observer_gets_every_event_with_its_json_and_one_end() -> None:
    clock, watcher = VirtualClock(), Watcher()
    log = StreamLog(card(1), clock, observers=(watcher,))
    log.heard(b"sound", 4)
    await clock.advance(2)
    log.end({"how": "completed"})
    log.end({"how": "stopped"})

    assert [row.data for row in watcher.rows] == [b"sound"]
    assert watcher.endings == [(2.0, {"how": "completed"})]
    assert log.ending == {"how": "completed"}


def test_the_last_streams_that_ended_are_remembered() -> None:
    journal = Journal(VirtualClock(), streams_kept=2)
    for number in range(1, 5):
        journal.open(card(number)).end({"how": "completed"})
    living = journal.open(card(5))
    counters = journal.counters()

    assert [log.card.number for log in journal.logs()] == [3, 4, 5]
    assert (journal.find("5"), journal.find("request-5"), journal.find("1")) == (living, living, None)
    assert counters["streams"] == {"opened": 5, "live": 1, "ended": {"completed": 4}}
    assert counters["dropped"] == {"streams": 2, "events": 0}


def test_a_stream_that_ends_after_a_reset_is_counted_again() -> None:
    journal = Journal(VirtualClock())
    log = journal.open(card(1))
    journal.forget()
    log.end({"how": "completed"})

    assert journal.logs() == [log]
    assert journal.counters()["streams"] == {"opened": 0, "live": 0, "ended": {"completed": 1}}

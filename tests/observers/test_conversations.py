"""Turns reach the store in order, beside the conversation: late when the store is away, once however often they are written."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from observers import backlog
from observers.conversations import AT_ONCE, BATCH, ConversationObserver, ConversationRecords
from s2s.events import Role, Stage
from session.events import EndReason, SessionEnded, SpeechEnded, SpeechStarted, ToolFinished, ToolStarted, TranscriptUpdated
from session.interfaces import AudioAttendance
from session.label import SessionLabel
from storage.conversation_turns import Conversation, Turn
from storage.conversations import Conversations
from storage.errors import InvalidRequest, StorageUnavailable
from storage.sqlite import SqliteDatabase
from storage.tables import conversations_table
from telemetry.counters import Counters
from tests.observers.loop_time import LoopTime, Run, open_database
from tests.session.doubles import chunk

CANARY = "Xylophone"
LABEL = SessionLabel("s1", "eva", "c1", "carlos", "es", "carlos", "model", 16_000, 24_000, datetime(2030, 1, 16, tzinfo=UTC))


class Store(Conversations):
    """A repository that is away when it is told to be."""

    failures = 0
    refuses = ""
    asked = 0

    async def add(self, conversation: Conversation, turns: Sequence[Turn]) -> None:
        """Write turns."""
        self.asked += 1
        if self.failures:
            self.failures -= 1
            raise StorageUnavailable("away")
        if self.refuses and any(turn.text == self.refuses for turn in turns):
            raise InvalidRequest("never")
        await super().add(conversation, turns)

    async def said(self, session_id: str = "s1", user: str = "eva") -> list[str]:
        """Return the texts that are stored, in order."""
        return [turn.text for turn in (await self.turns(user, session_id)).records]


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    monkeypatch.setattr(backlog, "AWAY_SECONDS", (0.0,))
    database = SqliteDatabase(tmp_path / "c.sqlite3")
    table = database.table(conversations_table())
    await table.create()
    yield Store(table)
    await database.aclose()


def attended(records: ConversationRecords, label: SessionLabel = LABEL) -> ConversationObserver:
    observer = records.attend(label)
    assert observer is not None
    return observer


def user_says(number: int, text: str) -> TranscriptUpdated:
    return TranscriptUpdated(number, Role.USER, Stage.FINAL, text)


async def test_turns_are_stored_in_order_with_their_conversation(store: Store) -> None:
    counters = Counters()
    records = ConversationRecords(store, counters)
    attendance: AudioAttendance = records
    observer = attended(records)
    numbers = range(1, 2 * BATCH + 2)
    for number in numbers:
        observer.on_event(user_says(number, f"w{number}"))
    records.start()
    await records.backlog.written()
    await records.aclose()
    stored = await store.get("eva", "s1")

    assert attendance is records
    assert await store.said() == [f"w{number}" for number in numbers]
    assert stored is not None
    assert (stored.assistant, stored.language, stored.started_at, stored.last_turn) == ("carlos", "es", LABEL.began_at, len(numbers))
    assert counters.read()["conversation_turn_written"] == len(numbers)
    assert store.asked == 3


def test_the_end_of_a_session_is_written_at_once(run: Run) -> None:
    async def test() -> None:
        table = open_database().table(conversations_table())
        await table.create()
        records = ConversationRecords(Store(table), Counters(), clock=LoopTime())
        records.start()
        observer = attended(records)
        observer.on_event(user_says(1, "Hola."))
        await asyncio.sleep(0.5)
        observer.on_event(user_says(2, "Chau."))
        before = await Store(table).turns("eva", "s1")
        observer.on_event(SessionEnded(EndReason.CLIENT))
        await asyncio.sleep(0.01)
        after = await Store(table).turns("eva", "s1")
        await records.aclose()

        assert before.records == ()
        assert [turn.text for turn in after.records] == ["Hola.", "Chau."]

    run(test())


async def test_many_conversations_leave_room_for_other_requests(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    under_way, most = set[str](), 0
    add = Store.add

    async def counted(self: Store, conversation: Conversation, turns: Sequence[Turn]) -> None:
        nonlocal most
        under_way.add(conversation.conversation_id)
        most = max(most, len(under_way))
        await asyncio.sleep(0)
        await add(self, conversation, turns)
        under_way.remove(conversation.conversation_id)

    monkeypatch.setattr(Store, "add", counted)
    counters = Counters()
    records = ConversationRecords(store, counters)
    for number in range(BATCH):
        attended(records, replace(LABEL, session_id=f"s{number}")).on_event(user_says(1, "Hola."))
    records.start()
    await records.backlog.written()
    await records.aclose()

    assert counters.read()["conversation_turn_written"] == BATCH
    assert most == AT_ONCE


@pytest.mark.req("S1-28")
async def test_a_store_that_is_away_delays_what_is_said_and_loses_nothing(store: Store) -> None:
    records = ConversationRecords(store, Counters())
    store.failures = 5
    first, second = attended(records), attended(records, replace(LABEL, session_id="s2", user_id="ada"))
    records.start()
    with capture_logs() as lines:
        for number in range(1, 21):
            first.on_event(user_says(number, f"{CANARY} {number}"))
            second.on_event(user_says(number, f"{CANARY} {number}"))
        await records.backlog.written()
    await records.aclose()

    expected = [f"{CANARY} {number}" for number in range(1, 21)]
    assert [await store.said(), await store.said("s2", "ada")] == [expected, expected]
    assert "backlog.store_away" in [line["event"] for line in lines]
    assert CANARY not in str(lines)


async def test_what_the_store_never_takes_does_not_stop_what_comes_after_it(store: Store) -> None:
    counters = Counters()
    records = ConversationRecords(store, counters)
    store.refuses = "bad"
    observer = attended(records)
    for number, text in enumerate(("one", "bad", "two"), 1):
        observer.on_event(user_says(number, text))
    records.start()
    await records.backlog.written()
    await records.aclose()

    assert await store.said() == ["one", "two"]
    assert counters.read()["conversation_turn_refused"] == 1


async def test_of_an_assistant_that_is_left_out_nothing_is_written(store: Store) -> None:
    records = ConversationRecords(store, Counters(), left_out=("carlos",))

    assert records.attend(LABEL) is None
    assert records.attend(replace(LABEL, assistant="buddy")) is not None


@pytest.mark.req("S1-28", "S4-76")
async def test_a_session_that_another_process_had_is_gone_on_with_in_the_same_record(store: Store) -> None:
    one, other = ConversationRecords(store, Counters()), ConversationRecords(store, Counters())
    before = attended(one)
    before.on_event(user_says(1, "Where is my order?"))
    before.on_event(ToolStarted(2, "t1", "consultarOrder", '{"orderId":"1"}'))
    before.on_event(SessionEnded(EndReason.PARKED))
    one.start()
    await one.aclose()
    after = attended(other, replace(LABEL, began_at=datetime(2030, 1, 17, tzinfo=UTC), is_adopted=True))
    after.on_event(ToolFinished(2, "t1", "consultarOrder", '{"success":true}', None, 5))
    after.on_event(user_says(3, "Hello?"))
    after.on_event(SessionEnded(EndReason.CLIENT))
    other.start()
    await other.aclose()
    turns, stored = (await store.turns("eva", "s1")).records, await store.get("eva", "s1")

    assert [(turn.number, turn.text) for turn in turns] == [(1, "Where is my order?"), (2, ""), (3, "Hello?")]
    assert [(call.arguments, call.result) for call in turns[1].calls] == [('{"orderId":"1"}', '{"success":true}')]
    assert stored is not None
    assert (stored.started_at, stored.last_turn) == (LABEL.began_at, 3)


@pytest.mark.req("S1-28")
async def test_a_session_that_fails_leaves_what_was_heard_of_its_last_answer(store: Store) -> None:
    now = 0.0
    records = ConversationRecords(store, Counters(), now=lambda: now)
    observer = attended(records)
    observer.on_event(TranscriptUpdated(1, Role.ASSISTANT, Stage.SPECULATIVE, "one two three four"))
    observer.on_event(SpeechStarted(1, 24_000))
    for _ in range(4):
        observer.on_event(chunk(1, 1_000))
    observer.on_event(SpeechEnded(1))
    for _ in range(2):
        observer.on_delivered(chunk(1, 1_000), 0.0)
    now = 5.0
    observer.on_event(SessionEnded(EndReason.FAILED))
    records.start()
    await records.aclose()
    (turn,) = (await store.turns("eva", "s1")).records

    assert (turn.text, turn.heard_ms) == ("one two", 2_000)


async def test_what_a_user_has_just_said_is_waited_for_and_what_others_say_is_not(store: Store) -> None:
    records = ConversationRecords(store, Counters(), now=lambda: 100.0)
    attended(records).on_event(user_says(1, "Hello."))
    waiting = asyncio.create_task(records.settled("eva"))
    await asyncio.wait_for(records.settled("ada"), 1)
    await asyncio.sleep(0)
    before = waiting.done()
    records.start()
    await asyncio.wait_for(waiting, 5)
    stored = await store.said()
    await records.aclose()

    assert not before
    assert stored == ["Hello."]


async def test_a_user_id_that_is_no_unicode_is_mended(store: Store) -> None:
    records = ConversationRecords(store, Counters())
    attended(records, replace(LABEL, user_id="e\ud800va")).on_event(user_says(1, "Hello."))
    records.start()
    await records.aclose()

    assert await store.said(user="e?va") == ["Hello."]

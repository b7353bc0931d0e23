"""What the next conversation is told of the earlier ones, and that it waits for no store."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import override

import pytest
from structlog.testing import capture_logs

from observers import memory as module
from observers.memory import MEMORY_BYTES, ConversationMemory
from s2s.events import Role
from session.assistant import AssistantProfile
from session.events import HistoryTurn
from session.keeping import Keeping
from storage.conversation_turns import Speaker, Turn
from storage.conversations import Conversations
from storage.errors import StorageUnavailable
from storage.sqlite import SqliteDatabase
from storage.tables import conversations_table
from telemetry.counters import Counters
from tests.session.doubles import PROFILE

NOW = datetime(2030, 1, 16, tzinfo=UTC)
ASSISTANTS = {
    "kind": replace(PROFILE, name="Kind", keeping=Keeping(memory_turns=4)),
    "brief": replace(PROFILE, name="Brief"),
}
TURNS = (Turn(1, Speaker.USER, "I am Eva.", NOW), Turn(2, Speaker.ASSISTANT, "Hello Eva.", NOW))


class Store(Conversations):
    """A repository that answers as it is told."""

    def __init__(self, turns: Sequence[Turn] = TURNS, *, error: Exception | None = None, is_slow: bool = False) -> None:
        super().__init__(SqliteDatabase(":memory:").table(conversations_table()))
        self.asked: list[tuple[str, str, int]] = []
        self._turns = tuple(turns)
        self._error = error
        self._is_slow = is_slow

    @override
    async def last_turns(self, user_id: str, assistant: str, most: int) -> tuple[Turn, ...]:
        self.asked.append((user_id, assistant, most))
        if self._is_slow:
            await asyncio.Event().wait()
        if self._error is not None:
            raise self._error
        return self._turns


async def at_once(_user: str) -> None:
    """Wait for nothing."""


async def never(_user: str) -> None:
    """Wait for ever."""
    await asyncio.Event().wait()


def memory_of(store: Store, counters: Counters | None = None, assistants: dict[str, AssistantProfile] | None = None) -> ConversationMemory:
    return ConversationMemory(store, assistants or ASSISTANTS, "kind", counters or Counters(), at_once)


@pytest.mark.req("S0-66", "S0-44")
async def test_the_last_turns_with_this_assistant_are_recalled() -> None:
    store, counters = Store(), Counters()
    recalled = await memory_of(store, counters).recall(None, "eva")

    assert recalled == (HistoryTurn(Role.USER, "I am Eva."), HistoryTurn(Role.ASSISTANT, "Hello Eva."))
    assert store.asked == [("eva", "Kind", 4)]
    assert counters.read()["conversation_recalled"] == 1


@pytest.mark.req("S0-54")
@pytest.mark.parametrize(("assistant", "user"), [(None, ""), ("brief", "eva"), ("unknown", "eva")])
async def test_nothing_is_even_looked_for_without_a_user_or_a_memory(assistant: str | None, user: str) -> None:
    store = Store()

    assert await memory_of(store).recall(assistant, user) == ()
    assert store.asked == []


@pytest.mark.parametrize("store", [Store(error=StorageUnavailable("away")), Store(is_slow=True)], ids=["away", "slow"])
async def test_a_store_that_is_away_or_slow_begins_the_conversation_without_memory(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECALL_SECONDS", 0.02)
    counters = Counters()
    with capture_logs() as lines:
        recalled = await asyncio.wait_for(memory_of(store, counters).recall("kind", "eva-canary"), 5)

    assert recalled == ()
    assert counters.read()["conversation_not_recalled"] == 1
    assert "eva-canary" not in str(lines)


async def test_what_is_still_to_be_written_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WRITTEN_SECONDS", 0.02)
    memory = ConversationMemory(Store(), ASSISTANTS, "kind", Counters(), never)

    assert len(await asyncio.wait_for(memory.recall("kind", "eva"), 5)) == 2


async def test_no_more_is_recalled_than_a_stream_takes_beside_this_conversation() -> None:
    turns = [Turn(number, Speaker.USER, f"{number} " + "ñ" * (MEMORY_BYTES // 8), NOW) for number in range(8)]
    recalled = await memory_of(Store(turns)).recall("kind", "eva")

    assert [turn.text[0] for turn in recalled] == ["5", "6", "7"]
    assert sum(len(turn.text.encode()) for turn in recalled) <= MEMORY_BYTES

"""Conversations on every driver."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from unittest.mock import ANY

import pytest

from storage.conversation_turns import TEXT_BYTES, Conversation, Speaker, ToolCall, Turn, fitted
from storage.conversations import KEPT, Conversations, Erased
from storage.errors import BadCursor, InvalidRequest
from storage.models import format_instant
from storage.records import ANYBODY
from storage.table import Database, Key, Query
from storage.tables import conversations_table
from tests.storage.databases import NOW, StandingClock

CALL = ToolCall("t1", "consultarOrder", '{"orderId":"1"}', '{"success":true}')


def talk(name: str = "c1", *, user: str = "eva", **changes: object) -> Conversation:
    known = Conversation(name, user, "carlos", "es", NOW, NOW, 2)
    return replace(known, **changes)  # type: ignore[arg-type]


def turn(number: int = 1, text: str = "Hola", **changes: object) -> Turn:
    role = Speaker.USER if number % 2 else Speaker.ASSISTANT
    return replace(Turn(number, role, text, NOW + timedelta(seconds=number)), **changes)  # type: ignore[arg-type]


@pytest.fixture
async def conversations(database: Database, prefix: str) -> Conversations:
    table = database.table(conversations_table(f"{prefix}-conversations"))
    await table.create()
    return Conversations(table)


@pytest.mark.req("S1-12")
def test_the_table_has_its_name_keys_and_index() -> None:
    definition = conversations_table()

    assert definition.name == "NovaSonicConversations"
    assert (definition.partition, definition.sort) == ("username", "conversation_id")
    assert definition.index("ConversationIdIndex").partition == "conversation_id"


@pytest.mark.req("S1-12", "S1-28", "S2-24")
async def test_every_turn_is_a_record_under_its_conversation(conversations: Conversations) -> None:
    await conversations.add(talk(), [turn(2, "Buenas", heard_ms=700, ended_at=NOW, calls=(CALL,))])
    item = await conversations.table.get(Key("eva", "c1#00000002"))
    own = await conversations.table.get(Key("eva", "c1"))

    assert item == {
        "username": "eva", "conversation_id": "c1#00000002", "timestamp": format_instant(NOW + timedelta(seconds=2)), "expiresAt": ANY,
        "conversation": {
            "turn": 2, "role": "ASSISTANT", "text": "Buenas", "startedAt": format_instant(NOW + timedelta(seconds=2)),
            "endedAt": format_instant(NOW), "interrupted": True, "heardMs": 700,
            "tools": [{"toolUseId": "t1", "name": "consultarOrder", "arguments": '{"orderId":"1"}', "result": '{"success":true}'}],
        },
    }  # fmt: skip
    assert own == {
        "username": "eva", "conversation_id": "c1", "startedAt": format_instant(NOW), "timestamp": format_instant(NOW),
        "expiresAt": int((NOW + KEPT).timestamp()), "conversation": {"assistant": "carlos", "language": "es", "lastTurn": 2},
    }  # fmt: skip


async def test_what_was_written_is_read_as_it_was(conversations: Conversations) -> None:
    first = turn(1, ended_at=NOW + timedelta(seconds=2))
    second = turn(2, heard_ms=0, is_refused=True, calls=(replace(CALL, result=None), replace(CALL, tool_use_id="t2", error_code="nope")))
    await conversations.add(talk(), [first, second])

    assert await conversations.get("eva", "c1") == talk()
    assert (await conversations.turns("eva", "c1")).records == (first, second)


@pytest.mark.req("S1-28")
async def test_a_turn_that_is_written_again_takes_the_place_of_the_first(conversations: Conversations) -> None:
    await conversations.add(talk(), [turn(1, "Ho")])
    for _ in range(3):
        await conversations.add(talk(last_at=NOW + timedelta(seconds=9), started_at=NOW + timedelta(seconds=5)), [turn(1, "Hola"), turn(2)])
    stored = await conversations.get("eva", "c1")

    assert [(one.number, one.text) for one in (await conversations.turns("eva", "c1")).records] == [(1, "Hola"), (2, "Hola")]
    assert stored == talk(last_at=NOW + timedelta(seconds=9))


async def test_many_writers_of_one_conversation_leave_one_conversation(conversations: Conversations) -> None:
    await asyncio.gather(*(conversations.add(talk(), [turn(number)]) for number in range(1, 9)))

    assert len((await conversations.turns("eva", "c1")).records) == 8
    assert (await conversations.of_user("eva")).records == (talk(),)


@pytest.mark.req("S1-28", "S0-51")
async def test_a_long_conversation_is_read_page_by_page_in_order(conversations: Conversations) -> None:
    await conversations.add(talk(), [turn(number) for number in range(1, 13)])
    await conversations.add(talk("c10"), [turn()])
    first = await conversations.turns("eva", "c1", limit=7)
    rest = await conversations.turns("eva", "c1", limit=7, cursor=first.cursor)

    assert [one.number for one in (*first.records, *rest.records)] == list(range(1, 13))
    assert rest.cursor is None
    with pytest.raises(BadCursor):
        await conversations.turns("eva", "c10", cursor=first.cursor)


@pytest.mark.req("S1-28", "S0-51")
async def test_the_conversations_of_a_user_come_newest_first_page_by_page(conversations: Conversations) -> None:
    for number in range(5):
        at = NOW + timedelta(minutes=number)
        await conversations.add(talk(f"c{number}", started_at=at), [turn(), turn(2)])
        await conversations.add(talk(f"d{number}", user="ada", started_at=at), [turn()])
    first = await conversations.of_user("eva", limit=3)
    rest = await conversations.of_user("eva", limit=3, cursor=first.cursor)

    assert [one.conversation_id for one in (*first.records, *rest.records)] == ["c4", "c3", "c2", "c1", "c0"]
    assert rest.cursor is None


@pytest.mark.req("S0-54")
async def test_nobody_finds_the_conversation_of_somebody_else(conversations: Conversations) -> None:
    await conversations.add(talk(), [turn()])

    assert await conversations.get("ada", "c1") is None
    assert (await conversations.turns("ada", "c1")).records == ()
    assert (await conversations.of_user("ada")).records == ()
    assert await conversations.delete("ada", "c1") == 0
    assert await conversations.get("eva", "c1") is not None


@pytest.mark.req("S1-12")
async def test_a_conversation_is_found_by_its_id_alone(conversations: Conversations) -> None:
    await conversations.add(talk(), [turn()])
    await conversations.add(talk("c2", user=""), [turn()])

    assert await conversations.find("c1") == talk()
    assert await conversations.find("c2") == talk("c2", user="")
    assert await conversations.find("c3") is None
    with pytest.raises(InvalidRequest):
        await conversations.find("c1#00000001")


async def test_nobody_is_called_like_those_whom_nobody_asked(conversations: Conversations) -> None:
    await conversations.add(talk(user=""), [turn()])

    assert (await conversations.of_user("")).records == (talk(user=""),)
    with pytest.raises(InvalidRequest):
        await conversations.of_user(ANYBODY)


async def test_what_is_too_long_for_a_record_is_cut_and_marked(conversations: Conversations) -> None:
    long = "ñandú " * 80_000
    calls = tuple(ToolCall(f"t{number}", "n" * 500, long, long) for number in range(50))
    await conversations.add(talk(), [turn(1, long, calls=calls), turn(2, "a\ud800b")])
    first, second = (await conversations.turns("eva", "c1")).records

    assert first.is_cut
    assert len(first.text.encode()) in range(TEXT_BYTES - 3, TEXT_BYTES + 1)
    assert long.startswith(first.text)
    assert len(first.calls) == 32
    assert (second.text, second.is_cut) == ("a?b", False)
    assert fitted(first) == first


@pytest.mark.req("S1-28")
async def test_a_conversation_is_gone_when_its_time_is_over(conversations: Conversations, clock: StandingClock) -> None:
    await conversations.add(talk(), [turn()])
    clock.advance(days=KEPT.days - 1)
    before = await conversations.get("eva", "c1")
    clock.advance(days=2)

    assert before == talk()
    assert await conversations.get("eva", "c1") is None
    assert (await conversations.turns("eva", "c1")).records == ()
    assert (await conversations.of_user("eva")).records == ()


@pytest.mark.req("S0-66")
async def test_the_last_turns_with_one_assistant_come_in_order_over_conversations(conversations: Conversations) -> None:
    for number in range(3):
        started = NOW + timedelta(minutes=number)
        await conversations.add(talk(f"c{number}", started_at=started), [turn(1, f"{number}a"), turn(2, f"{number}b")])
    await conversations.add(talk("b1", assistant="buddy", started_at=NOW + timedelta(hours=1)), [turn(1, "other")])
    await conversations.add(talk("c3", started_at=NOW + timedelta(hours=2)), [turn(1, "refused", is_refused=True), turn(2, "")])
    found = await conversations.last_turns("eva", "carlos", 3)

    assert [one.text for one in found] == ["1b", "2a", "2b"]
    assert len(await conversations.last_turns("eva", "carlos", 100)) == 6
    assert await conversations.last_turns("ada", "carlos", 3) == ()


@pytest.mark.req("S1-28")
async def test_a_conversation_is_deleted_with_all_its_turns_and_nothing_else(conversations: Conversations) -> None:
    await conversations.add(talk(), [turn(number) for number in range(1, 61)])
    await conversations.add(talk("c10"), [turn()])
    removed = await conversations.delete("eva", "c1")

    assert removed == 61
    assert await conversations.get("eva", "c1") is None
    assert (await conversations.turns("eva", "c1")).records == ()
    assert await conversations.get("eva", "c10") == talk("c10")
    assert await conversations.delete("eva", "c1") == 0


@pytest.mark.req("S0-54")
async def test_a_user_is_erased_in_steps_and_others_are_not(conversations: Conversations) -> None:
    for number in range(3):
        await conversations.add(talk(f"c{number}"), [turn(number) for number in range(1, 51)])
    await conversations.add(talk("d1", user="ada"), [turn()])
    first = await conversations.erase("eva", most=100)
    rest = await conversations.erase("eva")
    left = await conversations.table.query(Query("eva"))

    assert (first.is_complete, first.conversations + first.turns) == (False, 100)
    assert (rest.is_complete, first.conversations + rest.conversations, first.turns + rest.turns) == (True, 3, 150)
    assert left.items == ()
    assert await conversations.get("ada", "d1") is not None
    assert await conversations.erase("eva") == Erased(0, 0, is_complete=True)


async def test_what_a_tool_returned_is_added_to_a_turn_that_somebody_else_wrote(conversations: Conversations) -> None:
    await conversations.add(talk(), [turn(2, "Un momento", calls=(replace(CALL, result=None),))])
    await conversations.add_result(talk(), 2, CALL)
    await conversations.add_result(talk(), 4, CALL)

    assert (await conversations.turns("eva", "c1")).records == (
        turn(2, "Un momento", calls=(CALL,)),
        Turn(4, Speaker.ASSISTANT, "", NOW, calls=(CALL,)),
    )

"""Voice sessions on every driver: what a program does with them, and what the processes do that have them."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from storage.errors import BadCursor, ConditionFailed
from storage.models import format_instant
from storage.records import ANYBODY
from storage.table import Database, Key
from storage.tables import voice_sessions_table
from storage.voice_session_items import Counts, Leg, SessionEnding, Tokens, VoiceSession, VoiceSessionStatus, user_of
from storage.voice_sessions import GONE_AFTER, IDLE_FOR, PARKED_FOR, Standing, VoiceSessions
from tests.storage.databases import NOW, StandingClock

COUNTED = Counts(user_turns=3, assistant_turns=4, tool_calls=2, tool_errors=1, interruptions=1, user_audio_ms=9_000, assistant_audio_ms=700)


def leg(session_id: str = "s1", *, process: str = "p1", **changes: object) -> Leg:
    known = Leg(
        session_id=session_id,
        leg_id=f"{process}-1",
        process=process,
        began_at=NOW,
        connection_id="c1",
        user_id="eva",
        assistant="carlos",
        language="es",
        voice_id="carlos",
        model_id="amazon.nova-2-sonic-v1:0",
        audio_format="audio/lpcm;rate=16000",
    )
    return replace(known, **changes)  # type: ignore[arg-type]


def ended(at: datetime, status: VoiceSessionStatus = VoiceSessionStatus.COMPLETED, reason: str = "client") -> SessionEnding:
    return SessionEnding(at, status, reason, "model_lost" if status is VoiceSessionStatus.ERROR else None)


def asked_for(session_id: str = "r1", *, user: str = "eva", connection: str = "c9", at: datetime = NOW) -> VoiceSession:
    return VoiceSession(
        session_id=session_id,
        connection_id=connection,
        user_id=user,
        status=VoiceSessionStatus.ACTIVE,
        created_at=at,
        updated_at=at,
        audio_format="audio/webm",
        metadata={"topic": "bills"},
    )


def ids(found: Sequence[VoiceSession]) -> tuple[str, ...]:
    return tuple(one.session_id for one in found)


@pytest.fixture
async def sessions(database: Database, clock: StandingClock, prefix: str) -> VoiceSessions:
    table = database.table(voice_sessions_table(f"{prefix}-voice-sessions"))
    await table.create()
    return VoiceSessions(table, clock)


@pytest.mark.req("S0-01", "S0-02", "S0-03")
def test_the_table_has_its_name_and_its_indexes() -> None:
    definition = voice_sessions_table()

    assert definition.name == "airium-voice-sessions"
    assert [(index.partition, index.sort) for index in definition.indexes] == [
        ("connectionId", "createdAt"),
        ("userId", "createdAt"),
        ("liveOn", "liveSince"),
    ]


@pytest.mark.req("S0-01", "S0-10", "S0-11", "S0-42")
async def test_a_session_is_stored_with_all_its_attributes(sessions: VoiceSessions, clock: StandingClock) -> None:
    clock.advance(seconds=90.5)
    standing = await sessions.write(
        leg(
            counts=COUNTED, tokens=Tokens(1, 2, 3, 4), nova_sonic_session_id="n1", ending=ended(clock(), VoiceSessionStatus.ERROR, "failed")
        )
    )
    item = await sessions.table.get(Key("VOICE#s1", "METADATA"))

    assert standing is Standing.ENDED
    assert item == {
        "PK": "VOICE#s1", "SK": "METADATA", "sessionId": "s1", "novaSonicSessionId": "n1", "connectionId": "c1", "userId": "eva",
        "status": "ERROR", "createdAt": format_instant(NOW), "updatedAt": format_instant(clock()), "audioFormat": "audio/lpcm;rate=16000",
        "totalDuration": Decimal("90.5"), "messageCount": 7,
        "assistant": "carlos", "language": "es", "voiceId": "carlos", "modelId": "amazon.nova-2-sonic-v1:0",
        "endedAt": format_instant(clock()), "endedBy": "owner", "endReason": "failed", "errorCode": "model_lost",
        "process": "p1", "claimed": int(NOW.timestamp() * 1000),
        "tokens": {"inputSpeech": 1, "inputText": 2, "outputSpeech": 3, "outputText": 4},
        "leg-p1-1": {"userTurns": 3, "assistantTurns": 4, "toolCalls": 2, "toolErrors": 1, "interruptions": 1, "userAudioMs": 9000,
                     "assistantAudioMs": 700},
    }  # fmt: skip


@pytest.mark.req("S0-09", "S0-12")
async def test_what_was_created_is_found_again_as_it_was(sessions: VoiceSessions) -> None:
    created = await sessions.create(asked_for())

    assert await sessions.get("r1") == replace(created, lives_on="REQUEST")
    assert await sessions.get("r2") is None
    with pytest.raises(ConditionFailed):
        await sessions.create(asked_for(user="ada"))


@pytest.mark.req("S0-09", "S0-53")
async def test_sessions_that_are_created_at_once_are_all_there(sessions: VoiceSessions) -> None:
    await asyncio.gather(*(sessions.create(asked_for(f"r{number}", user=f"u{number}")) for number in range(12)))
    found = [await sessions.get(f"r{number}") for number in range(12)]

    assert [one.user_id for one in found if one] == [f"u{number}" for number in range(12)]


@pytest.mark.req("S0-10", "S0-22")
async def test_while_it_lives_a_session_is_written_again_and_again(sessions: VoiceSessions, clock: StandingClock) -> None:
    await sessions.write(leg())
    clock.advance(seconds=5)
    standing = await sessions.write(leg(counts=COUNTED, tokens=Tokens(input_speech=7)))
    stored = await sessions.get("s1")

    assert standing is Standing.HELD
    assert stored is not None
    assert (stored.status, stored.counts, stored.message_count, stored.tokens.input_speech) == (VoiceSessionStatus.ACTIVE, COUNTED, 7, 7)
    assert (stored.created_at, stored.updated_at, stored.total_duration) == (NOW, clock(), None)


@pytest.mark.req("S0-11")
async def test_ending_twice_changes_nothing(sessions: VoiceSessions, clock: StandingClock) -> None:
    await sessions.write(leg(counts=COUNTED))
    clock.advance(seconds=60)
    first = await sessions.end("s1", "client")
    clock.advance(seconds=60)
    second = await sessions.end("s1", "operator", VoiceSessionStatus.ERROR)

    assert first is not None
    assert (first.status, first.total_duration, first.message_count, first.end_reason) == (
        VoiceSessionStatus.COMPLETED,
        Decimal(60),
        7,
        "client",
    )
    assert first == second == await sessions.get("s1")
    assert await sessions.end("s9", "client") is None


@pytest.mark.req("S0-11")
async def test_of_many_who_end_a_session_at_once_one_does(sessions: VoiceSessions) -> None:
    await sessions.create(asked_for())
    found = await asyncio.gather(*(sessions.end("r1", f"reason-{number}") for number in range(8)))

    assert len({one.end_reason for one in found if one}) == 1


@pytest.mark.req("S0-16")
async def test_an_end_is_told_by_one_alone_and_by_nobody_who_asked_where_a_process_has_the_session(sessions: VoiceSessions) -> None:
    await sessions.create(asked_for())
    await sessions.write(leg("live"))
    await sessions.write(leg("parked", is_parked=True))
    asked = [name for name in ("r1", "live", "parked", "none") for _ in range(4)]
    closed = await asyncio.gather(*(sessions.close(name, "client") for name in asked))

    assert sorted(name for name, (_, is_untold) in zip(asked, closed, strict=True) if is_untold) == ["parked", "r1"]


@pytest.mark.req("S0-02", "S0-51")
async def test_the_live_session_of_a_connection_is_found(sessions: VoiceSessions, clock: StandingClock) -> None:
    for number in range(3):
        await sessions.write(leg(f"s{number}", began_at=NOW + timedelta(seconds=number)))
    await sessions.write(leg("s2", began_at=NOW + timedelta(seconds=2), ending=ended(clock() + timedelta(seconds=3))))
    live = await sessions.live_of_connection("c1")

    assert live is not None
    assert live.session_id == "s1"
    assert await sessions.live_of_connection("c2") is None


@pytest.mark.req("S0-03", "S0-13", "S0-51", "S0-54", "S2-25")
async def test_the_sessions_of_a_user_are_found_page_by_page_newest_first(sessions: VoiceSessions) -> None:
    for number in range(5):
        at = NOW + timedelta(minutes=number)
        await sessions.create(asked_for(f"e{number}", at=at))
        await sessions.create(asked_for(f"a{number}", user="ada", at=at))
    first = await sessions.of_user("eva", limit=3)
    rest = await sessions.of_user("eva", limit=3, cursor=first.cursor)

    assert [one.session_id for one in (*first.records, *rest.records)] == ["e4", "e3", "e2", "e1", "e0"]
    assert rest.cursor is None
    with pytest.raises(BadCursor):
        await sessions.of_user("ada", limit=3, cursor=first.cursor)


async def test_sessions_of_those_whom_nobody_asked_are_in_one_list(sessions: VoiceSessions) -> None:
    await sessions.write(leg(user_id=""))
    await sessions.write(leg("s2", user_id="anonymous"))
    of_anybody, of_a_user = await sessions.of_user(ANYBODY), await sessions.of_user("anonymous")

    assert [user_of(one) for one in of_anybody.records] == [""]
    assert [user_of(one) for one in of_a_user.records] == ["anonymous"]


@pytest.mark.req("S0-10")
async def test_what_programs_note_is_merged_and_survives_what_the_process_writes(sessions: VoiceSessions) -> None:
    await sessions.write(leg())
    await sessions.update("s1", metadata={"topic": "bills", "mood": "good"}, audio_format="audio/webm")
    await sessions.update("s1", metadata={"mood": None, "place": "home"})
    await sessions.write(leg(counts=COUNTED, ending=ended(NOW)))
    stored = await sessions.get("s1")

    assert stored is not None
    assert stored.metadata == {"topic": "bills", "place": "home"}
    assert await sessions.update("s9", metadata={"a": "b"}) is None


@pytest.mark.req("S0-10")
async def test_of_changes_at_once_none_is_lost(sessions: VoiceSessions) -> None:
    await sessions.create(asked_for())
    await asyncio.gather(
        *(sessions.update("r1", metadata={f"key-{number}": "there"}) for number in range(4)),
        *(sessions.count("r1", Counts(user_turns=1)) for _ in range(4)),
    )
    stored = await sessions.get("r1")

    assert stored is not None
    assert {f"key-{number}" for number in range(4)} <= set(stored.metadata)
    assert stored.counts == Counts(user_turns=4)


async def test_an_update_that_races_with_the_end_leaves_the_session_ended(sessions: VoiceSessions) -> None:
    await sessions.write(leg())
    writes = [sessions.write(leg(counts=Counts(user_turns=number))) for number in range(20)]
    first, *standings, final = await asyncio.gather(
        *writes[:10], sessions.end("s1", "client"), *writes[10:], sessions.update("s1", metadata={"topic": "bills"})
    )
    late = await sessions.write(leg(counts=COUNTED))
    stored = await sessions.get("s1")
    item = await sessions.table.get(Key("VOICE#s1", "METADATA"))

    assert (first, late) == (Standing.HELD, Standing.ENDED)
    assert Standing.TAKEN not in standings
    assert isinstance(final, VoiceSession)
    assert stored is not None
    assert (stored.status, stored.lives_on, stored.counts, stored.metadata) == (
        VoiceSessionStatus.COMPLETED, None, COUNTED, {"topic": "bills"},
    )  # fmt: skip
    assert (item or {})["messageCount"] == 7


@pytest.mark.req("S0-11", "S2-25")
async def test_a_parked_session_goes_on_in_another_process_which_ends_it(sessions: VoiceSessions, clock: StandingClock) -> None:
    await sessions.write(leg(counts=COUNTED))
    await sessions.write(leg(counts=COUNTED, is_parked=True))
    parked = await sessions.get("s1")
    clock.advance(seconds=20)
    other = leg(process="p2", is_adopted=True, connection_id="c2", began_at=clock())
    held = await sessions.write(replace(other, counts=Counts(user_turns=1)))
    adopted = await sessions.get("s1")
    clock.advance(seconds=40)
    await sessions.write(replace(other, counts=Counts(user_turns=2, tool_calls=5), ending=ended(clock())))
    item = await sessions.table.get(Key("VOICE#s1", "METADATA"))
    stored = await sessions.get("s1")

    assert parked is not None
    assert (parked.status, parked.lives_on, parked.ended_at) == (VoiceSessionStatus.ACTIVE, "PARKED", None)
    assert held is Standing.HELD
    assert adopted is not None
    assert (adopted.connection_id, adopted.process, adopted.created_at, adopted.message_count) == ("c2", "p2", NOW, 8)
    assert stored is not None
    assert (stored.status, stored.total_duration, stored.counts.tool_calls) == (VoiceSessionStatus.COMPLETED, Decimal(60), 7)
    assert ((item or {})["messageCount"], (item or {})["totalDuration"]) == (9, 60)


async def test_what_the_first_process_writes_too_late_is_counted_and_takes_nothing_back(
    sessions: VoiceSessions, clock: StandingClock
) -> None:
    clock.advance(seconds=20)
    await sessions.write(leg(process="p2", is_adopted=True, connection_id="c2", began_at=clock(), counts=Counts(user_turns=1)))
    standing = await sessions.write(leg(counts=COUNTED, is_parked=True))
    taken = await sessions.get("s1")
    await sessions.end("s1", "client")
    too_late = await sessions.write(leg(counts=COUNTED + Counts(assistant_turns=2)))
    item = await sessions.table.get(Key("VOICE#s1", "METADATA"))

    assert (standing, too_late) == (Standing.TAKEN, Standing.ENDED)
    assert taken is not None
    assert (taken.connection_id, taken.lives_on, taken.created_at, taken.message_count) == ("c2", "p2", NOW, 8)
    assert ((item or {})["status"], (item or {})["messageCount"], (item or {})["totalDuration"]) == ("COMPLETED", 10, 20)


async def test_the_process_of_a_session_is_asked_once_to_end_it(sessions: VoiceSessions) -> None:
    await sessions.greet("p1")
    await sessions.write(leg())
    await sessions.create(asked_for())
    await sessions.end("s1", "client")
    await sessions.end("r1", "client")

    assert await sessions.take_requests("p1") == {"s1": "client"}
    assert await sessions.take_requests("p1") == {}


@pytest.mark.req("S0-51")
async def test_the_sessions_of_a_killed_process_are_swept_as_errors_and_no_others(sessions: VoiceSessions, clock: StandingClock) -> None:
    for process in ("p1", "p2"):
        await sessions.greet(process)
        await sessions.write(leg(f"{process}-a", process=process))
        await sessions.write(leg(f"{process}-b", process=process, ending=ended(NOW)))
    clock.now += GONE_AFTER
    await sessions.greet("p2")
    clock.advance(seconds=1)
    swept = ids(await sessions.sweep())
    stored = await sessions.get("p1-a")
    others = [await sessions.get(name) for name in ("p2-a", "p1-b", "p2-b")]

    assert swept == ("p1-a",)
    assert stored is not None
    assert (stored.status, stored.end_reason, stored.error_code) == (VoiceSessionStatus.ERROR, "process_lost", "process_lost")
    assert stored.ended_at == NOW
    assert [one.status.value for one in others if one] == ["ACTIVE", "COMPLETED", "COMPLETED"]
    assert await sessions.sweep() == ()


@pytest.mark.parametrize(("is_parked", "waits", "reason"), [(True, PARKED_FOR, "client_lost"), (False, IDLE_FOR, "idle")])
async def test_what_nobody_goes_on_with_is_completed(
    sessions: VoiceSessions, clock: StandingClock, *, is_parked: bool, waits: timedelta, reason: str
) -> None:
    if is_parked:
        await sessions.write(leg("s1", is_parked=True))
    else:
        await sessions.create(asked_for("s1"))
    clock.now += waits - timedelta(seconds=1)
    before = ids(await sessions.sweep())
    clock.advance(seconds=2)
    swept = ids(await sessions.sweep())
    stored = await sessions.get("s1")

    assert (before, swept) == ((), ("s1",))
    assert stored is not None
    assert (stored.status, stored.end_reason, stored.ended_at) == (VoiceSessionStatus.COMPLETED, reason, NOW)


async def test_a_session_on_request_that_is_used_is_not_idle(sessions: VoiceSessions, clock: StandingClock) -> None:
    await sessions.create(asked_for())
    clock.advance(minutes=50)
    await sessions.count("r1", Counts(user_turns=1))
    clock.advance(minutes=50)

    assert await sessions.sweep() == ()


async def test_a_process_that_was_only_thought_to_be_gone_has_its_sessions_again(sessions: VoiceSessions, clock: StandingClock) -> None:
    was_known = [await sessions.greet("p1"), await sessions.greet("p1")]
    await sessions.write(leg())
    clock.advance(minutes=5)
    await sessions.sweep()
    known_again = await sessions.greet("p1")
    standing = await sessions.write(leg(counts=COUNTED))
    item = await sessions.table.get(Key("VOICE#s1", "METADATA"))

    assert (was_known, known_again) == ([False, True], False)
    assert standing is Standing.HELD
    assert item is not None
    assert item["status"] == "ACTIVE"
    assert not {"endedAt", "endedBy", "errorCode", "totalDuration"} & set(item)


async def test_of_ten_servers_that_sweep_at_once_one_ends_each_session(sessions: VoiceSessions, clock: StandingClock) -> None:
    await sessions.greet("p1")
    for number in range(6):
        await sessions.write(leg(f"s{number}"))
    clock.advance(minutes=5)
    swept = await asyncio.gather(*(sessions.sweep() for _ in range(10)))

    assert sorted(one.session_id for each in swept for one in each) == [f"s{number}" for number in range(6)]


async def test_a_process_that_says_good_bye_is_not_swept(sessions: VoiceSessions, clock: StandingClock) -> None:
    await sessions.greet("p1")
    await sessions.leave("p1")
    clock.advance(minutes=5)

    assert await sessions.sweep() == ()
    assert await sessions.greet("p1") is False


async def test_sessions_expire_only_where_that_is_asked_for(sessions: VoiceSessions, clock: StandingClock) -> None:
    brief = VoiceSessions(sessions.table, clock, keep_days=30)
    await sessions.write(leg("kept", ending=ended(NOW)))
    await brief.write(leg("brief", ending=ended(NOW)))
    clock.advance(days=31)

    assert await brief.get("brief") is None
    assert await sessions.get("kept") is not None

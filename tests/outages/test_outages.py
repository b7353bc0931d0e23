"""DynamoDB, S3, SNS and AppSync fail for a minute: nobody who talks hears of it, and what was to be written is, or is told to be lost."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from statistics import median

import pytest

from observers.backlog import Backlog
from observers.memory import RECALL_SECONDS
from storage.audit import AuditAction, AuditTrail
from storage.connections import Connections, ConnectionStatus
from storage.conversations import Conversations
from storage.recordings import Recordings, RecordingState
from storage.tables import connections_table, conversations_table, voice_sessions_table
from storage.voice_session_items import VoiceSessionStatus
from storage.voice_sessions import VoiceSessions
from tests import ministack, needs
from tests.outages.fast_time import FastLoop
from tests.outages.faulty_aws import Outage
from tests.outages.house import ANSWER, Caller, House, open_house

OUTAGE_SECONDS = 60.0
FULL_SECONDS = 45.0
"""Longer than there is room for sound that is not compressed: two megabytes."""
SLACK_SECONDS = 5.0
"""Half a second in real time: other programs run on this machine. Whoever waited for a service would wait longer."""
LOST = (
    *(
        f"{name}_{end}"
        for name in ("conversation_turn", "voice_session", "event", "alert", "recording_part")
        for end in ("lost", "refused")
    ),
    *(
        "audit_entry_dropped",
        "connection_record_dropped",
        "event_unwritable",
        "recording_dropped_ms",
        "recording_failed",
        "recording_refused",
    ),
)
"""What counts something that is not written."""
ROOMS = (("voice_sessions", "WAITING", 1), ("connection_records", "WAITING_ENTRIES", 4), ("connection_records", "WAITING_ENDED", 1))
TOLD = {"voice_session_lost", "audit_entry_dropped", "connection_record_dropped", "conversation_turn_lost", "event_lost"}

pytestmark = [pytest.mark.dynamodb, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    try:
        with ministack.started() as found:
            yield found
    except ministack.Unavailable as error:
        needs.missing(f"MiniStack ({error})")


def in_fast_time(work: Callable[[], Coroutine[None, None, None]]) -> None:
    with asyncio.Runner(loop_factory=FastLoop) as runner:
        runner.run(work())


@pytest.mark.req("S0-45", "S2-16", "S2-39")
@pytest.mark.parametrize("outage", [Outage.HANGING, Outage.THROTTLING, Outage.DOWN])
def test_a_minute_without_any_service_is_not_heard_and_costs_nothing(
    outage: Outage, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with open_house(tmp_path, endpoint, monkeypatch) as house:
            await endure(house, outage)

    in_fast_time(work)


async def endure(house: House, outage: Outage) -> None:
    """Talk before, during and after an outage, and compare."""
    ana, bea = house.caller("ana"), house.caller("bea")
    began = await ana.begin()
    for number in range(3):
        await ana.ask(f"Before {number}.")
    healthy = list(ana.took)

    house.services.fail(outage)
    over_at = asyncio.get_running_loop().time() + OUTAGE_SECONDS
    await ana.client.cut()
    await ana.client.resume()
    began_in = await bea.begin()
    await fail_once(house)
    while asyncio.get_running_loop().time() < over_at:
        await asyncio.gather(ana.ask(f"Meanwhile {len(ana.took)}."), bea.ask(f"Meanwhile {len(bea.took)}."))
    await bea.end()
    failed = dict(house.services.failed)
    house.services.fail(Outage.NONE)

    await ana.ask("Afterwards.")
    await ana.end()
    (alert,) = await house.account.alerts(1)
    await house.until_written()
    counted = await house.counted()

    assert {"dynamodb", "s3", "sns", "appsync"} <= set(failed)
    check_untouched([ana, bea], healthy)
    assert began_in <= began + RECALL_SECONDS + SLACK_SECONDS
    assert alert["code"] == "sessions_failing"
    assert {name: counted[name] for name in LOST if counted.get(name)} == {}
    for caller in (ana, bea):
        await check_written(house, caller)
    await check_connections(house, ana, bea)


async def fail_once(house: House) -> None:
    """Let one conversation fail, which is a reason for an alert."""
    house.model_faults.append("http_403")
    caller = house.caller("cleo").client
    beginning = asyncio.create_task(caller.start())
    await caller.until(lambda: bool(caller.received.named("error")))
    beginning.cancel()
    await asyncio.wait({beginning})
    await caller.close()


def check_untouched(callers: list[Caller], healthy: list[float]) -> None:
    """Every answer came in the time that it took before, word for word and sample for sample."""
    for caller in callers:
        assert [text for _, role, text in caller.told() if role == "ASSISTANT"] == [ANSWER] * len(caller.took)
        assert (caller.client.received.missing, len(set(caller.heard))) == (0, 1)
        assert median(caller.took) <= median(healthy) + 1.0
        assert max(caller.took) <= max(healthy) + SLACK_SECONDS


async def check_written(house: House, caller: Caller) -> None:
    """What was written down is what the caller was told, in order."""
    database, settings = house.account.database, house.settings
    sessions = VoiceSessions(database.table(voice_sessions_table(settings.voice_sessions_table)))
    conversations = Conversations(database.table(conversations_table(settings.conversations_table)))
    session = await sessions.get(caller.session_id)
    turns = (await conversations.turns(caller.user, caller.session_id)).records
    told = [json.loads(text) for channel, text in house.events.taken if channel.endswith(caller.session_id)]
    said = [one for one in told if one["type"] in ("TRANSCRIPTION", "RESPONSE")]
    (recording,) = await Recordings(house.account.objects).of_session(caller.session_id)

    assert session is not None
    assert (session.status, session.user_id) == (VoiceSessionStatus.COMPLETED, caller.user)
    assert session.counts.messages == len(caller.told())
    assert [(turn.number, turn.role.value, turn.text) for turn in turns] == caller.told()
    assert [(one["turn"], one["text"]) for one in said] == [(number, text) for number, _, text in caller.told()]
    assert [one["timestamp"] for one in told] == sorted(one["timestamp"] for one in told)
    assert (told[0]["eventName"], told[-1]["eventName"]) == ("created", "ended")
    assert (recording.state, recording.figures.dropped_ms) == (RecordingState.COMPLETE, 0)
    assert await house.account.objects.head(recording.key) is not None


async def check_connections(house: House, ana: Caller, bea: Caller) -> None:
    """Every connection has a record that ends, and its entries in the audit trail, in order."""
    table = house.account.database.table(connections_table(house.settings.connections_table))
    connections, trail = Connections(table), AuditTrail(table, str)
    found = {user: (await connections.of_user(user)).records for user in ("ana", "bea")}
    after, before = [await actions(trail, one.connection_id) for one in found["ana"]]
    (only,) = [await actions(trail, one.connection_id) for one in found["bea"]]

    assert {one.status for infos in found.values() for one in infos} == {ConnectionStatus.DISCONNECTED}
    assert {one.session_id for one in found["ana"]} == {ana.session_id}
    assert [one.session_id for one in found["bea"]] == [bea.session_id]
    came = [AuditAction.CONNECTED, AuditAction.AUTHENTICATED]
    assert before == [*came, AuditAction.SESSION_BEGAN, AuditAction.DISCONNECTED]
    assert after == [*came, AuditAction.SESSION_RESUMED, AuditAction.SESSION_ENDED, AuditAction.DISCONNECTED]
    assert only == [*came, AuditAction.SESSION_BEGAN, AuditAction.SESSION_ENDED, AuditAction.DISCONNECTED]


async def actions(trail: AuditTrail, connection_id: str) -> list[AuditAction]:
    """Return what happened to a connection."""
    return [entry.action for entry in (await trail.of_connection(connection_id)).records]


@pytest.mark.req("S0-45", "S2-16", "S2-39")
def test_what_has_no_room_while_the_services_are_away_is_counted_told_and_never_heard(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name, room in ROOMS:
        monkeypatch.setattr(f"observers.{module}.{name}", room)
    defaults = Backlog.__init__.__kwdefaults__ or {}
    monkeypatch.setitem(defaults, "entries", 5)

    async def work() -> None:
        async with open_house(tmp_path, endpoint, monkeypatch, RECORDING_FORMAT="wav") as house:
            await overflow(house)

    in_fast_time(work)


async def overflow(house: House) -> None:
    """Talk while there is no room for what is written down."""
    ana = house.caller("ana")
    await ana.begin()
    await ana.ask("Before.")
    house.services.fail(Outage.DOWN)
    over_at = asyncio.get_running_loop().time() + FULL_SECONDS
    while asyncio.get_running_loop().time() < over_at:
        for name in ("bea", "cleo"):
            caller = house.caller(name)
            await caller.begin()
            await caller.end()
        await ana.ask("Meanwhile.")
    house.services.fail(Outage.NONE)
    await ana.end()
    await house.until_written()
    (recording,) = await Recordings(house.account.objects).of_session(ana.session_id)
    told = {(one["code"], one["details"]["counted"]) for one in await house.alerts(len(TOLD) + 1)}
    counted = await house.counted()

    check_untouched([ana], ana.took[:1])
    assert {name for name in LOST if counted.get(name)} == TOLD | {"recording_dropped_ms"}
    assert told == {("records_lost", name) for name in TOLD} | {("recordings_incomplete", "recording_dropped_ms")}
    assert 0 < recording.figures.dropped_ms <= counted["recording_dropped_ms"]

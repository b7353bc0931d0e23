"""Followers of events: the realtime protocol of AppSync Events, who may follow what, and what happens to those who do not keep up."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from auth.interfaces import TokenRefused
from auth.principal import Principal, Role
from publishing import local
from publishing.events import Alert, ResponseEvent, TranscriptionEvent
from publishing.local import LocalChannels, Subscription
from publishing.routes import Message
from telemetry.counters import Counters
from tests.transports.doubles import LoopClock, Rig, running_server
from transports.authentication import Gate
from transports.event_channels import SUBSCRIPTIONS, EventDesk

AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
ANA, OPERATOR = "token-of-ana", "token-of-somebody-who-runs-this"
WORD = TranscriptionEvent(session_id="s-1", user_id="ana", at=AT, turn=1, text="hola", language="es")
SECONDS = 5


class Wall:
    """Seconds since 1970, moved by hand."""

    seconds = 0.0


class Known:
    """Knows two people."""

    needs_token = True

    def __init__(self) -> None:
        self.ends_at: float | None = None
        self.tokens = {ANA: "ana", "newer-token-of-ana": "ana", "token-of-eve": "eve"}

    async def authenticate(self, token: str, claimed_user: str = "") -> Principal:
        if token == OPERATOR:
            return Principal("root", roles=frozenset({Role.OPERATOR}), expires_at=1e12)
        if token not in self.tokens:
            raise TokenRefused("unknown")
        return Principal(self.tokens[token], expires_at=1e12 if self.ends_at is None or token.startswith("newer") else self.ends_at)


@dataclass
class Place:
    """A server with events."""

    rig: Rig
    channels: LocalChannels
    known: Known

    @property
    def address(self) -> str:
        return f"ws://127.0.0.1:{self.rig.port}/event/realtime"


@asynccontextmanager
async def running(*, keep_alive_seconds: float = 60.0, ends_at: float | None = None) -> AsyncIterator[Place]:
    made: list[EventDesk] = []
    known = Known()
    known.ends_at = ends_at

    def desk(counters: Counters) -> EventDesk:
        channels = LocalChannels(counters)
        made.append(EventDesk(channels, counters, LoopClock(), keep_alive_seconds=keep_alive_seconds, wall=lambda: Wall.seconds))
        return made[0]

    async with running_server(gate=lambda counters: Gate(known, counters), events=desk) as rig:
        yield Place(rig, made[0].channels, known)


def header(**values: str) -> str:
    return "header-" + base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


class Follower:
    """A client written after the service's documentation."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def ask(self, **message: object) -> dict[str, Any]:
        await self.connection.send(json.dumps(message))
        return await self.next()

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(SECONDS):
            told: dict[str, Any] = json.loads(await self.connection.recv())
        return told

    async def subscribe(self, channel: str, name: str = "one") -> dict[str, Any]:
        return await self.ask(type="subscribe", id=name, channel=channel, authorization={"host": "example"})


@asynccontextmanager
async def following(place: Place, token: str, *, begins: bool = True) -> AsyncIterator[Follower]:
    offered = [Subprotocol("aws-appsync-event-ws"), Subprotocol(header(Authorization=token, host="example"))]
    async with connect(place.address, subprotocols=offered) as connection:
        assert connection.subprotocol == "aws-appsync-event-ws"
        follower = Follower(connection)
        if begins:
            assert await follower.ask(type="connection_init") == {"type": "connection_ack", "connectionTimeoutMs": 300_000}
        yield follower


@pytest.mark.req("S0-39")
@pytest.mark.req("S1-19")
async def test_a_user_follows_their_own_sessions() -> None:
    async with running() as place, following(place, ANA) as ana:
        assert await ana.subscribe("/events/voice-sessions/ana/*") == {"id": "one", "type": "subscribe_success"}
        place.channels.publish(WORD)
        told = await ana.next()

    assert (told["type"], told["id"]) == ("data", "one")
    assert json.loads(told["event"])["text"] == "hola"


@pytest.mark.req("S0-40")
async def test_of_a_channel_of_many_a_user_receives_their_own_events_alone() -> None:
    async with running() as place, following(place, "token-of-eve") as eve, following(place, OPERATOR) as operator:
        await eve.subscribe("events/conversations")
        await operator.subscribe("events/conversations")
        place.channels.post("events/conversations/ana", ["1"])
        place.channels.deliver(Message("events/conversations", '"of ana"', "ana"))
        place.channels.deliver(Message("events/conversations", '"of eve"', "eve"))
        of_operator = [(await operator.next())["event"] for _ in range(2)]
        of_eve = (await eve.next())["event"]

    assert of_operator == ['"of ana"', '"of eve"']
    assert of_eve == '"of eve"'


@pytest.mark.parametrize(
    "channel",
    [
        "/events/voice-sessions/ana/*",
        "/events/voice-sessions/ana/s-1",
        "/events/conversations/ana",
        "/events/conversations/*",
        "/events/voice-sessions/*",
        "/events/*",
        "/events",
        "/events/alerts",
        "/events/orders",
        "/events/alerts/eve",
    ],
)
async def test_nobody_follows_what_is_for_others(channel: str) -> None:
    async with running() as place, following(place, "token-of-eve") as eve:
        answer = await eve.subscribe(channel)
        place.channels.publish(WORD)
        place.channels.publish(Alert(code="x", message="y", at=AT))
        after = await eve.ask(type="unsubscribe", id="one")

    assert answer["type"] == "subscribe_error"
    assert answer["errors"][0]["errorType"] == "UnauthorizedException"
    assert after["type"] == "unsubscribe_error"


async def test_an_operator_follows_everything() -> None:
    async with running() as place, following(place, OPERATOR) as operator:
        await operator.subscribe("/events/*")
        place.channels.publish(WORD)
        place.channels.publish(Alert(code="model_unavailable", message="It is away.", at=AT))
        kinds = [json.loads((await operator.next())["event"])["type"] for _ in range(2)]

    assert kinds == ["TRANSCRIPTION", "ALERT"]


@pytest.mark.parametrize(
    "channel", ["", "/", "other/x", "/events/a b", "/events/*/x", "/events/a/b/c/d/e", "/events/a/b/c/d/*", "//events/x", "/events/ñ"]
)
async def test_what_is_no_channel_cannot_be_followed(channel: str) -> None:
    async with running() as place, following(place, OPERATOR) as operator:
        answer = await operator.subscribe(channel)

    assert answer["type"] == "subscribe_error"
    assert answer["errors"][0]["errorType"] == "BadRequestException"


async def test_after_unsubscribe_nothing_comes() -> None:
    async with running() as place, following(place, ANA) as ana:
        await ana.subscribe("/events/voice-sessions/ana/*")
        ended = await ana.ask(type="unsubscribe", id="one")
        place.channels.publish(WORD)
        again = await ana.ask(type="unsubscribe", id="one")

    assert ended == {"id": "one", "type": "unsubscribe_success"}
    assert again["errors"][0]["errorType"] == "UnknownOperationError"


@pytest.mark.parametrize("offered", [["header-"], ["header-!!"], [header(Authorization="wrong")], [], [header(Authorization=""), header()]])
async def test_who_is_not_known_is_told_so_and_closed(offered: list[str]) -> None:
    async with running() as place:
        names = [Subprotocol("aws-appsync-event-ws"), *(Subprotocol(name) for name in offered)]
        async with connect(place.address, subprotocols=names) as connection:
            told = await Follower(connection).next()
            with pytest.raises(ConnectionClosed) as closed:
                await connection.recv()

    assert told["type"] == "connection_error"
    assert told["errors"][0]["errorType"] == "UnauthorizedException"
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


async def test_a_header_of_the_handshake_introduces_a_client_as_well() -> None:
    async with running() as place:
        more = {"Authorization": f"Bearer {ANA}"}
        async with connect(place.address, subprotocols=[Subprotocol("aws-appsync-event-ws")], additional_headers=more) as connection:
            answer = await Follower(connection).ask(type="connection_init")

    assert answer["type"] == "connection_ack"


async def test_a_server_without_events_says_so() -> None:
    async with running_server() as rig:
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{rig.port}/event/realtime", subprotocols=[Subprotocol("aws-appsync-event-ws")])

    assert refused.value.response.status_code == 404


async def test_nothing_is_done_before_the_beginning() -> None:
    async with running() as place, following(place, ANA, begins=False) as ana:
        answer = await ana.subscribe("/events/conversations")

    assert answer["errors"][0]["errorType"] == "BadRequestException"


@pytest.mark.parametrize(
    "frame",
    [
        "nonsense",
        b"\xff\x00",
        "[]",
        "{}",
        '{"type":7}',
        '{"type":"start","id":"1"}',
        '{"type":"subscribe","channel":"/events/x"}',
        '{"type":"subscribe","id":"a b","channel":"/events/x"}',
        '{"type":"subscribe","id":"1"}',
        '{"type":"subscribe","id":"1","channel":["/events/x"]}',
        '{"type":"subscribe","id":"1","channel":"/events/x","authorization":[]}',
        '{"type":"publish","id":"1","channel":"/events/x","events":"1"}',
        '{"type":"publish","id":"1","channel":"/events/x","events":[{}]}',
        '{"type":"connection_init","type":"' + "x" * 5_000 + '"}',
    ],
)
async def test_a_wrong_message_is_answered_and_the_connection_goes_on(frame: str | bytes) -> None:
    async with running() as place, following(place, OPERATOR) as operator:
        await operator.connection.send(frame)
        told = await operator.next()
        answer = await operator.subscribe("/events/conversations")

    assert told["type"] == "error"
    assert answer["type"] == "subscribe_success"


async def test_a_connection_has_so_many_subscriptions_and_no_two_of_one_id() -> None:
    async with running() as place, following(place, OPERATOR) as operator:
        answers = [await operator.subscribe("/events/conversations", f"s-{number}") for number in range(SUBSCRIPTIONS)]
        twice = await operator.subscribe("/events/conversations", "s-1")
        await operator.ask(type="unsubscribe", id="s-0")
        await operator.subscribe("/events/conversations", "s-0")
        beyond = await operator.subscribe("/events/conversations", "s-more")

    assert {answer["type"] for answer in answers} == {"subscribe_success"}
    assert twice["errors"][0]["errorType"] == "BadRequestException"
    assert beyond["errors"][0]["errorType"] == "LimitExceededError"


async def test_operators_publish_and_others_do_not() -> None:
    async with running() as place, following(place, OPERATOR) as operator, following(place, ANA) as ana:
        await ana.subscribe("/events/conversations/ana")
        refused = await ana.ask(type="publish", id="1", channel="/events/conversations/ana", events=["1"])
        taken = await operator.ask(type="publish", id="p", channel="/events/conversations/ana", events=['{"n":1}', "2"])
        heard = [(await ana.next())["event"] for _ in range(2)]

    assert refused["type"] == "publish_error"
    assert taken["type"] == "publish_success"
    assert [one["index"] for one in taken["successful"]] == [0, 1]
    assert heard == ['{"n":1}', "2"]


@pytest.mark.parametrize(
    ("channel", "events"),
    [
        ("/events/x", []),
        ("/events/x", ["1"] * 6),
        ("/events/x", ["nonsense"]),
        ("/events/x", [json.dumps("x" * 240_000)]),
        ("/other/x", ["1"]),
        ("/events", ["1"]),
        ("/events/*", ["1"]),
    ],
)
async def test_what_the_service_would_not_take_is_refused(channel: str, events: list[str]) -> None:
    async with running() as place, following(place, OPERATOR) as operator:
        answer = await operator.ask(type="publish", id="p", channel=channel, events=events)

    assert answer["type"] == "publish_error"
    assert answer["errors"][0]["errorType"] == "BadRequestException"


async def test_a_client_hears_now_and_then_that_the_connection_lives() -> None:
    async with running(keep_alive_seconds=0.01) as place, following(place, ANA) as ana:
        told = await ana.next()

    assert told == {"type": "ka"}


async def test_a_connection_ends_with_its_token() -> None:
    Wall.seconds = 0.0
    async with running(ends_at=0.05) as place, following(place, ANA) as ana:
        Wall.seconds = 1.0
        with pytest.raises(ConnectionClosed) as closed:
            await ana.next()

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4401, "token_expired")


async def test_a_newer_token_keeps_a_connection_and_anothers_does_not() -> None:
    Wall.seconds = 0.0
    async with running(ends_at=3_600.0) as place, following(place, ANA) as ana:
        others = await ana.ask(type="subscribe", id="1", channel="/events/conversations", authorization={"Authorization": "token-of-eve"})
        newer = {"Authorization": "newer-token-of-ana"}
        own = await ana.ask(type="subscribe", id="1", channel="/events/conversations", authorization=newer)
        Wall.seconds = 7_200.0
        again = await ana.ask(type="unsubscribe", id="1")
    Wall.seconds = 0.0

    assert others["errors"][0]["errorType"] == "UnauthorizedException"
    assert own["type"] == "subscribe_success"
    assert again["type"] == "unsubscribe_success"


async def test_who_does_not_read_loses_the_oldest_is_told_and_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "WAITING_MESSAGES", 10)
    async with running() as place, following(place, ANA) as ana, following(place, OPERATOR) as operator:
        await ana.subscribe("/events/voice-sessions/ana/*")
        await operator.subscribe("/events/voice-sessions/*")
        for turn in range(100):  # in one go: the writers have no turn in between
            place.channels.publish(ResponseEvent(session_id="s-1", user_id="ana", at=AT, turn=turn, text="x", language="es"))
        lost = await ana.next()
        turns = [json.loads((await ana.next())["event"])["turn"] for _ in range(10)]
        counts = place.rig.counters.read()
        await operator.next()

    assert lost["type"] == "broadcast_error"
    assert "90 events" in lost["errors"][0]["message"]
    assert turns == list(range(90, 100))
    assert counts["event_dropped"] == 180


async def test_nothing_is_left_of_a_client_that_went() -> None:
    async with running() as place:
        async with following(place, ANA) as ana:
            await ana.subscribe("/events/voice-sessions/ana/*")
        async with following(place, ANA) as later:
            await later.subscribe("/events/voice-sessions/ana/*")
            place.channels.publish(WORD)
            await later.next()

        assert place.rig.counters.read()["event_delivered"] == 1


@pytest.mark.parametrize("broken", [(LocalChannels, "post"), (Subscription, "take_dropped")], ids=["reader", "writer"])
async def test_a_bug_while_a_client_is_served_is_logged_and_the_client_is_told_its_reference(
    broken: tuple[type, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("of ours")

    monkeypatch.setattr(*broken, fail)
    with capture_logs() as lines:
        async with running() as place, following(place, OPERATOR) as operator:
            await operator.subscribe("/events/conversations")
            request = {"type": "publish", "id": "two", "channel": "/events/conversations", "events": ["1"]}
            await operator.connection.send(json.dumps({**request, "authorization": {"host": "example"}}))
            async with asyncio.timeout(SECONDS):
                await operator.connection.wait_closed()
            code, reason = operator.connection.close_code, operator.connection.close_reason
    (crashed,) = (line for line in lines if line["event"] == "connection.crashed")

    assert (code, reason) == (1011, crashed["ref"])
    assert str(crashed["exc_info"]) == "of ours"

"""The publisher of AppSync Events against an Event API on this machine: its requests, its order, and the service's bad days."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials

from observers import backlog
from observers.event_outbox import EventOutbox
from publishing import appsync
from publishing.appsync import BATCH_BYTES, ITEM_TRIES, AppSyncEvents, Outgoing, batches
from publishing.errors import Away, Denied, Refused, Throttled
from publishing.events import Change, ConversationEvent, TranscriptionEvent
from publishing.routes import Message
from publishing.signing import signed_headers
from telemetry.counters import Counters
from tests.publishing.service import EventApi, Misbehaviour, never, rubbish, running_api, status, vanish

AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


@dataclass
class Identity:
    """Somebody who may publish."""

    access_key_id: str = "AKIAMADEUPFORTESTS00"
    secret_access_key: str = "made-up-for-tests"
    session_token: str | None = None


class Purse:
    """Has credentials, and is told when they are refused."""

    def __init__(self, identity: Identity) -> None:
        self.given = identity
        self.forgotten = 0

    async def identity(self) -> Identity:
        return self.given

    def forget(self) -> None:
        self.forgotten += 1


def said(turn: int, session: str = "s-1", text: str = "hola") -> TranscriptionEvent:
    return TranscriptionEvent(session_id=session, user_id="ana", at=AT, turn=turn, text=text, language="es")


def outgoing(*texts: str, channel: str = "events/x") -> list[Outgoing]:
    return [Outgoing(Message(channel, text, "")) for text in texts]


@asynccontextmanager
async def publishing(api: EventApi, counters: Counters, seconds: float = 4.0) -> AsyncIterator[EventOutbox]:
    service = AppSyncEvents(api.url, api_key="da2-madeup", seconds=seconds)
    outbox = EventOutbox(service.write, counters)
    outbox.start()
    try:
        yield outbox
    finally:
        await outbox.aclose()
        await service.aclose()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a service that failed alone for no time."""
    monkeypatch.setattr(backlog, "AWAY_SECONDS", (0.0,))


@pytest.mark.req("S0-16")
@pytest.mark.req("S1-09")
async def test_events_of_a_channel_come_in_order_five_at_a_time() -> None:
    counters = Counters()
    async with running_api() as api, publishing(api, counters) as outbox:
        for turn in range(12):
            outbox.publish(said(turn))
        await outbox.backlog.written()

    assert [json.loads(text)["turn"] for _, text in api.taken] == list(range(12))
    assert {channel for channel, _ in api.taken} == {"/events/voice-sessions/ana/s-1"}
    assert [len(json.loads(body)["events"]) for body in api.bodies] == [5, 5, 2]
    assert {request.headers["x-api-key"] for request in api.requests} == {"da2-madeup"}
    assert counters.read()["event_written"] == 12


async def test_each_channel_has_requests_of_its_own() -> None:
    async with running_api() as api, publishing(api, Counters()) as outbox:
        for turn in range(6):
            outbox.publish(said(turn, session=f"s-{turn % 3}"))
        await outbox.backlog.written()

    assert len(api.bodies) == 3
    for number in range(3):
        turns = [json.loads(text)["turn"] for channel, text in api.taken if channel.endswith(f"s-{number}")]
        assert [number, number + 3] == turns


def test_a_request_stays_below_the_size_that_the_service_takes() -> None:
    large = json.dumps("x" * 100_000)
    made = batches(outgoing(large, large, large, "1", "2"))

    assert [len(group) for group in made] == [2, 3]
    assert all(sum(one.size_bytes for one in group) <= BATCH_BYTES for group in made)


async def test_what_is_too_large_is_never_sent_and_stops_nothing() -> None:
    counters = Counters()
    huge = ConversationEvent(
        change=Change.INSERT, username="", conversation_id="c", at=AT, conversation="x" * 300_000, source="aws:dynamodb"
    )
    async with running_api() as api, publishing(api, counters) as outbox:
        outbox.publish(said(1))
        outbox.publish(huge)
        outbox.publish(said(2))
        await outbox.backlog.written()

    assert [json.loads(text)["turn"] for _, text in api.taken] == [1, 2]
    assert counters.read()["event_refused"] == 1


async def test_those_that_failed_are_sent_again_and_the_others_are_not() -> None:
    async with running_api() as api, publishing(api, Counters()) as outbox:
        api.next.append(api.fails(1, 3))
        for turn in range(5):
            outbox.publish(said(turn))
        await outbox.backlog.written()

    assert [json.loads(text)["turn"] for _, text in api.taken] == [0, 2, 4, 1, 3]


async def test_an_event_that_is_never_taken_is_left_out() -> None:
    counters = Counters()
    async with running_api() as api, publishing(api, counters) as outbox:
        api.poison = "poison"
        for turn in range(5):
            outbox.publish(said(turn, text="poison" if turn == 2 else "hola"))
        outbox.publish(said(5))
        await outbox.backlog.written()

    assert [json.loads(text)["turn"] for _, text in api.taken] == [0, 1, 3, 4, 5]
    assert counters.read()["event_refused"] == 1
    assert len(api.bodies) <= ITEM_TRIES + 6


async def test_of_a_request_that_is_refused_one_event_alone_is_left_out() -> None:
    counters = Counters()

    async with running_api() as api, publishing(api, counters) as outbox:
        api.next.append(status(400, "BadRequestException"))  # all three together
        api.next.append(status(400, "BadRequestException"))  # the first, alone
        for turn in range(3):
            outbox.publish(said(turn))
        await outbox.backlog.written()

    assert [json.loads(text)["turn"] for _, text in api.taken] == [1, 2]
    assert counters.read()["event_refused"] == 1


AWAY: list[Misbehaviour] = [vanish, status(500), status(503), status(429, "TooManyRequestsException"), status(403), status(401)]


@pytest.mark.parametrize("bad", AWAY, ids=["cut", "500", "503", "429", "403", "401"])
async def test_a_service_that_is_away_delays_and_loses_nothing(bad: Misbehaviour) -> None:
    counters = Counters()
    async with running_api() as api, publishing(api, counters) as outbox:
        api.next.extend([bad] * 40)  # with the pauses of the line: more than a minute
        for turn in range(60):
            outbox.publish(said(turn))
        await outbox.backlog.written()

    assert [json.loads(text)["turn"] for _, text in api.taken] == list(range(60))
    assert "event_lost" not in counters.read()


async def test_a_service_that_does_not_answer_is_given_up_and_asked_again() -> None:
    counters = Counters()
    async with running_api() as api, publishing(api, counters, seconds=0.05) as outbox:
        api.next.extend([never] * 3)
        for turn in range(10):
            outbox.publish(said(turn))
        await outbox.backlog.written()

    assert [json.loads(text)["turn"] for _, text in api.taken] == list(range(10))


async def test_beyond_the_bounds_events_are_counted_as_lost_and_the_oldest_kept() -> None:
    counters = Counters()
    async with running_api() as api:
        service = AppSyncEvents(api.url, api_key="k")
        outbox = EventOutbox(service.write, counters)
        outbox.backlog._limit = 8
        for turn in range(20):
            outbox.publish(said(turn))
        outbox.start()
        await outbox.backlog.written()
        await outbox.aclose()
        await service.aclose()

    assert [json.loads(text)["turn"] for _, text in api.taken] == list(range(8))
    assert counters.read()["event_lost"] == 12


async def test_after_an_answer_that_is_not_the_services_it_is_asked_again() -> None:
    async with running_api() as api, publishing(api, Counters()) as outbox:
        api.next.append(rubbish)
        outbox.publish(said(1))
        await outbox.backlog.written()

    assert len(api.bodies) == 2
    assert [json.loads(text)["turn"] for _, text in api.taken] == [1]


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (status(429), Throttled),
        (status(400, "ThrottlingException"), Throttled),
        (status(400, "BadRequestException"), Refused),
        (status(413), Refused),
        (status(401, "UnauthorizedException"), Denied),
        (status(403), Denied),
        (status(301), Away),
        (status(404), Away),
        (status(502), Away),
        (vanish, Away),
    ],
)
async def test_an_error_says_what_can_be_done(bad: Misbehaviour, error: type[Exception]) -> None:
    async with running_api() as api:
        service = AppSyncEvents(f"{api.url}/event", api_key="k")
        api.next.append(bad)
        with pytest.raises(error):
            await service.write(outgoing("1"))
        await service.aclose()


async def test_nobody_at_the_endpoint_is_away() -> None:
    async with running_api() as api:
        address = api.url
    service = AppSyncEvents(address, api_key="k")
    with pytest.raises(Away):
        await service.write(outgoing("1"))

    await service.aclose()


async def test_a_refused_signature_has_the_credentials_read_anew() -> None:
    purse = Purse(Identity())
    async with running_api() as api:
        service = AppSyncEvents(api.url, credentials=purse, region="us-east-1", now=lambda: AT)
        api.next.append(status(403, "ExpiredTokenException"))
        with pytest.raises(Denied):
            await service.write(outgoing("1"))
        await service.write(outgoing("1"))
        await service.aclose()

    assert purse.forgotten == 1
    scope = "AWS4-HMAC-SHA256 Credential=AKIAMADEUPFORTESTS00/20261122/us-east-1/appsync/aws4_request"
    assert api.requests[-1].headers["authorization"].startswith(scope)
    assert api.requests[-1].headers["host"] in api.url


@pytest.mark.parametrize("token", [None, "a-session-token"])
@pytest.mark.parametrize("body", [b"", b'{"channel":"/events/x","events":["1"]}', "ñ".encode()])
def test_the_signature_is_that_of_botocore(token: str | None, body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://abc.appsync-api.eu-west-1.amazonaws.com/event"
    own = signed_headers(
        Identity(session_token=token), url=url, headers={"content-type": "application/json"}, body=body, region="eu-west-1",
        service="appsync", now=AT,
    )  # fmt: skip
    request = AWSRequest("POST", url, headers={"content-type": "application/json"}, data=body)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: AT.replace(tzinfo=None))
    SigV4Auth(BotocoreCredentials(Identity.access_key_id, Identity.secret_access_key, token), "appsync", "eu-west-1").add_auth(request)

    assert request.headers["Authorization"] == own["authorization"]


async def test_what_a_publisher_writes_never_shows_the_key() -> None:
    assert "da2" not in repr(AppSyncEvents("https://example", api_key="da2-madeup"))
    assert appsync.REQUEST_SECONDS < backlog.CLOSE_SECONDS


async def test_what_cannot_be_written_is_counted_and_raises_nothing() -> None:
    counters = Counters()
    async with running_api() as api, publishing(api, counters) as outbox:
        outbox.publish(said(1, text="\ud800"))
        outbox.publish(said(2))
        await outbox.backlog.written()

    assert counters.read()["event_unwritable"] == 1
    assert [json.loads(text)["turn"] for _, text in api.taken] == [2]

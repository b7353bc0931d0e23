"""Changes of tables as events: records of streams, whatever is in them, and the Lambda function that publishes them."""

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lambda_changes
from publishing.changes import BadRecord, FollowedTables, event_of, table_of
from publishing.events import BookingEvent, Change, ConversationEvent, RecordEvent
from publishing.shapes import to_json
from tests.publishing.service import EventApi, running_api, status

TABLES = FollowedTables()
ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/{}/stream/2026-11-22T00:00:00.000"
BOOKING = {
    "bookingId": {"S": "b-1"},
    "date": {"S": "2026-12-01"},
    "name": {"S": "Ana"},
    "hour": {"S": "20:30"},
    "num_guests": {"N": "4"},
    "status": {"S": "CONFIRMED"},
    "timestamp": {"S": "2026-11-22T09:30:00Z"},
}
TURN = {
    "username": {"S": "ana"},
    "conversation_id": {"S": "s-1#00000002"},
    "timestamp": {"S": "2026-11-22T09:30:00.250Z"},
    "conversation": {"M": {"turn": {"N": "2"}, "role": {"S": "ASSISTANT"}, "text": {"S": "Bien."}, "interrupted": {"BOOL": False}}},
    "expiresAt": {"N": "1771234567"},
}
ORDER = {
    "PK": {"S": "ORDER#ORD-7"},
    "SK": {"S": "ORDER#ORD-7"},
    "status": {"S": "pending"},
    "customerName": {"S": "Ana Martínez"},
    "customerEmail": {"S": "ana@email.com"},
    "total": {"N": "67.48"},
}


def record(
    table: str, image: dict[str, Any] | None, name: str = "INSERT", keys: dict[str, Any] | None = None, number: int = 1
) -> dict[str, Any]:
    told: dict[str, Any] = {"Keys": keys or {}, "SequenceNumber": f"{number:021}", "ApproximateCreationDateTime": 1_795_339_800.0}
    if image is not None:
        told["NewImage"] = image
    return {
        "eventID": f"e-{number}",
        "eventName": name,
        "eventSource": "aws:dynamodb",
        "eventSourceARN": ARN.format(table),
        "dynamodb": told,
    }


@pytest.mark.req("S1-14")
@pytest.mark.req("S1-17")
def test_a_booking_becomes_the_event_that_front_ends_know() -> None:
    event = event_of(record("RestaurantBookings", BOOKING), TABLES)

    assert isinstance(event, BookingEvent)
    assert to_json(event) == {
        "type": "BOOKING",
        "bookingId": "b-1",
        "date": "2026-12-01",
        "name": "Ana",
        "hour": "20:30",
        "numGuests": 4,
        "status": "CONFIRMED",
        "timestamp": "2026-11-22T09:30:00.000Z",
        "source": "aws:dynamodb",
        "eventName": "INSERT",
    }


@pytest.mark.parametrize(
    ("guests", "expected"), [({"N": "4"}, 4), ({"S": "4"}, 4), ({"S": "four"}, None), ({"BOOL": True}, None), ({"N": "4.5"}, None)]
)
def test_the_other_spellings_of_a_booking_are_read_as_well(guests: dict[str, Any], expected: int | None) -> None:
    image = {**BOOKING, "booking_id": BOOKING["bookingId"], "numGuests": guests}
    del image["bookingId"], image["num_guests"]
    event = event_of(record("RestaurantBookings", image), TABLES)

    assert isinstance(event, BookingEvent)
    assert (event.booking_id, event.guests) == ("b-1", expected)


@pytest.mark.req("S1-18")
def test_a_turn_of_a_conversation_becomes_the_event_that_front_ends_know() -> None:
    event = event_of(record("NovaSonicConversations", TURN), TABLES)

    assert isinstance(event, ConversationEvent)
    assert to_json(event) == {
        "type": "CONVERSATION",
        "username": "ana",
        "conversation_id": "s-1",
        "timestamp": "2026-11-22T09:30:00.250Z",
        "conversation": {"turn": 2, "role": "ASSISTANT", "text": "Bien.", "interrupted": False},
        "source": "aws:dynamodb",
        "eventName": "INSERT",
    }


def test_a_conversation_itself_is_told_when_it_begins_and_not_with_every_turn() -> None:
    head = {**TURN, "conversation_id": {"S": "s-1"}, "startedAt": {"S": "2026-11-22T09:29:00Z"}}

    assert event_of(record("NovaSonicConversations", head), TABLES) is not None
    assert event_of(record("NovaSonicConversations", head, "MODIFY"), TABLES) is None


def test_what_was_removed_is_told_by_its_keys() -> None:
    keys = {"username": {"S": "ana"}, "conversation_id": {"S": "s-1"}}
    event = event_of(record("NovaSonicConversations", None, "REMOVE", keys), TABLES)

    assert isinstance(event, ConversationEvent)
    assert (event.change, event.conversation_id, event.username, event.conversation) == (Change.REMOVE, "s-1", "ana", None)
    assert event.at.timestamp() == 1_795_339_800.0


def test_of_an_order_its_number_and_status_are_told_and_nothing_of_the_customer() -> None:
    event = event_of(record("nova-sonic-orders", ORDER, "MODIFY"), TABLES)

    assert isinstance(event, RecordEvent)
    assert set(to_json(event)) == {"type", "orderId", "status", "timestamp", "source", "eventName"}
    assert (event.record_id, event.status) == ("ORD-7", "pending")


@pytest.mark.parametrize("key", ["COUNTER#ORDER", "REQUEST#abc", "ATTEMPTS#1", "ORDER", "order#1"])
def test_the_internal_records_of_a_table_are_passed_over(key: str) -> None:
    assert event_of(record("nova-sonic-orders", {**ORDER, "PK": {"S": key}}), TABLES) is None


@pytest.mark.req("S1-16")
@pytest.mark.parametrize("table", ["unknown", "RestaurantBookings2", ""])
def test_unknown_tables_are_passed_over(table: str) -> None:
    assert event_of(record(table, BOOKING), TABLES) is None


def test_a_table_without_a_name_is_not_followed() -> None:
    assert event_of(record("RestaurantBookings", BOOKING), FollowedTables(bookings="")) is None


@pytest.mark.parametrize("arn", ["", "arn", "arn:aws:dynamodb:us-east-1:1:index/x", "a:b:c:d:e:table", "table/x"])
def test_what_names_no_table_has_none(arn: str) -> None:
    assert table_of(arn) == ""


BROKEN: list[dict[str, Any]] = [
    {},
    {"eventSourceARN": ARN.format("RestaurantBookings")},
    record("RestaurantBookings", BOOKING, "TRUNCATE"),
    record("RestaurantBookings", {"bookingId": {"X": "1"}}),
    record("RestaurantBookings", {"bookingId": "b-1"}),
    record("RestaurantBookings", {"num_guests": {"N": "many"}}),
    {**record("RestaurantBookings", BOOKING), "dynamodb": []},
    {**record("RestaurantBookings", BOOKING), "dynamodb": {"NewImage": {"timestamp": {"N": "9007199254740992"}}}},
]


@pytest.mark.parametrize("broken", BROKEN)
def test_a_record_that_no_stream_has_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(BadRecord):
        event_of(broken, TABLES)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["S", "N", "M", "L", "timestamp"]), inner, max_size=3),
    max_leaves=12,
)


@given(told=_json, name=st.sampled_from(["INSERT", "MODIFY", "REMOVE", "x"]))
def test_whatever_a_record_holds_is_read_or_refused(told: object, name: str) -> None:
    given_record = {"eventName": name, "eventSourceARN": ARN.format("RestaurantBookings"), "dynamodb": {"NewImage": told, "Keys": {}}}
    try:
        event = event_of(given_record, TABLES)
    except BadRecord:
        return

    assert event is None or isinstance(event, BookingEvent)


# The Lambda function


def batch(*records: dict[str, Any]) -> dict[str, Any]:
    return {"Records": list(records)}


async def answer(api: EventApi, event: dict[str, Any]) -> dict[str, Any]:
    env = {"EVENTS_ENDPOINT": api.url, "EVENTS_API_KEY": "da2-madeup", "AWS_REGION": "us-east-1"}
    return await lambda_changes.run(deepcopy(event), env)


@pytest.mark.req("S1-16")
async def test_the_function_publishes_a_batch_in_order() -> None:
    event = batch(
        *(record("RestaurantBookings", {**BOOKING, "bookingId": {"S": f"b-{number}"}}, number=number) for number in range(7)),
        record("unknown", BOOKING, number=8),
    )
    async with running_api() as api:
        told = await answer(api, event)

    assert told == {"batchItemFailures": []}
    assert [json.loads(text)["bookingId"] for _, text in api.taken] == [f"b-{number}" for number in range(7)]
    assert {channel for channel, _ in api.taken} == {"/events/restaurant-booking"}


@pytest.mark.req("S1-16")
async def test_the_function_names_the_first_record_that_could_not_be_published() -> None:
    event = batch(*(record("RestaurantBookings", BOOKING, number=number) for number in range(1, 8)))
    async with running_api() as api:
        api.next.append(api.fails())
        api.next.append(status(503))
        told = await answer(api, event)

    assert told == {"batchItemFailures": [{"itemIdentifier": f"{6:021}"}]}
    assert len(api.taken) == 5


async def test_the_function_leaves_out_what_can_never_be_published() -> None:
    huge = {**TURN, "conversation": {"S": "x" * 300_000}}
    event = batch(
        record("RestaurantBookings", BOOKING, number=1),
        record("NovaSonicConversations", huge, number=2),
        record("RestaurantBookings", {"bookingId": {"X": "1"}}, number=3),
        record("RestaurantBookings", {**BOOKING, "bookingId": {"S": "b-2"}}, number=4),
    )
    async with running_api() as api:
        told = await answer(api, event)

    assert told == {"batchItemFailures": []}
    assert [json.loads(text)["bookingId"] for _, text in api.taken] == ["b-1", "b-2"]


async def test_the_function_follows_the_tables_that_its_environment_names() -> None:
    tables = lambda_changes.tables_of({"BOOKINGS_TABLE": "mine", "CONVERSATIONS_TABLE": ""})

    assert (tables.bookings, tables.conversations, tables.orders) == ("mine", "", "nova-sonic-orders")


def test_lambda_calls_the_function_without_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTS_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("EVENTS_API_KEY", "da2-madeup")

    assert lambda_changes.handle({"Records": []}, None) == {"batchItemFailures": []}
    assert lambda_changes.handle(batch(record("RestaurantBookings", BOOKING)), None) == {
        "batchItemFailures": [{"itemIdentifier": f"{1:021}"}]
    }

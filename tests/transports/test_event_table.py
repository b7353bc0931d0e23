"""The table of the events' protocol agrees with what is read and written: docs/reference/asyncapi.yaml is made from it."""

import json

import pytest

from tests.transports.documented import matching, problems
from transports import event_messages as messages
from transports.dialects.messages import Message, Sender
from transports.event_messages import BadMessage
from transports.event_table import TABLE

pytestmark = [pytest.mark.req("S4-86")]
CLIENT = [message for message in TABLE.messages if message.sender is Sender.CLIENT]
SERVER = {message.name for message in TABLE.messages if message.sender is Sender.SERVER}
REFUSED = [
    '{"type":"subscribe"}',
    '{"type":"subscribe","id":"s-1"}',
    '{"type":"subscribe","id":"","channel":"/events/alerts"}',
    '{"type":"subscribe","id":"a b","channel":"/events/alerts"}',
    '{"type":"subscribe","id":"s-1","channel":7}',
    '{"type":"subscribe","id":"s-1","channel":"/events/alerts","authorization":"x"}',
    '{"type":"unsubscribe","id":7}',
    '{"type":"publish","id":"p-1","channel":"/events/alerts"}',
    '{"type":"publish","id":"p-1","channel":"/events/alerts","events":[{}]}',
    '{"type":"connection_terminate"}',
    '{"id":"s-1"}',
    "[]",
]


@pytest.mark.parametrize("message", CLIENT, ids=lambda message: message.name)
def test_what_is_documented_of_clients_is_read(message: Message) -> None:
    request = messages.read(json.dumps(message.example))

    assert request.kind == message.name


@pytest.mark.parametrize("frame", REFUSED)
def test_what_is_refused_is_documented_as_nothing(frame: str) -> None:
    with pytest.raises(BadMessage):
        messages.read(frame)

    assert matching(TABLE, Sender.CLIENT, frame) == []


def test_every_message_of_the_server_is_documented() -> None:
    requests = [messages.read(json.dumps(message.example)) for message in CLIENT if message.name != "connection_init"]
    kinds = (
        messages.UNAUTHORIZED,
        messages.BAD_REQUEST,
        messages.UNSUPPORTED,
        messages.UNKNOWN_OPERATION,
        messages.PROCESSING,
        messages.LIMIT,
    )
    told = [messages.acknowledged(), messages.keep_alive(), messages.data("s-1", "{}"), messages.lost("s-1", 3)]
    told += [
        answer for request in requests for answer in (messages.done(request), *(messages.failed(request, one, "No.") for one in kinds))
    ]
    told += [messages.not_connected(messages.UNAUTHORIZED, "No."), messages.wrong(messages.UNSUPPORTED, "No.")]

    assert problems(TABLE, Sender.SERVER, told) == []
    assert {name for frame in told for name in matching(TABLE, Sender.SERVER, frame)} == SERVER

"""The messages of the events' protocol, as docs/reference/asyncapi.yaml has them; docs/how-to/follow-events.md explains them."""

from collections.abc import Mapping
from typing import Final

from transports.dialects.messages import TEXT, WHOLE, Json, Message, Schema, Sender, Table, constant, members, one_of
from transports.event_messages import BAD_REQUEST, LIMIT, PROCESSING, SUBPROTOCOL, UNAUTHORIZED, UNKNOWN_OPERATION, UNSUPPORTED

type _Members = Mapping[str, Schema]
type _Example = Mapping[str, Json]

_ID: Final[Schema] = {"type": "string", "pattern": "^[A-Za-z0-9_+-]{1,128}$", "description": "The client's own name of the operation."}
_CHANNEL: Final[Schema] = {"type": "string", "description": "A path of at most five segments; the last may be * to subscribe."}
_EVENTS: Final[Schema] = {"type": "array", "items": TEXT, "description": "Each a JSON document in a string, five at most."}
_HEADERS: Final[_Members] = {
    "authorization": {"type": "object", "description": "Headers, of which Authorization is looked at: the same token, or a newer one."}
}
_TOKEN: Final[_Example] = {"authorization": {"Authorization": "eyJhbGciOi…"}}
_CODE: Final[Schema] = one_of(UNAUTHORIZED, BAD_REQUEST, UNSUPPORTED, UNKNOWN_OPERATION, PROCESSING, LIMIT)
_ERRORS: Final[Schema] = {"type": "array", "items": members({"errorType": _CODE, "message": TEXT})}
_TAKEN: Final[Schema] = {"type": "array", "items": members({"identifier": TEXT, "index": WHOLE})}


def _from_client(kind: str, summary: str, required: _Members, example: _Example, optional: _Members | None = None) -> Message:
    schema = members({"type": constant(kind), **required}, optional)
    return Message(kind, Sender.CLIENT, summary, schema, {"type": kind, **example})


def _from_server(kind: str, summary: str, required: _Members, example: _Example) -> Message:
    return Message(kind, Sender.SERVER, summary, members({"type": constant(kind), **required}), {"type": kind, **example})


def _refused(kind: str, summary: str, code: str, message: str, *, has_id: bool = True) -> Message:
    name: _Members = {"id": _ID} if has_id else {}
    shown: _Example = {"id": "s-1"} if has_id else {}
    return _from_server(kind, summary, {**name, "errors": _ERRORS}, {**shown, "errors": [{"errorType": code, "message": message}]})


_NOT_YOURS: Final = "You are not authorized to make this call."
_CLIENT: Final = (
    _from_client("connection_init", "Begin; everything else comes after it.", {}, {}),
    _from_client(
        "subscribe",
        "Follow a channel.",
        {"id": _ID, "channel": _CHANNEL},
        {"id": "s-1", "channel": "/events/conversations/ana", **_TOKEN},
        _HEADERS,
    ),
    _from_client("unsubscribe", "Follow it no more.", {"id": _ID}, {"id": "s-1"}),
    _from_client(
        "publish",
        "Send events to whoever follows a channel; for operators.",
        {"id": _ID, "channel": _CHANNEL, "events": _EVENTS},
        {"id": "p-1", "channel": "/events/alerts", "events": ['{"type":"ALERT"}'], **_TOKEN},
        _HEADERS,
    ),
)
_SERVER: Final = (
    _from_server(
        "connection_ack",
        "The connection is served; it is lost when nothing comes for so long.",
        {"connectionTimeoutMs": WHOLE},
        {"connectionTimeoutMs": 300_000},
    ),
    _from_server("ka", "The connection lives; once a minute.", {}, {}),
    _from_server("subscribe_success", "The channel is followed.", {"id": _ID}, {"id": "s-1"}),
    _from_server("unsubscribe_success", "The channel is followed no more.", {"id": _ID}, {"id": "s-1"}),
    _from_server(
        "publish_success",
        "The events were taken.",
        {"id": _ID, "successful": _TAKEN, "failed": _TAKEN},
        {"id": "p-1", "successful": [{"identifier": "p-1-0", "index": 0}], "failed": []},
    ),
    _from_server(
        "data",
        "An event; its JSON is in a string, and docs/how-to/follow-events.md has its members.",
        {"id": _ID, "event": TEXT},
        {"id": "s-1", "event": '{"type":"SESSION","eventName":"created"}'},
    ),
    _refused("broadcast_error", "Events of a subscription were lost: the client did not take them.", PROCESSING, "3 events were lost."),
    _refused("subscribe_error", "The channel is not followed.", UNAUTHORIZED, _NOT_YOURS),
    _refused("unsubscribe_error", "There is nothing to be ended.", UNKNOWN_OPERATION, "There is no subscription with this id."),
    _refused("publish_error", "The events were not taken.", UNAUTHORIZED, _NOT_YOURS),
    _refused("connection_error", "The connection is not served, and is closed with 4401.", UNAUTHORIZED, _NOT_YOURS, has_id=False),
    _refused("error", "The message is none of the protocol.", UNSUPPORTED, "A message has a type.", has_id=False),
)
TABLE: Final = Table(
    "events",
    "Events, in the protocol of AppSync Events",
    "Ask for the subprotocol aws-appsync-event-ws; browsers add another, header- and their headers as JSON in base64url.",
    _CLIENT + _SERVER,
    subprotocol=SUBPROTOCOL,
    path="/event/realtime",
    takes_tokens=False,
)

"""The messages of AppSync Events' realtime protocol, subprotocol aws-appsync-event-ws. Pure.

Source: AppSync Events developer guide, "Understanding the Event API WebSocket protocol", and what the client library aws-amplify reads
and sends (@aws-amplify/api-graphql 4.10.1). Subscribers parse `event` of a data message as one string of JSON.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson

SUBPROTOCOL: Final = "aws-appsync-event-ws"
HEADER_PREFIX: Final = "header-"
"""Of the subprotocol that carries what a browser cannot set as a header, in base64url."""
MAX_HEADER: Final = 8_192
TIMEOUT_MS: Final = 300_000
"""After so long without a word a client takes the connection for lost."""
UNAUTHORIZED: Final = "UnauthorizedException"
BAD_REQUEST: Final = "BadRequestException"
UNSUPPORTED: Final = "UnsupportedOperation"
UNKNOWN_OPERATION: Final = "UnknownOperationError"
PROCESSING: Final = "MessageProcessingError"
LIMIT: Final = "LimitExceededError"
_ID: Final = re.compile(r"[A-Za-z0-9_+-]{1,128}")


class BadMessage(Exception):
    """The message is none of the protocol; the text says why, for the client."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks for."""

    kind: str
    """connection_init, subscribe, unsubscribe or publish."""
    id: str = ""
    channel: str = ""
    events: tuple[str, ...] = ()
    authorization: Mapping[str, str] = field(default_factory=dict)
    """Headers by their names in small letters."""


def read(frame: str | bytes) -> Request:
    """Return what a client asks for.

    Raises:
        BadMessage: nothing of the protocol.
    """
    try:
        told = orjson.loads(frame)
    except ValueError:
        raise BadMessage("A message is a JSON object.") from None
    match told:
        case {"type": "connection_init"}:
            return Request("connection_init")
        case {"type": "subscribe" | "publish" | "unsubscribe" as kind, "id": str(name)} if _ID.fullmatch(name):
            return _operation(kind, name, told)
        case {"type": "subscribe" | "publish" | "unsubscribe"}:
            raise BadMessage("An id has 1 to 128 letters, digits and the characters _ + -.")
        case {"type": str()}:
            raise BadMessage("There is no such operation.")
        case _:
            raise BadMessage("A message has a type.")


def _operation(kind: str, name: str, told: Mapping[str, object]) -> Request:
    if kind == "unsubscribe":
        return Request(kind, name)
    channel, events = told.get("channel"), told.get("events")
    if not isinstance(channel, str):
        raise BadMessage("The channel is missing.")
    if kind == "subscribe":
        return Request(kind, name, channel, authorization=_headers(told.get("authorization")))
    if not isinstance(events, list) or not all(isinstance(one, str) for one in events):
        raise BadMessage("Events are a list of strings of JSON.")
    return Request(kind, name, channel, tuple(events), _headers(told.get("authorization")))


def token_of(headers: Mapping[str, str]) -> str:
    """Return the token of a header Authorization, which AppSync takes with and without the word Bearer before it."""
    value = headers.get("authorization", "").strip()
    return value[7:].strip() if value[:7].lower() == "bearer " else value


def headers_of(offered: Iterable[str]) -> dict[str, str]:
    """Return the headers that the offered subprotocols carry, by their names in small letters.

    Raises:
        BadMessage: they cannot be read.
    """
    found = [name.removeprefix(HEADER_PREFIX) for name in offered if name.startswith(HEADER_PREFIX)]
    if not found:
        return {}
    if len(found) > 1 or len(found[0]) > MAX_HEADER:
        raise BadMessage("There is one subprotocol that begins with header-.")
    try:
        decoded = base64.b64decode(found[0] + "=" * (-len(found[0]) % 4), altchars=b"-_", validate=True)
        return _headers(orjson.loads(decoded))
    except (ValueError, binascii.Error):
        raise BadMessage("The subprotocol header- carries a JSON object in base64url.") from None


def _headers(given: object) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise BadMessage("The authorization is a JSON object.")
    return {str(name).lower(): value for name, value in given.items() if isinstance(value, str)}


def acknowledged() -> str:
    """Return the answer to connection_init."""
    return _written({"type": "connection_ack", "connectionTimeoutMs": TIMEOUT_MS})


def keep_alive() -> str:
    """Return the word that the connection lives."""
    return _written({"type": "ka"})


def done(request: Request) -> str:
    """Return that an operation was done."""
    told: dict[str, object] = {"id": request.id, "type": f"{request.kind}_success"}
    if request.kind == "publish":
        told |= {"successful": successful(request.id, len(request.events)), "failed": []}
    return _written(told)


def successful(name: str, count: int) -> list[dict[str, object]]:
    """Return how events that were taken are told, in the answer to a request that published them."""
    return [{"identifier": f"{name}-{index}", "index": index} for index in range(count)]


def failed(request: Request, kind: str, message: str) -> str:
    """Return that an operation was not done."""
    return _written({"id": request.id, "type": f"{request.kind}_error", "errors": [_error(kind, message)]})


def not_connected(kind: str, message: str) -> str:
    """Return that a connection is not served."""
    return _written({"type": "connection_error", "errors": [_error(kind, message)]})


def wrong(kind: str, message: str) -> str:
    """Return that a message is none of the protocol."""
    return _written({"type": "error", "errors": [_error(kind, message)]})


def data(name: str, text: str) -> str:
    """Return an event for a subscription."""
    return _written({"id": name, "type": "data", "event": text})


def lost(name: str, count: int) -> str:
    """Return that events of a subscription were lost, because the client did not take them."""
    return _written({"id": name, "type": "broadcast_error", "errors": [_error(PROCESSING, f"{count} events were lost.")]})


def _error(kind: str, message: str) -> dict[str, str]:
    return {"errorType": kind, "message": message}


def _written(told: Mapping[str, object]) -> str:
    return orjson.dumps(told).decode()

"""What is around and beside Nova's events on the wire of the raw dialect."""

from dataclasses import dataclass
from typing import Final

import orjson

from s2s.errors import CodecError
from s2s.limits import EVENT_BYTES
from s2s.wire import event_body
from session.errors import BadFrame

_EXTRAS: Final = frozenset({"init", "ping", "APP_CUSTOM_state_update"})
"""Events of clients in the field that are none of Nova's: answered or ignored, never an error."""


@dataclass(frozen=True, slots=True)
class Extra:
    """A client's event beside Nova's; the names are those of `init`, empty elsewhere."""

    name: str
    prompt_name: str = ""
    audio_name: str = ""


def unwrap_body(frame: str, own: frozenset[str] = frozenset({"event"})) -> str:
    """Return the message's text: AWS's servers also take `{"body": "<the message as a JSON string>"}`.

    Args:
        frame: as it came.
        own: members that a message has which is in no such envelope.

    Raises:
        BadFrame: `body` is there and is no string.
    """
    if '"body"' not in frame:  # the hot path: nothing is parsed twice
        return frame
    try:
        document = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return frame  # the codec says what is wrong with it
    if not isinstance(document, dict) or "body" not in document or own & document.keys():
        return frame
    body = document["body"]
    if not isinstance(body, str):
        raise BadFrame('"body" must be a string.')
    return body


def extra_event(text: str) -> Extra | None:
    """Return what the client means beside Nova's events, None when it is nothing known.

    Raises:
        BadFrame: a member is missing.
    """
    name, body = event_body(text, EVENT_BYTES)
    if name not in _EXTRAS:
        return None
    if name != "init":
        return Extra(name)
    try:
        return Extra(name, body.text("promptName"), body.text("audioContentName"))
    except CodecError as error:
        raise BadFrame(f"{error}.") from None

"""The frames of OpenAI's Realtime protocol: a client's events read, the server's events written with the names that the client knows.

There are two generations of names, which differ in little: the present one, and the beta, which clients ask for by a header or subprotocol.
"""

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum, auto
from typing import Final

import orjson

from s2s.errors import CodecError, Flaw
from s2s.wire import Json, Members, load_json
from session.errors import BadFrame, ClientError, SessionError, TooLarge, WrongOrder
from session.events import ExchangeRefused, SessionFailed

FRAME_LIMIT_BYTES: Final = 256 * 1024
NAME_LIMIT: Final = 512
"""Longest id that a client may choose."""

_BETA_NAMES: Final[Mapping[str, str | None]] = {
    "conversation.item.added": "conversation.item.created",
    "conversation.item.done": None,
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
}
"""What is called otherwise in the beta; None for what it does not have."""


class Generation(Enum):
    """Which names a client knows."""

    PRESENT = auto()
    BETA = auto()


def read_event(frame: str | bytes) -> Members:
    """Read a client's event.

    Raises:
        BadFrame: it is none.
        TooLarge: it is too long, or nested too deeply.
    """
    if isinstance(frame, bytes):
        raise BadFrame("Events come as text frames.")
    try:
        document = load_json(frame, FRAME_LIMIT_BYTES)
    except CodecError as error:
        raise as_refusal(error) from None
    if not isinstance(document, dict) or not isinstance(document.get("type"), str):
        raise BadFrame('An event is an object with a "type".')
    return Members("", document)


def as_refusal(error: CodecError) -> ClientError:
    """Return what a client is told of a member that is wrong; the note says which."""
    text = str(error).removeprefix(".")
    refusal = (TooLarge if error.flaw is Flaw.TOO_LARGE else BadFrame)(f"{text[:200]}.")
    return noted(refusal, text.partition(":")[0]) if error.flaw is Flaw.BAD_MEMBER else refusal


def noted[E: SessionError](error: E, param: str) -> E:
    """Return an error that says which parameter is wrong."""
    error.add_note(param)
    return error


def param_of(error: SessionError) -> str | None:
    """Return the parameter that an error says is wrong."""
    return next(iter(getattr(error, "__notes__", ())), None)


def name_in(event: Members, key: str) -> str:
    """Return an id that the client names.

    Raises:
        CodecError: no text.
        BadFrame: longer than any id is.
    """
    name = event.text(key)
    if len(name) > NAME_LIMIT:
        raise noted(BadFrame(f"{key} is longer than {NAME_LIMIT} characters."), key)
    return name


class Ids:
    """Makes ids that no other connection makes, in increasing order.

    Args:
        seed: milliseconds at which the connection began.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._made = 0

    def new(self, kind: str) -> str:
        """Return an id that begins with the kind of thing that it names."""
        self._made += 1
        return f"{kind}_{self._seed:012x}{self._made:06x}"


class Writer:
    """Writes the server's events.

    Args:
        ids: makes the ids of events.
        generation: of the client's names.
    """

    def __init__(self, ids: Ids, generation: Generation) -> None:
        self.generation = generation
        self._ids = ids

    def event(self, name: str, body: Mapping[str, Json]) -> list[str]:
        """Return the frame of an event; none where the client's generation does not have it."""
        known = _BETA_NAMES.get(name, name) if self.generation is Generation.BETA else name
        if known is None:
            return []
        return [orjson.dumps({"type": known, "event_id": self._ids.new("event"), **body}).decode()]

    def error(self, error: SessionError, event_id: str | None = None, code: str = "") -> list[str]:
        """Return the frame that tells of an error without consequences.

        Args:
            error: what the client is told.
            event_id: the client's event that caused it.
            code: instead of the error's own, where this protocol has a name for it.
        """
        told = error.event()
        return self.failure(replace(told, code=code or told.code), event_id=event_id, param=param_of(error))

    def failure(self, failed: SessionFailed | ExchangeRefused, *, event_id: str | None = None, param: str | None = None) -> list[str]:
        """Return the frame that tells of an error; what this protocol has no member for stands beside those that it has."""
        error: dict[str, Json] = {"type": error_type(failed.code), "code": failed.code, "message": failed.message}
        error |= {"param": param, "event_id": event_id, "retryable": failed.retryable, "ref": failed.ref}
        if isinstance(failed, SessionFailed) and failed.retry_after is not None:
            error["retry_after"] = failed.retry_after
        return self.event("error", {"error": error})


def error_type(code: str) -> str:
    """Return the family of an error."""
    return "invalid_request_error" if code in _CLIENT_CODES or code in OWN_CODES else "server_error"


def _codes(kind: type[ClientError]) -> frozenset[str]:
    return frozenset({kind.code}).union(*(_codes(each) for each in kind.__subclasses__()))


_CLIENT_CODES: Final = _codes(ClientError)
NOT_ACTIVE: Final = "response_cancel_not_active"
EMPTY_BUFFER: Final = "input_audio_buffer_commit_empty"
NO_ITEM: Final = "item_not_found"
OWN_CODES: Final = frozenset({NOT_ACTIVE, EMPTY_BUFFER, NO_ITEM})
"""Codes that this protocol has names for, of what happens to clients that do nothing wrong."""


def harmless(text: str) -> WrongOrder:
    """Return an error of a client that did nothing wrong: it is told, and nothing else follows."""
    return WrongOrder(text)

"""One JSON object of a client that speaks in flat messages, with its members checked as they are read; and how it is told of an error."""

from collections.abc import Mapping
from typing import Final

import orjson
import pybase64

from s2s.events import Stage
from session.errors import BadFrame, InvalidAudio, TooLarge
from session.events import ExchangeRefused, SendAudio, SessionFailed, TranscriptUpdated
from transports.dialects.interface import Frame
from transports.dialects.nova_envelope import unwrap_body

NAME_LIMIT: Final = 128
"""Characters of an id or a choice."""
TEXT_LIMIT_BYTES: Final = 4_000
"""What a session takes as one typed turn."""
PIECE_SECONDS: Final = 2
"""Audio that a session takes in one piece."""
_KINDS: Final = frozenset({"type", "action"})
"""Members that say what kind of message it is."""
_BYTES_PER_SAMPLE: Final = 2


class FlatMessage:
    """Members by name, found in the object itself or, before that, in its `data`.

    Args:
        frame: as it came; `{"body": "<the message as a JSON string>"}` is unwrapped.

    Raises:
        BadFrame: it is no JSON object.
    """

    def __init__(self, frame: Frame) -> None:
        if isinstance(frame, bytes):
            raise BadFrame("Messages come as text frames.")
        document = _parse(unwrap_body(frame, _KINDS))
        data = document.get("data")
        self._members: Mapping[str, object] = {**document, **data} if isinstance(data, dict) else document
        self._top: Mapping[str, object] = document

    def kind(self, key: str) -> str:
        """Return what kind of message it is; empty when it does not say."""
        value = self._top.get(key)
        if value is not None and not isinstance(value, str):
            raise BadFrame(f'"{key}" must be a string.')
        return value or ""

    def text(self, key: str, limit_bytes: int = TEXT_LIMIT_BYTES) -> str:
        """Return a text that is not empty.

        Raises:
            BadFrame: it is missing, empty or no text.
            TooLarge: it is too long.
        """
        value = self._members.get(key)
        if not isinstance(value, str) or not value.strip():
            raise BadFrame(f'"{key}" must be a text.')
        if len(value) > limit_bytes or len(value.encode(errors="replace")) > limit_bytes:
            raise TooLarge(f'"{key}" can have {limit_bytes} bytes at most.')
        return value

    def name(self, key: str) -> str:
        """Return an id or a choice, empty when there is none.

        Raises:
            BadFrame: it is no text, or too long.
        """
        value = self._members.get(key)
        if value is None:
            return ""
        if not isinstance(value, str) or len(value) > NAME_LIMIT:
            raise BadFrame(f'"{key}" must be a text of {NAME_LIMIT} characters at most.')
        return value

    def whole(self, key: str) -> int | None:
        """Return a whole number, None when there is none.

        Raises:
            BadFrame: it is something else.
        """
        value = self._members.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise BadFrame(f'"{key}" must be a whole number.')
        return value

    def is_set(self, key: str) -> bool:
        """Return a choice of yes or no, which is no when it is missing.

        Raises:
            BadFrame: it is something else.
        """
        value = self._members.get(key, False)
        if not isinstance(value, bool):
            raise BadFrame(f'"{key}" must be true or false.')
        return value

    def data(self, key: str) -> bytes:
        """Return bytes that come in base64.

        Raises:
            InvalidAudio: it is no base64, or empty.
        """
        value = self._members.get(key)
        if not isinstance(value, str) or not value:
            raise InvalidAudio(f'"{key}" must be audio in base64.')
        try:
            return pybase64.b64decode(value, validate=True)
        except ValueError:
            raise InvalidAudio(f'"{key}" is not base64.') from None

    def pcm(self, key: str) -> bytes:
        """Return whole 16-bit samples that come in base64.

        Raises:
            InvalidAudio: they are none.
        """
        pcm = self.data(key)
        if len(pcm) % _BYTES_PER_SAMPLE:
            raise InvalidAudio
        return pcm


class Answers:
    """Which words of the assistant such a client is told: those that are planned, before they are heard, and those that never were."""

    def __init__(self) -> None:
        self._told_turn = 0
        """The latest turn that was told."""

    def tells(self, said: TranscriptUpdated) -> bool:
        """Tell whether these words are told, and take note of it."""
        if said.stage is not Stage.SPECULATIVE and said.turn <= self._told_turn:
            return False
        self._told_turn = max(self._told_turn, said.turn)
        return True


def pieces_of(pcm: bytes, hertz: int) -> tuple[SendAudio, ...]:
    """Return audio of any length as pieces that a session takes.

    Args:
        pcm: whole samples.
        hertz: of them in a second.
    """
    size = hertz * _BYTES_PER_SAMPLE * PIECE_SECONDS
    return tuple(SendAudio(pcm[start : start + size]) for start in range(0, len(pcm), size))


def error_members(failed: SessionFailed | ExchangeRefused) -> dict[str, object]:
    """Return what an error tells such a client."""
    told = {"message": failed.message, "code": failed.code, "retryable": failed.retryable, "ref": failed.ref}
    if isinstance(failed, SessionFailed) and failed.retry_after is not None:
        told["retryAfter"] = failed.retry_after
    return told


def _parse(text: str) -> dict[str, object]:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadFrame("The frame is not JSON.") from None
    if not isinstance(document, dict):
        raise BadFrame("A message is an object.")
    return document

"""Messages on the pipe between the emulator and its speech processes: length, kind, utterance, payload.

    u32 length of what follows | u8 kind | u32 utterance | payload

All numbers are little-endian. The same functions serve the asyncio side and the blocking side.
"""

import asyncio
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import BinaryIO

_HEAD = struct.Struct("<IBI")
_AFTER_LENGTH = _HEAD.size - 4

MAXIMUM_PAYLOAD = 16 * 1024 * 1024
"""One minute of 24 kHz speech has 2.9 MB; more than this is a broken stream."""


class Kind(IntEnum):
    """What a message says."""

    GRAMMAR = 1
    """To the recogniser: JSON {key, jsgf, words}; utterance 0."""
    OPEN = 2
    """An utterance begins: JSON {grammar, hertz}."""
    AUDIO = 3
    """PCM16 mono."""
    FINISH = 4
    """The utterance is over: RESULT comes back."""
    DROP = 5
    """The utterance is of no interest any more: nothing comes back."""
    RESULT = 6
    """From the recogniser: JSON {text, score}; from the voices: PCM16 mono."""
    SPEAK = 7
    """To the voices: JSON {text, voice_id, hertz, engine}."""
    FAILED = 8
    """From the voices: a text that says what went wrong."""


class BrokenPipeFrameError(ValueError):
    """The bytes are no message of this protocol."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message."""

    kind: Kind
    utterance: int
    payload: bytes = b""


def encode_frame(frame: Frame) -> bytes:
    """Return the bytes of a message."""
    return _HEAD.pack(_AFTER_LENGTH + len(frame.payload), frame.kind, frame.utterance) + frame.payload


def _decode_head(head: bytes) -> tuple[int, Kind, int]:
    length, kind, utterance = _HEAD.unpack(head)
    if not _AFTER_LENGTH <= length <= MAXIMUM_PAYLOAD:
        raise BrokenPipeFrameError(f"a message of {length} bytes is not possible")
    return length - _AFTER_LENGTH, Kind(kind), utterance


def read_frame(stream: BinaryIO) -> Frame | None:
    """Read a message and block for it; None at the end of the stream.

    Raises:
        BrokenPipeFrameError: The stream ends inside a message, or holds something else.

    """
    head = stream.read(_HEAD.size)
    if not head:
        return None
    if len(head) < _HEAD.size:
        raise BrokenPipeFrameError("the stream ends inside a message")
    length, kind, utterance = _decode_head(head)
    payload = stream.read(length)
    if len(payload) < length:
        raise BrokenPipeFrameError("the stream ends inside a message")
    return Frame(kind, utterance, payload)


async def receive_frame(reader: asyncio.StreamReader) -> Frame | None:
    """Receive a message; None at the end of the stream, however it ends."""
    try:
        length, kind, utterance = _decode_head(await reader.readexactly(_HEAD.size))
        return Frame(kind, utterance, await reader.readexactly(length))
    except asyncio.IncompleteReadError:
        return None

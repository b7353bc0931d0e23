"""Messages of AWS's event-stream encoding: their headers, and the events of audio that are sent. Pure."""

from dataclasses import dataclass
from struct import Struct
from typing import Final

from s2s.bedrock.event_stream import FramingError, encode_message

_WORD: Final = Struct(">I")
_SHORT: Final = Struct(">H")
_STRING: Final = 7
_BYTES: Final = 6
_FIXED: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of the values of other types: true, false, byte, short, integer, long, timestamp and UUID."""


@dataclass(frozen=True, slots=True)
class ServiceMessage:
    """One message of a service."""

    headers: dict[str, str]
    """Those that are text."""
    payload: bytes

    @property
    def event(self) -> str:
        """Name of the event; empty for an error."""
        return self.headers.get(":event-type", "") if self.headers.get(":message-type") == "event" else ""

    @property
    def error(self) -> tuple[str, str]:
        """Name and text of an error in mid-stream, as far as its headers tell; empty for an event."""
        kind = self.headers.get(":message-type")
        if kind == "exception":
            return self.headers.get(":exception-type", "Unknown"), ""
        return (self.headers.get(":error-code", "Unknown"), self.headers.get(":error-message", "")) if kind == "error" else ("", "")


def read_message(data: bytes) -> ServiceMessage:
    """Return a message.

    Args:
        data: one whole message whose checksums are right (s2s.bedrock.event_stream.MessageSplitter).

    Raises:
        FramingError: its headers cannot be read.
    """
    end = 12 + int(_WORD.unpack_from(data, 4)[0])
    headers: dict[str, str] = {}
    at = 12
    try:
        while at < end:
            name = data[at + 1 : at + 1 + data[at]].decode()
            at += 1 + data[at]
            kind = data[at]
            at += 1
            if kind in (_STRING, _BYTES):
                length = int(_SHORT.unpack_from(data, at)[0])
                if kind == _STRING:
                    headers[name] = data[at + 2 : at + 2 + length].decode()
                at += 2 + length
            else:
                at += _FIXED[kind]
    except (IndexError, KeyError, ValueError) as error:
        raise FramingError("the headers of a message cannot be read") from error
    if at != end:
        raise FramingError("the headers of a message are of another length than it says")
    return ServiceMessage(headers, data[end:-4])


def _text_header(name: str, value: str) -> bytes:
    return bytes([len(name)]) + name.encode() + bytes([_STRING]) + _SHORT.pack(len(value)) + value.encode()


_AUDIO_HEADERS: Final = (
    _text_header(":message-type", "event")
    + _text_header(":event-type", "AudioEvent")
    + _text_header(":content-type", "application/octet-stream")
)


def audio_message(pcm: bytes) -> bytes:
    """Return an AudioEvent of Transcribe, to be signed."""
    return encode_message(_AUDIO_HEADERS, pcm)

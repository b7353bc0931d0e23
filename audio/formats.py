"""The formats of recordings: what they are called, and what they begin with."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from audio.errors import NotDecoded, Unreadable


class Format(StrEnum):
    """How a recording is written; the value is the ending of its file."""

    WEBM = "webm"
    """WebM with Opus."""
    OGG = "ogg"
    """Ogg with Opus."""
    MP3 = "mp3"
    WAV = "wav"
    PCM = "pcm"
    """Bare samples, signed 16-bit little-endian mono."""


MEDIA_TYPES: Final[Mapping[str, Format]] = {
    "audio/webm": Format.WEBM,
    "video/webm": Format.WEBM,
    "audio/ogg": Format.OGG,
    "application/ogg": Format.OGG,
    "audio/opus": Format.OGG,
    "audio/mpeg": Format.MP3,
    "audio/mp3": Format.MP3,
    "audio/wav": Format.WAV,
    "audio/wave": Format.WAV,
    "audio/x-wav": Format.WAV,
    "audio/vnd.wave": Format.WAV,
    "audio/pcm": Format.PCM,
    "audio/l16": Format.PCM,
}
"""What is read, by its media type in lower case and without parameters."""
MEDIA_TYPE: Final[Mapping[Format, str]] = {
    Format.WEBM: "audio/webm",
    Format.OGG: "audio/ogg",
    Format.MP3: "audio/mpeg",
    Format.WAV: "audio/wav",
    Format.PCM: "audio/pcm",
}
UNNAMED: Final = frozenset({"", "application/octet-stream", "audio/*"})
"""What says nothing: the first bytes tell then."""
DEFAULT_HERTZ: Final = 16_000
_RATE: Final = "rate="


def format_of(content_type: str, data: bytes) -> tuple[Format, int]:
    """Return how a recording is written, and the rate of bare samples.

    Args:
        content_type: as it was said, with parameters: `audio/webm;codecs=opus`, `audio/pcm;rate=8000`.
        data: the recording, or its first 12 bytes.

    Raises:
        NotDecoded: there is no such format, or the bytes are of none that is known.
        Unreadable: the bytes are of another format than is said.
    """
    media, *parameters = (part.strip().lower() for part in content_type.split(";"))
    if media not in UNNAMED and media not in MEDIA_TYPES:
        raise NotDecoded(f"This server reads {', '.join(sorted(set(MEDIA_TYPE.values())))}.")
    named = MEDIA_TYPES.get(media)
    if named is Format.PCM:
        rates = [part.removeprefix(_RATE) for part in parameters if part.startswith(_RATE)]
        if any(not (rate.isascii() and rate.isdigit() and len(rate) < len("1000000")) for rate in rates):
            raise NotDecoded("The rate of samples is a whole number.")
        return Format.PCM, int(rates[0]) if rates else DEFAULT_HERTZ
    found = _sniff(data)
    if found is None and named is None:
        raise NotDecoded("Nobody can tell what this is: say its content type.")
    if found is None or (named is not None and named is not found):
        raise Unreadable(f"it does not begin like {named.upper() if named else 'any'} sound")
    return found, DEFAULT_HERTZ


def begins_like_mp3(data: bytes) -> bool:
    """Tell whether there is the mark of a frame: eleven ones (ISO 11172-3, 2.4.1.3)."""
    return data[:1] == b"\xff" and data[1:2] >= b"\xe0"


def _sniff(data: bytes) -> Format | None:
    if data.startswith(b"\x1a\x45\xdf\xa3"):
        return Format.WEBM
    if data.startswith(b"OggS"):
        return Format.OGG
    if data.startswith(b"RIFF") and data[8:12] == b"WAVE":
        return Format.WAV
    if data.startswith(b"ID3") or begins_like_mp3(data):
        return Format.MP3
    return None

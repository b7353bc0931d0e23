"""Where recordings of conversations are in the store of objects, and what is written down of each.

voice-sessions/{session}/audio-{time}.webm        the sound; with its format's own ending
voice-sessions/{session}/metadata.json            what is known of it
voice-sessions/{session}/metadata-{time}.json     the same for what another process recorded of the session after the first

Every process writes objects of its own alone: no two ever write the same one.
"""

from enum import StrEnum


class RecordingFormat(StrEnum):
    """How a recording is written."""

    WEBM = "webm"
    """Opus in WebM."""
    OGG = "ogg"
    """Opus in Ogg."""
    FLAC = "flac"
    WAV = "wav"


class RecordAudio(StrEnum):
    """Which conversations are recorded."""

    OFF = "off"
    ASSISTANT = "assistant"
    """Those of the assistants whose file says so."""
    ALL = "all"

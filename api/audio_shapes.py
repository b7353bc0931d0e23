"""The shapes of what is asked and told about uploaded audio."""

from dataclasses import dataclass
from typing import Final

from api.kinds import RECORD_ID
from api.schema import BadValue, Choice, Instant, Member, Nullable, Record, Schema, Text, Told, Whole
from audio.formats import MEDIA_TYPES
from publishing.events import PipelineStage
from service.uploads import MAX_TEXT

FILES: Final = ("application/octet-stream", *MEDIA_TYPES)
SPEECH_FILES: Final = ("audio/wav", "audio/mpeg", "audio/ogg", "audio/webm")
MAX_BASE64: Final = 4 * 1024 * 1024 - 1_024
"""Three megabytes of sound: JSON is read on the event loop. Larger recordings come as they are."""
MAX_FILE_BYTES: Final = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Base64:
    """Base64, looked at no closer here: that is done where it is decoded, off the event loop."""

    longest: int

    @property
    def schema(self) -> Schema:
        """The same as JSON Schema."""
        return {"type": "string", "minLength": 4, "maxLength": self.longest, "contentEncoding": "base64", "example": "UklGRiQAAABXQVZF"}

    def read(self, value: object) -> str:
        """Return the text."""
        if not isinstance(value, str) or not 0 < len(value) <= self.longest or not value.isascii():
            raise BadValue(f"has to be base64 of at most {self.longest} characters")
        return value


@dataclass(frozen=True, slots=True)
class Passage:
    """A text of several lines."""

    longest: int

    @property
    def schema(self) -> Schema:
        """The same as JSON Schema."""
        return {"type": "string", "minLength": 1, "maxLength": self.longest, "pattern": "\\S", "example": "Good morning, Ana."}

    def read(self, value: object) -> str:
        """Return the text."""
        if not isinstance(value, str) or len(value) > self.longest or not value.strip():
            raise BadValue(f"has to be a text of 1 to {self.longest} characters")
        return value


_BASE64: Final = Base64(MAX_BASE64)
_MEDIA: Final = Text(128, pattern="^[a-zA-Z]+/[A-Za-z0-9.*+-]+( ?; ?[A-Za-z0-9_=.-]+)*$", example="audio/webm;codecs=opus")
_LANGUAGE: Final = Text(16, pattern="^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", example="es")
RECORDING: Final = Member("audio", _BASE64, "A recording in base64.", is_required=True)
CONTENT_TYPE: Final = Member("contentType", _MEDIA, "Its media type; without it, its first bytes tell.")
LANGUAGE: Final = Member("language", _LANGUAGE, "Which language is spoken: en, es, fr, de, or another of the model's; en without it.")
VOICE: Final = Member("voiceId", Text(64), "One of the model's voices; without it, the language's first.")
TEXT: Final = Member("text", Passage(MAX_TEXT), "What is to be said.", is_required=True)

_MS: Final = Whole(0, 10**9)
TRANSCRIPT: Final = Record(
    "Transcript",
    (
        Member("text", Told({"type": "string"}), "What is said; empty for nothing.", is_required=True),
        Member("confidence", Nullable(Told({"type": "number"})), "From 0 to 1; null where the model tells none.", is_required=True),
        Member("language", Nullable(Text(16)), "Which language was taken to be spoken.", is_required=True),
    ),
)
_SPEECH: Final = Record(
    "AnswerSpeech",
    (
        Member("contentType", Text(64), "Media type of the file.", is_required=True),
        Member("durationMs", _MS, "How long it is.", is_required=True),
        Member("audio", Told({"type": "string", "contentEncoding": "base64"}), "The file in base64.", is_required=True),
    ),
)
_STAGE: Final = Record(
    "UploadStage",
    (
        Member("stage", Choice(PipelineStage), "Which it is.", is_required=True),
        Member("at", Instant(), "When it ended.", is_required=True),
        Member("durationMs", _MS, "How long it took.", is_required=True),
        Member("errorCode", Nullable(Text(64)), "Why it was not reached.", is_required=True),
    ),
)
_FAILURE: Final = Record(
    "UploadFailure",
    (
        Member("code", Text(64), "Stable.", is_required=True),
        Member("message", Told({"type": "string"}), "What a person can be told.", is_required=True),
        Member("retryable", Told({"type": "boolean"}), "Whether trying again later can help.", is_required=True),
    ),
)
ANSWERED: Final = Record(
    "AnsweredAudio",
    (
        Member("uploadId", RECORD_ID, "Names the upload.", is_required=True),
        Member("transcript", Nullable(Told(TRANSCRIPT.schema)), "What is said in the recording.", is_required=True),
        Member("reply", Told({"type": "string"}), "What is answered; empty for nothing.", is_required=True),
        Member("speech", Nullable(Told(_SPEECH.schema)), "The answer as speech.", is_required=True),
        Member("stages", Told({"type": "array", "items": _STAGE.schema}), "The stages that were gone through.", is_required=True),
        Member("error", Nullable(Told(_FAILURE.schema)), "Why it is not all; null where it is.", is_required=True),
    ),
)
MODEL_REFUSALS: Final = {
    429: "Too much audio of this user, or of all, is being worked on",
    500: "Something went wrong on our side",
    502: "The connection to the model was lost",
    503: "All places are taken, or the records or the model cannot be reached",
    504: "It takes too long",
}
HEARD_REFUSALS: Final = {422: "Nothing could be understood in the recording, or the model will not talk about it"}

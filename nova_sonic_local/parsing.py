"""From the JSON of an input event to the event, with every check that needs no memory of what came before.

What the service says to each mistake: `refusals.py`. A mistake without a known text gets the generic one.
"""

import binascii
from collections.abc import Callable
from enum import Enum

import orjson
import pybase64

from nova_sonic_local.events import (
    AudioInput,
    AudioStart,
    ContentEnd,
    Endpointing,
    InputEvent,
    PromptEnd,
    PromptStart,
    SessionEnd,
    SessionStart,
    TextInput,
    TextRole,
    TextStart,
    ToolResult,
    ToolStart,
    UnknownInput,
)
from nova_sonic_local.members import Members, refuse
from nova_sonic_local.models import MAX_TOKENS, SAMPLE_RATES, Model
from nova_sonic_local.refusals import Refusal, Refused
from nova_sonic_local.toolspecs import parse_tools


class Checks(Enum):
    """How much is refused of what the service is not known to accept."""

    STRICT = "strict"
    RELAXED = "relaxed"


class EventParser:
    """Parses the events of one stream.

    Args:
        model: the model that was asked for.
        checks: strict refuses members and constructs that made trouble in practice.
    """

    def __init__(self, model: Model, checks: Checks) -> None:
        self._model = model
        self._checks = checks
        self._parsers: dict[str, Callable[[Members], InputEvent]] = {
            "audioInput": self._audio_input,
            "textInput": _text_input,
            "toolResult": _tool_result,
            "contentStart": self._content_start,
            "contentEnd": lambda body: ContentEnd(body.text("promptName"), body.text("contentName")),
            "sessionStart": self._session_start,
            "promptStart": self._prompt_start,
            "promptEnd": lambda body: PromptEnd(body.text("promptName")),
            "sessionEnd": lambda _body: SessionEnd(),
        }

    def parse_chunk(self, payload: bytes) -> InputEvent:
        """Parse the payload of a `chunk` message: `{"bytes": "<base64 of the event>"}`.

        Raises:
            Refused: the service would not take it.
        """
        return self.parse(unwrap_chunk(payload))

    def parse(self, data: bytes) -> InputEvent:
        """Parse the JSON of an event.

        Raises:
            Refused: the service would not take it.
        """
        try:
            decoded = orjson.loads(data)
        except orjson.JSONDecodeError:
            refuse(Refusal.UNPARSABLE)
        events = Members(decoded, Refusal.UNPARSABLE).raw("event")
        if not isinstance(events, dict) or len(events) != 1:
            refuse(Refusal.UNPARSABLE)
        ((name, body),) = events.items()
        parser = self._parsers.get(name)
        if parser is None:
            if self._checks is Checks.STRICT:
                refuse()
            return UnknownInput(name)
        return parser(Members(body))

    def _session_start(self, body: Members) -> SessionStart:
        if self._checks is Checks.STRICT:
            body.allow_only(("inferenceConfiguration", "turnDetectionConfiguration"))
        inference = body.optional("inferenceConfiguration") or Members({})
        if self._checks is Checks.STRICT:
            inference.allow_only(("maxTokens", "topP", "temperature", "stopSequences"))
        in_range = (
            1 <= inference.integer("maxTokens", 1024) <= MAX_TOKENS
            and 0 <= inference.number("topP", 0.9) <= 1
            and 0 <= inference.number("temperature", 0.7) <= 1
        )
        if not in_range:
            refuse()
        detection = body.optional("turnDetectionConfiguration")
        if detection is None:
            return SessionStart(None)
        sensitivity = detection.text("endpointingSensitivity")
        if not self._model.second_generation or sensitivity not in Endpointing.__members__:
            refuse()
        return SessionStart(Endpointing(sensitivity))

    def _prompt_start(self, body: Members) -> PromptStart:
        audio = body.nested("audioOutputConfiguration")
        hertz = _lpcm_hertz(audio)
        voice_id = audio.text("voiceId")
        tools = parse_tools(body.optional("toolConfiguration"), has_schema_checks=self._checks is Checks.STRICT)
        if voice_id not in self._model.voices:
            refuse(Refusal.VOICE)
        return PromptStart(body.text("promptName"), voice_id, hertz, tools)

    def _content_start(self, body: Members) -> InputEvent:
        prompt, content = body.text("promptName"), body.text("contentName")
        match body.text("type"):
            case "TEXT":
                role = body.text("role")
                if role not in TextRole.__members__ or (role == "SYSTEM_SPEECH" and not self._model.second_generation):
                    refuse()
                return TextStart(prompt, content, TextRole(role), body.flag("interactive"))
            case "AUDIO":
                return AudioStart(prompt, content, _lpcm_hertz(body.nested("audioInputConfiguration")))
            case "TOOL":
                result = body.nested("toolResultInputConfiguration")
                media_type = result.nested("textInputConfiguration").text("mediaType")
                if result.text("type", "TEXT") != "TEXT" or body.text("role", "TOOL") != "TOOL":
                    refuse()
                return ToolStart(prompt, content, result.text("toolUseId"), media_type)
            case _:
                raise Refused(Refusal.INVALID_REQUEST)

    def _audio_input(self, body: Members) -> AudioInput:
        try:
            pcm = pybase64.b64decode(body.text("content"), validate=True)
        except (binascii.Error, ValueError):
            refuse(Refusal.UNPARSABLE)
        if len(pcm) % 2:
            if self._checks is Checks.STRICT:
                refuse()
            pcm = b""
        return AudioInput(body.text("promptName"), body.text("contentName"), pcm)


def unwrap_chunk(payload: bytes) -> bytes:
    """Return the JSON of the event in the payload of a `chunk` message.

    Raises:
        Refused: there is none.
    """
    try:
        return pybase64.b64decode(orjson.loads(payload)["bytes"], validate=True)
    except (orjson.JSONDecodeError, binascii.Error, KeyError, TypeError, ValueError):
        refuse(Refusal.UNPARSABLE)


def _text_input(body: Members) -> TextInput:
    return TextInput(body.text("promptName"), body.text("contentName"), body.text("content"))


def _tool_result(body: Members) -> ToolResult:
    content = body.raw("content")
    if not isinstance(content, str):
        refuse(Refusal.TOOL_RESULT_NOT_OBJECT)
    return ToolResult(body.text("promptName"), body.text("contentName"), content)


def _lpcm_hertz(audio: Members) -> int:
    fits = (
        audio.text("mediaType") == "audio/lpcm"
        and audio.integer("sampleSizeBits") == 16  # noqa: PLR2004 -- bits of a sample
        and audio.integer("channelCount") == 1
        and audio.text("encoding", "base64") == "base64"
    )
    hertz = audio.integer("sampleRateHertz")
    if not fits or hertz not in SAMPLE_RATES:
        refuse()
    return hertz

"""What a Realtime client sets of its session, in the present shape (`audio.input.format`) or the flat one of the beta, and what it is told.

What the assistant does not let clients set is left aside, and what the client is told of its session shows that.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

import orjson

from s2s.events import Endpointing, InferenceConfiguration, ToolSpec
from s2s.limits import RATES_HERTZ
from s2s.models import MODELS
from s2s.wire import Json, Members
from session.assistant import AssistantProfile
from session.errors import NotAllowed
from session.events import HistoryTurn, Start
from transports.dialects.g711 import HERTZ as TELEPHONE_HERTZ
from transports.dialects.g711 import Law
from transports.dialects.realtime_tools import read_tools
from transports.dialects.realtime_wire import Generation, noted

PCM_HERTZ: Final = 24_000
OPENAI_VOICES: Final = frozenset(
    {"alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer", "verse"}
)
"""Voices of that service, which clients name in every session; here they stand for the assistant's own."""
KNOWN_VOICES: Final = frozenset(voice for model in MODELS.values() for voice in model.voices)
_EAGERNESS: Final = {"low": Endpointing.LOW, "medium": Endpointing.MEDIUM, "high": Endpointing.HIGH}
_BETA_FORMATS: Final = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}


class Modality(Enum):
    """How the assistant's answers are told; it speaks in any case."""

    AUDIO = "audio"
    """Speech, with what is said in words."""
    TEXT = "text"
    """The words alone."""


@dataclass(frozen=True, slots=True)
class Format:
    """How audio comes on the wire."""

    hertz: int = PCM_HERTZ
    law: Law | None = None
    """None for 16-bit samples."""

    def told(self, generation: Generation) -> Json:
        """Return it as the client knows it."""
        name = f"audio/{self.law or 'pcm'}"
        if generation is Generation.BETA:
            return next(beta for beta, present in _BETA_FORMATS.items() if present == name)
        return {"type": name} if self.law else {"type": name, "rate": self.hertz}


@dataclass(frozen=True, slots=True)
class RealtimeSession:
    """A client's session as it was asked for, as far as it may be had."""

    profile: AssistantProfile
    assistant: str | None = None
    """Whom the address names; None leaves it to the server."""
    model: str = ""
    """As the client called it."""
    voice_id: str | None = None
    language: str | None = None
    instructions: str = ""
    tools: tuple[ToolSpec, ...] = ()
    input: Format = Format()
    output: Format = Format()
    modality: Modality = Modality.AUDIO
    eagerness: str = ""
    """Of the semantic turn detection; empty for the plain one."""
    inference: InferenceConfiguration | None = None

    def start(self, history: Sequence[HistoryTurn] = (), notes: Sequence[str] = ()) -> Start:
        """Return the command that begins the session.

        Args:
            history: what was said before.
            notes: of the role system.
        """
        return Start(
            assistant=self.assistant,
            language=self.language,
            voice_id=self.voice_id,
            prompt="\n\n".join(filter(None, (self.instructions, *notes))) or None,
            inference=self.inference,
            endpointing=_EAGERNESS.get(self.eagerness),
            input_hertz=self.input.hertz,
            output_hertz=self.output.hertz,
            history=tuple(history),
            client_tools=self.tools,
        )

    def is_like(self, other: "RealtimeSession") -> bool:
        """Tell whether nothing is different that the model is told."""
        return self.start() == other.start()

    def sounds_like(self, other: "RealtimeSession") -> bool:
        """Tell whether nothing is different that cannot be changed in a conversation."""
        return (self.input, self.output, self.language) == (other.input, other.output, other.language)

    @property
    def voice(self) -> str:
        """The voice that is heard."""
        return self.voice_id or self.profile.languages[self.language or self.profile.default_language].voice_id

    def told(self, session_id: str, generation: Generation) -> dict[str, Json]:
        """Return the session as the client is told of it."""
        tools: list[Json] = [
            {"type": "function", "name": tool.name, "description": tool.description, "parameters": orjson.loads(tool.input_schema)}
            for tool in self.tools
        ]
        detection: dict[str, Json] = {"type": "semantic_vad", "eagerness": self.eagerness}
        if not self.eagerness:
            detection = {
                "type": "server_vad",
                "threshold": 0.5,
                "prefix_padding_ms": 300,
                "silence_duration_ms": 500,
                "idle_timeout_ms": None,
            }
        detection |= {"create_response": True, "interrupt_response": True}
        transcription: Json = {"model": "nova-sonic", "language": self.language or self.profile.default_language}
        tokens = self.inference.max_tokens if self.inference else "inf"
        common: dict[str, Json] = {
            "object": "realtime.session",
            "id": session_id,
            "model": self.model,
            "instructions": self.instructions,
            "tools": tools,
            "tool_choice": "auto",
            "tracing": None,
        }
        if generation is Generation.BETA:
            return common | {
                "modalities": ["text"] if self.modality is Modality.TEXT else ["audio", "text"],
                "voice": self.voice,
                "input_audio_format": self.input.told(generation),
                "output_audio_format": self.output.told(generation),
                "input_audio_transcription": transcription,
                "turn_detection": detection,
                "temperature": self.inference.temperature if self.inference else self.profile.inference.temperature,
                "max_response_output_tokens": tokens,
            }
        heard: Json = {
            "format": self.input.told(generation),
            "transcription": transcription,
            "noise_reduction": None,
            "turn_detection": detection,
        }
        return common | {
            "type": "realtime",
            "output_modalities": [self.modality.value],
            "max_output_tokens": tokens,
            "audio": {"input": heard, "output": {"format": self.output.told(generation), "voice": self.voice, "speed": 1.0}},
        }


def updated(before: RealtimeSession, session: Members) -> RealtimeSession:
    """Return the session as a session.update wants it; members that it does not have stay as they were.

    Raises:
        CodecError: a member has no such value.
        NotAllowed: a choice that is not offered here.
        TooLarge: a tool's description or schema.
    """
    if session.text("type", "realtime") != "realtime":
        raise noted(NotAllowed("Only sessions of the type realtime are served."), "session.type")
    if session.values.get("tool_choice") not in (None, "auto"):
        raise noted(NotAllowed("The model decides itself when to call a tool: tool_choice is auto."), "session.tool_choice")
    after, may = before, before.profile.client_may_set
    heard, spoken = session.part("audio").part("input"), session.part("audio").part("output")
    after = _formats(after, session, heard, spoken)
    if "instructions" in session.values and "prompt" in may:
        after = replace(after, instructions=session.text("instructions", ""))
    if "tools" in session.values and "tools" in may:
        after = replace(after, tools=read_tools(session, after.profile.tools))
    for holder in (session, spoken):
        if holder.values.get("voice") is not None and "voice" in may:
            after = replace(after, voice_id=_voice(holder))
    for holder, key in ((session, "input_audio_transcription"), (heard, "transcription")):
        language = holder.part(key).text("language", "").partition("-")[0].lower()
        if language in after.profile.languages:
            after = replace(after, language=language)
    for holder in (session, heard):
        if "turn_detection" in holder.values and "endpointing" in may:
            after = replace(after, eagerness=_eagerness(holder.part("turn_detection")))
    for key in ("modalities", "output_modalities"):
        if isinstance(wanted := session.values.get(key), list):
            after = replace(after, modality=Modality.AUDIO if "audio" in wanted else Modality.TEXT)
    return _inference(after, session) if "inference" in may else after


def _formats(before: RealtimeSession, session: Members, heard: Members, spoken: Members) -> RealtimeSession:
    after = before
    if (flat := session.values.get("input_audio_format")) is not None:
        after = replace(after, input=_format(Members("session.input_audio_format", {"type": _BETA_FORMATS.get(str(flat), flat)})))
    if (flat := session.values.get("output_audio_format")) is not None:
        after = replace(after, output=_format(Members("session.output_audio_format", {"type": _BETA_FORMATS.get(str(flat), flat)})))
    if heard.values.get("format") is not None:
        after = replace(after, input=_format(heard.part("format")))
    if spoken.values.get("format") is not None:
        after = replace(after, output=_format(spoken.part("format")))
    return after


def _format(wanted: Members) -> Format:
    kind = wanted.text("type", "audio/pcm")
    if kind == "audio/pcm" and (hertz := wanted.whole("rate", PCM_HERTZ)) in RATES_HERTZ:
        return Format(hertz)
    if kind.removeprefix("audio/") in tuple(Law):
        return Format(TELEPHONE_HERTZ, Law(kind.removeprefix("audio/")))
    rates = ", ".join(map(str, RATES_HERTZ))
    raise noted(NotAllowed(f"Audio is audio/pcm at {rates} samples per second, audio/pcmu or audio/pcma."), "session.audio")


def _voice(holder: Members) -> str | None:
    value = holder.values["voice"]
    voice = holder.part("voice").text("id") if isinstance(value, dict) else holder.text("voice")
    if voice in OPENAI_VOICES:
        return None
    if voice not in KNOWN_VOICES:
        raise noted(
            NotAllowed(f"There is no voice {voice[:40]!r}; there are {', '.join(sorted(KNOWN_VOICES))}."), "session.audio.output.voice"
        )
    return voice


def _eagerness(detection: Members) -> str:
    eagerness = detection.text("eagerness", "auto") if detection.text("type", "server_vad") == "semantic_vad" else ""
    return eagerness if eagerness in ("", "auto", *_EAGERNESS) else "auto"


def _inference(before: RealtimeSession, session: Members) -> RealtimeSession:
    inference = before.inference or before.profile.inference
    for key in ("max_output_tokens", "max_response_output_tokens"):
        if session.values.get(key) not in (None, "inf"):
            inference = replace(inference, max_tokens=max(1, session.whole(key, 0)))
    if session.values.get("temperature") is not None:
        inference = replace(inference, temperature=min(1.0, max(0.0, session.number("temperature", 0.0))))
    return before if inference == (before.inference or before.profile.inference) else replace(before, inference=inference)

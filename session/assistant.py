"""An assistant: prompt, voices, languages and tools, written down in assistants/*.toml, and what a client may change of it."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from s2s.events import Endpointing, InferenceConfiguration, ToolSpec
from s2s.limits import RATES_HERTZ, clean_text
from s2s.models import ModelCapabilities
from session.client_tools import ANSWER_SECONDS, check_client_tools
from session.errors import NotAllowed
from session.events import HistoryTurn, Start
from session.keeping import Keeping, parse_keeping

CLIENT_CHOICES = frozenset({"prompt", "voice", "inference", "endpointing", "history", "tools"})
"""What `client_may_set` can hold. The language is always the client's choice among those that the assistant speaks."""
ACKNOWLEDGE_AFTER_SECONDS = 2.0
"""Silence while a tool runs before the assistant says that it takes its time: callers ask whether somebody is there after three or four
seconds, and the first speech is heard about a second after it was asked for."""
ACKNOWLEDGE_AFTER_RANGE = (0.5, 30.0)
ACKNOWLEDGEMENT_CHARACTERS = 200
"""A sentence that takes longer to say would keep the result waiting."""
_INFERENCE_RULE = "max_tokens is a whole number from 1, top_p and temperature are between 0 and 1"


class AssistantError(ValueError):
    """The assistant's file cannot be used."""


@dataclass(frozen=True, slots=True)
class AssistantLanguage:
    """How the assistant is in one language."""

    prompt: str
    voice_id: str
    acknowledgement: str = ""
    """What the assistant says while a tool takes its time; empty for nothing."""


@dataclass(frozen=True, slots=True)
class AssistantProfile:
    """One assistant."""

    name: str
    default_language: str
    languages: Mapping[str, AssistantLanguage]
    tools: tuple[str, ...]
    client_may_set: frozenset[str]
    inference: InferenceConfiguration
    endpointing: Endpointing | None
    hidden_markers: tuple[str, ...]
    """Texts that the prompt makes the model write and that nobody shall read, for instance [FINAL]."""
    acknowledge_after_seconds: float = ACKNOWLEDGE_AFTER_SECONDS
    keeping: Keeping = field(default_factory=Keeping)


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """What one session is opened with: the assistant's choices, and the client's where it may choose."""

    assistant: str
    language: str
    voice_id: str
    prompt: str
    tools: tuple[str, ...]
    inference: InferenceConfiguration
    endpointing: Endpointing | None
    takes_text: bool
    """Whether the model answers typed turns."""
    hidden_markers: tuple[str, ...]
    input_hertz: int
    output_hertz: int
    history: tuple[HistoryTurn, ...]
    start: Start = field(default_factory=Start, compare=False)
    """What the client asked for, with the language that it got: another process plans the session again by it."""
    acknowledgement: str = ""
    """What the assistant says while a tool takes its time; empty for nothing, as for models that cannot."""
    acknowledge_after_seconds: float = ACKNOWLEDGE_AFTER_SECONDS
    """Of silence."""
    client_tools: tuple[ToolSpec, ...] = ()
    """Tools that the client runs."""
    client_tool_seconds: float = ANSWER_SECONDS
    """How long it may take for a call."""
    idle_seconds: float = 0.0
    """Without a sound or a word of either side the session ends after this time; 0 never."""


def parse_assistant(text: str) -> AssistantProfile:
    """Parse an assistant's TOML.

    Raises:
        AssistantError: names what is missing or wrong.
    """
    try:
        data = tomllib.loads(text)
        languages = {key: _parse_language(row) for key, row in data["languages"].items()}
        profile = AssistantProfile(
            name=str(data["name"]),
            default_language=str(data["default_language"]),
            languages=MappingProxyType(languages),
            tools=_texts(data, "tools"),
            client_may_set=frozenset(_texts(data, "client_may_set")),
            inference=_parse_inference(data.get("inference", {})),
            endpointing=Endpointing(data["endpointing"]) if "endpointing" in data else None,
            hidden_markers=_texts(data, "hidden_markers"),
            acknowledge_after_seconds=_parse_patience(data.get("acknowledge_after_seconds", ACKNOWLEDGE_AFTER_SECONDS)),
            keeping=parse_keeping(data),
        )
    except KeyError as error:
        raise AssistantError(f"missing: {error.args[0]}") from error
    except (tomllib.TOMLDecodeError, TypeError, ValueError, AttributeError) as error:
        raise AssistantError(str(error)) from error
    if profile.default_language not in profile.languages:
        raise AssistantError(f"default_language {profile.default_language} has no [languages.{profile.default_language}]")
    for language, own in profile.languages.items():
        if not clean_text(own.prompt).strip() or not own.voice_id:
            raise AssistantError(f"languages.{language}: prompt and voice must not be empty")
    if unknown := profile.client_may_set - CLIENT_CHOICES:
        raise AssistantError(f"client_may_set: {', '.join(sorted(unknown))} cannot be set by clients")
    return profile


def plan_session(
    profile: AssistantProfile, start: Start, model: ModelCapabilities, client_tool_seconds: float = ANSWER_SECONDS
) -> SessionPlan:
    """Join what the client asks for with what the assistant allows.

    Args:
        profile: the assistant.
        start: the client's wishes; those it may not have are left aside, so that a client with settings of its own still works.
        model: what the model can do.
        client_tool_seconds: how long the client may take for a call of one of its tools.

    Raises:
        NotAllowed: the language is not spoken, the voice does not exist, a number is out of its range, or a tool cannot be had.
        TooLarge: a tool's description or schema.
    """
    if start.input_hertz not in RATES_HERTZ or start.output_hertz not in RATES_HERTZ:
        raise NotAllowed(f"Speech has {', '.join(map(str, RATES_HERTZ))} samples per second.")
    language = start.language or profile.default_language
    if language not in profile.languages:
        raise NotAllowed(f"The assistant does not speak {language[:20]!r}.")
    own = profile.languages[language]
    may = profile.client_may_set
    liked = start.preferred_voice_id if model.may_have_voice(start.preferred_voice_id) else ""
    voice_id = ((start.voice_id or liked) if "voice" in may else "") or own.voice_id
    if not model.may_have_voice(voice_id):
        raise NotAllowed(f"The model has no voice {voice_id[:40]!r}.")
    inference = start.inference if start.inference and "inference" in may else profile.inference
    if not _is_possible(inference):
        raise NotAllowed(f"The numbers cannot be used: {_INFERENCE_RULE}.")
    client_tools = start.client_tools if "tools" in may else ()
    check_client_tools(client_tools, profile.tools)
    prompt = clean_text(start.prompt or "").strip() if "prompt" in may else ""
    context = clean_text(start.context).strip()
    endpointing = start.endpointing if start.endpointing and "endpointing" in may else profile.endpointing
    return SessionPlan(
        assistant=profile.name,
        language=language,
        voice_id=voice_id,
        prompt="\n\n".join(part for part in (prompt or own.prompt, context) if part),
        tools=profile.tools,
        inference=inference,
        endpointing=endpointing if model.turn_detection else None,
        takes_text=model.text_turns,
        hidden_markers=profile.hidden_markers,
        input_hertz=start.input_hertz,
        output_hertz=start.output_hertz,
        history=(*start.memory, *(start.history if "history" in may else ())),
        acknowledgement=own.acknowledgement if model.text_turns and model.async_tools else "",
        acknowledge_after_seconds=profile.acknowledge_after_seconds,
        start=replace(start, language=language),
        client_tools=client_tools,
        client_tool_seconds=client_tool_seconds,
    )


def _parse_language(row: Mapping[str, object]) -> AssistantLanguage:
    acknowledgement = row.get("acknowledgement", "")
    if not isinstance(acknowledgement, str) or len(acknowledgement) > ACKNOWLEDGEMENT_CHARACTERS:
        raise TypeError(f"acknowledgement: a text of at most {ACKNOWLEDGEMENT_CHARACTERS} characters is expected")
    return AssistantLanguage(str(row["prompt"]).strip(), str(row["voice"]), clean_text(acknowledgement).strip())


def _parse_patience(value: object) -> float:
    shortest, longest = ACKNOWLEDGE_AFTER_RANGE
    if isinstance(value, bool) or not isinstance(value, int | float) or not shortest <= value <= longest:
        raise TypeError(f"acknowledge_after_seconds: a number from {shortest} to {longest} is expected")
    return float(value)


def _texts(data: Mapping[str, object], key: str) -> tuple[str, ...]:
    values = data.get(key, [])
    if not isinstance(values, list):
        raise TypeError(f"{key}: a list of texts is expected")
    return tuple(str(value) for value in values)


def _parse_inference(row: Mapping[str, float]) -> InferenceConfiguration:
    inference = InferenceConfiguration(**row)  # type: ignore[arg-type]  # the check below refuses what is no number
    if not _is_possible(inference):
        raise ValueError(f"inference: {_INFERENCE_RULE}")
    return inference


def _is_possible(inference: InferenceConfiguration) -> bool:
    return (
        inference.max_tokens >= 1
        and inference.max_tokens == int(inference.max_tokens)
        and 0 <= inference.top_p <= 1
        and 0 <= inference.temperature <= 1
    )

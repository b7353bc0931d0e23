"""An assistant: prompt, voices, languages and tools, written down in assistants/*.toml, and what a client may change of it."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from s2s.events import Endpointing, InferenceConfiguration
from s2s.models import ModelCapabilities
from session.errors import NotAllowed
from session.events import HistoryTurn, Start

CLIENT_CHOICES = frozenset({"prompt", "voice", "inference", "endpointing", "history"})
"""What `client_may_set` can hold. The language is always the client's choice among those that the assistant speaks."""


class AssistantError(ValueError):
    """The assistant's file cannot be used."""


@dataclass(frozen=True, slots=True)
class AssistantLanguage:
    """How the assistant is in one language."""

    prompt: str
    voice_id: str


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


def parse_assistant(text: str) -> AssistantProfile:
    """Parse an assistant's TOML.

    Raises:
        AssistantError: names what is missing or wrong.
    """
    try:
        data = tomllib.loads(text)
        languages = {key: AssistantLanguage(str(row["prompt"]).strip(), str(row["voice"])) for key, row in data["languages"].items()}
        profile = AssistantProfile(
            name=str(data["name"]),
            default_language=str(data["default_language"]),
            languages=MappingProxyType(languages),
            tools=tuple(str(name) for name in data.get("tools", ())),
            client_may_set=frozenset(str(name) for name in data.get("client_may_set", ())),
            inference=InferenceConfiguration(**data.get("inference", {})),
            endpointing=Endpointing(data["endpointing"]) if "endpointing" in data else None,
            hidden_markers=tuple(str(marker) for marker in data.get("hidden_markers", ())),
        )
    except KeyError as error:
        raise AssistantError(f"missing: {error.args[0]}") from error
    except (tomllib.TOMLDecodeError, TypeError, ValueError, AttributeError) as error:
        raise AssistantError(str(error)) from error
    if profile.default_language not in profile.languages:
        raise AssistantError(f"default_language {profile.default_language} has no [languages.{profile.default_language}]")
    if unknown := profile.client_may_set - CLIENT_CHOICES:
        raise AssistantError(f"client_may_set: {', '.join(sorted(unknown))} cannot be set by clients")
    return profile


def plan_session(profile: AssistantProfile, start: Start, model: ModelCapabilities) -> SessionPlan:
    """Join what the client asks for with what the assistant allows.

    Args:
        profile: the assistant.
        start: the client's wishes; those it may not have are left aside, so that a client with settings of its own still works.
        model: what the model can do.

    Raises:
        NotAllowed: the language is not spoken, or the voice does not exist.
    """
    language = start.language or profile.default_language
    if language not in profile.languages:
        raise NotAllowed(f"The assistant does not speak {language[:20]!r}.")
    own = profile.languages[language]
    may = profile.client_may_set
    voice_id = start.voice_id if start.voice_id and "voice" in may else own.voice_id
    if not model.may_have_voice(voice_id):
        raise NotAllowed(f"The model has no voice {voice_id[:40]!r}.")
    endpointing = start.endpointing if start.endpointing and "endpointing" in may else profile.endpointing
    return SessionPlan(
        assistant=profile.name,
        language=language,
        voice_id=voice_id,
        prompt=start.prompt if start.prompt and "prompt" in may else own.prompt,
        tools=profile.tools,
        inference=start.inference if start.inference and "inference" in may else profile.inference,
        endpointing=endpointing if model.turn_detection else None,
        takes_text=model.text_turns,
        hidden_markers=profile.hidden_markers,
        input_hertz=start.input_hertz,
        output_hertz=start.output_hertz,
        history=start.history if "history" in may else (),
    )

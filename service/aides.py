"""Assistants that nobody talks with: one that takes dictation, and one that reads aloud. Their words are for the model, so they are few.

Speech to speech is all that Nova Sonic does. What it hears it writes down by itself, so that who takes dictation only has to keep from
talking. Who reads aloud is told each sentence to say; a model that is told so does, but nothing forces it to.
"""

from types import MappingProxyType
from typing import Final

from s2s.events import Endpointing, InferenceConfiguration
from s2s.models import ModelCapabilities
from session.assistant import AssistantLanguage, AssistantProfile
from session.errors import NotAllowed
from session.keeping import Keeping

DEFAULT_LANGUAGE: Final = "en"
LANGUAGES: Final = {"en": "English", "es": "Spanish", "fr": "French", "de": "German", "it": "Italian", "pt": "Portuguese"}
"""What can be asked for, as far as the model has a voice of it: who speaks a language understands it."""
SENTENCE_LIMIT: Final = 280
"""Characters of one typed turn: short enough to be said word for word, and for the model to be quick with it."""
_DICTATION: Final = (
    "You take dictation. The user speaks {language}. Listen to everything until the end. "
    "Never answer what is asked and never do what is wanted: whatever was said, say only: OK."
)
_READING: Final = (
    "You read aloud in {language}. Each message of the user has a text between quotation marks. Say exactly this text, word for word, "
    "in {language}, and nothing before or after it. Never answer it, never explain it, never translate it, whatever it says."
)
_ASKED: Final = 'Say only this, word for word: "{text}"'
_DETERMINED: Final = InferenceConfiguration(max_tokens=1024, top_p=0.9, temperature=0.0)


def languages_of(model: ModelCapabilities) -> dict[str, str]:
    """Return the languages that a model speaks, each with the voice that is taken where none is asked for."""
    found: dict[str, str] = {}
    for voice, tag in model.voices.items():
        found.setdefault(tag.partition("-")[0], voice)
    return {language: found[language] for language in LANGUAGES if language in found}


def transcriber(model: ModelCapabilities) -> AssistantProfile:
    """Return who takes dictation."""
    return _aide("transcriber", _DICTATION, model, Endpointing.LOW)


def reader(model: ModelCapabilities) -> AssistantProfile:
    """Return who reads aloud."""
    return _aide("reader", _READING, model, Endpointing.HIGH)


def language_of(asked: str | None, model: ModelCapabilities) -> str:
    """Return a language that the model speaks, of a tag like es or es-US.

    Raises:
        NotAllowed: it does not speak it.
    """
    language = (asked or DEFAULT_LANGUAGE).partition("-")[0].lower()
    spoken = languages_of(model)
    if language not in spoken:
        raise NotAllowed(f"The model does not speak {language[:20]!r}; it speaks {', '.join(spoken)}.")
    return language


def language_of_voice(voice_id: str, model: ModelCapabilities) -> str | None:
    """Return the main language of a voice; None where it is not known."""
    language = model.voices.get(voice_id, "").partition("-")[0]
    return language if language in LANGUAGES else None


def sentences(text: str) -> list[str]:
    """Return a text in parts that are said in one go, cut after sentences where it can be, else between words."""
    parts: list[str] = []
    rest = " ".join(text.replace('"', "'").split())
    while len(rest) > SENTENCE_LIMIT:
        window = rest[: SENTENCE_LIMIT + 1]
        cut = max(window.rfind(mark) + 1 for mark in (". ", "! ", "? ", "; ", ": "))
        cut = cut if cut > 0 else window.rfind(" ")
        cut = cut if cut > 0 else SENTENCE_LIMIT
        parts.append(rest[:cut].strip())
        rest = rest[cut:].strip()
    return [*parts, rest] if rest else parts


def asked_to_say(sentence: str) -> str:
    """Return what the reader is told."""
    return _ASKED.format(text=sentence)


def _aide(name: str, prompt: str, model: ModelCapabilities, endpointing: Endpointing) -> AssistantProfile:
    languages = {
        language: AssistantLanguage(prompt.format(language=LANGUAGES[language]), voice) for language, voice in languages_of(model).items()
    }
    return AssistantProfile(
        name=name,
        default_language=DEFAULT_LANGUAGE,
        languages=MappingProxyType(languages),
        tools=(),
        client_may_set=frozenset({"voice"}),
        inference=_DETERMINED,
        endpointing=endpointing,
        hidden_markers=(),
        keeping=Keeping(is_conversation_recorded=False),
    )

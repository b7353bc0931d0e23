"""What each model can do, as data. Sources: Amazon Nova and Nova 2 user guides; for 2.5 the prompting guide in amazon-nova-samples."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

DEFAULT_MODEL_ID: Final = "amazon.nova-2-sonic-v1:0"
CASCADE_MODEL_ID: Final = "cascade"
"""Stands for no model of speech, but for Transcribe, a text model and Polly (`cascade/`)."""


class Feature(Enum):
    """Something that only some models do."""

    TURN_DETECTION = "turn_detection"
    """sessionStart may carry turnDetectionConfiguration."""
    TEXT_TURNS = "text_turns"
    """An interactive USER text is answered in speech."""
    ASYNC_TOOLS = "async_tools"
    """The conversation goes on while a tool runs."""
    SYSTEM_SPEECH = "system_speech"
    """A block of role SYSTEM_SPEECH may follow the system prompt."""
    SPEAKS_FIRST = "speaks_first"
    """The model can be made to speak before it has heard anything."""


_VOICES_V1: Final = {
    "matthew": "en-US",
    "tiffany": "en-US",
    "amy": "en-GB",
    "lupe": "es",
    "carlos": "es",
    "ambre": "fr",
    "florian": "fr",
    "greta": "de",
    "lennart": "de",
    "beatrice": "it",
    "lorenzo": "it",
}
_VOICES_V2: Final = {voice: language for voice, language in _VOICES_V1.items() if voice != "greta"} | {
    "olivia": "en-AU",
    "kiara": "en-IN",
    "arjun": "en-IN",
    "tina": "de",
    "carolina": "pt-BR",
    "leo": "pt-BR",
}
_VOICES_CASCADE: Final = {voice: language for voice, language in (_VOICES_V1 | _VOICES_V2).items() if voice != "arjun"}
"""Those that a neural voice of Polly can stand in for (`cascade/voices.py`)."""


@dataclass(frozen=True, slots=True)
class ModelCapabilities:
    """One row of the table of models."""

    model_id: str
    """As it was asked for."""
    voices: Mapping[str, str]
    """Voice id to its main language."""
    features: frozenset[Feature]
    regions: tuple[str, ...] = ()
    """Where it has been seen; empty when not known. None of them has a cross-region profile."""
    end_of_life: str | None = None
    """ISO date after which the service may refuse the model (Bedrock model card)."""
    guessed_from: str | None = None
    """For an id that is not in the table: the row that it was given. Its voices are then not known."""

    @property
    def turn_detection(self) -> bool:
        """Return whether endpointing can be set."""
        return Feature.TURN_DETECTION in self.features

    @property
    def text_turns(self) -> bool:
        """Return whether typed text is answered."""
        return Feature.TEXT_TURNS in self.features

    @property
    def async_tools(self) -> bool:
        """Return whether the conversation goes on while a tool runs."""
        return Feature.ASYNC_TOOLS in self.features

    @property
    def system_speech(self) -> bool:
        """Return whether a SYSTEM_SPEECH block is understood."""
        return Feature.SYSTEM_SPEECH in self.features

    @property
    def speaks_first(self) -> bool:
        """Return whether the model can open the conversation."""
        return Feature.SPEAKS_FIRST in self.features

    def may_have_voice(self, voice_id: str) -> bool:
        """Return False only when the model is known not to have the voice."""
        return voice_id in self.voices or self.guessed_from is not None


_V2: Final = ModelCapabilities(
    DEFAULT_MODEL_ID, _VOICES_V2, frozenset(Feature), regions=("us-east-1", "us-west-2", "ap-northeast-1", "eu-north-1")
)
MODELS: Final[Mapping[str, ModelCapabilities]] = {
    row.model_id: row
    for row in (
        ModelCapabilities(
            "amazon.nova-sonic-v1:0",
            _VOICES_V1,
            frozenset(),
            regions=("us-east-1", "ap-northeast-1", "eu-north-1"),
            end_of_life="2026-09-14",
        ),
        _V2,
        ModelCapabilities("amazon.nova-2-5-sonic", _VOICES_V2, frozenset(Feature), regions=("us-east-1", "ap-northeast-1", "eu-north-1")),
        ModelCapabilities(CASCADE_MODEL_ID, _VOICES_CASCADE, frozenset({Feature.TURN_DETECTION, Feature.TEXT_TURNS, Feature.SPEAKS_FIRST})),
    )
}


def capabilities(model_id: str) -> ModelCapabilities:
    """Return what a model can do; an unknown id is taken to be like Nova 2 Sonic.

    Args:
        model_id: a Bedrock model id, or an ARN that ends in one.
    """
    row = MODELS.get(model_id.rpartition("/")[2])
    if row is None:
        return ModelCapabilities(model_id, _V2.voices, _V2.features, guessed_from=_V2.model_id)
    return ModelCapabilities(model_id, row.voices, row.features, row.regions, row.end_of_life)

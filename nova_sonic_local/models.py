"""What each Nova Sonic model can do, and the limits of the service, as data.

Sources: Amazon Nova user guide (voices, turn detection, cross-modal text); AWS's model cards; where the guide is silent, public issue
reports, named at the row.
"""

from dataclasses import dataclass

_VOICES_1 = frozenset(
    {"matthew", "tiffany", "amy", "lupe", "carlos", "ambre", "florian", "greta", "lennart", "beatrice", "lorenzo"},
)
_VOICES_2 = (_VOICES_1 - {"greta"}) | {"olivia", "kiara", "arjun", "tina", "carolina", "leo"}


@dataclass(frozen=True, slots=True)
class Model:
    """Capabilities of a model."""

    voices: frozenset[str]
    second_generation: bool
    """Turn detection setting, typed turns, SYSTEM_SPEECH role and userSpeech events came together with Nova 2."""


_FIRST = Model(_VOICES_1, second_generation=False)
_SECOND = Model(_VOICES_2, second_generation=True)

MODELS: dict[str, Model] = {
    "amazon.nova-sonic-v1": _FIRST,
    "amazon.nova-2-sonic-v1": _SECOND,
    "amazon.nova-2-5-sonic": _SECOND,
}
"""By id without the version suffix (`:0`)."""


def find_model(model_id: str) -> Model | None:
    """Return the model of an id or ARN, with or without its version suffix, or None when there is none."""
    name = model_id.rpartition("/")[2]
    return MODELS.get(name) or MODELS.get(name.rpartition(":")[0])


@dataclass(frozen=True, slots=True)
class TextLimits:
    """Sizes of texts, in bytes of UTF-8."""

    system_input: int
    """One textInput of a SYSTEM block."""
    history_input: int
    """One textInput of a history block."""
    history_total: int
    history_messages: int


STRICT_TEXT = TextLimits(system_input=16_384, history_input=1_024, history_total=40_960, history_messages=40)
"""1 KB and 40 KB: Amazon Nova user guide; 40 messages: AWS's answer in amazon-nova-samples issue 147; a SYSTEM input of 16 KB is the
largest that was not reported as refused."""
RELAXED_TEXT = TextLimits(system_input=51_200, history_input=51_200, history_total=204_800, history_messages=1_000)
"""50 KB and 200 KB are what AWS's session continuation sample, pipecat and Strands send."""

SAMPLE_RATES = frozenset({8_000, 16_000, 24_000})
STREAM_SECONDS = 480.0
"""Length of a stream: API reference, "the connection is closed after 8 minutes"; 480.5 s were measured."""
FIRST_EVENT_SECONDS = 55.0
"""A guess: the shorter idle time."""
PRIMING_SECONDS = 0.068
"""Audio that must have come since the last typed turn before another is answered in speech (66 ms failed, 68 ms worked: one public
measurement)."""
MAX_TOKENS = 65_536
TOKENS_PER_SECOND = 25
"""Speech tokens: invented, because AWS publishes no figure."""
CHARACTERS_PER_TOKEN = 4
"""Text tokens: the usual rule of thumb."""

"""How the assistant behaves on the wire, and which faults are only another way to behave."""

from dataclasses import dataclass, replace
from enum import Enum

from nova_sonic_local.faults import Fault, FaultPlan


class Finals(Enum):
    """When FINAL texts of the assistant are sent."""

    WHEN_PLAYED = "when_played"
    WITH_NEXT_TURN = "with_next_turn"
    """Seen on the service: only when the next input arrives."""
    NEVER = "never"


class Completions(Enum):
    """What a completion is."""

    STREAM = "stream"
    """All turns of a stream: what clients logged."""
    TURN = "turn"
    """One turn: another reading of the guide."""
    ENDLESS = "endless"
    """As STREAM, without a completionEnd: also on record."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How the assistant behaves on the wire."""

    speech_speed: float = 8.0
    """Speech is sent this many times faster than it plays; 0 is as fast as the client takes it."""
    final_delay_seconds: float = 0.2
    """From the end of a sentence in the listener's ear to its FINAL text."""
    finals: Finals = Finals.WHEN_PLAYED
    argument_encodings: int = 1
    """How often a tool's arguments are encoded as JSON; 2 was seen."""
    interrupted_audio_end: str = "END_TURN"
    """stopReason of the AUDIO block that is interrupted; clients also expect INTERRUPTED."""
    completions: Completions = Completions.STREAM
    padding: str = ""
    """Value of the member `p` beside `bytes` in every chunk; without it there is none."""


def behave(manner: Manner, plan: FaultPlan) -> Manner | None:
    """Return the manner with a fault, or None when the fault is none of the manner."""
    match plan.fault:
        case Fault.SLOW_OUTPUT:
            return replace(manner, speech_speed=plan.number)
        case Fault.EXTRA_JSON_MEMBER:
            return replace(manner, padding="abcdefghijklmnopqrstuvwxyz")
        case Fault.LATE_FINAL:
            return replace(manner, finals=Finals.WITH_NEXT_TURN)
        case Fault.NO_FINAL:
            return replace(manner, finals=Finals.NEVER)
        case Fault.DOUBLE_ENCODED_ARGS:
            return replace(manner, argument_encodings=2)
        case Fault.AUDIO_END_INTERRUPTED:
            return replace(manner, interrupted_audio_end="INTERRUPTED")
        case Fault.COMPLETION_PER_TURN:
            return replace(manner, completions=Completions.TURN)
        case Fault.NO_COMPLETION_END:
            return replace(manner, completions=Completions.ENDLESS)
        case _:
            return None

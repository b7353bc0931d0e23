"""What has to become of every fault, at every phase of a stream: the table that the fault matrix is held to, and the page is written from.

Written from what each fault means to a conversation, and not from what comes out. Pure; a row is a fault of Nova Sonic Local with its
argument (docs/reference/emulator-faults.md), or something that is wrong with the endpoint before there is a stream.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from s2s.errors import Remedy


class Phase(Enum):
    """Where a stream is when the fault comes."""

    CONNECT = "connect"
    OPENING = "opening"
    IDLE = "idle"
    USER_SPEAKING = "user speaking"
    ASSISTANT_SPEAKING = "assistant speaking"
    TOOL_PENDING = "tool pending"
    CLOSING = "closing"

    @property
    def moment(self) -> str:
        """When the emulator lets the fault happen."""
        return _MOMENTS[self]

    @property
    def meaning(self) -> str:
        """What the stream is doing then."""
        return _MEANINGS[self]


_MOMENTS = {
    Phase.CONNECT: "0",
    Phase.OPENING: "3",
    Phase.IDLE: "7",
    Phase.USER_SPEAKING: "12",
    Phase.ASSISTANT_SPEAKING: "2audioOutput",
    Phase.TOOL_PENDING: "toolUse",
    Phase.CLOSING: "promptEnd",
}
_MEANINGS = {
    Phase.CONNECT: "the connection or the request is being made; nothing was answered yet",
    Phase.OPENING: "the response has begun, the opening events are not all read yet",
    Phase.IDLE: "the stream is open; nothing is said and nothing is sent",
    Phase.USER_SPEAKING: "the user's speech is being sent",
    Phase.ASSISTANT_SPEAKING: "the model's speech is coming, and the microphone stays open",
    Phase.TOOL_PENDING: "the model waits for the result of a tool, and the microphone stays open",
    Phase.CLOSING: "our promptEnd is out, sessionEnd follows it",
}


@dataclass(frozen=True, slots=True)
class Told:
    """The stream is over: sender and receiver, or whoever opens it, get one ModelError."""

    code: str
    remedy: Remedy

    def __str__(self) -> str:
        return f"`{self.code}`, {self.remedy.value}"


class Unharmed(Enum):
    """The stream is not over."""

    GOES_ON = "goes on"
    SILENT = "silent"
    """Nothing comes and nothing is wrong on the wire: the session's watchdog has to find it."""


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of several: chance decides."""

    outcomes: tuple[Told, ...]

    def __str__(self) -> str:
        return "that of the fault that chance chooses"


type Outcome = Told | Unharmed | AnyOf

GOES_ON, SILENT = Unharmed.GOES_ON, Unharmed.SILENT

UNREACHABLE = Told("model_unreachable", Remedy.BACKOFF)
UNTRUSTED = Told("model_untrusted", Remedy.FATAL_CONFIG)
NO_ANSWER = Told("model_timeout_opening", Remedy.BACKOFF)
LOST = Told("model_lost", Remedy.RESUME)
STALLED = Told("model_stalled", Remedy.RESUME)
UNKNOWN_MODEL = Told("model_unknown_id", Remedy.FATAL_CONFIG)
NO_ACCESS = Told("model_access_denied", Remedy.FATAL_CONFIG)
WRONG_KEY = Told("model_credentials", Remedy.FATAL_CONFIG)
THROTTLED = Told("model_throttled", Remedy.BACKOFF)
AWAY = Told("model_unstable", Remedy.BACKOFF)
UNSTABLE = Told("model_unstable", Remedy.RESUME)
TIME_LIMIT = Told("model_time_limit", Remedy.RESUME)
INVALID = Told("model_validation", Remedy.RESUME_ONCE)
BLOCKED = Told("model_content_blocked", Remedy.DROP_LAST_AND_RESUME)


@dataclass(frozen=True, slots=True)
class FaultOutcomes:
    """A row: a fault of the emulator."""

    fault: str
    """With its argument."""
    at_connect: Outcome
    """When nothing was answered yet."""
    later: Outcome
    """In a stream that was accepted."""
    otherwise: Mapping[Phase, Outcome] = field(default_factory=dict)
    """Phases that differ from `later`."""

    def at(self, phase: Phase) -> Outcome:
        """Return what has to become of it."""
        return self.at_connect if phase is Phase.CONNECT else self.otherwise.get(phase, self.later)


def _everywhere(fault: str, outcome: Outcome) -> FaultOutcomes:
    return FaultOutcomes(fault, outcome, outcome)


def _in_stream(fault: str, outcome: Outcome) -> FaultOutcomes:
    """Return the row of what can only follow a response's head: before it, nothing happens."""
    return FaultOutcomes(fault, GOES_ON, outcome)


_REFUSALS = (
    _everywhere("http_400", UNKNOWN_MODEL),
    _everywhere("http_403", NO_ACCESS),
    _everywhere("http_403_unmodeled", WRONG_KEY),
    _everywhere("http_404", UNKNOWN_MODEL),
    _everywhere("http_429", THROTTLED),
    _everywhere("http_500", UNSTABLE),
    FaultOutcomes("http_502", UNSTABLE, LOST),
    _everywhere("http_503", AWAY),
    FaultOutcomes("refuse_stream", UNREACHABLE, LOST),
    FaultOutcomes("no_200", NO_ANSWER, SILENT),
    _everywhere("late_head:0.5", GOES_ON),
    _everywhere("informational", GOES_ON),
)
_EXCEPTIONS = (
    _everywhere("exception:model_error", UNSTABLE),
    _everywhere("exception:internalServerException", UNSTABLE),
    _everywhere("exception:validationException", INVALID),
    _everywhere("exception:throttlingException", THROTTLED),
    _everywhere("exception:modelTimeoutException", TIME_LIMIT),
    _everywhere("exception:serviceUnavailableException", AWAY),
    _everywhere("content_filter", BLOCKED),
    _everywhere("unknown_exception", LOST),
    _everywhere("error_message", UNSTABLE),
)
_ENDS = (
    _everywhere("early_end", LOST),
    FaultOutcomes("rst:NO_ERROR", UNREACHABLE, LOST),
    FaultOutcomes("rst:INTERNAL_ERROR", UNREACHABLE, LOST),
    FaultOutcomes("goaway:NO_ERROR", UNREACHABLE, LOST),
    FaultOutcomes("goaway:ENHANCE_YOUR_CALM", UNREACHABLE, LOST),
    _everywhere("goaway:drain", GOES_ON),
    FaultOutcomes("tcp_drop", UNREACHABLE, LOST),
    FaultOutcomes("half_open", NO_ANSWER, STALLED, {Phase.OPENING: LOST, Phase.IDLE: LOST}),
    _everywhere("truncated_frame", LOST),
    _in_stream("corrupt_frame", LOST),
    _in_stream("garbage", LOST),
)
_SLOWNESS = (
    FaultOutcomes("stall:inf", NO_ANSWER, SILENT),
    _everywhere("stall:0.5", GOES_ON),
    FaultOutcomes("slow_reader", NO_ANSWER, STALLED, {Phase.OPENING: SILENT, Phase.IDLE: SILENT}),
    _everywhere("slow_output:4", GOES_ON),
)
_MANNERS = (
    _everywhere("unknown_event:event", GOES_ON),
    _everywhere("unknown_event:type", GOES_ON),
    _everywhere("huge_event:1024", GOES_ON),
    _in_stream("huge_event:2048", LOST),
    _everywhere("extra_json_member", GOES_ON),
    _everywhere("late_final", GOES_ON),
    _everywhere("no_final", GOES_ON),
    _everywhere("double_encoded_args", GOES_ON),
    _everywhere("audio_end_interrupted", GOES_ON),
    _everywhere("completion_per_turn", GOES_ON),
    _everywhere("no_completion_end", GOES_ON),
)
_FATAL = tuple(
    {outcome for row in (*_REFUSALS, *_EXCEPTIONS, *_ENDS) for outcome in (row.at_connect, row.later) if isinstance(outcome, Told)}
)

FAULT_OUTCOMES = (*_REFUSALS, *_EXCEPTIONS, *_ENDS, *_SLOWNESS, *_MANNERS, _everywhere("random:1", AnyOf(_FATAL)))
"""In the order of the page."""


class Trouble(Enum):
    """What can be wrong with an endpoint before there is a stream."""

    REFUSED = "nobody listens on the port"
    NO_SUCH_HOST = "no such host"
    SILENT = "TCP is accepted and nothing is said"
    CLOSES = "TCP is accepted and closed"
    NOT_HTTP2 = "the peer speaks something else than HTTP/2"
    NO_TLS = "the peer speaks no TLS"
    NO_ALPN = "TLS without HTTP/2 (ALPN)"
    UNKNOWN_AUTHORITY = "a certificate of an unknown authority"
    WRONG_HOST = "a certificate of another host"
    NO_STREAMS = "HTTP/2 that takes no streams"


TROUBLE_OUTCOMES: Mapping[Trouble, Told] = dict.fromkeys(Trouble, UNREACHABLE) | {
    Trouble.UNKNOWN_AUTHORITY: UNTRUSTED,
    Trouble.WRONG_HOST: UNTRUSTED,
}

CRT_TROUBLES: Mapping[Trouble, Told] = {Trouble.UNKNOWN_AUTHORITY: UNREACHABLE, Trouble.WRONG_HOST: UNREACHABLE}
"""The Common Runtime tells of a certificate that it does not accept after 20 s only, and nobody waits for that long."""

CRT_OUTCOMES: Mapping[tuple[str, Phase], Outcome] = {("half_open", Phase.OPENING): SILENT, ("half_open", Phase.IDLE): SILENT}
"""awscrt sends no PING: that the peer is gone is found out by the first second of speech that it does not take."""


def expected_outcome(row: FaultOutcomes, phase: Phase, *, is_crt: bool) -> Outcome:
    """Return what has to become of a fault on one transport."""
    usual = row.at(phase)
    return CRT_OUTCOMES.get((row.fault, phase), usual) if is_crt else usual


def is_slow(row: FaultOutcomes, phase: Phase) -> bool:
    """Tell whether it takes seconds to find the outcome out."""
    found_by_waiting = (NO_ANSWER, STALLED, SILENT)
    return row.at(phase) in found_by_waiting or row.later in found_by_waiting

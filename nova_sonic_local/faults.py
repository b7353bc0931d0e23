"""Faults on demand: what goes wrong on a stream, and when.

A stream gets a fault by the request header `x-nova-sonic-local-fault` or by `Options.fault`, in the form `name[:argument][@event]`; `event`
counts the input events from 1, and is the moment after that event. Without it each fault comes at its usual moment.
"""

from dataclasses import dataclass
from enum import Enum

from nova_sonic_local.refusals import Member, Refusal

HEADER = "x-nova-sonic-local-fault"


class Fault(Enum):
    """What goes wrong."""

    HTTP_400 = "http_400"
    HTTP_403 = "http_403"
    HTTP_429 = "http_429"
    HTTP_503 = "http_503"
    EXCEPTION = "exception"
    """In-stream exception; the argument is a member of the output stream, or a row of refusals.py in lower case."""
    RST = "rst"
    """RST_STREAM(NO_ERROR), which clients take for a clean end."""
    GOAWAY = "goaway"
    """GOAWAY, then the connection closes."""
    TCP_DROP = "tcp_drop"
    STALL = "stall"
    """Everything is read and nothing is said any more."""
    NO_200 = "no_200"
    """The response head never comes."""
    SLOW_READER = "slow_reader"
    """Nothing is read any more: no WINDOW_UPDATE."""
    LATE_FINAL = "late_final"
    """FINAL texts come with the next turn only."""
    NO_FINAL = "no_final"
    DOUBLE_ENCODED_ARGS = "double_encoded_args"
    """toolUse.content is JSON text of JSON text."""


class Moment(Enum):
    """When a fault comes by default."""

    REQUEST = "request"
    """Before any event."""
    FIRST_EVENT = "first_event"
    """After the first event, when the head is out."""
    ALWAYS = "always"
    """It is a way to behave, from the start."""


MOMENTS: dict[Fault, Moment] = {
    Fault.HTTP_400: Moment.REQUEST,
    Fault.HTTP_403: Moment.REQUEST,
    Fault.HTTP_429: Moment.REQUEST,
    Fault.HTTP_503: Moment.REQUEST,
    Fault.EXCEPTION: Moment.FIRST_EVENT,
    Fault.RST: Moment.FIRST_EVENT,
    Fault.GOAWAY: Moment.FIRST_EVENT,
    Fault.TCP_DROP: Moment.FIRST_EVENT,
    Fault.STALL: Moment.FIRST_EVENT,
    Fault.NO_200: Moment.ALWAYS,
    Fault.SLOW_READER: Moment.FIRST_EVENT,
    Fault.LATE_FINAL: Moment.ALWAYS,
    Fault.NO_FINAL: Moment.ALWAYS,
    Fault.DOUBLE_ENCODED_ARGS: Moment.ALWAYS,
}

HTTP_ERRORS: dict[Fault, tuple[int, str, str]] = {
    Fault.HTTP_400: (400, "ValidationException", "The provided model identifier is invalid."),
    Fault.HTTP_403: (403, "AccessDeniedException", "You don't have access to the model with the specified model ID."),
    Fault.HTTP_429: (429, "ThrottlingException", "Too many requests, please wait before trying again."),
    Fault.HTTP_503: (503, "ServiceUnavailableException", "Bedrock is unable to process your request."),
}
"""Status, x-amzn-errortype and message."""


USUAL_REFUSALS: dict[Member, Refusal] = {
    Member.INTERNAL: Refusal.INTERNAL_ERROR,
    Member.MODEL_STREAM: Refusal.MODEL_ERROR,
    Member.VALIDATION: Refusal.INVALID_REQUEST,
    Member.THROTTLING: Refusal.TOO_MANY_STREAMS,
    Member.MODEL_TIMEOUT: Refusal.TIME_LIMIT,
    Member.UNAVAILABLE: Refusal.UNAVAILABLE,
}
"""What a member says when only the member was asked for."""


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """The fault of one stream."""

    fault: Fault | None = None
    refusal: Refusal = Refusal.MODEL_ERROR
    """Argument of EXCEPTION."""
    event: int | None = None
    """0 is before the first event; None for a way to behave."""

    def has(self, fault: Fault) -> bool:
        """Tell whether this is the fault."""
        return self.fault is fault


def parse_fault(text: str) -> FaultPlan:
    """Parse `name[:argument][@event]`; an empty text is no fault.

    Raises:
        ValueError: there is no such fault, member or number.
    """
    if not text:
        return FaultPlan()
    rest, _, number = text.partition("@")
    name, _, argument = rest.partition(":")
    fault = Fault(name)
    usual = {Moment.REQUEST: 0, Moment.FIRST_EVENT: 1, Moment.ALWAYS: None}[MOMENTS[fault]]
    return FaultPlan(fault, _parse_refusal(argument), int(number) if number else usual)


def _parse_refusal(argument: str) -> Refusal:
    if not argument:
        return Refusal.MODEL_ERROR
    if argument.upper() in Refusal.__members__:
        return Refusal[argument.upper()]
    return USUAL_REFUSALS[Member(argument)]

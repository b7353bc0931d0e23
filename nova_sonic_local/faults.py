"""Faults on demand: what goes wrong on a stream, and when.

A stream gets faults by the request header `x-nova-sonic-local-fault`, by `Options.fault`, by a script, or while it runs. The form is
`name[:argument][@moment]`, and several are separated by commas. A moment is one of

    7           after the 7th event from the client; 0 is before any
    12out       after the 12th event to the client
    toolUse     after the first event of that name, of either side; 3audioOutput is after the third
    2.5s        that long after the stream was opened, by the emulator's clock and time scale

Without it each fault comes at its usual moment. Pure; docs/reference/emulator-faults.md is written from the table `FAULTS`.
"""

import re
from dataclasses import dataclass
from enum import Enum

from h2.errors import ErrorCodes

from nova_sonic_local.refusals import Member, Refusal

HEADER = "x-nova-sonic-local-fault"


class Fault(Enum):
    """What goes wrong; the table `FAULTS` tells what the client sees."""

    HTTP_400 = "http_400"
    HTTP_403 = "http_403"
    HTTP_403_UNMODELED = "http_403_unmodeled"
    HTTP_404 = "http_404"
    HTTP_429 = "http_429"
    HTTP_500 = "http_500"
    HTTP_502 = "http_502"
    HTTP_503 = "http_503"
    REFUSE_STREAM = "refuse_stream"
    NO_200 = "no_200"
    LATE_HEAD = "late_head"
    INFORMATIONAL = "informational"
    EXCEPTION = "exception"
    CONTENT_FILTER = "content_filter"
    UNKNOWN_EXCEPTION = "unknown_exception"
    ERROR_MESSAGE = "error_message"
    EARLY_END = "early_end"
    RST = "rst"
    GOAWAY = "goaway"
    TCP_DROP = "tcp_drop"
    HALF_OPEN = "half_open"
    TRUNCATED_FRAME = "truncated_frame"
    CORRUPT_FRAME = "corrupt_frame"
    GARBAGE = "garbage"
    STALL = "stall"
    SLOW_READER = "slow_reader"
    SLOW_OUTPUT = "slow_output"
    UNKNOWN_EVENT = "unknown_event"
    HUGE_EVENT = "huge_event"
    EXTRA_JSON_MEMBER = "extra_json_member"
    LATE_FINAL = "late_final"
    NO_FINAL = "no_final"
    DOUBLE_ENCODED_ARGS = "double_encoded_args"
    AUDIO_END_INTERRUPTED = "audio_end_interrupted"
    COMPLETION_PER_TURN = "completion_per_turn"
    NO_COMPLETION_END = "no_completion_end"
    RANDOM = "random"


class Unit(Enum):
    """What a moment counts."""

    INPUT = "input"
    """Events from the client."""
    OUTPUT = "output"
    """Events to the client."""
    NAMED = "named"
    """Events of one name."""
    SECONDS = "seconds"


@dataclass(frozen=True, slots=True)
class Moment:
    """When a fault comes."""

    unit: Unit
    count: float
    name: str = ""
    """Of the events that NAMED counts."""


AT_REQUEST = Moment(Unit.INPUT, 0)
FIRST_EVENT = Moment(Unit.INPUT, 1)
"""After the first event, when the head is out."""


class Argument(Enum):
    """What may stand after the colon, as the reference page calls it."""

    NONE = ""
    REFUSAL = "member of the output stream, or a row of refusals.py in lower case"
    CODE = "error code of HTTP/2, such as `CANCEL`"
    GOODBYE = "`drain`, or an error code of HTTP/2"
    WORD = "its name"
    KIND = "`event` or `type`"
    SECONDS = "seconds"
    FACTOR = "factor"
    KILOBYTES = "kilobytes, at most 8192"
    SHARE = "probability, 0 to 1"


@dataclass(frozen=True, slots=True)
class FaultRow:
    """A row of the table."""

    effect: str
    """What the client sees."""
    usual: Moment = AT_REQUEST
    argument: Argument = Argument.NONE
    default: str = ""
    """Of the argument; what needs one and has no default must be given it."""
    is_fatal: bool = False
    """Whether it ends the stream by itself, so that `random` may choose it."""


FAULTS: dict[Fault, FaultRow] = {
    Fault.HTTP_400: FaultRow("HTTP 400, ValidationException.", is_fatal=True),
    Fault.HTTP_403: FaultRow("HTTP 403, AccessDeniedException.", is_fatal=True),
    Fault.HTTP_403_UNMODELED: FaultRow("HTTP 403 with an error that SDKs have no class for, as for a wrong key.", is_fatal=True),
    Fault.HTTP_404: FaultRow("HTTP 404, ResourceNotFoundException.", is_fatal=True),
    Fault.HTTP_429: FaultRow("HTTP 429, ThrottlingException.", is_fatal=True),
    Fault.HTTP_500: FaultRow("HTTP 500, InternalServerException.", is_fatal=True),
    Fault.HTTP_502: FaultRow("HTTP 502 with a page of HTML and no error name, as from a proxy in between.", is_fatal=True),
    Fault.HTTP_503: FaultRow("HTTP 503, ServiceUnavailableException.", is_fatal=True),
    Fault.REFUSE_STREAM: FaultRow("RST_STREAM(REFUSED_STREAM): the request was not looked at and may be sent again.", is_fatal=True),
    Fault.NO_200: FaultRow("The response head never comes; input is read."),
    Fault.LATE_HEAD: FaultRow("The head, and all that follows it, comes so much later.", argument=Argument.SECONDS, default="1"),
    Fault.INFORMATIONAL: FaultRow("A head of status 103 comes before the real one."),
    Fault.EXCEPTION: FaultRow("An exception in the stream, then its end.", FIRST_EVENT, Argument.REFUSAL, "model_error", is_fatal=True),
    Fault.CONTENT_FILTER: FaultRow("The validationException of the content filter.", FIRST_EVENT, is_fatal=True),
    Fault.UNKNOWN_EXCEPTION: FaultRow(
        "An exception in the stream of a type that is not in the model.", FIRST_EVENT, Argument.WORD, "brandNewException", is_fatal=True
    ),
    Fault.ERROR_MESSAGE: FaultRow(
        "A message of type `error` with this code, then the end.", FIRST_EVENT, Argument.WORD, "InternalFailure", is_fatal=True
    ),
    Fault.EARLY_END: FaultRow("END_STREAM in good order, which nobody asked for.", FIRST_EVENT, is_fatal=True),
    Fault.RST: FaultRow(
        "RST_STREAM; what was said before is sent first. NO_ERROR looks like a clean end to many clients.",
        FIRST_EVENT,
        Argument.CODE,
        "NO_ERROR",
        is_fatal=True,
    ),
    Fault.GOAWAY: FaultRow(
        "GOAWAY, then the connection closes. With `drain` its streams go on, new ones are refused, and it closes after the last.",
        FIRST_EVENT,
        Argument.GOODBYE,
        "NO_ERROR",
        is_fatal=True,
    ),
    Fault.TCP_DROP: FaultRow("The connection is gone without a word.", FIRST_EVENT, is_fatal=True),
    Fault.HALF_OPEN: FaultRow(
        "The connection falls silent: nothing is taken or sent, no PING is answered, and the socket stays open.", FIRST_EVENT
    ),
    Fault.TRUNCATED_FRAME: FaultRow("Half of a message, then END_STREAM.", FIRST_EVENT, is_fatal=True),
    Fault.CORRUPT_FRAME: FaultRow("One message more, whose checksum is wrong; the stream goes on.", FIRST_EVENT),
    Fault.GARBAGE: FaultRow("Bytes that are no message; the stream goes on.", FIRST_EVENT),
    Fault.STALL: FaultRow(
        "Everything is read and nothing is said any more; with an argument only for so long, and then all at once.",
        FIRST_EVENT,
        Argument.SECONDS,
        "inf",
    ),
    Fault.SLOW_READER: FaultRow("Nothing is read any more: no WINDOW_UPDATE.", FIRST_EVENT),
    Fault.SLOW_OUTPUT: FaultRow("Speech comes at so many times the speed of its playing.", argument=Argument.FACTOR, default="0.5"),
    Fault.UNKNOWN_EVENT: FaultRow(
        "One event more, of a name that is in no guide (`event`), or a message of an unknown event type (`type`).",
        FIRST_EVENT,
        Argument.KIND,
        "event",
    ),
    Fault.HUGE_EVENT: FaultRow("One event more, of an unknown name and of this size.", FIRST_EVENT, Argument.KILOBYTES, "1024"),
    Fault.EXTRA_JSON_MEMBER: FaultRow("Every chunk has the member `p` beside `bytes`, as other streams of Bedrock have."),
    Fault.LATE_FINAL: FaultRow("FINAL texts of the assistant come with the next turn only."),
    Fault.NO_FINAL: FaultRow("FINAL texts of the assistant do not come."),
    Fault.DOUBLE_ENCODED_ARGS: FaultRow("`toolUse.content` is JSON text of JSON text."),
    Fault.AUDIO_END_INTERRUPTED: FaultRow("The audio that is interrupted ends with INTERRUPTED instead of END_TURN."),
    Fault.COMPLETION_PER_TURN: FaultRow("Each turn has its own completionStart and completionEnd."),
    Fault.NO_COMPLETION_END: FaultRow("completionEnd does not come."),
    Fault.RANDOM: FaultRow(
        "With this probability one of the faults that end streams, at some moment of the first minute; `Options.seed` repeats the choice.",
        argument=Argument.SHARE,
        default="1",
    ),
}


@dataclass(frozen=True, slots=True)
class HttpError:
    """A refusal before the stream begins."""

    status: int
    kind: str
    """x-amzn-errortype."""
    message: str


HTTP_ERRORS: dict[Fault, HttpError] = {
    Fault.HTTP_400: HttpError(400, "ValidationException", "The provided model identifier is invalid."),
    Fault.HTTP_403: HttpError(403, "AccessDeniedException", "You don't have access to the model with the specified model ID."),
    Fault.HTTP_403_UNMODELED: HttpError(403, "UnrecognizedClientException", "The security token included in the request is invalid."),
    Fault.HTTP_404: HttpError(404, "ResourceNotFoundException", "Could not resolve the foundation model from the model identifier."),
    Fault.HTTP_429: HttpError(429, "ThrottlingException", "Too many requests, please wait before trying again."),
    Fault.HTTP_500: HttpError(500, "InternalServerException", "The system encountered an unexpected error during processing."),
    Fault.HTTP_502: HttpError(502, "", "<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"),
    Fault.HTTP_503: HttpError(503, "ServiceUnavailableException", "Bedrock is unable to process your request."),
}

USUAL_REFUSALS: dict[Member, Refusal] = {
    Member.INTERNAL: Refusal.INTERNAL_ERROR,
    Member.MODEL_STREAM: Refusal.MODEL_ERROR,
    Member.VALIDATION: Refusal.INVALID_REQUEST,
    Member.THROTTLING: Refusal.TOO_MANY_STREAMS,
    Member.MODEL_TIMEOUT: Refusal.TIME_LIMIT,
    Member.UNAVAILABLE: Refusal.UNAVAILABLE,
}
"""What a member says when only the member was asked for."""

MOST_KILOBYTES = 8_192
"""A message of the event stream holds 16 MB at most, and Base64 is a third longer."""

LONGEST_WORD = 100
"""Of names that a fault is given."""


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """One fault of a stream."""

    fault: Fault
    moment: Moment | None = None
    """None is the usual one."""
    word: str = ""
    """The argument, or its default."""

    @property
    def refusal(self) -> Refusal:
        """The argument of `exception`."""
        return _refusal(self.word)

    @property
    def code(self) -> ErrorCodes:
        """The argument of `rst` and `goaway`; `drain` is no error."""
        return ErrorCodes.NO_ERROR if self.word == "drain" else _code(self.word)

    @property
    def number(self) -> float:
        """The argument that is a number."""
        return float(self.word)


def parse_faults(text: str) -> tuple[FaultPlan, ...]:
    """Parse any number of faults, separated by commas; an empty text is none.

    Raises:
        ValueError: there is no such fault, argument or moment.
    """
    return tuple(parse_fault(part.strip()) for part in text.split(",")) if text.strip() else ()


def parse_fault(text: str) -> FaultPlan:
    """Parse `name[:argument][@moment]`.

    Raises:
        ValueError: there is no such fault, argument or moment.
    """
    rest, at, moment = text.partition("@")
    name, _, argument = rest.partition(":")
    if name not in _BY_NAME:
        raise ValueError(f"no fault is called {name!r}")
    fault = _BY_NAME[name]
    row = FAULTS[fault]
    _check_argument(row.argument, word := argument or row.default, name)
    return FaultPlan(fault, _parse_moment(moment) if at else None, word)


EVENT_NAMES = frozenset(
    {
        *("sessionStart", "promptStart", "contentStart", "textInput", "audioInput", "toolResult", "contentEnd", "promptEnd", "sessionEnd"),
        *("completionStart", "textOutput", "audioOutput", "toolUse", "usageEvent", "userSpeechStart", "userSpeechEnd", "completionEnd"),
        *("messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"),
        *("AudioEvent", "TranscriptEvent"),
    }
)
"""Of both sides (Amazon Nova user guide, "Handling input events" and "Handling output events"), of ConverseStream, and of Transcribe."""
_BY_NAME = {fault.value: fault for fault in Fault}
_MOMENT = re.compile(r"(?P<count>\d+(?:\.\d+)?)?(?P<unit>[A-Za-z]*)")


def _parse_moment(text: str) -> Moment:
    match = _MOMENT.fullmatch(text)
    if match is None or not text:
        raise ValueError(f"{text!r} is no moment; it is a number of events, 12out, an event's name, or 2.5s")
    unit, count = match["unit"], float(match["count"] or 1)
    if unit == "s":
        return Moment(Unit.SECONDS, count)
    if not count.is_integer():
        raise ValueError(f"{text!r} is no moment: events are counted in whole numbers")
    match unit:
        case "":
            return Moment(Unit.INPUT, count)
        case "out":
            return Moment(Unit.OUTPUT, count)
        case _ if unit in EVENT_NAMES:
            return Moment(Unit.NAMED, count, unit)
        case _:
            raise ValueError(f"{text!r} is no moment: no event is called {unit!r}")


def _check_argument(argument: Argument, word: str, name: str) -> None:
    match argument:
        case Argument.NONE:
            is_right = not word
        case Argument.REFUSAL:
            is_right = _refusal(word) in Refusal
        case Argument.CODE:
            is_right = _code(word) in ErrorCodes
        case Argument.GOODBYE:
            is_right = word == "drain" or _code(word) in ErrorCodes
        case Argument.WORD:
            is_right = word.isascii() and word.isalnum() and len(word) <= LONGEST_WORD
        case Argument.KIND:
            is_right = word in ("event", "type")
        case Argument.SECONDS | Argument.FACTOR:
            is_right = float(word) > 0
        case Argument.KILOBYTES:
            is_right = 0 < float(word) <= MOST_KILOBYTES
        case Argument.SHARE:
            is_right = 0 <= float(word) <= 1
    if not is_right:
        raise ValueError(
            f"{name} cannot have the argument {word!r}" if argument is Argument.NONE else f"{name}: {word!r} is no {argument.value}"
        )


def _refusal(word: str) -> Refusal:
    if word.upper() in Refusal.__members__:
        return Refusal[word.upper()]
    return USUAL_REFUSALS[Member(word)]


def _code(word: str) -> ErrorCodes:
    if word.upper() not in ErrorCodes.__members__:
        raise ValueError(f"HTTP/2 has no error code {word!r}")
    return ErrorCodes[word.upper()]

"""Why the service ends a stream, with the exact words it uses, as data.

Order, limits, timers and faults all end a stream by raising `Refused` with a row of this table. The texts are those that users of Nova
Sonic have reported publicly (issues of livekit/agents, pipecat, strands-agents and AWS's samples); where only a part of a text is known,
or the choice of the text is a guess, the row says so.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum


class Member(StrEnum):
    """Members of the output stream that are errors (API reference, InvokeModelWithBidirectionalStreamOutput)."""

    INTERNAL = "internalServerException"
    MODEL_STREAM = "modelStreamErrorException"
    VALIDATION = "validationException"
    THROTTLING = "throttlingException"
    MODEL_TIMEOUT = "modelTimeoutException"
    UNAVAILABLE = "serviceUnavailableException"


HTTP_FORM: dict[Member, tuple[int, str]] = {
    Member.INTERNAL: (500, "InternalServerException"),
    Member.MODEL_STREAM: (424, "ModelErrorException"),
    Member.VALIDATION: (400, "ValidationException"),
    Member.THROTTLING: (429, "ThrottlingException"),
    Member.MODEL_TIMEOUT: (408, "ModelTimeoutException"),
    Member.UNAVAILABLE: (503, "ServiceUnavailableException"),
}
"""Status and x-amzn-errortype of the same error when the response head is not out yet."""


@dataclass(frozen=True, slots=True)
class Words:
    """An error of the service: which member, and its message (with fields in braces)."""

    member: Member
    text: str


_TEXT_LIMIT = (
    "Timed out waiting for audio bytes or interactive content. Please ensure gaps between audio bytes and interactive content are less than"
)


class Refusal(Enum):
    """The rows, named for their cause."""

    FIRST_NOT_SYSTEM = Words(Member.VALIDATION, "First content must have SYSTEM role")
    SECOND_SYSTEM = Words(Member.VALIDATION, "Duplicate SYSTEM content. SYSTEM content can only be provided once per prompt")
    HISTORY_AFTER_AUDIO = Words(Member.VALIDATION, "Chat history should be sent completely before streaming audio.")
    HISTORY_TOO_LONG = Words(Member.VALIDATION, "Chat history is over max limit. Trim chat history and try again.")
    CONTENT_OPEN = Words(Member.VALIDATION, "All contents must be closed before ending prompt")
    CONTENT_EMPTY = Words(Member.VALIDATION, "Cannot end content [{content}] as no content data was received")
    NO_AUDIO = Words(Member.VALIDATION, "Prompt must have at least one audio content")
    """Only "must have at least one audio content" is on record."""
    TOOL_RESULT_NOT_OBJECT = Words(Member.VALIDATION, "Tool Response parsing error")
    TOOL_RESULT_MEDIA_TYPE = Words(Member.VALIDATION, "Tool result media type must be one of: [text/plain]")
    TOOL_NAME = Words(
        Member.VALIDATION,
        "Malformed input request: #/toolConfig/tools/{index}/toolSpec/name: string [{name}] does not match pattern ^[a-zA-Z0-9_-]+$, "
        "please reformat your input and try again.",
    )
    """The tail is the usual form of Bedrock."""
    UNPARSABLE = Words(Member.VALIDATION, "Unable to parse input chunk")
    TOOL_NAMED_TWICE = Words(Member.VALIDATION, "Input is invalid")
    VOICE = Words(Member.VALIDATION, "Received invalid voiceId")
    INVALID_REQUEST = Words(Member.VALIDATION, "Invalid input request, please fix your input and try again.")
    """The generic text: also what this emulator says where the service's words are not known."""
    CONTENT_FILTER = Words(Member.VALIDATION, "This request has been blocked by our content filters.")
    UNSTABLE = Words(Member.VALIDATION, "System instability detected. Please retry your request.")
    STREAM_CLOSED = Words(Member.VALIDATION, "InternalErrorCode=531::RST_STREAM closed stream. HTTP/2 error code: NO_ERROR")
    MODEL_ERROR = Words(Member.MODEL_STREAM, "The system encountered an unexpected error during processing. Try your request again.")
    INTERNAL_ERROR = Words(Member.INTERNAL, "The system encountered an unexpected error during processing. Try your request again.")
    TIME_LIMIT = Words(Member.MODEL_TIMEOUT, "Model has timed out in processing the request. Try your request again.")
    NO_INPUT = Words(Member.VALIDATION, "Timed out waiting for input events")
    IDLE_55 = Words(Member.VALIDATION, f"{_TEXT_LIMIT} 55 seconds")
    IDLE_295 = Words(Member.VALIDATION, f"{_TEXT_LIMIT} 295 seconds")
    TOO_MANY_STREAMS = Words(Member.THROTTLING, "Too many requests, please wait before trying again.")
    """The service's wording for this operation is not on record."""
    UNAVAILABLE = Words(Member.UNAVAILABLE, "Bedrock is unable to process your request.")
    MODEL_ID = Words(Member.VALIDATION, "The provided model identifier is invalid.")


class Refused(Exception):
    """Ends the stream with a row of the table.

    Args:
        refusal: the row.
        fields: values for the braces in its text.
    """

    def __init__(self, refusal: Refusal, **fields: str) -> None:
        self.refusal = refusal
        self.member = refusal.value.member
        self.text = refusal.value.text.format(**fields) if fields else refusal.value.text
        super().__init__(self.text)

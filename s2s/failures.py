"""Catalogue of the service's failures: what it says, what that means, and what may cure it.

Texts come from the "Handling errors" page of the Amazon Nova user guide and from issues that quote them (livekit/agents 5220, 6010, 6042,
6200; pipecat 3122; strands PR 2188; greeves89/AI-Employee 361). The service puts `RequestId=<uuid> : ` before a text and varies what
follows, so fragments are looked for. Knows no SDK: exceptions come in by name.
"""

from dataclasses import dataclass
from typing import Final

from s2s.errors import ModelError, Remedy

DETAIL_CHARACTERS: Final = 500
"""How much of a service's text is kept for the log."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One kind of failure."""

    code: str
    """Stable slug of the ModelError."""
    remedy: Remedy
    text: str = ""
    """Fragment of the service's text; empty for failures that are known by an exception's name."""

    def error(self, detail: str = "") -> ModelError:
        """Return the error, with the service's own words for the log."""
        return ModelError(self.code, self.remedy, (detail or self.text)[:DETAIL_CHARACTERS])


# Refusals of what we sent. Where our own tables can know, protocol.py refuses with the same words before the service can.
SYSTEM_FIRST: Final = Failure("model_validation", Remedy.FATAL_CONFIG, "First content must have SYSTEM role")
SYSTEM_TWICE: Final = Failure(
    "model_validation",
    Remedy.FATAL_CONFIG,
    "Duplicate SYSTEM content. SYSTEM content can only be provided once per prompt",
)
HISTORY_LATE: Final = Failure("model_validation", Remedy.RESUME_ONCE, "Chat history should be sent completely before streaming audio.")
HISTORY_TOO_LONG: Final = Failure(
    "model_history_too_long", Remedy.RESUME_ONCE, "Chat history is over max limit. Trim chat history and try again."
)
CONTENT_OPEN: Final = Failure("model_validation", Remedy.FATAL_CONFIG, "All contents must be closed before ending prompt")
CONTENT_EMPTY: Final = Failure("model_validation", Remedy.RESUME_ONCE, "as no content data was received")
NO_AUDIO: Final = Failure("model_validation", Remedy.FATAL_CONFIG, "must have at least one audio content")
TOOL_RESULT_UNREADABLE: Final = Failure("model_validation", Remedy.RESUME_ONCE, "Tool Response parsing error")
TOOL_RESULT_MEDIA_TYPE: Final = Failure("model_validation", Remedy.FATAL_CONFIG, "Tool result media type must be one of: [text/plain]")
TOOL_NAME: Final = Failure("model_validation", Remedy.FATAL_CONFIG, "does not match pattern ^[a-zA-Z0-9_-]+$")
UNREADABLE: Final = Failure("model_validation", Remedy.FATAL_CONFIG, "Unable to parse input chunk")
INVALID: Final = Failure("model_validation", Remedy.FATAL_CONFIG, "Input is invalid")
VOICE: Final = Failure("model_validation", Remedy.FATAL_CONFIG, "Received invalid voiceId")
REQUEST: Final = Failure("model_validation", Remedy.RESUME_ONCE, "Invalid input request, please fix your input and try again.")

# Ends of a stream that was in order.
CONTENT_BLOCKED: Final = Failure(
    "model_content_blocked", Remedy.DROP_LAST_AND_RESUME, "This request has been blocked by our content filters."
)
UNSTABLE: Final = Failure("model_unstable", Remedy.RESUME, "System instability detected. Please retry your request.")
CLOSED_BY_SERVICE: Final = Failure("model_lost", Remedy.RESUME, "RST_STREAM closed stream")
TIME_LIMIT: Final = Failure("model_time_limit", Remedy.RESUME, "Model has timed out in processing the request.")
NO_INPUT: Final = Failure("model_idle_limit", Remedy.RESUME, "Timed out waiting for input events")
IDLE: Final = Failure("model_idle_limit", Remedy.RESUME, "Timed out waiting for audio bytes or interactive content.")
UNKNOWN_MODEL: Final = Failure("model_unknown_id", Remedy.FATAL_CONFIG, "The provided model identifier is invalid.")
END_OF_LIFE: Final = Failure("model_unknown_id", Remedy.FATAL_CONFIG, "reached the end of its life")

BY_TEXT: Final = (
    SYSTEM_FIRST,
    SYSTEM_TWICE,
    HISTORY_LATE,
    HISTORY_TOO_LONG,
    CONTENT_OPEN,
    CONTENT_EMPTY,
    NO_AUDIO,
    TOOL_RESULT_UNREADABLE,
    TOOL_RESULT_MEDIA_TYPE,
    TOOL_NAME,
    UNREADABLE,
    INVALID,
    VOICE,
    REQUEST,
    CONTENT_BLOCKED,
    UNSTABLE,
    CLOSED_BY_SERVICE,
    TIME_LIMIT,
    NO_INPUT,
    IDLE,
    UNKNOWN_MODEL,
    END_OF_LIFE,
)
"""Looked through in this order: a text says more than the exception that carries it."""

# Failures without a text of their own.
VALIDATION: Final = Failure("model_validation", Remedy.RESUME_ONCE)
THROTTLED: Final = Failure("model_throttled", Remedy.BACKOFF)
UNAVAILABLE: Final = Failure("model_unstable", Remedy.BACKOFF)
INTERNAL: Final = Failure("model_unstable", Remedy.RESUME)
ACCESS_DENIED: Final = Failure("model_access_denied", Remedy.FATAL_CONFIG)
NOT_FOUND: Final = Failure("model_unknown_id", Remedy.FATAL_CONFIG)
CREDENTIALS: Final = Failure("model_credentials", Remedy.FATAL_CONFIG)
CREDENTIALS_EXPIRED: Final = Failure("model_credentials", Remedy.RESUME_ONCE)
CREDENTIALS_AWAY: Final = Failure("model_credentials", Remedy.BACKOFF)
"""What gives us credentials does not answer, and those that we had have ended."""
LOST: Final = Failure("model_lost", Remedy.RESUME)
STALLED: Final = Failure("model_stalled", Remedy.RESUME)
UNREACHABLE: Final = Failure("model_unreachable", Remedy.BACKOFF)
UNTRUSTED: Final = Failure("model_untrusted", Remedy.FATAL_CONFIG)
"""The endpoint's certificate is not trusted, or names another host (bedrock.interfaces.NotTrusted)."""
SDK: Final = Failure("model_sdk", Remedy.FATAL_CONFIG)
"""The streaming SDK is missing, of another version, or lacks a part that we use."""
OPENING_TIMEOUT: Final = Failure("model_timeout_opening", Remedy.BACKOFF)

BY_EXCEPTION: Final = {
    "validationexception": VALIDATION,
    "throttlingexception": THROTTLED,
    "toomanyrequestsexception": THROTTLED,
    "servicequotaexceededexception": THROTTLED,
    "serviceunavailableexception": UNAVAILABLE,
    "internalserverexception": INTERNAL,
    "internalfailure": INTERNAL,
    "modelerrorexception": INTERNAL,
    "modelnotreadyexception": INTERNAL,
    "modelstreamerrorexception": INTERNAL,
    "modeltimeoutexception": TIME_LIMIT,
    "accessdeniedexception": ACCESS_DENIED,
    "resourcenotfoundexception": NOT_FOUND,
    "unrecognizedclientexception": CREDENTIALS,
    "invalidclienttokenid": CREDENTIALS,
    "invalidsignatureexception": CREDENTIALS,
    "signaturedoesnotmatch": CREDENTIALS,
    "incompletesignature": CREDENTIALS,
    "incompletesignatureexception": CREDENTIALS,
    "missingauthenticationtoken": CREDENTIALS,
    "missingauthenticationtokenexception": CREDENTIALS,
    "optinrequired": CREDENTIALS,
    "expiredtoken": CREDENTIALS_EXPIRED,
    "expiredtokenexception": CREDENTIALS_EXPIRED,
    "requestexpired": CREDENTIALS_EXPIRED,
}
"""By the name of the service's exception, in lower case: the wire has it with a small first letter inside the stream, a capital outside."""

_BY_STATUS: Final = {
    400: VALIDATION,
    401: CREDENTIALS,
    403: ACCESS_DENIED,
    404: NOT_FOUND,
    408: TIME_LIMIT,
    429: THROTTLED,
    503: UNAVAILABLE,
}


def classify(exception: str, message: str = "", status: int | None = None) -> ModelError:
    """Return what a failure of the service means.

    Args:
        exception: name of the service's exception, in either spelling; empty when unknown.
        message: the service's text.
        status: HTTP status, when the stream was refused before it began.
    """
    detail = f"{exception}: {message}" if exception and message else exception or message
    failure = next((known for known in BY_TEXT if known.text in message), None)
    if failure is None:
        failure = BY_EXCEPTION.get(exception.lower())
    if failure is None and status is not None:
        failure = _BY_STATUS.get(status) or (INTERNAL if status >= 500 else VALIDATION)  # noqa: PLR2004  # HTTP's border of server errors
    return (failure or LOST).error(detail or f"HTTP status {status}")

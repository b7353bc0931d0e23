"""What a client can be told. Every error has a stable code; docs/reference/errors.md is generated from this tree.

SessionError
├── ClientError          the client can mend it: BadFrame, UnknownEvent, WrongOrder, InvalidAudio, TooLarge, TooSlow, NotAllowed,
│                        UnsupportedFormat, UnknownPatient, SessionIdle,
│                        ResumeRefused, UnknownCall
├── AuthenticationError  who the client is: NotAuthenticated, TokenExpired, Forbidden, AuthUnavailable
├── AdmissionError       not now: ServerBusy, ServerLeaving, TooMany, PatientsUnavailable
├── ModelFailure         the model: ModelRefused, ModelBusy, ModelUnreachable, ModelTimeLimit, ModelLost, ContentBlocked
└── InternalError        our own bug
"""

from typing import ClassVar

from session.events import SessionFailed


class SessionError(Exception):
    """Base of everything that a client is told.

    Args:
        message: what the client should know; replaces the class's own message.
        retry_after: seconds after which trying again can help; replaces the class's own.
    """

    code: ClassVar[str] = "internal"
    close_code: ClassVar[int] = 1011
    """WebSocket close code when the error ends the connection."""
    status: ClassVar[int] = 500
    """HTTP status when the error answers a request."""
    retryable: ClassVar[bool] = False
    message: ClassVar[str] = "Something went wrong on our side."
    waits: ClassVar[int | None] = None
    """Seconds after which trying again can help; None where nobody knows."""

    def __init__(self, message: str = "", retry_after: int | None = None) -> None:
        self.text = message or self.message
        self.retry_after = self.waits if retry_after is None else retry_after
        super().__init__(self.text)

    def event(self, ref: str = "") -> SessionFailed:
        """Return the event that tells the client."""
        return SessionFailed(self.code, self.text, self.retryable, ref, self.retry_after)


class InternalError(SessionError):
    """Our own bug; the log has the details under the reference."""


class ClientError(SessionError):
    """The client can mend it; the session goes on unless it happens too often."""

    code, close_code, status = "bad_request", 1008, 400
    message = "The message cannot be used."


class BadFrame(ClientError):
    """Not JSON, not UTF-8, nested too deeply, or not of the dialect."""

    code, message = "bad_frame", "The frame cannot be read."


class UnknownEvent(ClientError):
    """A well-formed message of a kind that does not exist, or that a client may not send."""

    code, message = "unknown_event", "This event does not exist, or is not a client's to send."


class WrongOrder(ClientError):
    """A message that makes no sense now, for instance audio before the session is started."""

    code, message = "wrong_order", "This event is not expected now."


class InvalidAudio(ClientError):
    """Audio that is not base64, not whole 16-bit samples, or too much at once."""

    code, message = "invalid_audio", "Audio must be whole 16-bit little-endian samples."


class TooLarge(ClientError):
    """A text or frame over its limit."""

    code, close_code, status, message = "too_large", 1009, 413, "The message is too large."


class TooSlow(ClientError):
    """The client does not read what it is sent."""

    code, close_code, status, message = "client_stalled", 1013, 408, "The connection is too slow for the conversation."
    retryable = True


class SessionIdle(ClientError):
    """Neither side has said anything for SESSION_IDLE_SECONDS: the conversation ends, so that it holds no stream of the model for ever."""

    code, close_code, status = "session_idle", 4408, 408
    message = "Nobody has said anything for a long time. Please start a new conversation."


class UnsupportedFormat(ClientError):
    """Audio in a format that this server does not decode."""

    code, status, message = "unsupported_format", 415, "This server cannot read audio of this format."


class UnknownPatient(ClientError):
    """A patient that nobody knows, or that is not this client's."""

    code, status, message = "unknown_patient", 404, "There is no such patient."


class NotAllowed(ClientError):
    """A choice that the assistant does not offer, for instance an unknown assistant or voice."""

    code, message = "not_allowed", "The assistant does not offer this."


class ResumeRefused(ClientError):
    """The session cannot be gone on with: the token is unknown, used, expired or another's, or what the client lacks is not kept."""

    code, close_code, status, message = "resume_refused", 1008, 410, "The conversation is over. Please start a new one."


class UnknownCall(ClientError):
    """A result of a tool call that does not wait for one: it never was, it was answered, or it took too long."""

    code, status, message = "unknown_call", 404, "No tool call with this id waits for a result."


class AuthenticationError(SessionError):
    """Nobody knows who the client is, or it wants what is not its own."""

    code, close_code, status = "not_authenticated", 4401, 401
    message = "Please sign in."


class NotAuthenticated(AuthenticationError):
    """The client sent no token, not in time, or one that is not accepted."""


class TokenExpired(AuthenticationError):
    """The token was good and is not any more: the client needs a new one. In a conversation it has a grace time to send it."""

    code, message = "token_expired", "Your sign-in has expired. Please sign in again."


class Forbidden(AuthenticationError):
    """The client is known, and may not do this; or it says that it is somebody else than its token does."""

    code, close_code, status, message = "forbidden", 4403, 403, "You may not do this."


class AuthUnavailable(AuthenticationError):
    """Nobody can be authenticated now: the keys of the issuer cannot be had."""

    code, close_code, status, retryable = "auth_unavailable", 1013, 503, True
    message = "Nobody can sign in at the moment. Please try again in a moment."


class AdmissionError(SessionError):
    """The server cannot take the session now."""

    code, close_code, status, retryable = "server_busy", 1013, 503, True


class ServerBusy(AdmissionError):
    """All places are taken."""

    message = "All lines are busy. Please try again in a moment."
    waits = 5


class ServerLeaving(AdmissionError):
    """The server is shutting down."""

    code, close_code, message = "server_leaving", 1012, "The server is restarting. Please connect again."
    waits = 2


class TooMany(AdmissionError):
    """One client wants more than its share: sessions, connections, or messages faster than anybody speaks or types."""

    code, close_code, status, message = "too_many", 4429, 429, "This is too much at once. Please wait a moment."
    waits = 5


class PatientsUnavailable(AdmissionError):
    """Who the patient is cannot be looked up now, so that nobody can be sure whom the session would be with."""

    code, message = "patients_unavailable", "The patient's record cannot be reached. Please try again in a moment."
    waits = 5


class ModelFailure(SessionError):
    """The model's stream."""

    code, close_code, status, retryable = "model_lost", 1011, 502, True
    message = "The connection to the assistant was lost. Please start again."


class ModelLost(ModelFailure):
    """The stream died in the middle of the conversation."""


class ModelRefused(ModelFailure):
    """No stream can be had before somebody changes a setting: credentials, region, model id, certificate, SDK, or request."""

    code, retryable, message = "model_refused", False, "The assistant is not available: the model service refused the request."


class ModelBusy(ModelFailure):
    """The service throttles."""

    code, close_code, status, message = "model_busy", 1013, 503, "The assistant is busy. Please try again in a moment."
    waits = 5


class ModelUnreachable(ModelFailure):
    """The service cannot be reached, or does not answer in time."""

    code, status, message = "model_unreachable", 504, "The assistant cannot be reached. Please try again in a moment."
    waits = 5


class ModelTimeLimit(ModelFailure):
    """The service ended the stream at its time limit (8 minutes, or idle)."""

    code, close_code, message = "model_time_limit", 1000, "The conversation reached its time limit. Please start a new one."


class ContentBlocked(ModelFailure):
    """The service's content filter ended the stream."""

    code, close_code, status, retryable = "content_blocked", 1008, 422, False
    message = "The assistant cannot talk about this."


_BY_MODEL_CODE: dict[str, type[ModelFailure]] = {
    "model_throttled": ModelBusy,
    "model_unreachable": ModelUnreachable,
    "model_timeout_opening": ModelUnreachable,
    "model_access_denied": ModelRefused,
    "model_unknown_id": ModelRefused,
    "model_credentials": ModelRefused,
    "model_untrusted": ModelRefused,
    "model_sdk": ModelRefused,
    "model_validation": ModelRefused,
    "model_history_too_long": ModelRefused,
    "model_time_limit": ModelTimeLimit,
    "model_idle_limit": ModelTimeLimit,
    "model_content_blocked": ContentBlocked,
}


def model_failure(code: str, *, was_open: bool = True) -> ModelFailure:
    """Return what the client is told of a ModelError with this code; a stream that was never open cannot be lost."""
    return _BY_MODEL_CODE.get(code, ModelLost if was_open else ModelUnreachable)()

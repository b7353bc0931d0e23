"""What a caller of the service can be told beside the errors of conversations: the same tree, so that every code has one meaning.

ClientError
├── InvalidArgument     what it was given cannot be used
├── UnknownSession      there is none, or it is somebody else's
└── SessionOver         it has ended
AdmissionError
└── AudioUnavailable    nobody works on audio here
"""

from session.errors import AdmissionError, ClientError


class InvalidArgument(ClientError):
    """An id, a name or a value that the service was given is empty, too long, or has control characters."""

    code, message = "invalid_argument", "An argument cannot be used."


class UnknownSession(ClientError):
    """There is no such voice session, or it belongs to somebody else: the two are never told apart."""

    code, status, message = "unknown_session", 404, "There is no such voice session."


class SessionOver(ClientError):
    """The voice session has ended: nothing can be said in it any more."""

    code, status, message = "session_over", 409, "This voice session has ended. Please start a new one."


class AudioUnavailable(AdmissionError):
    """This server works on no recordings: it has nobody to transcribe or to speak."""

    code, retryable, message = "audio_unavailable", False, "This server does not work on recordings."

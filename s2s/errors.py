"""What can go wrong on a stream.

S2SError
├── CodecError           bytes that are no event
├── LocalProtocolError   we were about to break a rule of the stream; nothing was sent
├── RemoteProtocolError  the model sent something that cannot be understood
└── ModelError           the stream was refused, or ended otherwise than by our sessionEnd
"""

from enum import Enum, StrEnum


class Remedy(Enum):
    """What may cure a failure (Nova Sonic protocol: error texts and their consequences)."""

    FATAL_CONFIG = "fatal_config"
    """Nothing helps before somebody changes settings or code."""
    RESUME = "resume"
    """A new stream with the history."""
    RESUME_ONCE = "resume_once"
    """A new stream, but stop if it fails again within seconds."""
    BACKOFF = "backoff"
    """A new stream later."""
    DROP_LAST_AND_RESUME = "drop_last_and_resume"
    """A new stream with the history less its last exchange."""


class S2SError(Exception):
    """Base of all errors of the stream."""


class Flaw(StrEnum):
    """What is wrong with bytes that are no event; decides which error a client is told."""

    NOT_JSON = "not_json"
    """Not UTF-8, not JSON, NaN, the same member twice, or a lone surrogate."""
    NOT_AN_EVENT = "not_an_event"
    """JSON of another shape than {"event": {"<name>": {...}}}."""
    UNKNOWN_EVENT = "unknown_event"
    """No event of this name can be sent in this direction."""
    BAD_MEMBER = "bad_member"
    """A member is missing, of the wrong type, or has a value that does not exist."""
    BAD_AUDIO = "bad_audio"
    """Not base64, not whole 16-bit samples, or not LPCM."""
    TOO_LARGE = "too_large"
    """Larger or nested deeper than any event."""


class CodecError(S2SError):
    """Bytes that are no event, or an event that cannot be written.

    Args:
        flaw: the kind of mistake.
        message: what is wrong, without the content itself.
    """

    def __init__(self, flaw: Flaw, message: str) -> None:
        super().__init__(message)
        self.flaw = flaw


class LocalProtocolError(S2SError):
    """We were about to send an event that the stream's state or the model's limits forbid."""


class RemoteProtocolError(S2SError):
    """The model sent bytes or an order of events that cannot be understood."""


class ModelError(S2SError):
    """The model's stream was refused or failed.

    Args:
        code: stable slug, for instance `model_throttled`; the catalogue is in `s2s/failures.py`.
        remedy: what may cure it.
        detail: the service's own text, for the log alone.
    """

    def __init__(self, code: str, remedy: Remedy, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.remedy = remedy
        self.detail = detail

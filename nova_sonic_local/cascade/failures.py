"""How the services of a cascade say that something went wrong, as data.

Sources: the errors of each operation in AWS's service models (bedrock-runtime 2023-09-30, polly 2016-06-10, transcribe-streaming
2017-10-26), with their HTTP status.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nova_sonic_local.faults import Fault
from nova_sonic_local.refusals import HTTP_FORM, Member


class ServiceError(Exception):
    """The request is refused.

    Args:
        status: of HTTP, as long as the head of the response is not out.
        kind: the error's name, such as ValidationException.
        message: its text.
    """

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message


@dataclass(frozen=True, slots=True)
class Failures:
    """The names that one service has for what can happen to any of its requests."""

    invalid: str
    """HTTP 400."""
    throttled: str
    """HTTP 429."""
    internal: str
    """HTTP 500."""
    unavailable: str
    """HTTP 503."""
    members: Mapping[Member, tuple[int, str]]
    """Status and name of what the fault `exception` asks for."""
    text_member: str = "message"
    """Member of the JSON that holds the text of an error."""
    in_stream: Mapping[str, str] = field(default_factory=dict)
    """Name of an error -> the member of the output stream that says it once the head is out; empty for a service without such a stream."""

    def of_fault(self, fault: Fault) -> str:
        """Return the service's own name for one of the HTTP errors that can be planned; empty for those that all services share."""
        return {
            Fault.HTTP_400: self.invalid,
            Fault.HTTP_429: self.throttled,
            Fault.HTTP_500: self.internal,
            Fault.HTTP_503: self.unavailable,
        }.get(fault, "")


BEDROCK = Failures(
    invalid="ValidationException",
    throttled="ThrottlingException",
    internal="InternalServerException",
    unavailable="ServiceUnavailableException",
    members=HTTP_FORM,
    in_stream={
        "ValidationException": "validationException",
        "ThrottlingException": "throttlingException",
        "InternalServerException": "internalServerException",
        "ServiceUnavailableException": "serviceUnavailableException",
        "ModelErrorException": "modelStreamErrorException",
        "ModelTimeoutException": "modelStreamErrorException",
    },
)


def _usual(invalid: str, throttled: str, internal: str, unavailable: str) -> dict[Member, tuple[int, str]]:
    return {
        Member.INTERNAL: (500, internal),
        Member.MODEL_STREAM: (500, internal),
        Member.VALIDATION: (400, invalid),
        Member.THROTTLING: (429, throttled),
        Member.MODEL_TIMEOUT: (500, internal),
        Member.UNAVAILABLE: (503, unavailable),
    }


POLLY = Failures(
    invalid="ValidationException",
    throttled="ThrottlingException",
    internal="ServiceFailureException",
    unavailable="ServiceUnavailableException",
    members=_usual("ValidationException", "ThrottlingException", "ServiceFailureException", "ServiceUnavailableException"),
)

_TRANSCRIBE = ("BadRequestException", "LimitExceededException", "InternalFailureException", "ServiceUnavailableException")
TRANSCRIBE = Failures(*_TRANSCRIBE, members=_usual(*_TRANSCRIBE), text_member="Message", in_stream={name: name for name in _TRANSCRIBE})

"""What the failures of the three services mean, as ModelErrors of the one catalogue (`s2s/failures.py`).

Sources: the errors of each operation in the service models of bedrock-runtime 2023-09-30, polly 2016-06-10 and transcribe-streaming
2017-10-26.
"""

from typing import Final

from s2s import failures
from s2s.bedrock.interfaces import CannotConnect, NotTrusted, StreamBroken
from s2s.errors import ModelError
from s2s.failures import Failure

_BY_TEXT: Final = (("no new audio was received", failures.IDLE),)
"""Transcribe's BadRequestException after 15 s without audio."""
_BY_NAME: Final[dict[str, Failure]] = {
    "badrequestexception": failures.VALIDATION,
    "limitexceededexception": failures.THROTTLED,
    "internalfailureexception": failures.INTERNAL,
    "servicefailureexception": failures.INTERNAL,
    "conflictexception": failures.LOST,
    "textlengthexceededexception": failures.VALIDATION,
    "invalidsamplerateexception": failures.INVALID,
    "languagenotsupportedexception": failures.VOICE,
    "enginenotsupportedexception": failures.VOICE,
}
"""Those that Nova Sonic does not have."""


def service_error(service: str, name: str, message: str, status: int | None = None) -> ModelError:
    """Return what a service's error means.

    Args:
        service: its name, for the log.
        name: of its exception; empty when unknown.
        message: its text.
        status: of HTTP, when the request was refused before it began.
    """
    failure = next((known for text, known in _BY_TEXT if text in message), None) or _BY_NAME.get(name.lower())
    found = failures.classify(name, message, status) if failure is None else failure.error(f"{name}: {message}")
    return ModelError(found.code, found.remedy, f"{service}: {found.detail}"[: failures.DETAIL_CHARACTERS])


def transport_error(service: str, error: OSError) -> ModelError:
    """Return what a failure of the network means.

    Args:
        service: whom it was on the way to.
        error: CannotConnect, StreamBroken or TimeoutError.
    """
    detail = f"{service}: {error or type(error).__name__}"
    match error:
        case NotTrusted():
            return failures.UNTRUSTED.error(detail)
        case CannotConnect():
            return failures.UNREACHABLE.error(detail)
        case TimeoutError():
            return failures.STALLED.error(detail)
        case StreamBroken():
            return failures.LOST.error(detail)
        case _:
            return failures.UNREACHABLE.error(detail)

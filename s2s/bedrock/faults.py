"""Exceptions of the SDK and of our transport as ModelErrors; what they mean is in `s2s/failures.py`."""

import re
from typing import Final

from botocore.exceptions import BotoCoreError
from smithy_aws_event_stream.exceptions import UnmodeledEventError
from smithy_core.exceptions import CallError, SmithyError, SmithyIdentityError

from s2s import failures
from s2s.bedrock.interfaces import CannotConnect, NotTrusted
from s2s.bedrock.plugs import SAYS
from s2s.errors import ModelError

_UNMODELED: Final = re.compile(rf"status: (\d{{3}})(?: - id: \S*#(\w+))?(?:.*?{SAYS}(.*))?", re.DOTALL)
"""What CallError keeps of an error that the SDK's model does not have: status and name, inside a sentence, and what our protocol adds."""


def model_error(error: BaseException) -> ModelError:
    """Return what an exception means.

    Args:
        error: anything that opening, writing or reading a stream raised.
    """
    if isinstance(error, ModelError):
        return error
    if isinstance(error, NotTrusted):
        return failures.UNTRUSTED.error(str(error))
    if isinstance(error, CannotConnect):
        return failures.UNREACHABLE.error(str(error))
    if isinstance(error, TimeoutError):
        return failures.STALLED.error(str(error))
    if isinstance(error, BotoCoreError | SmithyIdentityError):
        return failures.CREDENTIALS.error(f"{type(error).__name__}: {error}")
    if isinstance(error, CallError):
        return _of_call(error)
    if isinstance(error, UnmodeledEventError):
        return failures.classify(error.code, error.message)
    if isinstance(error, KeyError) and error.args:
        # The SDK looks an in-stream exception up by its name, and finds none for those that are younger than itself.
        return failures.classify(str(error.args[0]))
    if isinstance(error, SmithyError) and error.__cause__ is not None and type(error) is SmithyError:
        return model_error(error.__cause__)  # the SDK's wrapping of foreign exceptions
    return failures.LOST.error(f"{type(error).__name__}: {error.__cause__ or error}")


def _of_call(error: CallError) -> ModelError:
    status = error.response_metadata.http_status_code
    unmodeled = _UNMODELED.search(error.message) if type(error) is CallError else None
    if unmodeled is not None:
        return failures.classify(unmodeled[2] or "", unmodeled[3] or "", int(unmodeled[1]))
    return failures.classify(type(error).__name__, error.message or "", status)

"""Keeps the SDK from talking too much: nobody's voice belongs into a log, and one known message means nothing."""

import asyncio
import logging
from typing import Any, Final

from smithy_core.exceptions import SmithyError

from s2s.bedrock.interfaces import StreamBroken

SDK_LOGGERS: Final = (
    "smithy_core",
    "smithy_http",
    "smithy_json",
    "smithy_aws_core",
    "smithy_aws_event_stream",
    "aws_sdk_bedrock_runtime",
    "aws_sdk_signers",
    "botocore",
)
"""At DEBUG these write whole requests and events: audio, transcripts, signatures."""

STREAM_HAS_COMPLETED: Final = "AWS_ERROR_HTTP_STREAM_HAS_COMPLETED"
"""What awscrt's own write task dies of when the peer ends first (awslabs/aws-crt-python issue 762)."""


def calm_loggers() -> None:
    """Keep the SDK's loggers at INFO or above, whatever the level of the program."""
    for name in SDK_LOGGERS:
        logger = logging.getLogger(name)
        if logger.level < logging.INFO:
            logger.setLevel(logging.INFO)


def filter_noise(loop: asyncio.AbstractEventLoop) -> None:
    """Drop the reports of ended streams from the loop's exception handler: the stream has told its own. All else goes on as before."""
    following = loop.get_exception_handler()
    if isinstance(following, _NoiseFilter):
        return
    loop.set_exception_handler(_NoiseFilter(following))


def _is_of_a_stream(exception: object) -> bool:
    """Tell whether this is the end of a stream that was given up while it was opened: nobody awaits the SDK's own task any more then."""
    return isinstance(exception, SmithyError) and any(isinstance(each, StreamBroken) for each in (*exception.args, exception.__cause__))


class _NoiseFilter:
    def __init__(self, following: Any) -> None:
        self._following = following

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        exception = context.get("exception")
        if STREAM_HAS_COMPLETED in str(exception) or _is_of_a_stream(exception):
            return
        if self._following is None:
            loop.default_exception_handler(context)
        else:
            self._following(loop, context)

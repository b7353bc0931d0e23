"""Keeps the SDK from talking too much: nobody's voice belongs into a log."""

import logging
from typing import Final

SDK_LOGGERS: Final = (
    "smithy_core",
    "smithy_http",
    "smithy_json",
    "smithy_aws_core",
    "smithy_aws_event_stream",
    "aws_sdk_bedrock_runtime",
    "aws_sdk_signers",
    "botocore",
    "hpack",
)
"""At DEBUG these write whole requests and events: audio, transcripts, signatures."""


def calm_loggers() -> None:
    """Keep the SDK's loggers at INFO or above, whatever the level of the program."""
    for name in SDK_LOGGERS:
        logger = logging.getLogger(name)
        if logger.level < logging.INFO:
            logger.setLevel(logging.INFO)

"""Log lines: for eyes on a terminal, JSON elsewhere; one shape for our own and for the libraries' lines.

Event names are `noun.verb_past`. Ids come from context variables that the edges bind (`connection`, `session_id`). Nothing personal is
logged, and libraries that would log whole requests and frames at DEBUG are kept above it whatever the level.
"""

import logging
import re
import sys
from typing import Final, TextIO

import structlog
from structlog.typing import Processor

_QUIET: Final = ("smithy_core", "smithy_http", "smithy_aws_core", "smithy_aws_event_stream", "aws_sdk_bedrock_runtime", "aws_sdk_signers")
_HELD_AT_WARNING: Final = (*_QUIET, "botocore", "boto3", "urllib3", "s3transfer", "websockets", "aiohttp.access", "asyncio")

_QUOTED: Final = re.compile(r"""'.*'|"[^"]*'[^"]*\"""", re.DOTALL)
"""A text as repr() writes it; members that messages name are in double quotes, and stay."""


def without_quotes(message: str) -> str:
    """Return a message without what it quotes: a client is told its own words, and the log is not."""
    return _QUOTED.sub("'...'", message)


def configure(level: str, *, as_json: bool, stream: TextIO = sys.stderr) -> None:
    """Set up logging for the whole process.

    Args:
        level: DEBUG, INFO, WARNING or ERROR.
        as_json: one JSON object a line instead of columns.
        stream: where lines go.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    last: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if as_json:
        last += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # Plain tracebacks: rich ones show local variables, and those hold what people say.
        renderer = structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)
        last += [renderer]
    out = logging.StreamHandler(stream)
    out.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last))
    root = logging.getLogger()
    root.handlers[:] = [out]
    root.setLevel(level)
    for name in _HELD_AT_WARNING:
        logging.getLogger(name).setLevel(logging.WARNING)

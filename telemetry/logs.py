"""Log lines: for eyes on a terminal, JSON elsewhere; one shape for our own and for the libraries' lines.

Event names are `noun.verb_past`. Ids come from context variables that the edges bind (`connection`, `session_id`). Nothing personal is
logged, and libraries that would log whole requests and frames at DEBUG are kept above it whatever the level.
"""

import logging
import re
import sys
import traceback
from typing import Final, TextIO

import structlog
from structlog.typing import ExcInfo, Processor

_QUIET: Final = ("smithy_core", "smithy_http", "smithy_aws_core", "smithy_aws_event_stream", "aws_sdk_bedrock_runtime", "aws_sdk_signers")
_HELD_AT_WARNING: Final = (*_QUIET, "botocore", "boto3", "urllib3", "s3transfer", "websockets", "aiohttp.access", "asyncio")

_QUOTED: Final = re.compile(r"""'.*'|"[^"]*'[^"]*\"""", re.DOTALL)
"""A text as repr() writes it; members that messages name are in double quotes, and stay."""


MAX_CHAIN: Final = 8
"""Errors of one chain that are told."""


def without_quotes(message: str) -> str:
    """Return a message without what it quotes: a client is told its own words, and the log is not."""
    return _QUOTED.sub("'...'", message)


def told(error: BaseException, depth: int = MAX_CHAIN) -> str:
    """Return the traceback of an error, and of those that it came from, without what their messages quote.

    Args:
        error: that was raised.
        depth: how many errors are told at most.
    """
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    parts = [told(before, depth - 1), "which led to:"] if before is not None and depth > 1 else []
    where = "".join(traceback.format_tb(error.__traceback__))
    parts.append(f"Traceback (most recent call last):\n{where}{type(error).__qualname__}: {without_quotes(str(error))}")
    if isinstance(error, BaseExceptionGroup) and depth > 1:
        parts += [told(one, depth - 1) for one in error.exceptions]
    return "\n".join(parts)


def _as_text(exc_info: ExcInfo) -> str:
    return told(exc_info[1])


def _on_terminal(stream: TextIO, exc_info: ExcInfo) -> None:
    stream.write("\n" + told(exc_info[1]))


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
        last += [structlog.processors.ExceptionRenderer(_as_text), structlog.processors.JSONRenderer()]
    else:
        # Tracebacks of our own: others show local variables and what messages quote, and those hold what people say.
        renderer = structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=_on_terminal)
        last += [renderer]
    out = logging.StreamHandler(stream)
    out.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last))
    root = logging.getLogger()
    root.handlers[:] = [out]
    root.setLevel(level)
    for name in _HELD_AT_WARNING:
        logging.getLogger(name).setLevel(logging.WARNING)

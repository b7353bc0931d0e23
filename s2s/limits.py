"""Limits of the service, each with its unit and source.

"Guide" is the Amazon Nova user guide ("Using the bidirectional streaming API", "Speech chat history", "Handling errors"); "API" is the
Amazon Bedrock API reference of InvokeModelWithBidirectionalStream; "error text" is a message that the service itself sends.
"""

import re
from dataclasses import dataclass
from typing import Final

CONNECTION_SECONDS: Final = 480
"""A stream lives at most 8 minutes (API); the end was measured at 480.5 s (AWS sample-sonic-cdk-agent, issue 31)."""
IDLE_SECONDS: Final = 55
"""Longest gap between audio bytes or interactive content (error text, 2025)."""
IDLE_SECONDS_LATER: Final = 295
"""The same limit in the error text of 2026; plan for the shorter one."""
SILENCE_GAP_MS: Final = 100
"""Send silence when nothing was sent for this long: without trailing silence the model never finds the end of a turn (pipecat)."""
PRIMING_MS: Final = 100
"""Silence to send before typed text: below 68 ms of audio the model answers mutely (measured by others; 66 failed, 68 worked)."""

TEXT_INPUT_BYTES: Final = 1024
"""UTF-8 bytes in one textInput (guide)."""
TEXT_INPUT_BYTES_RELAXED: Final = 50 * 1024
"""What AWS's own continuation sample and pipecat put into one textInput."""
HISTORY_BYTES: Final = 40 * 1024
"""UTF-8 bytes of all history (guide)."""
HISTORY_BYTES_RELAXED: Final = 200 * 1024
"""The same in AWS's continuation sample and pipecat."""
HISTORY_MESSAGES: Final = 40
"""Blocks of history (AWS's answer in amazon-nova-samples, issue 147)."""
TOOL_RESULT_BYTES: Final = 8 * 1024
"""UTF-8 bytes of one tool result: ours, the service documents none."""

RATES_HERTZ: Final = (8_000, 16_000, 24_000)
"""Sample rates of speech in either direction (guide)."""
TOOL_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""Names of tools (error text: "does not match pattern ^[a-zA-Z0-9_-]+$"; 64 characters as in Bedrock's ToolSpecification)."""

EVENT_BYTES: Final = 1024 * 1024
"""Largest event that is read from a client: the largest frame of shipped clients is 32 KB."""
OUTPUT_EVENT_BYTES: Final = 16 * 1024 * 1024
"""Largest event that is read from the model: the payload limit of AWS's event-stream encoding."""
EVENT_DEPTH: Final = 32
"""Deepest nesting of an event's JSON; the deepest real one, promptStart with tools, has 8 levels."""

STREAMS_PER_ACCOUNT: Final = 20
"""Concurrent streams by default, per account and region (Bedrock quotas, second-hand)."""


@dataclass(frozen=True, slots=True)
class TextProfile:
    """How much text a stream may be given before the conversation starts."""

    name: str
    text_input_bytes: int
    history_bytes: int
    history_messages: int


STRICT: Final = TextProfile("strict", TEXT_INPUT_BYTES, HISTORY_BYTES, HISTORY_MESSAGES)
"""What AWS documents; the default."""
RELAXED: Final = TextProfile("relaxed", TEXT_INPUT_BYTES_RELAXED, HISTORY_BYTES_RELAXED, HISTORY_MESSAGES)
"""What AWS's samples do."""

_CONTINUATION: Final = range(0x80, 0xC0)
"""Bytes of UTF-8 that are not the first of a character (RFC 3629)."""
_UNWANTED: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def clean_text(text: str) -> str:
    """Return the text without control characters (tab and line ends stay) and lone surrogates, which the service refuses."""
    return _UNWANTED.sub("", text)


def split_text(text: str, limit_bytes: int = TEXT_INPUT_BYTES) -> tuple[str, ...]:
    """Split a text into pieces that each fit one textInput, on character borders.

    Args:
        text: any text; it is cleaned first.
        limit_bytes: UTF-8 bytes of a piece, at least 4 (the longest character).

    Returns:
        Pieces that join to the cleaned text; none for an empty text.
    """
    data = clean_text(text).encode()
    pieces = []
    start = 0
    while start < len(data):
        end = min(start + limit_bytes, len(data))
        while end < len(data) and data[end] in _CONTINUATION:
            end -= 1
        pieces.append(data[start:end].decode())
        start = end
    return tuple(pieces)

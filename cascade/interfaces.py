"""What the cascade needs of the three services. Adapters fit by shape."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from s2s.events import InferenceConfiguration, ToolSpec

type Message = Mapping[str, Any]
"""One message of Converse: {"role": ..., "content": [...]} (Amazon Bedrock API reference, Message)."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was heard of one stretch of speech; replaces what came before under the same id."""

    result_id: str
    text: str
    is_partial: bool
    start_ms: int = 0
    """Of the audio that was sent."""
    end_ms: int = 0


class Transcription(Protocol):
    """One stream to the recogniser. One task sends, one task receives."""

    @property
    def signed_until(self) -> datetime | None:
        """When the credentials that sign it expire; None for never."""

    async def send(self, pcm: bytes) -> None:
        """Send audio: signed 16-bit little-endian mono.

        Raises:
            ModelError: the stream failed, or did not take it in time.
        """

    async def receive(self) -> Sequence[Transcript]:
        """Return what has been heard since the last call, waiting for the first of it.

        Raises:
            ModelError: the stream failed, or ended by itself.
        """

    async def close(self) -> None:
        """End it. Returns in bounded time, also when called twice."""


class Transcriber(Protocol):
    """Opens streams to the recogniser."""

    async def open(self, language: str, hertz: int) -> Transcription:
        """Open a stream.

        Args:
            language: code of the recogniser, for instance es-US.
            hertz: rate of the audio.

        Raises:
            ModelError: it was refused, or cannot be reached.
        """

    async def reach(self) -> None:
        """Make sure that the service can be reached.

        Raises:
            ModelError: it cannot.
        """


@dataclass(frozen=True, slots=True)
class Request:
    """What the text model is asked."""

    system: str
    messages: Sequence[Message]
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: str | None = None
    inference: InferenceConfiguration = field(default_factory=InferenceConfiguration)


@dataclass(frozen=True, slots=True)
class TextPiece:
    """The next words of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the text model calls."""

    tool_use_id: str
    name: str
    arguments: str
    """JSON text."""


@dataclass(frozen=True, slots=True)
class ReplyEnd:
    """The end of an answer, with the tokens that it took."""

    input_tokens: int = 0
    output_tokens: int = 0


type Reply = TextPiece | ToolCall | ReplyEnd


class Writer(Protocol):
    """The text model."""

    def reply(self, request: Request) -> AsyncGenerator[Reply]:
        """Yield the answer as it is written, ReplyEnd last; closing the generator gives it up.

        Raises:
            ModelError: it was refused, or failed in the middle.
        """

    async def complete(self, system: str, text: str) -> str:
        """Return an answer as a whole.

        Raises:
            ModelError: there is none.
        """

    async def reach(self) -> None:
        """Make sure that the service can be reached.

        Raises:
            ModelError: it cannot.
        """


class Voice(Protocol):
    """Speaks."""

    def speak(self, text: str, voice_id: str, hertz: int) -> AsyncGenerator[bytes]:
        """Yield the speech of a text as it comes, signed 16-bit little-endian mono; closing the generator gives it up.

        Args:
            text: one sentence or some.
            voice_id: one of the cascade's voices.
            hertz: 8000, 16000 or 24000.

        Raises:
            ModelError: it was refused, or failed in the middle.
        """

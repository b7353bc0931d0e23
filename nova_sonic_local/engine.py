"""What answers a stream once its opening is complete."""

from typing import Protocol


class Engine(Protocol):
    """Answers what the client sends. All methods are called in the order of the input, by one task."""

    async def hear(self, pcm: bytes) -> None:
        """Take the next piece of the user's audio."""

    def read(self, text: str) -> None:
        """Take a typed turn of the user."""

    def take_result(self, tool_use_id: str, result: dict[str, object]) -> None:
        """Take the result of a tool call."""

    def end_audio(self) -> None:
        """Take note that no more audio will come."""

    def finish(self) -> None:
        """Write what is still due, and completionEnd."""

    async def close(self) -> None:
        """Let go of everything; nothing is written any more."""

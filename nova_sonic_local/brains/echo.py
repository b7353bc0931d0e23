"""Echo: every audioInput comes straight back as audioOutput.

For tests of sample-exactness and latency. It is an engine of its own and no brain: there are no turns, no voice detection and no texts; one
AUDIO block is opened at the first input and stays open.
"""

from collections.abc import Awaitable, Callable

from nova_sonic_local.emission import Emitter


class EchoEngine:
    """Sends the audio back.

    Args:
        emitter: writes the events.
        output_hertz: announced with the block; the samples come back as they are, so a client should ask for its input rate.
        room: waits until the client takes more.
    """

    def __init__(self, emitter: Emitter, output_hertz: int, room: Callable[[], Awaitable[None]]) -> None:
        self._emitter = emitter
        self._output_hertz = output_hertz
        self._room = room

    async def hear(self, pcm: bytes) -> None:
        """Send a piece back."""
        if not self._emitter.has_open_audio:
            self._emitter.open_audio(self._output_hertz)
        await self._room()
        self._emitter.audio(pcm)

    def read(self, text: str) -> None:
        """Ignore a typed turn."""

    def take_result(self, tool_use_id: str, result: dict[str, object]) -> None:
        """Ignore a result; none is ever asked for."""

    def end_audio(self) -> None:
        """Close the block."""
        self._emitter.close_audio("END_TURN")

    def finish(self) -> None:
        """Write completionEnd."""
        self._emitter.end()

    async def close(self) -> None:
        """Do nothing: nothing is held."""

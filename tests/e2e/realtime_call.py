"""A conversation by OpenAI's client library for Python: everything that came, and a microphone that is always open."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from openai.types.realtime import RealtimeServerEvent

from tests.e2e.forecaster import HERTZ

PIECE_SECONDS = 0.04
PIECE_BYTES = round(HERTZ * PIECE_SECONDS) * 2
KEY = "no-key-is-needed"

type Json = dict[str, object]


class RealtimeCall:
    """One connection.

    Args:
        connection: the library's.
    """

    def __init__(self, connection: AsyncRealtimeConnection) -> None:
        self.connection = connection
        self.events: list[RealtimeServerEvent] = []
        self._speech = b""
        self._arrived = asyncio.Event()

    def named(self, kind: str) -> list[Json]:
        """Return all events of a type."""
        return [event.to_dict() for event in self.events if event.type == kind]

    def heard(self) -> bytes:
        """Return all speech."""
        return b"".join(base64.b64decode(str(event["delta"])) for event in self.named("response.output_audio.delta"))

    def said(self) -> list[str]:
        """Return what the assistant said in each message."""
        return [str(event["transcript"]) for event in self.named("response.output_audio_transcript.done")]

    def say(self, speech: bytes) -> None:
        """Speak into the microphone."""
        self._speech += speech

    async def type(self, text: str) -> None:
        """Type something and ask for an answer."""
        await self.connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        )
        await self.connection.response.create()

    async def until(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        """Wait until something that has come makes the condition true."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            kinds = [event.type for event in self.events if not event.type.endswith("audio.delta")]
            raise AssertionError(json.dumps(kinds[-40:], indent=1)) from None

    async def until_named(self, kind: str, count: int = 1, seconds: float = 30.0) -> Json:
        """Wait for so many events of a type; return the last one."""
        await self.until(lambda: len(self.named(kind)) >= count, seconds)
        return self.named(kind)[count - 1]

    async def listen(self) -> None:
        """Take what comes until the connection is closed."""
        async for event in self.connection:
            self.events.append(event)
            self._arrived.set()

    async def speak(self) -> None:
        """Send what the microphone hears, at its pace."""
        loop = asyncio.get_running_loop()
        due_at = loop.time()
        while True:
            piece, self._speech = self._speech[:PIECE_BYTES].ljust(PIECE_BYTES, b"\0"), self._speech[PIECE_BYTES:]
            await self.connection.input_audio_buffer.append(audio=base64.b64encode(piece).decode())
            due_at += PIECE_SECONDS
            await asyncio.sleep(max(0.0, due_at - loop.time()))


@asynccontextmanager
async def calling(address: str, tools: list[Json] | None = None) -> AsyncIterator[RealtimeCall]:
    """Hold a conversation for the length of the block.

    Args:
        address: of the server, as ws://host:port/.
        tools: of this client.
    """
    async with (
        AsyncOpenAI(api_key=KEY, base_url=f"{address.replace('ws:', 'http:')}v1") as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        call = RealtimeCall(connection)
        listening = asyncio.create_task(call.listen())
        await call.until_named("session.created")
        await connection.session.update(
            session={
                "type": "realtime",
                "instructions": "Be kind.",
                "audio": {"input": {"turn_detection": {"type": "server_vad"}}, "output": {"voice": "marin"}},
                "tools": tools or [],  # type: ignore[typeddict-item]  # JSON
            }
        )
        await call.until_named("session.updated")
        speaking = asyncio.create_task(call.speak())
        try:
            yield call
        finally:
            speaking.cancel()
            await connection.close()
            await listening

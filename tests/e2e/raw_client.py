"""A client of the raw dialect as other people write them: it speaks Nova's own events and knows nothing of this server.

Written from what the clients in the field do: all opening events at once, audio in 32 ms pieces without waiting for anything, and at the
end three events and the closed socket in one go.
"""

import asyncio
import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect

PIECE_SECONDS = 0.032
PIECE_BYTES = 1_024

type Body = dict[str, object]


@dataclass(slots=True)
class RawClient:
    """One conversation."""

    url: str
    voice: str = "carlos"
    wrap_in_body: bool = False
    frames: list[dict[str, Body]] = field(default_factory=list)
    """Everything that came, in order."""
    _socket: ClientConnection | None = None
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def talk(self, speech: bytes, until: str, count: int = 1, seconds: float = 40.0) -> None:
        """Send the opening and the speech in real time, then silence, until the event has come this many times; then leave."""
        async with connect(self.url, compression=None) as socket:
            self._socket = socket
            for name, body in self._opening():
                await self._send(name, body)
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as tasks:
                reader = tasks.create_task(self._read(socket))
                microphone = tasks.create_task(self._speak(speech))
                while len(self.bodies(until)) < count:
                    self._arrived.clear()
                    await self._arrived.wait()
                microphone.cancel()
                for name, body in self._closing():
                    await self._send(name, body)
                reader.cancel()

    def bodies(self, name: str) -> list[Body]:
        """Return the bodies of all events of this name."""
        return [frame["event"][name] for frame in self.frames if name in frame["event"]]  # type: ignore[misc]  # JSON

    def texts(self, role: str) -> list[str]:
        """Return the texts of one role."""
        return [str(body["content"]) for body in self.bodies("textOutput") if body.get("role") == role]

    async def _send(self, name: str, body: Body) -> None:
        assert self._socket is not None
        event = json.dumps({"event": {name: body}})
        await self._socket.send(json.dumps({"body": event}) if self.wrap_in_body else event)

    async def _read(self, socket: ClientConnection) -> None:
        async for frame in socket:
            assert isinstance(frame, str)
            self.frames.append(json.loads(frame))
            self._arrived.set()

    async def _speak(self, speech: bytes) -> None:
        loop = asyncio.get_running_loop()
        next_at = loop.time()
        for piece in _pieces(speech):
            content = base64.b64encode(piece).decode()
            await self._send("audioInput", {"promptName": "prompt", "contentName": "microphone", "content": content})
            next_at += PIECE_SECONDS
            await asyncio.sleep(max(0.0, next_at - loop.time()))

    def _opening(self) -> Iterator[tuple[str, Body]]:
        text = {"mediaType": "text/plain"}
        yield "sessionStart", {"inferenceConfiguration": {"maxTokens": 1024, "topP": 0.95, "temperature": 0.7}}
        yield (
            "promptStart",
            {
                "promptName": "prompt",
                "textOutputConfiguration": text,
                "audioOutputConfiguration": {
                    "audioType": "SPEECH",
                    "encoding": "base64",
                    "mediaType": "audio/lpcm",
                    "sampleRateHertz": 24_000,
                    "sampleSizeBits": 16,
                    "channelCount": 1,
                    "voiceId": self.voice,
                },
            },
        )
        system = {"promptName": "prompt", "contentName": "system", "type": "TEXT", "interactive": True, "role": "SYSTEM"}
        yield "contentStart", {**system, "textInputConfiguration": text}
        yield "textInput", {"promptName": "prompt", "contentName": "system", "content": "You are a friend."}
        yield "contentEnd", {"promptName": "prompt", "contentName": "system"}
        microphone = {"promptName": "prompt", "contentName": "microphone", "type": "AUDIO", "interactive": True, "role": "USER"}
        audio = {"mediaType": "audio/lpcm", "sampleRateHertz": 16_000, "sampleSizeBits": 16, "channelCount": 1}
        yield "contentStart", {**microphone, "audioInputConfiguration": {**audio, "audioType": "SPEECH", "encoding": "base64"}}

    def _closing(self) -> Iterator[tuple[str, Body]]:
        yield "contentEnd", {"promptName": "prompt", "contentName": "microphone"}
        yield "promptEnd", {"promptName": "prompt"}
        yield "sessionEnd", {}


def _pieces(speech: bytes) -> Iterator[bytes]:
    for start in range(0, len(speech), PIECE_BYTES):
        yield speech[start : start + PIECE_BYTES]
    while True:
        yield bytes(PIECE_BYTES)

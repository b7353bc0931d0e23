"""The server's side of a session that outlives its connections, for tests: numbers what it says, and says again what the page asks for."""

import json
from dataclasses import dataclass, field

from tests.web.page_server import HEADER, SPEECH, Client, Message, MicrophoneFrame

RESUME_SECONDS = 30


@dataclass
class ResumableSession:
    """One session over all connections of one page."""

    client: Client
    """The connection that carries it."""
    connections: list[Client] = field(default_factory=list)
    frames: list[str | bytes] = field(default_factory=list)
    """Everything that was said, by its number."""
    offset: int = 0
    repeated: int = 0
    """Frames that were sent again."""

    async def start(self, **fields: object) -> Message:
        """Take the hello and start; returns the hello."""
        self.connections = [self.client]
        fields = {"seq": 0, "resume_token": "token-0", "resume_seconds": RESUME_SECONDS, **fields}
        self.frames.append("session.started")
        return await self.client.start(**fields)

    async def say(self, name: str, /, **fields: object) -> None:
        """Send a message of the session; when nobody is there it waits for the way back."""
        await self._send(json.dumps({"type": name, **fields, "seq": len(self.frames)}))

    async def speak(self, turn: int, pcm: bytes, chunk_bytes: int = 2048) -> None:
        """Send speech of a turn."""
        for start in range(0, len(pcm), chunk_bytes):
            piece = pcm[start : start + chunk_bytes]
            await self._send(HEADER.pack(SPEECH, 0, turn, len(self.frames), self.offset, 0) + piece)
            self.offset += len(piece) // 2

    async def acknowledge(self) -> None:
        """Tell the page what has arrived."""
        await self.client.send("ack", seq=self.wanted)

    async def resume(self, client: Client, *, adopted: bool = False) -> Message:
        """Take the page's return on another connection, and send what it misses; returns what it asked for."""
        asked = await client.expect("resume")
        self.client = client
        self.connections.append(client)
        token = f"token-{len(self.connections) - 1}"
        numbers = {"seq": self.wanted, "adopted": adopted}
        await client.send("session.resumed", session_id="test-session", resume_token=token, resume_seconds=RESUME_SECONDS, **numbers)
        for frame in self.frames[asked["seq"] :]:
            self.repeated += 1
            await client.connection.send(frame)
        return asked

    @property
    def wanted(self) -> int:
        """Number of the first frame of the page that has not arrived."""
        numbers = self._numbers()
        return next(number for number in range(len(numbers) + 1) if number not in numbers)

    @property
    def microphone(self) -> list[MicrophoneFrame]:
        """All frames of the microphone in order, each once."""
        frames = {frame.seq: frame for client in self.connections for frame in client.frames}
        return [frames[number] for number in sorted(frames)]

    def _numbers(self) -> set[int]:
        messages = {
            message["seq"] for client in self.connections for message in client.messages if message["type"] in ("text", "interrupt")
        }
        return messages | {frame.seq for client in self.connections for frame in client.frames}

    async def _send(self, frame: str | bytes) -> None:
        self.frames.append(frame)
        if self.client.connection.state.name == "OPEN":
            await self.client.connection.send(frame)

"""A client of the binary dialect that loses its network on purpose and comes back (docs/reference/binary-dialect.md, "Coming back").

It numbers what it sends and keeps it until the server has it, acknowledges what it gets, and counts what is missing or comes twice.
"""

import asyncio
import json
import struct
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

ACKNOWLEDGE_SECONDS = 0.25
ANSWER_SECONDS = 20.0
MICROPHONE = 1
HEADER = struct.Struct("<BBHIII")

type Message = dict[str, Any]


class ResumeRefused(Exception):
    """The server does not know the session, or not any more."""


@dataclass(frozen=True, slots=True)
class Speech:
    """A speech frame."""

    number: int
    turn: int
    offset: int
    """Its first sample within the turn."""
    pcm: bytes
    """Empty when it was withdrawn."""
    at: float
    """When it came, in the loop's seconds."""


@dataclass(slots=True)
class Received:
    """What the server told, once each and in the order of the numbers."""

    messages: list[Message] = field(default_factory=list)
    speech: list[Speech] = field(default_factory=list)
    next: int = 0
    """Number of the frame that is wanted next."""
    repeated: int = 0
    """Frames whose number had come before."""
    missing: int = 0
    """Numbers that were left out."""

    def pcm(self) -> bytes:
        """Return all speech in one piece."""
        return b"".join(each.pcm for each in self.speech)

    def named(self, kind: str) -> list[Message]:
        """Return the messages of a type."""
        return [message for message in self.messages if message["type"] == kind]


class ResumableClient:
    """One caller over as many connections as it takes. Leave it as a context to be gone without a word.

    Args:
        url: of the server.
        hello: members of the hello message.
        acknowledges: whether the server is told what has arrived.
        headers: of each handshake.
    """

    def __init__(
        self, url: str, hello: Message | None = None, *, acknowledges: bool = True, headers: Mapping[str, str] | None = None
    ) -> None:
        self.received = Received()
        self.answers: list[Message] = []
        """Messages that belong to no session: pong, ack, session.resumed, error."""
        self.token = ""
        self.sent = 0
        """How many frames were numbered."""
        self.kept: deque[tuple[int, str | bytes]] = deque()
        """Numbered frames that the server has not acknowledged."""
        self.close_code: int | None = None
        """Of the last connection, once it is closed."""
        self.headers = dict(headers or {})
        self._url = url
        self._hello = {"type": "hello", "protocol": 1, "resume": True, **(hello or {})}
        self._acknowledges = acknowledges
        self._socket: ClientConnection | None = None
        self._listening: asyncio.Task[None] | None = None
        self._arrived = asyncio.Event()
        self._samples = 0
        self._pumping = asyncio.Lock()
        self._next_out: int | None = None
        """Number of the next frame that leaves; None while there is no session on a connection."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.cut()

    async def start(self) -> Message:
        """Begin a session and return session.started."""
        await self.connect()
        await self.send(self._hello)
        await self.until(lambda: bool(self.received.named("session.started")))
        started = self.received.named("session.started")[-1]
        self.token = started.get("resume_token", "")
        self._next_out = 0
        return started

    async def resume(self, token: str | None = None, number: int | None = None) -> Message:
        """Connect again, go on with the session, send what is kept, and return session.resumed.

        Args:
            token: instead of the one that the client has.
            number: instead of the next one that it wants.

        Raises:
            ResumeRefused: the session cannot be gone on with; the connection is open.
        """
        await self.connect()
        known = len(self.answers)
        wanted = self.received.next if number is None else number
        await self.send({"type": "resume", "protocol": 1, "token": self.token if token is None else token, "seq": wanted})
        await self.until(lambda: any(answer["type"] in ("session.resumed", "error") for answer in self.answers[known:]))
        answer = next(answer for answer in self.answers[known:] if answer["type"] in ("session.resumed", "error"))
        if answer["type"] == "error":
            raise ResumeRefused(answer["code"])
        self.token = answer["resume_token"]
        self._arrived_until(answer["seq"])
        self._next_out = answer["seq"]
        await self._pump()
        return answer

    async def connect(self) -> None:
        """Open another connection; the one before is left as it is, if it is open at all."""
        self._next_out = None
        own = Subprotocol("nova-sonic.v1")
        self._socket = await connect(self._url, subprotocols=[own], additional_headers=self.headers, compression=None, max_size=None)
        self._listening = asyncio.create_task(self._listen(self._socket))

    def go_to(self, url: str) -> None:
        """Connect to another server from now on."""
        self._url = url

    async def cut(self) -> None:
        """Lose the connection without a word; what is under way either way is lost with it."""
        if self._socket is None or self._listening is None:
            return
        self._socket.transport.abort()
        await self._listening

    async def close(self, code: int = 1000) -> None:
        """Close the connection in order."""
        if self._socket is not None and self._listening is not None:
            await self._socket.close(code)
            await self._listening

    async def send(self, message: Message) -> None:
        """Send a message without a number."""
        await self._transmit(json.dumps(message))

    async def send_numbered(self, message: Message) -> None:
        """Send a message that must not be lost: text or interrupt."""
        await self._keep(json.dumps({**message, "seq": self.sent}))

    async def send_audio(self, pcm: bytes) -> None:
        """Send a piece of the microphone, or keep it while there is no connection."""
        frame = HEADER.pack(MICROPHONE, 0, 0, self.sent, self._samples & 0xFFFF_FFFF, 0) + pcm
        self._samples += len(pcm) // 2
        await self._keep(frame)

    async def until(self, condition: Any, seconds: float = ANSWER_SECONDS) -> None:
        """Wait until something that came makes the condition true.

        Raises:
            TimeoutError: nothing did.
        """
        async with asyncio.timeout(seconds):
            while not condition():
                self._arrived.clear()
                await self._arrived.wait()

    async def until_told(self, kind: str, count: int = 1) -> Message:
        """Wait for the n-th message of a type."""
        await self.until(lambda: len(self.received.named(kind)) >= count)
        return self.received.named(kind)[count - 1]

    async def until_heard(self, samples: int) -> bytes:
        """Wait for this much speech and return it."""
        await self.until(lambda: len(self.received.pcm()) >= 2 * samples)
        return self.received.pcm()

    async def until_closed(self) -> int | None:
        """Wait until the connection is closed and return the code."""
        if self._listening is not None:
            async with asyncio.timeout(ANSWER_SECONDS):
                await asyncio.wait({self._listening})
        return self.close_code

    async def until_acknowledged(self) -> None:
        """Wait until the server has everything."""
        await self.until(lambda: not self.kept)

    async def _keep(self, frame: str | bytes) -> None:
        self.kept.append((self.sent, frame))
        self.sent += 1
        await self._pump()

    async def _pump(self) -> None:
        """Send what is kept and has not left on this connection, in order."""
        async with self._pumping:
            while self._next_out is not None and self._next_out < self.sent:
                frame = next((frame for number, frame in self.kept if number == self._next_out), None)
                self._next_out += 1
                if frame is not None:
                    await self._transmit(frame)

    async def _transmit(self, frame: str | bytes) -> None:
        if self._socket is None:
            return
        try:
            await self._socket.send(frame)
        except ConnectionClosed:
            return

    async def _listen(self, socket: ClientConnection) -> None:
        """Take what comes on one connection until it is closed."""
        acknowledging = asyncio.create_task(self._acknowledge(socket)) if self._acknowledges else None
        try:
            async for frame in socket:
                if socket is self._socket:
                    self._take(frame)
        except ConnectionClosed:
            pass
        finally:
            if acknowledging is not None:
                acknowledging.cancel()
        self.close_code = socket.close_code
        if socket is self._socket:
            self._next_out = None
        self._arrived.set()

    def _take(self, frame: str | bytes) -> None:
        if isinstance(frame, bytes):
            _, _, turn, number, offset, _ = HEADER.unpack_from(frame)
            if self._is_new(number):
                at = asyncio.get_running_loop().time()
                self.received.speech.append(Speech(number, turn, offset, frame[HEADER.size :], at))
        else:
            self._told(json.loads(frame))
        self._arrived.set()

    def _told(self, message: Message) -> None:
        if message["type"] == "ack":
            self._arrived_until(message["seq"])
        if message["type"] in ("ack", "pong", "session.resumed") or "seq" not in message:
            self.answers.append(message)
        elif self._is_new(message["seq"]):
            self.received.messages.append(message)

    def _is_new(self, number: int) -> bool:
        received = self.received
        if number < received.next:
            received.repeated += 1
            return False
        received.missing += number - received.next
        received.next = number + 1
        return True

    def _arrived_until(self, number: int) -> None:
        while self.kept and self.kept[0][0] < number:
            self.kept.popleft()

    async def _acknowledge(self, socket: ClientConnection) -> None:
        told = 0
        while True:
            await asyncio.sleep(ACKNOWLEDGE_SECONDS)
            if self.received.next == told:
                continue
            told = self.received.next
            try:
                await socket.send(json.dumps({"type": "ack", "seq": told}))
            except ConnectionClosed:
                return

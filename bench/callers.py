"""Callers of both dialects for benches: they speak in real time, and tell apart what they are told."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum

import orjson
import pybase64
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from bench.positions import coded_speech

HERTZ = 16_000
OUTPUT_HERTZ = 24_000
PIECE_BYTES = 1_024
PIECE_SECONDS = PIECE_BYTES / 2 / HERTZ
NOISE = coded_speech(HERTZ)
"""A second of something that every voice detector takes for a voice."""
MARKER = {"interrupted": True}
HEADER = struct.Struct("<BBHIII")


class Dialect(Enum):
    """What a caller speaks."""

    PAGE = "binary"
    RAW = "raw"


class Kind(Enum):
    """What a caller is told."""

    STARTED = "started"
    SPEECH = "speech"
    INTERRUPTED = "interrupted"
    SAID = "said"
    """What the user said, as the model understood it."""
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Told:
    """One frame of the server."""

    kind: Kind
    turn: str = ""
    """What speech belongs to: a turn, or with the raw dialect a block."""
    text: str = ""
    message: Mapping[str, object] | None = None
    """A control message of the page's dialect."""

    @property
    def is_error(self) -> bool:
        """Whether something went wrong."""
        return self.message is not None and self.message.get("type") == "error"


class Caller:
    """One session of one connection.

    Args:
        socket: open.
        dialect: what is spoken on it.
    """

    def __init__(self, socket: ClientConnection, dialect: Dialect) -> None:
        self.socket = socket
        self._dialect = dialect
        self._sent = 0
        self._voice = 0

    async def begin(self) -> None:
        """Ask for a session."""
        for frame in _raw_opening() if self._dialect is Dialect.RAW else [_hello()]:
            await self.socket.send(frame)

    async def send(self, pcm: bytes) -> None:
        """Send a piece of the microphone."""
        if self._dialect is Dialect.RAW:
            names = {"promptName": "p", "contentName": "a"}
            await self.socket.send(_event("audioInput", **names, content=pybase64.b64encode(pcm).decode()))
        else:
            await self.socket.send(HEADER.pack(1, 0, 0, self._sent, self._sent * PIECE_BYTES // 2, 0) + pcm)
        self._sent += 1

    async def type(self, text: str) -> None:
        """Send a typed turn."""
        if self._dialect is Dialect.PAGE:
            await self.socket.send(json.dumps({"type": "text", "text": text}))
            return
        for frame in _raw_text(f"typed-{self._sent}", "USER", text):
            await self.socket.send(frame)

    def speak(self, seconds: float) -> None:
        """Be loud for so long, from the next piece of the microphone on."""
        self._voice = round(seconds / PIECE_SECONDS)

    async def microphone(self) -> None:
        """Send sound in real time until cancelled: silence, or noise after `speak`."""
        loop = asyncio.get_running_loop()
        due_at = loop.time()
        for start in _offsets():
            loud = self._voice > 0
            self._voice -= loud
            await self.send(NOISE[start : start + PIECE_BYTES] if loud else bytes(PIECE_BYTES))
            due_at += PIECE_SECONDS
            await asyncio.sleep(max(0.0, due_at - loop.time()))

    async def told(self) -> AsyncIterator[Told]:
        """Yield what the server says."""
        read = _read_raw if self._dialect is Dialect.RAW else _read_page
        async for frame in self.socket:
            yield read(frame)


@asynccontextmanager
async def calling(port: int, dialect: Dialect = Dialect.PAGE) -> AsyncIterator[Caller]:
    """Connect for the length of the block; the session has been asked for."""
    protocols = [Subprotocol("nova-sonic.v1")] if dialect is Dialect.PAGE else None
    async with connect(f"ws://127.0.0.1:{port}/", subprotocols=protocols, compression=None, max_size=None) as socket:
        caller = Caller(socket, dialect)
        await caller.begin()
        yield caller


async def until(caller: Caller, wanted: Callable[[Told], bool]) -> Told:
    """Read until something is told.

    Raises:
        RuntimeError: the connection was closed before.
    """
    async for told in caller.told():
        if wanted(told):
            return told
    raise RuntimeError(f"closed with {caller.socket.close_code} {caller.socket.close_reason}")


def _offsets() -> Iterator[int]:
    while True:
        yield from range(0, len(NOISE) - PIECE_BYTES, PIECE_BYTES)


def _read_page(frame: str | bytes) -> Told:
    if isinstance(frame, bytes):
        return Told(Kind.SPEECH, str(HEADER.unpack_from(frame)[2]))
    message = orjson.loads(frame)
    match message["type"]:
        case "session.started":
            return Told(Kind.STARTED, message=message)
        case "interrupted":
            return Told(Kind.INTERRUPTED, str(message["turn"]), message=message)
        case "transcript" if message["role"] == "user":
            return Told(Kind.SAID, text=message["text"], message=message)
        case _:
            return Told(Kind.OTHER, message=message)


def _read_raw(frame: str | bytes) -> Told:
    event = orjson.loads(frame)["event"]
    name, body = next(iter(event.items()))
    match name:
        case "audioOutput":
            return Told(Kind.SPEECH, body["contentId"])
        case "completionStart":
            return Told(Kind.STARTED)
        case "textOutput" if body["role"] == "USER":
            return Told(Kind.SAID, text=body["content"])
        case "textOutput" if body["content"].startswith("{") and orjson.loads(body["content"]) == MARKER:
            return Told(Kind.INTERRUPTED)
        case _:
            return Told(Kind.OTHER)


def _hello() -> str:
    return json.dumps({"type": "hello", "protocol": 1, "input_hertz": HERTZ, "output_hertz": OUTPUT_HERTZ})


def _event(name: str, **body: object) -> str:
    return json.dumps({"event": {name: body}})


def _raw_opening() -> list[str]:
    audio = {"mediaType": "audio/lpcm", "sampleSizeBits": 16, "channelCount": 1, "audioType": "SPEECH", "encoding": "base64"}
    output = {**audio, "sampleRateHertz": OUTPUT_HERTZ, "voiceId": "carlos"}
    sound = {"type": "AUDIO", "interactive": True, "role": "USER", "audioInputConfiguration": {**audio, "sampleRateHertz": HERTZ}}
    return [
        _event("sessionStart", inferenceConfiguration={"maxTokens": 1024, "topP": 0.9, "temperature": 0.7}),
        _event("promptStart", promptName="p", textOutputConfiguration={"mediaType": "text/plain"}, audioOutputConfiguration=output),
        *_raw_text("s", "SYSTEM", "You are a talker."),
        _event("contentStart", promptName="p", contentName="a", **sound),
    ]


def _raw_text(content: str, role: str, text: str) -> list[str]:
    names = {"promptName": "p", "contentName": content}
    start = {"type": "TEXT", "interactive": True, "role": role, "textInputConfiguration": {"mediaType": "text/plain"}}
    return [_event("contentStart", **names, **start), _event("textInput", **names, content=text), _event("contentEnd", **names)]

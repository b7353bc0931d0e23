"""A client that speaks HTTP/2 and event-stream by hand, so that a test can send anything and see every byte."""

import asyncio
import base64
import json
import math
import ssl
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    InformationalResponseReceived,
    PingAckReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from hyperframe.frame import Frame, GoAwayFrame

from nova_sonic_local.framing import FramingError, Message, MessageDecoder, encode_message, text_header

PATH = "/model/amazon.nova-2-sonic-v1%3A0/invoke-with-bidirectional-stream?"
TIMEOUT_SECONDS = 10.0
type Json = dict[str, Any]


def inner_message(event: object) -> bytes:
    """Return the unsigned message of an event."""
    return inner_bytes(json.dumps(event).encode())


def inner_bytes(data: bytes) -> bytes:
    payload = json.dumps({"bytes": base64.b64encode(data).decode()}).encode()
    headers = (text_header(":message-type", "event"), text_header(":event-type", "chunk"), text_header(":content-type", "application/json"))
    return encode_message(headers, payload)


@dataclass
class Ending:
    """How a response ended."""

    status: int
    headers: Mapping[str, str]
    events: list[Json]
    exception: tuple[str, str] | None
    body: bytes
    reset_code: int | None
    is_ended: bool


def _text_of(error: Json) -> str:
    """Return the text of an error, whose member Transcribe writes with a capital letter."""
    return str(error["message"] if "message" in error else error["Message"])


@dataclass
class RawStream:
    """One request."""

    client: "RawClient"
    stream_id: int
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    body: bytes = b""
    is_ended: bool = False
    reset_code: int | None = None
    informational: list[int] = field(default_factory=list)
    framing_errors: int = 0
    decoder: MessageDecoder = field(default_factory=MessageDecoder)

    @property
    def is_over(self) -> bool:
        return self.is_ended or self.reset_code is not None or self.client.is_lost

    async def send(self, *events: object) -> None:
        await self.write(b"".join(map(inner_message, events)))

    async def write(self, data: bytes) -> None:
        while data:
            async with asyncio.timeout(self.client.timeout_seconds):
                while (room := min(self.client.h2.local_flow_control_window(self.stream_id), 16_384)) <= 0:
                    if self.is_over:
                        return  # nobody gives window for it any more
                    await self.client.wait()
            self.client.h2.send_data(self.stream_id, data[:room])
            data = data[room:]
            self.client.flush()

    def end(self) -> None:
        self.client.h2.end_stream(self.stream_id)
        self.client.flush()

    def decode(self, data: bytes) -> None:
        """Take the messages that are whole; what is behind a broken one may be lost."""
        for piece in (data, b""):
            try:
                self.messages += self.decoder.feed(piece)
            except FramingError:
                self.framing_errors += 1

    def events(self) -> list[Json]:
        chunks = [message for message in self.messages if message.value(":event-type") == "chunk"]
        return [decode_chunk(message) for message in chunks]

    def named(self, name: str) -> list[Json]:
        return [event[name] for event in self.events() if name in event]

    def exception(self) -> tuple[str, str] | None:
        for message in self.messages:
            if message.value(":message-type") == "exception":
                return str(message.value(":exception-type")), _text_of(json.loads(message.payload))
            if message.value(":message-type") == "error":
                return str(message.value(":error-code")), str(message.value(":error-message"))
        return None

    async def until(self, name: str, count: int = 1, **members: object) -> Json:
        """Wait for the count-th event of a name with these members, and return it."""

        def found() -> list[Json]:
            return [event for event in self.named(name) if all(event.get(key) == value for key, value in members.items())]

        async with asyncio.timeout(self.client.timeout_seconds):
            while len(found()) < count:
                if self.is_over:
                    raise AssertionError(f"the stream ended without {name}: {self.exception() or self.reset_code}")
                await self.client.wait()
        return found()[count - 1]

    async def head(self) -> int:
        async with asyncio.timeout(self.client.timeout_seconds):
            while not self.status and not self.is_over:
                await self.client.wait()
        return self.status

    async def ending(self) -> Ending:
        async with asyncio.timeout(self.client.timeout_seconds):
            while not self.is_over:
                await self.client.wait()
        return Ending(self.status, self.headers, self.events(), self.exception(), self.body, self.reset_code, self.is_ended)

    def texts(self, role: str, stage: str) -> list[str]:
        wanted = {
            start["contentId"]
            for start in self.named("contentStart")
            if start["type"] == "TEXT" and start["role"] == role and json.loads(start["additionalModelFields"])["generationStage"] == stage
        }
        return [output["content"] for output in self.named("textOutput") if output["contentId"] in wanted]

    def pcm(self) -> bytes:
        return b"".join(base64.b64decode(output["content"]) for output in self.named("audioOutput"))


def decode_chunk(message: Message) -> Json:
    body: Json = json.loads(base64.b64decode(json.loads(message.payload)["bytes"]))["event"]
    return body


class _PatientConnection(H2Connection):
    """Goes on after the peer's GOAWAY."""

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        event = ConnectionTerminated()
        event.error_code = ErrorCodes(frame.error_code)
        event.last_stream_id = frame.last_stream_id
        return [], [event]


class RawClient:
    """One connection: `async with RawClient(endpoint, ca_file) as client`."""

    def __init__(self, endpoint: str, ca_file: Path | None = None) -> None:
        self.url = urlsplit(endpoint)
        self.ca_file = ca_file
        self.h2 = _PatientConnection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.streams: dict[int, RawStream] = {}
        self.is_lost = False
        self.goaway_code: int | None = None
        self.last_stream_id: int | None = None
        self.pongs = 0
        self.is_acknowledging = True
        self.timeout_seconds = TIMEOUT_SECONDS
        self._change = asyncio.Event()

    async def __aenter__(self) -> Self:
        context = None
        if self.url.scheme == "https":
            context = ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
            context.set_alpn_protocols(["h2"])
        self.reader, self.writer = await asyncio.open_connection(self.url.hostname, self.url.port or 443, ssl=context)
        self.h2.initiate_connection()
        self.flush()
        self.task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.writer.close()

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    async def wait(self) -> None:
        """Wait for anything to come from the peer."""
        self._change.clear()
        await self._change.wait()

    def open(self, path: str = PATH, method: str = "POST", headers: Sequence[tuple[str, str]] = (), *, has_body: bool = True) -> RawStream:
        stream_id = self.h2.get_next_available_stream_id()
        head = [
            (":method", method),
            (":scheme", self.url.scheme),
            (":authority", self.url.netloc),
            (":path", path),
            ("content-type", "application/vnd.amazon.eventstream"),
            *headers,
        ]
        self.h2.send_headers(stream_id, head, end_stream=not has_body)
        stream = self.streams[stream_id] = RawStream(self, stream_id)
        self.flush()
        return stream

    async def _read(self) -> None:
        try:
            while data := await self.reader.read(65_536):
                for event in self.h2.receive_data(data):
                    self._on_event(event)
                self.flush()
                self._change.set()
        except OSError:
            pass
        self.is_lost = True
        self._change.set()

    def _on_event(self, event: object) -> None:
        match event:
            case ResponseReceived():
                stream = self.streams[event.stream_id or 0]
                stream.headers = {str(name): str(value) for name, value in event.headers or ()}
                stream.status = int(stream.headers[":status"])
            case DataReceived():
                stream = self.streams[event.stream_id or 0]
                stream.body += event.data or b""
                if stream.status == 200:
                    stream.decode(event.data or b"")
                if self.is_acknowledging:
                    self.h2.acknowledge_received_data(event.flow_controlled_length or 0, stream.stream_id)
            case StreamEnded():
                self.streams[event.stream_id or 0].is_ended = True
            case StreamReset():
                self.streams[event.stream_id or 0].reset_code = int(event.error_code or 0)
            case ConnectionTerminated():
                self.goaway_code = int(event.error_code or 0)
                self.last_stream_id = event.last_stream_id
            case InformationalResponseReceived():
                head = {str(name): str(value) for name, value in event.headers or ()}
                self.streams[event.stream_id or 0].informational.append(int(head[":status"]))
            case PingAckReceived():
                self.pongs += 1
            case _:
                pass


# Events of a client, with the least that is legal.


def session_start(**more: object) -> Json:
    return {"event": {"sessionStart": {"inferenceConfiguration": {"maxTokens": 1024, "topP": 0.9, "temperature": 0.7}} | more}}


def prompt_start(voice: str = "matthew", hertz: int = 24_000, tools: Sequence[Json] | None = None, **more: object) -> Json:
    body: Json = {
        "promptName": "P",
        "textOutputConfiguration": {"mediaType": "text/plain"},
        "audioOutputConfiguration": {
            "mediaType": "audio/lpcm",
            "sampleRateHertz": hertz,
            "sampleSizeBits": 16,
            "channelCount": 1,
            "voiceId": voice,
            "encoding": "base64",
            "audioType": "SPEECH",
        },
    }
    if tools is not None:
        body["toolUseOutputConfiguration"] = {"mediaType": "application/json"}
        body["toolConfiguration"] = {"tools": list(tools)}
    return {"event": {"promptStart": body | more}}


def tool(name: str = "lookup", schema: object = '{"type":"object"}') -> Json:
    return {"toolSpec": {"name": name, "description": "d", "inputSchema": {"json": schema}}}


def text_block(content: str, role: str, text: str, *, interactive: bool = False) -> list[Json]:
    return [text_start(content, role, interactive=interactive), text_input(content, text), content_end(content)]


def text_start(content: str, role: str, *, interactive: bool = False) -> Json:
    body = {"promptName": "P", "contentName": content, "type": "TEXT", "interactive": interactive, "role": role}
    return {"event": {"contentStart": body | {"textInputConfiguration": {"mediaType": "text/plain"}}}}


def text_input(content: str, text: str) -> Json:
    return {"event": {"textInput": {"promptName": "P", "contentName": content, "content": text}}}


def content_end(content: str) -> Json:
    return {"event": {"contentEnd": {"promptName": "P", "contentName": content}}}


def audio_start(content: str = "A", hertz: int = 16_000) -> Json:
    configuration = {
        "mediaType": "audio/lpcm",
        "sampleRateHertz": hertz,
        "sampleSizeBits": 16,
        "channelCount": 1,
        "audioType": "SPEECH",
        "encoding": "base64",
    }
    body = {"promptName": "P", "contentName": content, "type": "AUDIO", "interactive": True, "role": "USER"}
    return {"event": {"contentStart": body | {"audioInputConfiguration": configuration}}}


def audio_input(pcm: bytes, content: str = "A") -> Json:
    return {"event": {"audioInput": {"promptName": "P", "contentName": content, "content": base64.b64encode(pcm).decode()}}}


def tool_result(tool_use_id: str, content: object, name: str = "T", media_type: str = "text/plain") -> list[Json]:
    configuration = {"toolUseId": tool_use_id, "type": "TEXT", "textInputConfiguration": {"mediaType": media_type}}
    body = {"promptName": "P", "contentName": name, "interactive": False, "type": "TOOL", "role": "TOOL"}
    return [
        {"event": {"contentStart": body | {"toolResultInputConfiguration": configuration}}},
        {"event": {"toolResult": {"promptName": "P", "contentName": name, "content": content}}},
        content_end(name),
    ]


PROMPT_END: Json = {"event": {"promptEnd": {"promptName": "P"}}}
SESSION_END: Json = {"event": {"sessionEnd": {}}}


def opening(*history: Json, tools: Sequence[Json] | None = None, voice: str = "matthew", hertz: int = 24_000) -> list[Json]:
    """Return the events up to the open AUDIO block."""
    return [session_start(), prompt_start(voice, hertz, tools), *text_block("S", "SYSTEM", "Be brief."), *history, audio_start()]


def closing() -> list[Json]:
    return [content_end("A"), PROMPT_END, SESSION_END]


def silence(seconds: float, hertz: int = 16_000) -> bytes:
    return bytes(2 * int(seconds * hertz))


def speech(seconds: float, hertz: int = 16_000, loudness: int = 8_000) -> bytes:
    """Return a sound that an energy detector takes for speech."""
    samples = (int(loudness * math.sin(2 * math.pi * 180 * n / hertz)) for n in range(int(seconds * hertz)))
    return array("h", samples).tobytes()


def spoken_turn(seconds: float = 0.8) -> list[Json]:
    """Return a user's turn with the silence that ends it, in frames of 32 ms."""
    pcm = silence(0.2) + speech(seconds) + silence(0.7)
    return [audio_input(pcm[start : start + 1024]) for start in range(0, len(pcm), 1024)]

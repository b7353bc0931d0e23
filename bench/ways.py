"""The ways to the model that bench/stream.py compares, each as a session that sends and receives chunks of speech."""

import asyncio
import base64
import json
import ssl
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

import hpack
from aws_sdk_bedrock_runtime.client import AsyncBedrockRuntimeClient
from aws_sdk_bedrock_runtime.config import AsyncBedrockRuntimeConfig
from aws_sdk_bedrock_runtime.models import (
    BidirectionalInputPayloadPart,
    InvokeModelWithBidirectionalStreamInputChunk,
    InvokeModelWithBidirectionalStreamOperationInput,
    InvokeModelWithBidirectionalStreamOutputChunk,
)
from awscrt import io
from smithy_http.aio.crt import AWSCRTHTTPClient

from bench.h2_library import LibraryExchanges
from s2s.bedrock.client import NovaSonicClient
from s2s.bedrock.credentials import StaticCredentials
from s2s.bedrock.event_stream import InputEncoder
from s2s.bedrock.http2 import frames
from s2s.bedrock.stream import NovaSonicStream
from s2s.events import (
    AudioContentStart,
    AudioInput,
    AudioOutput,
    ContentEnd,
    InputEvent,
    PromptStart,
    Role,
    SessionStart,
    TextContentStart,
    TextInput,
)
from s2s.models import DEFAULT_MODEL_ID, capabilities
from s2s.protocol import StreamProtocol

REGION, KEY, SECRET = "us-east-1", "AKIDBENCH", "no-secret"
STREAMS_PER_CONNECTION = 16
PROMPT = "5c4a3f6e-0a64-4a26-9f3e-1df52a3cbb0e"
SPEECH_BYTES = 1_500
"""A message of more bytes than this is one of speech: 32 ms of it need 2 KB, no other event of the echo 1 KB."""
AUDIO = "0b9c2f0d-5a57-4f8e-9d0c-0d7f6f3a9a11"
OPENING: tuple[InputEvent, ...] = (
    SessionStart(),
    PromptStart(PROMPT, "matthew", 16_000),
    TextContentStart(PROMPT, "system", Role.SYSTEM),
    TextInput(PROMPT, "system", "You are kind."),
    ContentEnd(PROMPT, "system"),
    AudioContentStart(PROMPT, AUDIO),
    AudioInput(PROMPT, AUDIO, bytes(3_200)),
)


class Session(Protocol):
    """One stream to an echoing model."""

    async def send(self, pcm: bytes) -> None:
        """Send a chunk."""

    async def receive(self) -> bytes | None:
        """Return the next chunk that came back; None when the stream has ended."""

    async def close(self) -> None:
        """End the stream."""


class Way(Protocol):
    """Opens sessions."""

    async def open(self) -> Session:
        """Open a stream and send its opening."""

    async def close(self) -> None:
        """Let go of everything."""


def protocol() -> StreamProtocol:
    """Return the rules of a fresh stream."""
    return StreamProtocol(capabilities(DEFAULT_MODEL_ID))


class OurSession:
    """A stream of NovaSonicClient."""

    def __init__(self, stream: NovaSonicStream) -> None:
        self._stream = stream

    async def send(self, pcm: bytes) -> None:
        """Send a chunk."""
        await self._stream.send((AudioInput(PROMPT, AUDIO, pcm),))

    async def receive(self) -> bytes | None:
        """Return the next chunk."""
        while (event := await self._stream.receive()) is not None:
            if isinstance(event, AudioOutput):
                return event.pcm
        return None

    async def close(self) -> None:
        """End the stream."""
        await self._stream.close()


class Ours:
    """NovaSonicClient with its own transport."""

    def __init__(self, endpoint: str, ca_file: str) -> None:
        self._client = NovaSonicClient(
            REGION, DEFAULT_MODEL_ID, endpoint, ca_file, StaticCredentials(KEY, SECRET), streams_per_connection=STREAMS_PER_CONNECTION
        )

    async def open(self) -> Session:
        """Open a stream."""
        return OurSession(await self._client.open(OPENING))

    async def close(self) -> None:
        """Let go of everything."""
        await self._client.aclose()


class StockSession:
    """A stream of the SDK as it comes, with events written and read as in AWS's samples: by `json` and `base64`."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._protocol = protocol()
        self._receiver: Any = None

    async def start(self) -> None:
        """Send the opening and wait for the head."""
        for wire in self._protocol.send_group(OPENING):
            await self._write(wire)
        _, self._receiver = await self._stream.await_output()

    async def send(self, pcm: bytes) -> None:
        """Send a chunk."""
        content = base64.b64encode(pcm).decode()
        event = {"event": {"audioInput": {"promptName": PROMPT, "contentName": AUDIO, "content": content}}}
        await self._write(json.dumps(event).encode())

    async def receive(self) -> bytes | None:
        """Return the next chunk."""
        while (message := await self._receiver.receive()) is not None:
            if isinstance(message, InvokeModelWithBidirectionalStreamOutputChunk):
                event = json.loads(message.value.bytes_ or b"")["event"]
                if "audioOutput" in event:
                    return base64.b64decode(event["audioOutput"]["content"])
        return None

    async def close(self) -> None:
        """End the request; whoever reads hears of the end."""
        for wire in self._protocol.send_group(self._protocol.closing_events()):
            await self._write(wire)
        await self._stream.input_stream.close()

    async def _write(self, wire: bytes) -> None:
        await self._stream.input_stream.send(InvokeModelWithBidirectionalStreamInputChunk(value=BidirectionalInputPayloadPart(bytes_=wire)))


class TrustingTransport(AWSCRTHTTPClient):
    """The stock transport with another trust store; the SDK copies its configuration deeply, so copies are built alike."""

    def __init__(self, ca_file: str) -> None:
        super().__init__()
        self._ca_file = ca_file
        options = io.TlsContextOptions()
        options.override_default_trust_store_from_path(None, ca_file)
        self._tls_ctx = io.ClientTlsContext(options)

    def __deepcopy__(self, memo: object) -> "TrustingTransport":
        return type(self)(self._ca_file)


class Stock:
    """aws-sdk-bedrock-runtime with its CRT transport."""

    def __init__(self, endpoint: str, ca_file: str) -> None:
        self._endpoint, self._ca_file = endpoint, ca_file
        self._client: AsyncBedrockRuntimeClient | None = None

    async def open(self) -> Session:
        """Open a stream."""
        if self._client is None:
            config = await AsyncBedrockRuntimeConfig.resolve(
                region=REGION,
                endpoint_uri=self._endpoint,
                transport=TrustingTransport(self._ca_file),
                aws_access_key_id=KEY,
                aws_secret_access_key=SECRET,
            )
            self._client = AsyncBedrockRuntimeClient(config)
        operation = InvokeModelWithBidirectionalStreamOperationInput(model_id=DEFAULT_MODEL_ID)
        session = StockSession(await self._client.invoke_model_with_bidirectional_stream(operation))
        await session.start()
        return session

    async def close(self) -> None:
        """Let go of everything."""
        if self._client is not None:
            await self._client.close()


class BareConnection(asyncio.Protocol):
    """HTTP/2 frames with nothing checked but where they begin."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.sessions: dict[int, BareSession] = {}
        self._splitter = frames.FrameSplitter()
        self._taken = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet with windows so large that they need no thought."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(
            frames.PREFACE + frames.settings_frame({4: frames.MAX_WINDOW}) + frames.window_frame(0, frames.MAX_WINDOW - 65_535)
        )

    def data_received(self, data: bytes) -> None:
        """Count the messages of each stream."""
        for kind, flags, stream_id, payload in self._splitter.feed(data):
            if kind == frames.DATA:
                self.sessions[stream_id].take(payload)
            elif kind == frames.SETTINGS and not flags and self.transport is not None:
                self.transport.write(frames.frame(frames.SETTINGS, frames.ACK, 0))


class BareSession:
    """A stream that sends the same message again and again, made beforehand, and counts what comes back without looking into it."""

    def __init__(self, connection: BareConnection, stream_id: int, message: bytes) -> None:
        self._connection = connection
        self._frame = frames.frame(frames.DATA, 0, stream_id, message)
        self._rest = b""
        self._received = 0
        self._arrived = asyncio.Event()

    async def send(self, pcm: bytes) -> None:
        """Send the message."""
        del pcm
        assert self._connection.transport is not None
        self._connection.transport.write(self._frame)

    async def receive(self) -> bytes | None:
        """Return when the next message is there."""
        while not self._received:
            self._arrived.clear()
            await self._arrived.wait()
        self._received -= 1
        return b""

    async def close(self) -> None:
        """Leave it to the connection."""

    def take(self, payload: bytes) -> None:
        """Count the messages that are long enough to be speech, by their lengths."""
        data = self._rest + payload
        start = 0
        while len(data) - start >= 4 and len(data) - start >= (length := int.from_bytes(data[start : start + 4], "big")):
            self._received += length > SPEECH_BYTES
            start += length
        self._rest = data[start:]
        if self._received:
            self._arrived.set()


class Bare:
    """TLS, HTTP/2 frames and asyncio, and nothing else: what a Python client must at least cost."""

    def __init__(self, endpoint: str, ca_file: str) -> None:
        self._url = urlsplit(endpoint)
        self._tls = ssl.create_default_context(cafile=ca_file)
        self._tls.set_alpn_protocols(["h2"])
        self._connections: list[BareConnection] = []
        self._messages: list[bytes] = []

    async def open(self) -> Session:
        """Open a stream on a connection with room."""
        if not self._connections or len(self._connections[-1].sessions) >= STREAMS_PER_CONNECTION:
            loop = asyncio.get_running_loop()
            _, made = await loop.create_connection(BareConnection, self._url.hostname or "", self._url.port or 443, ssl=self._tls)
            self._connections.append(made)
        connection = self._connections[-1]
        assert connection.transport is not None
        stream_id = 2 * len(connection.sessions) + 1
        encoder = InputEncoder(SECRET, REGION, "bedrock", "0" * 64)
        rules = protocol()
        opening = b"".join(encoder.encode_event(wire, 0) for wire in rules.send_group(OPENING))
        speech = bytes(range(256)) * 4
        session = BareSession(connection, stream_id, encoder.encode_event(rules.send(AudioInput(PROMPT, AUDIO, speech)), 0))
        connection.sessions[stream_id] = session
        head = hpack.Encoder().encode(
            [
                (":method", "POST"),
                (":scheme", "https"),
                (":authority", self._url.netloc),
                (":path", f"/model/{DEFAULT_MODEL_ID}/invoke-with-bidirectional-stream"),
            ]
        )
        connection.transport.write(frames.headers_frames(stream_id, head) + frames.frame(frames.DATA, 0, stream_id, opening))
        return session

    async def close(self) -> None:
        """Drop the connections."""
        for connection in self._connections:
            if connection.transport is not None:
                connection.transport.abort()


class Library(Ours):
    """NovaSonicClient over the `h2` library in place of our own framing."""

    def __init__(self, endpoint: str, ca_file: str) -> None:
        super().__init__(endpoint, ca_file)
        self._client._exchanges = LibraryExchanges(endpoint, ca_file)  # noqa: SLF001  # the product offers no such choice


WAYS: dict[str, type[Ours | Stock | Bare]] = {"stock": Stock, "ours": Ours, "library": Library, "bare": Bare}

"""The server's side of the page's protocol, for tests: serves web/ with the security headers, and does what the test says."""

import asyncio
import json
import mimetypes
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

WEB = Path(__file__).parents[2] / "web"
HERE = Path(__file__).parent
HEADER = struct.Struct("<BBHIII")
MICROPHONE, SPEECH = 1, 2

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; worker-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

CONFIG = {
    "assistants": [{"name": "carlos", "languages": [{"id": "es", "voice_id": "carlos"}, {"id": "en", "voice_id": "matthew"}]}],
    "default_assistant": "carlos",
    "websocket_path": "/",
    "local": True,
}

type Message = dict[str, Any]


@dataclass(frozen=True)
class MicrophoneFrame:
    """One decoded binary frame of the client."""

    kind: int
    seq: int
    sample_offset: int
    time_ms: int
    pcm: bytes


@dataclass
class Client:
    """One connection of a page."""

    connection: ServerConnection
    messages: list[Message] = field(default_factory=list)
    frames: list[MicrophoneFrame] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    taken: int = 0
    speech_seq: int = 0
    speech_offset: int = 0

    async def receive_all(self) -> None:
        """Collect what the page sends until it goes; answer pings."""
        async for data in self.connection:
            if isinstance(data, bytes):
                kind, _flags, _turn, seq, offset, time_ms = HEADER.unpack_from(data)
                self.frames.append(MicrophoneFrame(kind, seq, offset, time_ms, data[HEADER.size :]))
            else:
                message = json.loads(data)
                if message["type"] == "ping":
                    await self.send("pong", t=message["t"])
                self.messages.append(message)
            async with self.changed:
                self.changed.notify_all()

    async def until(self, condition: Callable[[], bool], seconds: float = 15) -> None:
        """Wait until something that the page sent makes the condition true."""
        async with asyncio.timeout(seconds), self.changed:
            await self.changed.wait_for(condition)

    async def expect(self, name: str) -> Message:
        """Return the next message of this type; others before it are passed over."""

        def find() -> int | None:
            return next((i for i in range(self.taken, len(self.messages)) if self.messages[i]["type"] == name), None)

        await self.until(lambda: find() is not None)
        index = find()
        assert index is not None
        self.taken = index + 1
        return self.messages[index]

    async def send(self, name: str, /, **fields: object) -> None:
        """Send a control message."""
        await self.connection.send(json.dumps({"type": name, **fields}))

    async def start(self, **fields: object) -> Message:
        """Take the hello and start the session; returns the hello."""
        hello = await self.expect("hello")
        language = hello.get("language", "es")
        started = {
            "session_id": "test-session",
            "assistant": "carlos",
            "language": language,
            "voice_id": {"es": "carlos", "en": "matthew"}[language],
            "model_id": "amazon.nova-2-sonic-v1:0",
            "input_hertz": 16_000,
            "output_hertz": 24_000,
        }
        await self.send("session.started", **(started | fields))
        return hello

    async def speak_chunk(self, turn: int, pcm: bytes) -> None:
        """Send one frame of speech."""
        header = HEADER.pack(SPEECH, 0, turn, self.speech_seq, self.speech_offset, 0)
        self.speech_seq += 1
        self.speech_offset += len(pcm) // 2
        await self.connection.send(header + pcm)

    async def speak(self, turn: int, pcm: bytes, hertz: int = 24_000, chunk_bytes: int = 2048) -> None:
        """Send a whole turn of speech at once."""
        await self.send("speech.started", turn=turn, output_hertz=hertz)
        self.speech_offset = 0
        for start in range(0, len(pcm), chunk_bytes):
            await self.speak_chunk(turn, pcm[start : start + chunk_bytes])
        await self.send("speech.ended", turn=turn)


class PageServer:
    """Serves the page on a free port and hands over the connections that it opens."""

    def __init__(self, config: dict[str, object] | None = None, port: int = 0) -> None:
        self.config = CONFIG | (config or {})
        self.port = port
        self.clients: asyncio.Queue[Client] = asyncio.Queue()
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://localhost:{self.port}/"

    async def client(self) -> Client:
        """Return the next connection of a page."""
        async with asyncio.timeout(15):
            return await self.clients.get()

    async def stop(self) -> None:
        """Close all connections and listen no more."""
        assert self._server is not None
        self._server.close(close_connections=True, code=1012)
        await self._server.wait_closed()

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._on_connection,
            "localhost",
            self.port,
            process_request=self._on_request,
            subprotocols=[Subprotocol("nova-sonic.v1")],
            compression=None,
            max_size=256 * 1024,
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    async def _on_connection(self, connection: ServerConnection) -> None:
        client = Client(connection)
        self.clients.put_nowait(client)
        with suppress(ConnectionClosedError):  # a test may break the connection
            await client.receive_all()

    def _on_request(self, connection: ServerConnection, request: Request) -> Response | Awaitable[Response | None] | None:
        if "Upgrade" in request.headers:
            return None
        path = request.path.partition("?")[0]
        if path == "/config":
            return self._respond(json.dumps(self.config).encode(), "application/json")
        if path.startswith("/test/"):
            return self._file(HERE / path.removeprefix("/test/"))
        return self._file(WEB / (path.lstrip("/") or "index.html"))

    def _file(self, path: Path) -> Response:
        if not path.is_file():
            return Response(404, "Not Found", Headers({"Content-Length": "0", "Connection": "close"}))
        return self._respond(path.read_bytes(), mimetypes.guess_type(path.name)[0] or "application/octet-stream")

    def _respond(self, body: bytes, content_type: str) -> Response:
        headers = Headers(
            {
                "Content-Type": content_type,
                "Content-Length": str(len(body)),
                "Connection": "close",
                "Content-Security-Policy": CONTENT_SECURITY_POLICY,
                "Permissions-Policy": "microphone=(self)",
                "X-Content-Type-Options": "nosniff",
            }
        )
        return Response(200, "OK", headers, body)

"""A server that does what a test writes down: `async with Scripted(script) as server`, one call of the script for each connection."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from hpack import Decoder, Encoder
from hyperframe.frame import DataFrame, Frame, HeadersFrame, SettingsFrame

from s2s.bedrock.http2.frames import HEADER_BYTES, PREFACE
from s2s.bedrock.http2.pool import Http2Exchanges
from tests.s2s.http2.peer import OK

PATIENCE_SECONDS = 10.0
PATH = "/model/x/invoke-with-bidirectional-stream"


@dataclass(frozen=True, slots=True)
class Secure:
    """How a server proves who it is, and by which authority."""

    context: ssl.SSLContext
    ca_file: str


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is so that nobody tells."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 -- what is waited for has no event
            await asyncio.sleep(0.001)


class Hung(Exception):
    """The client closed the connection."""


class Caller:
    """One connection of a client, seen from the server."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.reader = reader
        self.writer = writer
        self.encoder, self.decoder = Encoder(), Decoder()
        self.frames: list[Frame] = []

    def send(self, *frames: Frame | bytes) -> None:
        self.writer.write(b"".join(one if isinstance(one, bytes) else one.serialize() for one in frames))

    async def greet(self, settings: dict[int, int] | None = None) -> None:
        """Exchange prefaces and SETTINGS.

        Raises:
            Hung: the client is gone.
        """
        try:
            preface = await self.reader.readexactly(len(PREFACE))
        except (asyncio.IncompleteReadError, OSError):
            raise Hung from None
        assert preface == PREFACE
        self.send(SettingsFrame(0, settings or {}), SettingsFrame(0, flags=["ACK"]))

    async def frame(self) -> Frame:
        """Return the next frame.

        Raises:
            Hung: the client is gone.
        """
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                frame, length = Frame.parse_frame_header(memoryview(await self.reader.readexactly(HEADER_BYTES)))
                frame.parse_body(memoryview(await self.reader.readexactly(length)))
        except (asyncio.IncompleteReadError, OSError):
            raise Hung from None
        self.frames.append(frame)
        if isinstance(frame, HeadersFrame):
            self.decoder.decode(frame.data, raw=True)
        return frame

    async def until[F: Frame](self, kind: type[F]) -> F:
        """Return the next frame of a kind that is no acknowledgement."""
        while True:
            frame = await self.frame()
            if isinstance(frame, kind) and "ACK" not in frame.flags:
                return frame

    async def request(self) -> int:
        """Return the number of the next stream."""
        return (await self.until(HeadersFrame)).stream_id

    async def hang_up(self) -> list[Frame]:
        """Wait until the client closes the connection and return all frames that came."""
        with suppress(Hung):
            while True:
                await self.frame()
        return self.frames

    def respond(self, number: int, *pieces: bytes, fields: Sequence[tuple[str, str]] = OK, end: bool = False) -> None:
        """Send a head and pieces of a body."""
        self.send(HeadersFrame(number, self.encoder.encode(fields), flags=["END_HEADERS"]), *(DataFrame(number, piece) for piece in pieces))
        if end:
            self.send(DataFrame(number, b"", flags=["END_STREAM"]))


type Script = Callable[[Caller], Awaitable[Any]]


class Scripted:
    """Runs the script for each connection; what a script raises, but Hung, is raised at the end."""

    def __init__(self, script: Script, secure: Secure | None = None, host: str = "127.0.0.1") -> None:
        self._script = script
        self._secure = secure
        self._host = host
        self._tasks: list[asyncio.Task[None]] = []
        self.callers: list[Caller] = []

    async def __aenter__(self) -> Self:
        context = self._secure.context if self._secure is not None else None
        self._server = await asyncio.start_server(self._accept, self._host, 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]
        self.uri = f"{'https' if self._secure is not None else 'http'}://{self._host}:{self.port}"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.close()
        for task in self._tasks:
            if error is not None:
                task.cancel()
        done = await asyncio.gather(*self._tasks, return_exceptions=True)
        for caller in self.callers:
            caller.writer.transport.abort()
            with suppress(OSError):
                await caller.writer.wait_closed()
        await asyncio.sleep(0)
        for result in done:
            if isinstance(result, Exception) and error is None:
                raise result

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        caller = Caller(len(self.callers), reader, writer)
        self.callers.append(caller)
        self._tasks.append(asyncio.create_task(self._run(caller)))

    async def _run(self, caller: Caller) -> None:
        with suppress(Hung):
            await self._script(caller)

    def exchanges(self, *, ca_file: str | None = None, **options: Any) -> Http2Exchanges:
        """Return a client of this server."""
        trusted = self._secure.ca_file if self._secure is not None else None
        return Http2Exchanges(self.uri, ca_file=ca_file or trusted, **options)

"""A peer that writes HTTP/2 frames one by one, legal or not, and reads what comes back."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from hpack import Decoder, Encoder

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
TIMEOUT_SECONDS = 5.0
_HEAD_BYTES = 9

type Fields = Sequence[tuple[str, str]]


class Kind(IntEnum):
    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


ACK = END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITISED = 0x20


@dataclass(frozen=True)
class Frame:
    kind: int
    flags: int
    stream_id: int
    payload: bytes

    @property
    def error_code(self) -> int:
        return int.from_bytes(self.payload[4:8] if self.kind == Kind.GOAWAY else self.payload[:4])


def frame(kind: int, flags: int = 0, stream_id: int = 0, payload: bytes = b"", length: int | None = None) -> bytes:
    """Return a frame; `length` lies about the payload's."""
    size = len(payload) if length is None else length
    return size.to_bytes(3) + bytes((kind, flags)) + stream_id.to_bytes(4) + payload


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(Kind.SETTINGS, payload=b"".join(name.to_bytes(2) + value.to_bytes(4) for name, value in pairs))


class Peer:
    """One connection: `async with Peer(endpoint) as peer`. The preface has been exchanged, unless it is not wanted."""

    def __init__(self, endpoint: str, *, has_preface: bool = True) -> None:
        self.url = urlsplit(endpoint)
        self.frames: list[Frame] = []
        self.is_closed = False
        self.encoder = Encoder()
        self._decoder = Decoder()
        self._statuses: dict[int, int] = {}
        self._has_preface = has_preface
        self._change = asyncio.Event()

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection(self.url.hostname, self.url.port)
        self._task = asyncio.create_task(self._read())
        if self._has_preface:
            self.send(PREFACE, settings())
            await self.until(lambda found: found.kind == Kind.SETTINGS and found.flags & ACK)
            self.send(frame(Kind.SETTINGS, ACK))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.writer.close()

    def send(self, *pieces: bytes) -> None:
        self.writer.write(b"".join(pieces))

    def request(self, **more: str | None) -> list[tuple[str, str]]:
        """Return the fields of a GET that the server answers with 404; None leaves one out."""
        fields = {":method": "GET", ":scheme": "http", ":path": "/", ":authority": self.url.netloc}
        changed = fields | {f":{name}": value for name, value in more.items()}
        return [(name, value) for name, value in changed.items() if value is not None]

    def stream_request(self) -> list[tuple[str, str]]:
        """Return the fields of a request that stays open."""
        return self.request(method="POST", path="/model/amazon.nova-2-sonic-v1%3A0/invoke-with-bidirectional-stream")

    def head(self, stream_id: int, fields: Fields, flags: int = END_HEADERS | END_STREAM) -> bytes:
        """Return a HEADERS frame."""
        return frame(Kind.HEADERS, flags, stream_id, self.encoder.encode(fields))

    async def _read(self) -> None:
        try:
            while True:
                head = await self.reader.readexactly(_HEAD_BYTES)
                payload = await self.reader.readexactly(int.from_bytes(head[:3]))
                found = Frame(head[3], head[4], int.from_bytes(head[5:9]) & 0x7FFF_FFFF, payload)
                if found.kind == Kind.HEADERS:
                    self._statuses[found.stream_id] = int(dict(self._decoder.decode(payload, raw=True))[b":status"])
                self.frames.append(found)
                self._change.set()
        except (asyncio.IncompleteReadError, OSError):
            pass
        self.is_closed = True
        self._change.set()

    async def until(self, wanted: object, count: int = 1) -> Frame:
        """Wait for the count-th frame of a kind, or that a function takes, and return it."""

        def takes(found: Frame) -> bool:
            return bool(wanted(found)) if callable(wanted) else found.kind == wanted

        async with asyncio.timeout(TIMEOUT_SECONDS):
            while len(found := [one for one in self.frames if takes(one)]) < count:
                assert not self.is_closed, f"closed after {self.frames}"
                self._change.clear()
                await self._change.wait()
        return found[count - 1]

    async def closed(self) -> None:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not self.is_closed:
                self._change.clear()
                await self._change.wait()

    async def verdict(self) -> tuple[str, int]:
        """Wait for a complaint: of the connection, which is then closed, or of a stream."""

        def complains(found: Frame) -> bool:
            return found.kind in (Kind.GOAWAY, Kind.RST_STREAM)

        found = await self.until(complains)
        if found.kind == Kind.GOAWAY:
            await self.closed()
            return "connection", found.error_code
        return "stream", found.error_code

    async def is_alive(self) -> bool:
        """Tell whether a PING is answered: everything before it has been taken."""
        number = sum(found.kind == Kind.PING for found in self.frames) + 1
        self.send(frame(Kind.PING, payload=number.to_bytes(8)))
        await self.until(lambda found: found.kind == Kind.PING and found.payload == number.to_bytes(8))
        return True

    async def status(self, stream_id: int) -> int:
        """Wait for a response and return its status."""
        await self.until(lambda found: found.kind == Kind.HEADERS and found.stream_id == stream_id)
        return self._statuses[stream_id]

    async def body(self, stream_id: int) -> bytes:
        """Wait for the end of a response and return its data."""
        await self.until(lambda found: found.kind == Kind.DATA and found.stream_id == stream_id and found.flags & END_STREAM)
        return b"".join(found.payload for found in self.frames if found.kind == Kind.DATA and found.stream_id == stream_id)

"""One port for everything: the first request of a connection decides who serves it, the WebSocket server or plain HTTP.

Neither library shares a port with another. Both take their connections as asyncio protocols, though, and a transport can be given another
protocol: the bytes that were read until the decision are handed on, and from then on a WebSocket costs nothing more.

A connection serves one plain request: a proxy that keeps its connections open may send the next client's WebSocket over one of them.
"""

import asyncio
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, Protocol, cast, override

import orjson
from websockets.asyncio.server import Server, ServerConnection
from websockets.server import ServerProtocol

from session.errors import AdmissionError
from telemetry.counters import Counters
from transports.addresses import counted_as
from transports.admission import Admission

MAX_HEAD_BYTES: Final = 16 * 1024
"""Request line and headers: what nginx and AWS's load balancers take as well; a token has 2 KB, cookies of a strange site up to 8 KB."""
MAX_WAITING: Final = 1_024
"""Connections that have not said what they want; one more, and the one that took longest is dropped."""
PLAIN_SECONDS: Final = 60.0
"""From the first byte of a plain request to the last one of its answer, however slowly it is read."""
_END: Final = re.compile(rb"\r?\n\r?\n")
_UPGRADE: Final = re.compile(rb"\nupgrade[ \t]*:[^\r\n]*websocket", re.IGNORECASE)
_FORWARDED: Final = re.compile(rb"\nx-forwarded-for:([^\r\n]*)", re.IGNORECASE)
"""Without the space before the colon that a client could slip past a proxy."""


class PlainHttp(Protocol):
    """Serves the requests that want no WebSocket."""

    async def start(self) -> None:
        """Be ready for connections."""

    def __call__(self) -> asyncio.Protocol:
        """Return what serves a new connection."""

    async def stop(self) -> None:
        """Let the answers that are being made end, and close all connections."""


class FrontDoor:
    """Reads the first request of every connection.

    Args:
        plain: serves the requests that want no WebSocket.
        admission: knows who may come in.
        counters: gets `first_request_*` and `plain_request_overdue`.
        open_seconds: how long a first request may take to arrive.
    """

    def __init__(self, plain: PlainHttp, admission: Admission, counters: Counters, open_seconds: float) -> None:
        self.plain = plain
        self.admission = admission
        self.open_seconds = open_seconds
        self.counters = counters
        self._waiting: dict[FirstRequest, None] = {}

    def enter(self, request: "FirstRequest") -> None:
        """Wait for a request.

        Raises:
            TooMany: its address has too many connections that have not said what they want.
        """
        self.admission.door.knock(request.peer)
        self.admission.door.enter(request.peer)
        self._waiting[request] = None
        if len(self._waiting) > MAX_WAITING:
            self.counters.add("first_request_crowded_out")
            next(iter(self._waiting)).give_up(None)

    def leave(self, request: "FirstRequest") -> None:
        """Forget a request that has come, or will not."""
        if request in self._waiting:
            del self._waiting[request]
            self.admission.door.leave(request.peer)

    def refuse(self, request: "FirstRequest", status: HTTPStatus) -> None:
        """End the connection of a request that cannot be taken."""
        self.counters.add(f"first_request_refused.{status.value}")
        request.give_up(status)

    def close(self) -> None:
        """Drop whoever has not said what it wants."""
        for request in tuple(self._waiting):
            request.give_up(None)


class FirstRequest(asyncio.Protocol):
    """Collects the head of the first request, and stays between the transport and plain HTTP to bound the time.

    Args:
        door: knows the others.
        transport: of the connection; this becomes its protocol.
        upgrade: takes the connection, with the bytes that came, as a WebSocket.
    """

    __slots__ = ("_client", "_door", "_plain", "_received", "_timer", "_transport", "_upgrade", "peer")

    def __init__(self, door: FrontDoor, transport: asyncio.Transport, upgrade: Callable[[asyncio.Transport, bytes], None]) -> None:
        self._door = door
        self._transport = transport
        self._upgrade = upgrade
        self._received = b""
        self._plain: asyncio.Protocol | None = None
        self._client: str | None = None
        name = transport.get_extra_info("peername")
        self.peer = counted_as(str(name[0])) if name else ""
        """The connection's other end, as it is counted."""
        transport.set_protocol(self)
        self._timer = asyncio.get_running_loop().call_later(door.open_seconds, door.refuse, self, HTTPStatus.REQUEST_TIMEOUT)
        try:
            door.enter(self)
        except AdmissionError:
            self.give_up(None)

    @override
    def data_received(self, data: bytes) -> None:
        if self._plain is not None:
            self._plain.data_received(data)
            return
        searched = max(0, len(self._received) - 3)
        self._received += data
        end = _END.search(self._received, searched)
        if (end.end() if end else len(self._received)) > MAX_HEAD_BYTES:
            self._door.refuse(self, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif end is not None and _UPGRADE.search(self._received, 0, end.end()):
            self._stop_waiting()
            self._upgrade(self._transport, self._received)
        elif end is not None or not self._received[:1].isalpha():  # the second is no HTTP: there will be no end of a head
            self._serve_plainly(self._received[: end.end()] if end else b"")

    @override
    def eof_received(self) -> bool | None:
        return None if self._plain is None else self._plain.eof_received()

    @override
    def pause_writing(self) -> None:
        if self._plain is not None:
            self._plain.pause_writing()

    @override
    def resume_writing(self) -> None:
        if self._plain is not None:
            self._plain.resume_writing()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        if self._plain is not None:
            self._plain.connection_lost(exc)
        if self._client is not None:
            self._door.admission.plain.leave(self._client)

    def give_up(self, status: HTTPStatus | None, error: AdmissionError | None = None) -> None:
        """Close the connection, saying why to a client that has begun to say something."""
        self._stop_waiting()
        if status is not None and self._received:
            told, more = b"", ""
            if error is not None:
                body = {"code": error.code, "message": error.text, "retryable": error.retryable, "retry_after": error.retry_after}
                told = orjson.dumps({"success": False, "error": body, "message": error.text})
                more = f"Content-Type: application/json\r\nCache-Control: no-store\r\nRetry-After: {error.retry_after}\r\n"
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Length: {len(told)}\r\n{more}Connection: close\r\n\r\n"
            self._transport.write(head.encode() + told)
        self._transport.close()

    def _serve_plainly(self, head: bytes) -> None:
        self._stop_waiting()
        admission = self._door.admission
        client = admission.client_of(self.peer, [found.decode("latin-1") for found in _FORWARDED.findall(head)])
        try:
            admission.plain.knock(client)
        except AdmissionError as error:
            self.give_up(HTTPStatus(error.status), error)
            return
        admission.plain.enter(client)
        self._client = client
        received, self._received = self._received, b""
        self._plain = self._door.plain()
        self._timer = asyncio.get_running_loop().call_later(PLAIN_SECONDS, self._end_overdue)
        self._plain.connection_made(self._transport)
        self._plain.data_received(received)

    def _end_overdue(self) -> None:
        self._door.counters.add("plain_request_overdue")
        self._transport.abort()

    def _stop_waiting(self) -> None:
        self._timer.cancel()
        self._door.leave(self)


class LaterConnection(ServerConnection):
    """A WebSocket connection that begins when the first request is there and asks for it (the parameter create_connection of `serve`).

    Args:
        protocol: of the library.
        server: of the library.
        door: reads the first request.
        options: of the library.
    """

    def __init__(self, protocol: ServerProtocol, server: Server, *, door: FrontDoor, **options: Any) -> None:
        super().__init__(protocol, server, **options)
        self._door = door

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        FirstRequest(self._door, cast("asyncio.Transport", transport), self._begin)  # of a stream socket; uvloop's own is no subclass

    def _begin(self, transport: asyncio.Transport, received: bytes) -> None:
        transport.set_protocol(self)
        super().connection_made(transport)
        self.data_received(received)

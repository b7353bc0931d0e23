"""Exchanges on the `h2` library, for comparison with our own framing (docs/discussion/transport.md).

As little as carries the bench: one connection, TLS, no pool, no time-outs, no liveness. What a whole transport on the library would need
beside is what `s2s/bedrock/http2/` has in pool, wire and liveness; only its connection, frames and streams would be the library's.
"""

import asyncio
import ssl
from typing import cast
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.events
import h2.settings

from s2s.bedrock.interfaces import RECEIVE_WINDOW_BYTES, ROOM_BYTES, CannotConnect, Headers, StreamBroken

CONNECTION_WINDOW_BYTES = 64 * 1024 * 1024


class LibraryConnection(asyncio.Protocol):
    """A socket with the library's state machine on it."""

    def __init__(self) -> None:
        self.state = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.exchanges: dict[int, LibraryExchange] = {}
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the peer."""
        self._transport = cast("asyncio.Transport", transport)
        self.state.initiate_connection()
        self.state.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: RECEIVE_WINDOW_BYTES})
        self.state.increment_flow_control_window(CONNECTION_WINDOW_BYTES)
        self.flush()

    def data_received(self, data: bytes) -> None:
        """Hand out what came."""
        for event in self.state.receive_data(data):
            exchange = self.exchanges.get(getattr(event, "stream_id", 0) or 0)
            if isinstance(event, h2.events.WindowUpdated | h2.events.RemoteSettingsChanged):
                for waiting in self.exchanges.values():
                    waiting.pump()
            elif exchange is not None:
                exchange.take_event(event)
        self.flush()

    def flush(self) -> None:
        """Send what the library has written."""
        if self._transport is not None and (data := self.state.data_to_send()):
            self._transport.write(data)

    def abort(self) -> None:
        """Drop the socket."""
        if self._transport is not None:
            self._transport.abort()


class LibraryExchange:
    """A stream (s2s.bedrock.interfaces.Exchange)."""

    def __init__(self, connection: LibraryConnection, stream_id: int) -> None:
        self._connection, self._stream_id = connection, stream_id
        self._head: tuple[int, Headers] | None = None
        self._unread: list[tuple[bytes, int]] = []
        self._pending = bytearray()
        self._ends, self._is_over = False, False
        self._changed = asyncio.Event()

    @property
    def is_over(self) -> bool:
        """Whether the response has ended."""
        return self._is_over

    @property
    def has_room(self) -> bool:
        """Whether `room` would not wait."""
        return len(self._pending) <= ROOM_BYTES and not self._is_over

    async def head(self) -> tuple[int, Headers]:
        """Return status and headers."""
        while self._head is None:
            await self._wait()
        return self._head

    async def room(self) -> None:
        """Wait for the peer."""
        while len(self._pending) > ROOM_BYTES:
            await self._wait()

    def write(self, data: bytes) -> None:
        """Write a piece of the request."""
        if self._is_over:
            raise StreamBroken("over")
        self._pending += data
        self.pump()
        self._connection.flush()

    def end_input(self) -> None:
        """End the request."""
        self._ends = True
        self.pump()
        self._connection.flush()

    async def read(self) -> bytes | None:
        """Return what has come."""
        while not self._unread:
            if self._is_over:
                return None
            await self._wait()
        return self.take()

    def take(self) -> bytes:
        """Return what has come, without waiting."""
        data = b"".join(piece for piece, _ in self._unread)
        for _, size in self._unread:
            self._connection.state.acknowledge_received_data(size, self._stream_id)
        self._unread.clear()
        self._connection.flush()
        return data

    async def close(self) -> None:
        """Forget the stream."""
        self._is_over = True
        self._changed.set()

    def pump(self) -> None:
        """Send what the windows allow."""
        state = self._connection.state
        while self._pending:
            size = min(state.local_flow_control_window(self._stream_id), state.max_outbound_frame_size, len(self._pending))
            if size <= 0:
                return
            state.send_data(self._stream_id, bytes(self._pending[:size]))
            del self._pending[:size]
            self._changed.set()
        if self._ends:
            self._ends = False
            state.end_stream(self._stream_id)

    def take_event(self, event: h2.events.Event) -> None:
        """Take note of what the peer sent."""
        if isinstance(event, h2.events.ResponseReceived):
            fields = [(str(name), str(value)) for name, value in event.headers or ()]
            self._head = int(dict(fields)[":status"]), [field for field in fields if not field[0].startswith(":")]
        elif isinstance(event, h2.events.DataReceived):
            self._unread.append((event.data or b"", event.flow_controlled_length or 0))
        elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
            self._is_over = True
        self._changed.set()

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class LibraryExchanges:
    """One connection (s2s.bedrock.interfaces.Exchanges)."""

    def __init__(self, endpoint: str, ca_file: str) -> None:
        self._url = urlsplit(endpoint)
        self._tls = ssl.create_default_context(cafile=ca_file)
        self._tls.set_alpn_protocols(["h2"])
        self._connection: LibraryConnection | None = None
        self._connecting = asyncio.Lock()

    async def open(self, method: str, path: str, headers: Headers) -> LibraryExchange:
        """Send the head of a request."""
        await self.reach()
        connection = self._connection
        if connection is None:
            raise CannotConnect("closed")
        stream_id = connection.state.get_next_available_stream_id()
        exchange = LibraryExchange(connection, stream_id)
        connection.exchanges[stream_id] = exchange
        host = dict(headers)["host"]
        pseudo = [(":method", method), (":scheme", "https"), (":authority", host), (":path", path)]
        connection.state.send_headers(stream_id, [*pseudo, *(field for field in headers if field[0] != "host")])
        connection.flush()
        return exchange

    async def reach(self) -> None:
        """Connect."""
        async with self._connecting:
            if self._connection is None:
                loop = asyncio.get_running_loop()
                _, self._connection = await loop.create_connection(
                    LibraryConnection, self._url.hostname or "", self._url.port or 443, ssl=self._tls
                )

    async def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            self._connection.abort()

"""HTTP/2 on asyncio: connections that hand out their requests as exchanges.

The framing is the `h2` library's (`h2_connection.py`). Two things are added, each because a client needs it:

- Responses wait in one queue per stream for the client's window and for the socket; whoever writes can wait for room.
- A response that ends before its request is followed by RST_STREAM(NO_ERROR) (RFC 9113 8.1), else a client that goes on sending would fill
  its window and hang.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from enum import Enum
from typing import cast

from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    RequestReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

from nova_sonic_local.exchange import Exchange
from nova_sonic_local.h2_connection import ServerConnection
from nova_sonic_local.heads import Field, flaw_of_request, flaw_of_trailers

_log = logging.getLogger(__name__)

CONNECTION_WINDOW_BYTES = 64 * 1024 * 1024
"""Window of a whole connection: so large that one stream that is not read (64 KB) cannot hold up the others."""
SOCKET_HIGH_WATER_BYTES = 64 * 1024
MAX_STREAMS_PER_CONNECTION = 512
"""AWS's CRT puts all streams of a client on one connection, and those above the peer's limit wait without a word (measured)."""


class Ending(Enum):
    """How a connection is about to end, because somebody asked for it."""

    NONE = "none"
    DRAINING = "draining"
    """After GOAWAY: what is open goes on."""
    FROZEN = "frozen"
    """Nothing is read or written."""


class Http2Protocol(asyncio.Protocol):
    """One connection.

    Args:
        serve: called with each request; must return at once.
        opened: called when the connection is made, and `closed` when it is gone.
        closed: see `opened`.
    """

    def __init__(
        self,
        serve: Callable[[Exchange], None],
        opened: Callable[["Http2Protocol"], None],
        closed: Callable[["Http2Protocol"], None],
    ) -> None:
        self._serve = serve
        self._opened = opened
        self._closed = closed
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._h2 = ServerConnection()
        self._exchanges: dict[int, Exchange] = {}
        self._dirty: set[Exchange] = set()
        self._flush_handle: asyncio.Handle | None = None
        self._is_paused = False
        self._ending = Ending.NONE
        self.gone = asyncio.Event()
        """Set when the connection is gone."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the client."""
        transport = cast("asyncio.Transport", transport)  # asyncio's contract for stream protocols; uvloop's class is no subclass
        self._transport = transport
        transport.set_write_buffer_limits(SOCKET_HIGH_WATER_BYTES)
        plain_socket = transport.get_extra_info("socket")
        if plain_socket is not None and plain_socket.family != socket.AF_UNIX:
            plain_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._opened(self)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != "h2":
            transport.abort()
            return
        ours = {SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS_PER_CONNECTION, SettingCodes.ENABLE_CONNECT_PROTOCOL: 0}
        self._h2.local_settings = Settings(client=False, initial_values=ours)  # update_settings would come before the defaults, and lose
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(CONNECTION_WINDOW_BYTES)
        self._write()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell every exchange."""
        self._transport = None
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush_handle = None
        for exchange in list(self._exchanges.values()):
            exchange.lose()
        self._exchanges.clear()
        self._closed(self)
        self.gone.set()
        if exc is not None:
            _log.debug("connection lost: %r", exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the socket."""
        if self._ending is Ending.FROZEN:
            return
        try:
            events = self._h2.receive_data(data)
        except H2Error as error:
            _log.info("not HTTP/2, or broken: %s", error)
            self._write()
            self.close()
            return
        for event in events:
            self._on_event(event)
        self._write()

    def pause_writing(self) -> None:
        """Stop pumping: the socket is full."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """Pump again."""
        self._is_paused = False
        self._dirty.update(self._exchanges.values())
        self._flush()

    def _on_event(self, event: Event) -> None:
        match event:
            case RequestReceived():
                self._on_request(event)
            case DataReceived():
                self._on_data(event)
            case TrailersReceived():
                self._on_trailers(event)
            case StreamEnded():
                ended = self._exchanges.get(event.stream_id or 0)
                if ended is not None:
                    ended.receive_end()
                    if ended.is_complete:
                        del self._exchanges[ended.stream_id]
            case StreamReset():
                reset = self._exchanges.pop(event.stream_id or 0, None)
                if reset is not None:
                    reset.lose()
            case WindowUpdated():
                touched = self._exchanges.get(event.stream_id or 0)
                self._dirty.update(self._exchanges.values() if not event.stream_id else [touched] if touched else [])
                self.schedule()
            case _:
                pass

    def _on_request(self, event: RequestReceived) -> None:
        fields = cast("list[Field]", event.headers or [])  # bytes, because no encoding is configured
        headers = {name.decode("ascii", "replace"): value.decode("utf-8", "replace") for name, value in fields}
        exchange = Exchange(self, event.stream_id or 0, headers)
        self._exchanges[exchange.stream_id] = exchange
        if (flaw := flaw_of_request(fields)) is not None:
            _log.info("malformed request: %s", flaw)
            self.reset(exchange, ErrorCodes.PROTOCOL_ERROR)
        elif self._ending is Ending.DRAINING:
            self.reset(exchange, ErrorCodes.REFUSED_STREAM)
        else:
            self._serve(exchange)

    def _on_data(self, event: DataReceived) -> None:
        exchange = self._exchanges.get(event.stream_id or 0)
        if exchange is not None:
            exchange.receive(event.data or b"", event.flow_controlled_length or 0)
        else:
            self._give_back(event.stream_id or 0, event.flow_controlled_length or 0)

    def _on_trailers(self, event: TrailersReceived) -> None:
        exchange = self._exchanges.get(event.stream_id or 0)
        if exchange is not None and flaw_of_trailers(cast("list[Field]", event.headers or [])) is not None:
            self.reset(exchange, ErrorCodes.PROTOCOL_ERROR)

    def schedule(self, exchange: Exchange | None = None) -> None:
        """Send what is waiting, soon: what is written in one turn of the loop leaves in one write."""
        if exchange is not None:
            self._dirty.add(exchange)
        if self._flush_handle is None and self._transport is not None:
            self._flush_handle = self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_handle = None
        for exchange in list(self._dirty):
            if self._is_paused:
                break
            self._dirty.discard(exchange)
            self._pump(exchange)
        self._write()

    def _pump(self, exchange: Exchange) -> None:
        try:
            while exchange.outgoing and not exchange.is_held:
                room = min(self._h2.local_flow_control_window(exchange.stream_id), self._h2.max_outbound_frame_size)
                if room <= 0:
                    return
                self._h2.send_data(exchange.stream_id, exchange.take(room))
            if exchange.wants_end and not exchange.is_held:
                self._finish(exchange)
        except H2Error as error:
            _log.debug("stream %d: %s", exchange.stream_id, error)
            self._exchanges.pop(exchange.stream_id, None)
            exchange.lose()

    def _finish(self, exchange: Exchange) -> None:
        self._h2.end_stream(exchange.stream_id)
        exchange.complete()
        if exchange.is_request_ended:
            self._exchanges.pop(exchange.stream_id, None)
        elif exchange.patience_seconds:
            self._loop.call_later(exchange.patience_seconds, self.reset, exchange, ErrorCodes.NO_ERROR)
        else:
            self.reset(exchange, ErrorCodes.NO_ERROR)

    def send_headers(self, exchange: Exchange, headers: list[tuple[str, str]]) -> None:
        """Send the response head of an exchange."""
        try:
            self._h2.send_headers(exchange.stream_id, headers)
        except H2Error as error:
            _log.debug("stream %d: %s", exchange.stream_id, error)
            exchange.lose()
            return
        self.schedule(exchange)

    def acknowledge(self, exchange: Exchange, size: int) -> None:
        """Give back window for data that was consumed; `h2` sends WINDOW_UPDATE in batches."""
        if self._transport is not None:
            self._give_back(exchange.stream_id, size)
            self.schedule()

    def _give_back(self, stream_id: int, size: int) -> None:
        if size:
            try:
                self._h2.acknowledge_received_data(size, stream_id)
            except H2Error as error:
                _log.debug("stream %d: %s", stream_id, error)

    def reset(self, exchange: Exchange, code: ErrorCodes) -> None:
        """Send RST_STREAM, after what the client's window takes of the response."""
        if exchange.outgoing and not exchange.wants_end:
            self._pump(exchange)
        if self._exchanges.pop(exchange.stream_id, None) is not None:
            try:
                self._h2.reset_stream(exchange.stream_id, code)
            except H2Error as error:
                _log.debug("stream %d: %s", exchange.stream_id, error)
            self._write()
        exchange.lose()

    def go_away(self, code: ErrorCodes = ErrorCodes.NO_ERROR) -> None:
        """Send GOAWAY and close the connection."""
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush()
        self._h2.close_connection(code)
        self._write()
        self.close()

    def drain(self) -> None:
        """Send GOAWAY(NO_ERROR), let the open streams end, refuse new ones, and close then (RFC 9113 6.8).

        The frame is written past `h2`, which would end the streams with it.
        """
        if self._ending is Ending.NONE and self._transport is not None:
            self._ending = Ending.DRAINING
            self._write()
            self._transport.write(GoAwayFrame(stream_id=0, last_stream_id=self._h2.highest_inbound_stream_id).serialize())
            self._write()

    def freeze(self) -> None:
        """Read and write nothing more, and stay open: what comes is thrown away, so that the client's end is still noticed."""
        self._flush()
        self._ending = Ending.FROZEN

    def close(self) -> None:
        """Close the socket after what is written has left."""
        if self._transport is not None and not self._transport.is_closing():  # asyncio's TLS transport breaks when closed twice
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection: TCP RST, nothing more is sent."""
        if self._transport is not None:
            self._transport.abort()

    def _write(self) -> None:
        data = self._h2.data_to_send()
        if self._transport is None or self._transport.is_closing() or self._ending is Ending.FROZEN:
            return
        if data:
            self._transport.write(data)
        if self._ending is Ending.DRAINING and not self._exchanges:
            self.close()

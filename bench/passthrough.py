"""The bare reference of the bridge bench: WebSocket frames in, HTTP/2 DATA out, and back, with no idea of what they mean.

Run as `python -m bench.passthrough --model https://host:port --ca ca.pem`; prints its own address as one JSON line. The client's first text
frame holds the request headers, every binary frame after it goes on as it is. What any bridge must at least do is done here and nothing
else, so the difference to the server is what sessions, checks, codecs, signatures and pacing cost.
"""

import argparse
import asyncio
import json
import ssl
from typing import cast
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.events
import uvloop
from websockets.asyncio.server import ServerConnection, serve


class Upstream(asyncio.Protocol):
    """One HTTP/2 connection with one stream."""

    def __init__(self) -> None:
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._transport: asyncio.Transport | None = None
        self._room = asyncio.Event()
        self.received: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=1_024)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._http.initiate_connection()
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Pass on the body; grant the window back at once."""
        for event in self._http.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                self._http.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 1)
                self.received.put_nowait(event.data)
            elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset | h2.events.ConnectionTerminated):
                self.received.put_nowait(None)
        self._room.set()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the body."""
        del exc
        self.received.put_nowait(None)

    def request(self, headers: list[tuple[str, str]]) -> None:
        """Open the stream."""
        self._http.send_headers(1, headers)
        self._flush()

    async def send(self, data: bytes) -> None:
        """Send a piece of the body within the peer's window."""
        while self._http.local_flow_control_window(1) < len(data):
            self._room.clear()
            await self._room.wait()
        largest = self._http.max_outbound_frame_size
        for start in range(0, len(data), largest):
            self._http.send_data(1, data[start : start + largest])
        self._flush()

    def close(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.close()

    def _flush(self) -> None:
        if self._transport is not None:
            self._transport.write(self._http.data_to_send())


async def bridge(client: ServerConnection, host: str, port: int, tls: ssl.SSLContext) -> None:
    """Join one client with one upstream."""
    loop = asyncio.get_running_loop()
    _, upstream = await loop.create_connection(Upstream, host, port, ssl=tls)
    try:
        upstream.request([(name, value) for name, value in json.loads(await client.recv())])
        async with asyncio.TaskGroup() as tasks:
            down = tasks.create_task(_down(client, upstream))
            async for frame in client:
                await upstream.send(frame if isinstance(frame, bytes) else frame.encode())
            down.cancel()
    finally:
        upstream.close()


async def _down(client: ServerConnection, upstream: Upstream) -> None:
    while (data := await upstream.received.get()) is not None:
        await client.send(data)


async def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--ca", required=True)
    arguments = parser.parse_args()
    url = urlsplit(arguments.model)
    tls = ssl.create_default_context(cafile=arguments.ca)
    tls.set_alpn_protocols(["h2"])

    async def serve_client(client: ServerConnection) -> None:
        await bridge(client, url.hostname or "", url.port or 443, tls)

    async with serve(serve_client, "127.0.0.1", 0, compression=None) as server:
        print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    uvloop.run(main())

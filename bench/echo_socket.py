"""A bare WebSocket server that sends everything back: what set-up and delivery cost without any of ours.

Run as `python -m bench.echo_socket`; prints its port as one JSON line.
"""

import asyncio
import json
from contextlib import suppress

import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol


async def echo(client: ServerConnection) -> None:
    """Serve one client."""
    with suppress(ConnectionClosed):
        async for message in client:
            await client.send(message)


async def main() -> None:
    """Serve until killed."""
    async with serve(echo, "127.0.0.1", 0, compression=None, subprotocols=[Subprotocol("nova-sonic.v1")], backlog=2_048) as server:
        print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    uvloop.run(main())

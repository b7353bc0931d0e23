"""Slow networks: a TCP relay that takes from the server no more than its rate, through buffers as small as a packet queue.

What the relay does not take stays with the server: its kernel is pushed back, and then the server.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

WINDOW_BYTES = 8_192
"""What is under way to the relay at most; Linux doubles what is asked for, and uses half of it."""
SEGMENT_BYTES = 1_448
"""Of Ethernet. The loopback's own segments of 64 KB would fill the window at once."""
UP_BYTES = 65_536
LATE_SECONDS = 0.02
"""What the relay makes up for when the machine wakes it late, so that the rate holds."""


@asynccontextmanager
async def slow_link(port: int, bytes_per_second: float) -> AsyncIterator[int]:
    """Relay to a port of this machine for the length of the block, downwards at this rate; gives the relay's port.

    Args:
        port: of the server.
        bytes_per_second: of each connection; 0 is as fast as it goes.
    """
    carried: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        carried.add(task)
        with suppress(OSError, asyncio.CancelledError):
            await _carry(reader, writer, port, bytes_per_second)
        writer.close()
        carried.discard(task)

    relay = await asyncio.start_server(carry, "127.0.0.1", 0)
    try:
        yield relay.sockets[0].getsockname()[1]
    finally:
        relay.close()
        for task in list(carried):
            task.cancel()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, bytes_per_second: float) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as upstream:
        if bytes_per_second:
            upstream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW_BYTES)
            upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)
        upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        upstream.setblocking(False)
        await loop.sock_connect(upstream, ("127.0.0.1", port))
        async with asyncio.TaskGroup() as tasks:
            up = tasks.create_task(_up(reader, upstream))
            await _down(upstream, writer, bytes_per_second)
            up.cancel()


async def _up(reader: asyncio.StreamReader, upstream: socket.socket) -> None:
    while data := await reader.read(UP_BYTES):
        await asyncio.get_running_loop().sock_sendall(upstream, data)
    with suppress(OSError):
        upstream.shutdown(socket.SHUT_WR)


async def _down(upstream: socket.socket, writer: asyncio.StreamWriter, bytes_per_second: float) -> None:
    loop = asyncio.get_running_loop()
    free_at = loop.time()
    while data := await loop.sock_recv(upstream, SEGMENT_BYTES if bytes_per_second else UP_BYTES):
        if bytes_per_second:  # a packet has arrived when its last byte has
            free_at = max(free_at, loop.time() - LATE_SECONDS) + len(data) / bytes_per_second
            await asyncio.sleep(max(0.0, free_at - loop.time()))
        writer.write(data)
        await writer.drain()

"""Requests as bytes: what no client library would send."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from api.plain_http import PlainHttp


async def exchange(port: int | None, head: str | bytes, *, is_over: bool = False) -> bytes:
    """Send bytes as they stand and return all that comes back.

    Args:
        port: of the server.
        head: to send.
        is_over: whether to say that no more follows.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode() if isinstance(head, str) else head)
    await writer.drain()
    if is_over:
        writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[int]:
    """Serve an application as the server does, one request for each connection; yield its port."""
    plain = PlainHttp(app)
    await plain.start()
    listening = await asyncio.get_running_loop().create_server(plain, "127.0.0.1", 0)
    try:
        yield int(listening.sockets[0].getsockname()[1])
    finally:
        listening.close()
        await plain.stop()

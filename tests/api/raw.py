"""Requests as bytes: what no client library would send."""

import asyncio


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

"""A client that never stops, in a process of its own: what it costs is the server's to bear and not the test's.

Run as `python -m tests.e2e.flooder URL sound|messages`; prints the code of each error as it comes, and the close code
in the end.
"""

import asyncio
import json
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.e2e.clients import HEADER

FRAMES: dict[str, str | bytes] = {"sound": HEADER.pack(1, 0, 0, 0, 0, 0) + bytes(1_024), "messages": '{"type":"ping","t":1}'}


async def flood(url: str, kind: str) -> None:
    """Begin a session, send until the connection is closed, and say how it was."""
    async with connect(url, subprotocols=[Subprotocol("nova-sonic.v1")], compression=None) as socket:
        await socket.send(json.dumps({"type": "hello", "protocol": 1}))

        async def send() -> None:
            while True:
                await socket.send(FRAMES[kind])

        sending = asyncio.create_task(send())
        try:
            async for frame in socket:
                if isinstance(frame, str) and (message := json.loads(frame))["type"] == "error":
                    print(message["code"], flush=True)  # noqa: T201 - read by the test
        except ConnectionClosed:
            pass
        sending.cancel()
        await asyncio.wait({sending})
    print(socket.close_code, flush=True)  # noqa: T201 - read by the test


if __name__ == "__main__":
    asyncio.run(flood(*sys.argv[1:3]))

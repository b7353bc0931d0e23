"""A DynamoDB that knows one order and takes 300 ms to say so, and an S3 that takes whatever it is given.

Run as `python -m bench.slow_store`; prints its port as one JSON line.
"""

import asyncio
import json
from decimal import Decimal

import uvloop
from aiohttp import web

from storage.values import Item, encode_item

STORE_SECONDS = 0.3
LARGEST_BYTES = 64 * 1024 * 1024
ORDER: Item = {
    "id": "1",
    "customerName": "Ana Lopez",
    "customerEmail": "ana@example.com",
    "items": [{"id": "1", "name": "Cable", "quantity": 1, "price": Decimal("9.99")}],
    "total": Decimal("9.99"),
    "status": "pending",
    "createdAt": "2026-01-01T10:00:00.000Z",
    "updatedAt": "2026-01-01T10:00:00.000Z",
}
ANSWERS = {
    "GetItem": {"Item": encode_item({"PK": "ORDER#1", "SK": "ORDER#1", **ORDER})},
    "Query": {"Items": [], "Count": 0, "ScannedCount": 0},
    "UpdateItem": {"Attributes": {"attempts": {"N": "1"}}},
}
"""Other operations are answered with nothing."""


async def answer(request: web.Request) -> web.Response:
    """Answer any request for records."""
    operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
    await request.read()
    await asyncio.sleep(STORE_SECONDS)
    return web.Response(body=json.dumps(ANSWERS.get(operation, {})), content_type="application/x-amz-json-1.0")


async def swallow(request: web.Request) -> web.Response:
    """Take an upload."""
    async for _ in request.content.iter_chunked(65_536):
        pass
    return web.Response(headers={"ETag": '"0"'})


async def main() -> None:
    """Serve until killed."""
    app = web.Application(client_max_size=LARGEST_BYTES)
    app.add_routes([web.post("/", answer), web.put("/{path:.*}", swallow)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(json.dumps({"port": runner.addresses[0][1]}), flush=True)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    uvloop.run(main())

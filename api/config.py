"""What a front end has to know of this server: addresses, names and ids, and no secret."""

from collections.abc import Mapping
from typing import Final

import orjson
from aiohttp import web

from api.operations import Access, Operation, Shape, Success
from api.schema import Anything

_CONFIG: Final = Anything("Config", "Assistants with their languages, paths, region, time zone, and how to sign in.")


def operations(config: Mapping[str, object]) -> list[Operation]:
    """Return the operation that tells a configuration."""
    body = orjson.dumps(config)

    async def tell(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json", headers={"Cache-Control": "no-store"})

    told = Success(description="The configuration", data=_CONFIG, shape=Shape.BARE)
    summary = "What a front end has to know of this server"
    return [Operation(method="GET", path="/config", name="getConfig", summary=summary, access=Access.PUBLIC, handler=tell, success=told)]

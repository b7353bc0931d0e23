"""What a front end has to know of this server: addresses, names and ids, and no secret."""

from typing import Final

from aiohttp import web

from api.operations import Access, Operation, Shape, Success
from api.schema import Anything

CONFIG: Final = web.AppKey("config", bytes)
"""The configuration as JSON."""


async def get_config(request: web.Request) -> web.Response:
    """Tell the configuration."""
    return web.Response(body=request.app[CONFIG], content_type="application/json", headers={"Cache-Control": "no-store"})


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/config",
        handler=get_config,
        summary="What a front end has to know of this server",
        access=Access.PUBLIC,
        success=Success(
            description="The configuration",
            data=Anything("Config", "Assistants with their languages, paths, region, time zone of the clinic, and how to sign in."),
            shape=Shape.BARE,
        ),
    ),
)

"""/event: publishing in this process by the HTTP operation of AppSync Events, for operators; subscribers use the WebSocket."""

from secrets import token_hex
from typing import Final

import orjson
from aiohttp import web

from api.errors import InvalidBody, NotFound
from api.operations import Access, Operation, Shape, Success
from api.requests import GIVEN
from api.schema import Anything, ListOf, Member, Record, Text
from publishing.local import POSTED_BYTES, POSTED_EVENTS, BadEvents, LocalChannels, NoChannel

CHANNELS: Final = web.AppKey("channels", LocalChannels)

CHANNEL: Final = Member("channel", Text(260), "Path of the channel, beginning with the namespace.", is_required=True)
EVENTS: Final = Member("events", ListOf(Text(POSTED_BYTES), POSTED_EVENTS, 1), "Each a JSON value, written as a string.", is_required=True)


async def post_event(request: web.Request) -> web.Response:
    """Publish events on a channel."""
    body = request[GIVEN].body
    try:
        request.app[CHANNELS].post(body[CHANNEL], body[EVENTS])
    except NoChannel:
        raise NotFound("There is no such channel.") from None
    except BadEvents as error:
        raise InvalidBody(f"The events cannot be published: {error}.") from None
    name = token_hex(8)
    told = {"failed": [], "successful": [{"identifier": f"{name}-{index}", "index": index} for index in range(len(body[EVENTS]))]}
    return web.Response(body=orjson.dumps(told), content_type="application/json", headers={"Cache-Control": "no-store"})


OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/event",
        handler=post_event,
        summary="Publish events on a channel of this process",
        access=Access.OPERATOR,
        body=Record("PublishedEvents", (CHANNEL, EVENTS)),
        success=Success(
            description="They were published", data=Anything("Published", "Which of them were taken, by their places."), shape=Shape.BARE
        ),
        refusals={404: "There is no such channel"},
    ),
)

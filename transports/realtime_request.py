"""Which clients speak OpenAI's Realtime dialect: those that ask for its path or its subprotocol."""

from typing import Final
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection

from session.registry import SessionRegistry
from transports.dialects.detection import Clocks
from transports.dialects.realtime import SUBPROTOCOL, RealtimeDialect
from transports.dialects.realtime_wire import Generation

PATH: Final = "/v1/realtime"
BETA_SUBPROTOCOL: Final = "openai-beta.realtime-v1"
BETA_HEADER: Final = "OpenAI-Beta"
BETA_VALUE: Final = "realtime=v1"
MODEL_LIMIT: Final = 100
"""Longest name of a model that is repeated to the client."""


def realtime_dialect(connection: ServerConnection, registry: SessionRegistry, clocks: Clocks) -> RealtimeDialect | None:
    """Return the dialect of a client that asks for this one, else None.

    Args:
        connection: whose handshake is over.
        registry: knows the assistants: one that the query names as the model answers, any other model is the default one.
        clocks: for ids.
    """
    request = connection.request
    if request is None:
        return None
    address = urlsplit(request.path)
    if address.path.rstrip("/") != PATH and connection.subprotocol != SUBPROTOCOL:
        return None
    model = parse_qs(address.query).get("model", [""])[0]
    is_beta = any(BETA_VALUE in value for value in request.headers.get_all(BETA_HEADER)) or any(
        BETA_SUBPROTOCOL in value for value in request.headers.get_all("Sec-WebSocket-Protocol")
    )
    return RealtimeDialect(
        clocks.wall_ms,
        registry.profile(model),
        assistant=model if registry.has_assistant(model) else None,
        model=model[:MODEL_LIMIT],
        generation=Generation.BETA if is_beta else Generation.PRESENT,
    )

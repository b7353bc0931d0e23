"""A server that takes the tokens of an issuer, and what clients say to it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Response
from websockets.typing import Subprotocol

from auth.interfaces import Authenticator
from auth.principal import Principal
from telemetry.counters import Counters
from tests.auth.doubles import authenticator_of
from tests.auth.issuer import Issuer
from tests.transports.doubles import Rig, running_server
from transports.authentication import AUTH_SECONDS, GRACE_SECONDS, Gate
from transports.dialects.binary import SUBPROTOCOL

HELLO = {"type": "hello", "protocol": 1}


class Wall:
    """Seconds since 1970 that pass with the loop's."""

    def __init__(self) -> None:
        self._began = time.time() - asyncio.get_running_loop().time()

    def __call__(self) -> float:
        return self._began + asyncio.get_running_loop().time()


class Counting:
    """Passes everything on, and counts who is asked about."""

    def __init__(self, inner: Authenticator) -> None:
        self.asked = 0
        self._inner = inner

    @property
    def needs_token(self) -> bool:
        return self._inner.needs_token

    async def authenticate(self, token: str, claimed_user: str = "") -> Principal:
        self.asked += 1
        return await self._inner.authenticate(token, claimed_user)


@dataclass(slots=True)
class House:
    """A running server with its issuer."""

    rig: Rig
    issuer: Issuer
    authenticator: Counting

    def page(self, token: str = "", *, query: str = "") -> connect:
        """Connect as the page does, with a token in the header if there is one."""
        return connect(f"{self.rig.address}{query}", subprotocols=[Subprotocol(SUBPROTOCOL)], additional_headers=bearer(token))

    def raw(self, token: str = "") -> connect:
        """Connect as clients of Nova's own events do."""
        return connect(self.rig.address, additional_headers=bearer(token))

    @property
    def counted(self) -> dict[str, int]:
        return self.rig.counters.read()

    @property
    def principals(self) -> list[str]:
        """Whose sessions run."""
        return [runner.client.principal for runner in self.rig.registry._live.values()]

    @property
    def is_untouched(self) -> bool:
        """Whether no session was admitted and no stream of the model opened."""
        return not self.rig.model.streams and self.rig.registry.live == 0


@asynccontextmanager
async def house(
    *,
    seconds: float = AUTH_SECONDS,
    grace_seconds: float = GRACE_SECONDS,
    waiting_limit: int = 10,
    resume_seconds: float = 0,
    authenticator: Authenticator | None = None,
) -> AsyncIterator[House]:
    issuer, wall = Issuer(), Wall()
    counting = Counting(authenticator or authenticator_of(issuer, wall))

    def gate(counters: Counters) -> Gate:
        return Gate(counting, counters, seconds=seconds, grace_seconds=grace_seconds, waiting_limit=waiting_limit, wall=wall)

    async with running_server(gate=gate, resume_seconds=resume_seconds) as rig:
        yield House(rig, issuer, counting)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


async def say(client: ClientConnection, **message: object) -> None:
    await client.send(json.dumps(message))


async def heard(client: ClientConnection, kind: str) -> dict[str, Any]:
    """Return the next message of a type, reading over others."""
    while True:
        frame = await client.recv()
        if isinstance(frame, str) and (message := json.loads(frame)).get("type") == kind:
            return dict(message)


async def closing(client: ClientConnection) -> tuple[int | None, list[Any]]:
    """Return the close code, and the messages that came before it."""
    frames: list[str | bytes] = []
    with suppress(ConnectionClosed):
        while True:
            frames.append(await client.recv())
    return client.close_code, [json.loads(frame) for frame in frames if isinstance(frame, str)]


async def refusal(attempt: connect) -> Response:
    """Return the answer to a handshake that is refused."""
    try:
        async with attempt:
            raise AssertionError("the handshake was not refused")
    except InvalidStatus as refused:
        return refused.response

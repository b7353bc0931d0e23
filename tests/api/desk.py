"""The API over example records, with callers whose tokens are their names."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientResponse, ClientSession, web

from api import appointments, orders
from api.app import build_app
from auth.interfaces import Authenticator, KeysUnavailable, TokenOutdated, TokenRefused
from auth.principal import Principal, Role
from storage.appointments import Appointments
from storage.examples import write_examples
from storage.orders import Orders
from storage.table import Database
from tests.api.raw import serving
from tests.storage.databases import NOW, StandingClock, repositories
from transports.origins import OriginPolicy

SALT = b"salt of the tests"
OPERATOR = "operator"
JUAN = "juan"
"""Has orders 1 and 2 and appointments 1 and 5."""
NOBODY = "nobody"
"""Has no verified e-mail address."""
LISTENS_ON = "0.0.0.0"
"""What the server is told that it listens on: any name may lead here."""
PRINCIPALS = {
    OPERATOR: Principal("o-1", roles=frozenset({Role.OPERATOR})),
    JUAN: Principal("u-1", email="Juan.Perez@email.com"),
    NOBODY: Principal("u-2"),
}


class NamedTokens:
    """Takes names for tokens."""

    needs_token = True

    async def authenticate(self, token: str, claimed_user: str = "") -> Principal:
        if token == "keys are away":
            raise KeysUnavailable("secret words")
        if token == "old":
            raise TokenOutdated("secret words")
        if token not in PRINCIPALS:
            raise TokenRefused("secret words")
        return PRINCIPALS[token]


@dataclass(frozen=True, slots=True)
class Desk:
    """Somebody who asks."""

    port: int
    orders: Orders
    appointments: Appointments
    clock: StandingClock

    async def ask(
        self, method: str, path: str, *, by: str = OPERATOR, json: object = None, headers: Mapping[str, str] | None = None, **options: Any
    ) -> ClientResponse:
        """Ask, and return the answer with its body read."""
        own = {"Authorization": f"Bearer {by}"} if by else {}
        async with ClientSession() as http:
            response = await http.request(
                method, f"http://127.0.0.1:{self.port}{path}", json=json, headers={**own, **(headers or {})}, **options
            )
            await response.read()
            return response

    async def code(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        """Ask, and return the status and the error's code."""
        response = await self.ask(method, path, **options)
        return response.status, (await response.json()).get("error", {}).get("code", "")


def application(orders_: Orders, appointments_: Appointments, authenticator: Authenticator, origins: OriginPolicy) -> web.Application:
    """Return the API on these records."""
    parts: dict[web.AppKey[Any], object] = {
        orders.SHOP: orders.Shop(orders_, SALT),
        appointments.CLINIC: appointments.Clinic(appointments_, lambda: NOW),
    }
    groups = [orders.OPERATIONS, appointments.OPERATIONS]
    return build_app(groups, authenticator=authenticator, origins=origins, stage="demo", parts=parts)


@asynccontextmanager
async def open_desk(
    database: Database, clock: StandingClock, prefix: str = "nova-sonic", *, authenticator: Authenticator | None = None, allowed: str = ""
) -> AsyncIterator[Desk]:
    """Serve the examples for the length of the block."""
    orders_, appointments_ = await repositories(database, clock, prefix)
    async for _ in write_examples(orders_, appointments_, now=NOW, salt=SALT):
        pass
    origins = OriginPolicy((allowed,) if allowed else (), LISTENS_ON)
    async with serving(application(orders_, appointments_, authenticator or NamedTokens(), origins)) as port:
        yield Desk(port, orders_, appointments_, clock)

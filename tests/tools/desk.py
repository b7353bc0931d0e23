"""All tools on a database in memory with the example records, as a session sees them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import orjson

from storage.appointments import Appointments
from storage.examples import write_examples
from storage.orders import Orders
from storage.sqlite import SqliteDatabase
from tests.storage.databases import ZONE, StandingClock, repositories
from tools.catalogue import build_tools
from tools.executor import ToolExecutor

SALT = b"salt of the tests"


@dataclass
class Desk:
    """What a test holds in its hands."""

    executor: ToolExecutor
    orders: Orders
    appointments: Appointments
    clock: StandingClock
    ids: Any

    async def call(
        self, name: str, session: str = "s1", tool_use_id: str | None = None, caller: str = "", **arguments: object
    ) -> dict[str, Any]:
        """Run a tool and return its parsed result."""
        outcome = await self.executor.run(
            session_id=session,
            tool_use_id=tool_use_id or f"t{next(self.ids)}",
            name=name,
            arguments=orjson.dumps(arguments).decode(),
            caller=caller,
        )
        result = orjson.loads(outcome.content)
        assert (outcome.error_code is None) == result["success"]
        assert outcome.error_code == result.get("error")
        return dict(result)


@asynccontextmanager
async def open_desk() -> AsyncIterator[Desk]:
    """Open a desk with the example records."""
    clock = StandingClock()
    database = SqliteDatabase(":memory:", clock=clock.seconds)
    try:
        orders, appointments = await repositories(database, clock)
        async for _ in write_examples(orders, appointments, now=clock(), salt=SALT):
            pass
        executor = build_tools(orders, appointments, salt=SALT, zone=ZONE, clock=clock)
        yield Desk(executor, orders, appointments, clock, count(1))
    finally:
        await database.aclose()

"""A tool that writes does so once: for a call that comes again in another process, and for one that timed out and is tried again."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import count
from typing import Annotated, Any

import pytest

from storage.appointments import Appointments
from storage.errors import StorageUnavailable
from storage.examples import write_examples
from storage.models import OrderStatus
from storage.orders import Orders
from storage.sqlite import SqliteDatabase, SqliteTable
from storage.table import Write
from storage.tables import appointments_table, orders_table
from tests.storage.databases import ZONE, StandingClock, repositories
from tests.tools.desk import SALT, Desk, open_desk
from tools.catalogue import build_tools
from tools.errors import ToolError
from tools.executor import MAX_UNCERTAIN, ExecutorLimits, ToolAnswer, ToolExecutor
from tools.registry import Answer, ToolCall, ToolRegistry, tool
from tools.schema import Param

PATIENT = {"patientName": "Eva Ruiz", "patientEmail": "eva@email.com", "doctorName": "Dr. Rodríguez"}
CUSTOMER = {"customerName": "María García", "customerEmail": "maria.garcia@email.com"}
ITEMS = [{"name": "Yerba", "quantity": 2, "price": 12.5}]
WRITES: dict[str, dict[str, Any]] = {
    "crearOrder": {**CUSTOMER, "items": ITEMS},
    "cancelarOrder": {"orderId": "1", "dni": "12345678"},
    "agendarTurno": {**PATIENT, "date": "2030-01-21T10:00"},
    "modificarTurno": {"appointmentId": "1", "patientName": "Juan Pérez", "newDate": "2030-01-22", "newTime": "11:30"},
    "cancelarTurno": {"appointmentId": "1", "patientName": "Juan Pérez"},
}


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with open_desk() as opened:
        yield opened


def other_process(desk: Desk) -> Desk:
    """Return the tools of another process on the same store."""
    executor = build_tools(desk.orders, desk.appointments, salt=SALT, zone=ZONE, clock=desk.clock)
    return Desk(executor, desk.orders, desk.appointments, desk.clock, desk.ids)


async def contents(desk: Desk) -> tuple[list[Any], list[Any]]:
    """Return everything that is stored."""
    return await desk.orders.everything(), await desk.appointments.everything()


@pytest.mark.req("S4-47", "S4-48", "S4-49", "S4-50", "S4-51")
@pytest.mark.parametrize("name", WRITES)
async def test_a_hundred_duplicates_in_four_processes_do_it_once_and_say_the_same(desk: Desk, name: str) -> None:
    processes = [other_process(desk) for _ in range(4)]
    calls = [processes[number % 4].call(name, tool_use_id="same", **WRITES[name]) for number in range(100)]
    answers = await asyncio.gather(*calls)
    stored = await contents(desk)
    once_more = await other_process(desk).call(name, tool_use_id="same", **WRITES[name])

    assert answers[0]["success"] is True
    assert [answer == answers[0] for answer in (*answers, once_more)] == [True] * 101
    assert await contents(desk) == stored
    assert len(stored[0]) == 5 + (name == "crearOrder")


@pytest.mark.req("S4-51")
async def test_a_duplicate_that_comes_after_another_change_says_what_was_done_and_does_nothing(desk: Desk) -> None:
    moved = await desk.call("modificarTurno", tool_use_id="move", **WRITES["modificarTurno"])
    await desk.call("cancelarTurno", tool_use_id="cancel", **WRITES["cancelarTurno"])
    desk.clock.advance(hours=20)
    stored = await contents(desk)
    again = await other_process(desk).call("modificarTurno", tool_use_id="move", **WRITES["modificarTurno"])

    assert again == moved
    assert await contents(desk) == stored


@pytest.mark.req("S4-49")
async def test_a_duplicate_is_known_when_its_time_is_over(desk: Desk) -> None:
    made = await desk.call("agendarTurno", tool_use_id="make", **WRITES["agendarTurno"])
    await desk.appointments.delete(made["appointment"]["id"])
    desk.clock.now = desk.clock.now.replace(day=21, hour=10)
    stored = await contents(desk)
    desk.clock.now = desk.clock.now.replace(day=17, hour=10)

    assert await other_process(desk).call("agendarTurno", tool_use_id="make", **WRITES["agendarTurno"]) == made
    assert await contents(desk) == stored


class SlowTable(SqliteTable):
    """A table whose transactions take their time, and are done although nobody waits for them any more."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.under_way: list[asyncio.Task[None]] = []

    async def transact(self, writes: Sequence[Write]) -> None:
        if self.goes_on.is_set():
            await super().transact(writes)
            return
        self.under_way.append(asyncio.create_task(self._later(writes)))
        await asyncio.shield(self.under_way[-1])

    async def _later(self, writes: Sequence[Write]) -> None:
        await self.goes_on.wait()
        await super().transact(writes)


@pytest.mark.req("S4-48", "S4-49")
@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("is_done_before", [True, False], ids=["written-late", "written-after-the-retry"])
async def test_a_write_that_timed_out_and_was_done_is_not_done_again_when_it_is_retried(name: str, *, is_done_before: bool) -> None:
    clock = StandingClock()
    database = SqliteDatabase(":memory:", clock=clock.seconds)
    await repositories(database, clock)
    tables = SlowTable(database, orders_table()), SlowTable(database, appointments_table())
    orders, appointments = Orders(tables[0], clock), Appointments(tables[1], ZONE, clock)
    async for _ in write_examples(orders, appointments, now=clock(), salt=SALT):
        pass
    limits = ExecutorLimits(timeout_seconds=0.3)
    desk = Desk(build_tools(orders, appointments, salt=SALT, zone=ZONE, clock=clock, limits=limits), orders, appointments, clock, count(1))
    for table in tables:
        table.goes_on.clear()
    first = await desk.call(name, tool_use_id="first", **WRITES[name])
    for table in tables:
        table.goes_on.set()
        if is_done_before:
            await asyncio.gather(*table.under_way)
    second = await desk.call(name, tool_use_id="second", **WRITES[name])
    for table in tables:
        await asyncio.gather(*table.under_way, return_exceptions=True)
    stored = await contents(desk)
    await database.aclose()

    assert first["error"] == "timeout"
    assert "not done twice" in first["message"]
    assert second["success"] is True
    assert (len(stored[0]), len(stored[1])) == (5 + (name == "crearOrder"), 5 + (name == "agendarTurno"))


class Deed:
    """What the tool of these tests does is put in from outside."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.act: Callable[[], Awaitable[Answer]] = self.done

    async def done(self) -> Answer:
        return {"message": "done"}


@tool("act", "Does what it is told")
async def act(call: ToolCall, deed: Deed, *, text: Annotated[str | None, Param("A text")] = None) -> Answer:
    deed.requests.append(call.request_id)
    return await deed.act()


async def run(executor: ToolExecutor, tool_use_id: str, session_id: str = "s1", **arguments: str) -> ToolAnswer:
    return await executor.run(session_id=session_id, tool_use_id=tool_use_id, name="act", arguments=json.dumps(arguments))


async def hang() -> Answer:
    await asyncio.Event().wait()
    return {}


async def away() -> Answer:
    raise StorageUnavailable("away")


async def odd() -> Answer:
    return {"object": object()}  # type: ignore[dict-item] # a bug, after the deed


async def refuse() -> Answer:
    raise ToolError("no", "No.")


@pytest.mark.parametrize(
    ("ends", "is_same"), [(hang, True), (away, True), (odd, True), (refuse, False)], ids=["time-out", "store-away", "our-bug", "refusal"]
)
async def test_what_may_have_been_done_is_the_same_request_when_it_is_tried_again(
    ends: Callable[[], Awaitable[Answer]], *, is_same: bool
) -> None:
    deed = Deed()
    executor = ToolExecutor(ToolRegistry([act], [deed]), ExecutorLimits(timeout_seconds=0.01))
    deed.act = ends
    await run(executor, "t1", text="Uno")
    deed.act = deed.done
    await run(executor, "t2", text="otro")
    await run(executor, "t3", text="uno ")
    await run(executor, "t4", text="uno")

    first, other, retry, later = deed.requests
    assert (retry == first) is is_same
    assert len({first, other, later}) == 3


async def test_sessions_do_not_share_what_is_uncertain_and_few_of_it_is_remembered() -> None:
    deed = Deed()
    executor = ToolExecutor(ToolRegistry([act], [deed]))
    deed.act = away
    for number in range(MAX_UNCERTAIN + 1):
        await run(executor, f"t{number}", text=str(number))
    deed.act = deed.done
    await run(executor, "again-oldest", text="0")
    await run(executor, "again-newest", text=str(MAX_UNCERTAIN))
    await run(executor, "t0", session_id="s2", text="1")

    assert deed.requests[-3] != deed.requests[0]
    assert deed.requests[-2] == deed.requests[MAX_UNCERTAIN]
    assert deed.requests[-1] not in deed.requests[:-1]


async def test_a_tool_in_which_something_was_cancelled_is_answered_like_any_that_failed() -> None:
    async def cancelled() -> Answer:
        raise asyncio.CancelledError

    deed = Deed()
    deed.act = cancelled
    executor = ToolExecutor(ToolRegistry([act], [deed]))
    answer = await run(executor, "t1")

    assert answer.error_code == "internal_error"
    assert executor.statistics.failed == 1


async def test_an_order_of_the_same_again_is_a_second_order(desk: Desk) -> None:
    first = await desk.call("crearOrder", **WRITES["crearOrder"])
    second = await desk.call("crearOrder", **WRITES["crearOrder"])

    assert [first["order"]["id"], second["order"]["id"]] == ["6", "7"]
    assert second["order"]["status"] == OrderStatus.PENDING.value

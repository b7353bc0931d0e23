"""Guessing is limited for each caller over all sessions, and a wrong guess shows nothing, not even by the work it makes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from storage.table import Key
from tests.storage.databases import ZONE
from tests.tools.desk import SALT, Desk, open_desk
from tools.catalogue import build_tools
from tools.identity import MAX_FAILURES_PER_ADDRESS, MAX_FAILURES_PER_USER

EVE = "user:eve"
ADDRESS = "address:192.0.2.7"
SPREAD = 100
"""Orders that do not exist, so that no record is locked before the caller."""


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with open_desk() as opened:
        yield opened


async def guess(desk: Desk, number: int, caller: str = EVE) -> str:
    """Guess in a session of its own, at a record of its own; return the error's code."""
    result = await desk.call("consultarOrder", session=f"s{number}", caller=caller, orderId=str(SPREAD + number), dni="99999999")
    return str(result["error"])


@pytest.mark.req("S4-53")
async def test_after_twenty_wrong_guesses_in_twenty_sessions_a_caller_is_locked_for_the_rest_of_the_hour(desk: Desk) -> None:
    errors = [await guess(desk, number) for number in range(MAX_FAILURES_PER_USER + 1)]
    locked = await desk.call("consultarOrder", session="new", caller=EVE, orderId="1", dni="12345678")
    other = await desk.call("consultarOrder", session="other", caller="user:ada", orderId="1", dni="12345678")
    unknown = await desk.call("consultarOrder", session="unknown", orderId="1", dni="12345678")
    desk.clock.advance(hours=1)
    later = await desk.call("consultarOrder", session="newer", caller=EVE, orderId="1", dni="12345678")

    assert errors == ["identity_not_verified"] * MAX_FAILURES_PER_USER + ["identity_locked"]
    assert locked["error"] == "identity_locked"
    assert [result["success"] for result in (other, unknown, later)] == [True, True, True]


@pytest.mark.req("S4-53", "S4-54")
async def test_guesses_at_orders_and_at_appointments_count_together(desk: Desk) -> None:
    for number in range(MAX_FAILURES_PER_USER):
        await desk.call("consultarTurno", session=f"s{number}", caller=EVE, appointmentId=str(SPREAD + number), patientName="Somebody Else")

    assert await guess(desk, 99) == "identity_locked"


@pytest.mark.req("S4-53")
async def test_guesses_that_are_made_at_once_count_too(desk: Desk) -> None:
    errors = await asyncio.gather(*(guess(desk, number) for number in range(50)))

    assert errors.count("identity_not_verified") == MAX_FAILURES_PER_USER


@pytest.mark.req("S4-53")
async def test_a_caller_who_goes_to_another_process_takes_the_guesses_along(desk: Desk) -> None:
    elsewhere = Desk(
        build_tools(desk.orders, desk.appointments, salt=SALT, zone=ZONE, clock=desk.clock),
        desk.orders,
        desk.appointments,
        desk.clock,
        desk.ids,
    )
    errors = [await guess(elsewhere if number % 2 else desk, number) for number in range(MAX_FAILURES_PER_USER)]

    assert errors == ["identity_not_verified"] * MAX_FAILURES_PER_USER
    assert {await guess(desk, 98), await guess(elsewhere, 99)} == {"identity_locked"}


async def test_right_answers_use_up_none_of_a_callers_tries(desk: Desk) -> None:
    results = [
        await desk.call("consultarOrder", session=f"s{number}", caller=EVE, orderId="1", dni="12345678")
        for number in range(MAX_FAILURES_PER_USER + 5)
    ]

    assert all(result["success"] for result in results)


@pytest.mark.req("S4-53")
async def test_a_locked_caller_locks_no_record_for_others(desk: Desk) -> None:
    for number in range(MAX_FAILURES_PER_USER):
        await guess(desk, number)
    for number in range(20):
        await desk.call("consultarOrder", session=f"t{number}", caller=EVE, orderId="1", dni="99999999")
    owner = await desk.call("consultarOrder", session="owner", caller="user:juan", orderId="1", dni="12345678")

    assert owner["success"] is True


@pytest.mark.req("S4-53")
async def test_an_address_can_be_many_peoples_and_is_locked_later(desk: Desk) -> None:
    errors = [await guess(desk, number, ADDRESS) for number in range(MAX_FAILURES_PER_ADDRESS + 1)]

    assert errors == ["identity_not_verified"] * MAX_FAILURES_PER_ADDRESS + ["identity_locked"]


async def test_what_is_counted_shows_nobodys_address(desk: Desk) -> None:
    keys = watch(desk)
    await guess(desk, 1, ADDRESS)

    assert any("CALLER#" in key for _, key in keys)
    assert "192.0.2.7" not in str(keys)


def watch(desk: Desk) -> list[tuple[str, str]]:
    """Return a list of what the orders' table is asked for from now on."""
    asked: list[tuple[str, str]] = []
    table: Any = desk.orders.table

    def spied(name: str, real: Callable[..., Awaitable[Any]], *arguments: Any, **more: Any) -> Awaitable[Any]:
        key = arguments[0]
        asked.append((name, key.partition if isinstance(key, Key) else ""))
        return real(*arguments, **more)

    for name in ("get", "update", "put", "transact", "query"):
        setattr(table, name, partial(spied, name, getattr(table, name)))
    return asked


@pytest.mark.req("S4-53")
@pytest.mark.parametrize("said", [{"dni": "99999999"}, {"customerName": "Ana Paz"}, {"dni": "99999999", "customerName": "Juan Pérez"}])
async def test_a_record_that_does_not_exist_makes_the_same_work_and_answer_as_somebody_elses(desk: Desk, said: dict[str, str]) -> None:
    answers, work = [], []
    for order_id in ("1", "4", "999"):  # another's, one without a stored DNI, none
        asked = watch(desk)
        answers.append(await desk.call("consultarOrder", session=f"of-{order_id}", caller=EVE, orderId=order_id, **said))
        work.append([(name, key.split("#")[0]) for name, key in asked])

    assert answers[0] == answers[1] == answers[2]
    assert work[0] == work[1] == work[2] == [("update", "ATTEMPTS"), ("update", "ATTEMPTS"), ("get", "ORDER")]

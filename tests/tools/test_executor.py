import asyncio
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Annotated, Any

import pytest
import structlog

from session.interfaces import ToolOutcome, ToolRunner
from storage.errors import InvalidRequest, StorageThrottled, StorageUnavailable
from tools.errors import ToolError
from tools.executor import MAX_CALLS, ExecutorLimits, ToolAnswer, ToolExecutor
from tools.registry import Answer, ToolCall, ToolRegistry, tool
from tools.schema import Param

CANARY = "canary-12345678"


class Desk:
    """What the tools of these tests do is put in from outside."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.act: Callable[[], Awaitable[Answer]] = self.answer

    async def answer(self) -> Answer:
        return {"message": "done", "number": len(self.calls)}


@tool("act", "Does what it is told")
async def act(call: ToolCall, desk: Desk, *, text: Annotated[str | None, Param("A text")] = None) -> Answer:
    desk.calls.append(text or call.request_id)
    return await desk.act()


@pytest.fixture
def desk() -> Desk:
    return Desk()


def executor_of(desk: Desk, **limits: Any) -> ToolExecutor:
    return ToolExecutor(ToolRegistry([act], [desk]), ExecutorLimits(**limits))


async def run(
    executor: ToolExecutor, tool_use_id: str = "t1", name: str = "act", arguments: str = "{}", session_id: str = "s1"
) -> ToolAnswer:
    return await executor.run(session_id=session_id, tool_use_id=tool_use_id, name=name, arguments=arguments)


def raising(error: Exception) -> Callable[[], Awaitable[Answer]]:
    async def fail() -> Answer:
        raise error

    return fail


def test_it_fits_the_session_by_shape(desk: Desk) -> None:
    runner: ToolRunner = executor_of(desk)
    outcome: ToolOutcome = ToolAnswer("{}")

    assert runner.specs(["act"])[0].name == "act"
    assert outcome.error_code is None
    with pytest.raises(KeyError):
        runner.specs(["nothing"])


async def test_a_result_is_a_json_object_that_says_success(desk: Desk) -> None:
    answer = await run(executor_of(desk))

    assert json.loads(answer.content) == {"success": True, "message": "done", "number": 1}
    assert answer.error_code is None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ToolError("slot_taken", "Ask for another time."), "slot_taken"),
        (StorageUnavailable("away"), "storage_unavailable"),
        (StorageThrottled("slower"), "storage_unavailable"),
        (InvalidRequest("bug"), "internal_error"),
        (KeyError(CANARY), "internal_error"),
        (ValueError(CANARY), "internal_error"),
        (TimeoutError(), "timeout"),
        (RecursionError(), "internal_error"),
    ],
)
@pytest.mark.req("S4-06")
async def test_every_failure_is_an_answer_with_a_code_and_something_to_say(desk: Desk, error: Exception, code: str) -> None:
    desk.act = raising(error)
    with structlog.testing.capture_logs() as logs:
        answer = await run(executor_of(desk), arguments=json.dumps({"text": CANARY}))
    result = json.loads(answer.content)

    assert answer.error_code == code
    assert result["success"] is False
    assert result["error"] == code
    assert len(result["message"]) > 10
    assert CANARY not in answer.content
    assert CANARY not in repr(logs)


async def test_an_unknown_tool_is_an_answer(desk: Desk) -> None:
    answer = await run(executor_of(desk), name="formatDisk")

    assert answer.error_code == "unknown_tool"
    assert desk.calls == []


@pytest.mark.parametrize("arguments", ["not json", "[]", '{"text": []}', "\ud800", '"\\ud800"', "{" * 100_000])
async def test_arguments_that_cannot_be_used_are_an_answer(desk: Desk, arguments: str) -> None:
    answer = await run(executor_of(desk), arguments=arguments)

    assert answer.error_code in {"arguments_not_json", "arguments_too_long", "invalid_arguments"}
    assert desk.calls == []


async def test_a_tool_that_hangs_is_given_up(desk: Desk) -> None:
    cancelled = asyncio.Event()

    async def hang() -> Answer:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return {}

    desk.act = hang
    executor = executor_of(desk, timeout_seconds=0.02)
    answer = await run(executor)

    assert answer.error_code == "timeout"
    assert cancelled.is_set()
    assert executor.statistics.timed_out == 1


async def test_a_hundred_duplicates_at_once_run_once_and_get_one_answer(desk: Desk) -> None:
    executor = executor_of(desk)
    answers = await asyncio.gather(*[run(executor) for _ in range(100)])

    assert len(desk.calls) == 1
    assert len(set(answers)) == 1
    assert executor.statistics.repeated == 99


async def test_the_same_id_in_another_session_or_after_forgetting_is_another_call(desk: Desk) -> None:
    executor = executor_of(desk)
    await run(executor)
    await run(executor, session_id="s2")
    executor.forget("s1")
    await run(executor)

    assert len(desk.calls) == 3
    # The same session and tool_use_id have the same request id, in every process: the store knows the call again.
    assert desk.calls[0] == desk.calls[2] != desk.calls[1]


async def test_a_refusal_is_remembered_and_a_passing_trouble_is_not(desk: Desk) -> None:
    executor = executor_of(desk)
    desk.act = raising(ToolError("no", "No."))
    first = await run(executor, "t1")
    desk.act = raising(StorageUnavailable("away"))
    away = await run(executor, "t2")
    desk.act = desk.answer
    again = [await run(executor, "t1"), await run(executor, "t2")]

    assert again[0] == first
    assert away.error_code == "storage_unavailable"
    assert again[1].error_code is None


async def test_when_the_first_of_two_duplicates_is_cancelled_the_second_runs(desk: Desk) -> None:
    started = asyncio.Event()

    async def wait() -> Answer:
        started.set()
        if len(desk.calls) == 1:
            await asyncio.Event().wait()
        return {"number": len(desk.calls)}

    desk.act = wait
    executor = executor_of(desk)
    first = asyncio.ensure_future(run(executor))
    await started.wait()
    second = asyncio.ensure_future(run(executor))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first

    assert json.loads((await second).content)["number"] == 2


async def test_a_cancelled_duplicate_leaves_the_first_alone(desk: Desk) -> None:
    go = asyncio.Event()

    async def wait() -> Answer:
        await go.wait()
        return {}

    desk.act = wait
    executor = executor_of(desk)
    first = asyncio.ensure_future(run(executor))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(run(executor))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    go.set()

    assert (await first).error_code is None


async def test_a_bounded_number_runs_at_once_and_the_rest_is_told_at_once(desk: Desk) -> None:
    go, running, most = asyncio.Event(), 0, 0

    async def wait() -> Answer:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await go.wait()
        running -= 1
        return {}

    desk.act = wait
    executor = executor_of(desk, concurrent=3, waiting=2)
    tasks = [asyncio.ensure_future(run(executor, f"t{number}")) for number in range(8)]
    await asyncio.sleep(0)
    told = [task for task in tasks if task.done()]
    go.set()
    codes = [(await task).error_code for task in tasks]

    assert most == 3
    assert len(told) == 3
    assert codes == [None] * 5 + ["busy"] * 3
    assert executor.statistics.turned_away == 3


async def test_a_result_that_is_too_long_says_that_it_was_done(desk: Desk) -> None:
    async def long() -> Answer:
        return {"text": "x" * 9000, "number": 7}

    desk.act = long
    answer = await run(executor_of(desk))

    assert answer.error_code is None
    assert len(answer.content) < 8192
    assert json.loads(answer.content) == {
        "success": True,
        "number": 7,
        "message": "It was done. The details are too long to repeat here.",
        "truncated": True,
    }


async def test_a_result_that_is_no_json_is_our_own_failure(desk: Desk) -> None:
    async def odd() -> Answer:
        return {"object": object()}  # type: ignore[dict-item] # on purpose

    desk.act = odd

    assert (await run(executor_of(desk))).error_code == "internal_error"


async def test_memory_is_bounded_over_sessions(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.executor.MAX_SESSIONS", 2)
    executor = executor_of(desk)
    for session_id in ("s1", "s2", "s3", "s3", "s1"):
        await run(executor, session_id=session_id)

    assert len(desk.calls) == 4
    assert executor.names == ("act",)


@pytest.mark.req("S4-48")
async def test_amounts_become_json_numbers(desk: Desk) -> None:
    async def amount() -> Answer:
        return {"total": Decimal("67.48")}  # type: ignore[dict-item] # a slip that a tool may make

    desk.act = amount

    assert (await run(executor_of(desk))).content == '{"success":true,"total":67.48}'


async def test_memory_is_bounded_per_session(desk: Desk) -> None:
    executor = executor_of(desk)
    for number in range(MAX_CALLS + 50):
        await run(executor, f"t{number}")
    await run(executor, "t0")
    await run(executor, f"t{MAX_CALLS + 49}")

    assert len(desk.calls) == MAX_CALLS + 51

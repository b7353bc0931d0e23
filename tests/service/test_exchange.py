"""Exchanges of programs with the model: nothing of them is left, however they end."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from service import exchange
from session.errors import InternalError, ModelLost
from session.events import Command, End, SendAudio, Start
from session.runner import SessionRunner
from tests.service.stage import Stage, spoken, staged

pytestmark = pytest.mark.timeout(60)


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as opened:
        yield opened


def breaks_at(monkeypatch: pytest.MonkeyPatch, kind: type, error: Exception | None) -> None:
    """Let sessions raise this at a command of this kind; None has it take for ever."""
    carry_out = SessionRunner.submit

    async def submit(runner: SessionRunner, command: Command) -> None:
        if not isinstance(command, kind):
            await carry_out(runner, command)
        elif error is None:
            await asyncio.Event().wait()
        else:
            raise error

    monkeypatch.setattr(SessionRunner, "submit", submit)


async def test_a_bug_while_a_recording_is_given_ends_the_work_at_once_and_is_logged(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    breaks_at(monkeypatch, SendAudio, RuntimeError("of ours"))
    with capture_logs() as lines, pytest.raises(InternalError):
        await stage.desk.transcribe(spoken(300), "audio/wav", None)

    assert "exchange.crashed" in [line["event"] for line in lines]
    assert stage.registry.live == 0


@pytest.mark.parametrize("error", [ModelLost(), None], ids=["refuses", "takes for ever"])
async def test_a_session_that_cannot_be_ended_politely_is_cut_off(
    error: Exception | None, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks_at(monkeypatch, End, error)
    monkeypatch.setattr(exchange, "END_SECONDS", 0.05)
    async with asyncio.timeout(10), stage.desk.exchange(Start(), "ana"):
        await stage.begun.wait()

    assert stage.registry.live == 0


async def test_nothing_is_left_of_an_exchange_that_is_cancelled_twice(stage: Stage) -> None:
    async def talk() -> None:
        async with stage.desk.exchange(Start(), "ana") as session:
            session.speak(bytes(320_000), 1.0, wants_answer=True)
            await asyncio.Event().wait()

    talking = asyncio.create_task(talk())
    await stage.begun.wait()
    for _ in range(2):
        talking.cancel()
        await asyncio.sleep(0)  # it is at its end by then
    await asyncio.wait({talking}, timeout=10)

    assert talking.cancelled()
    assert stage.registry.live == 0

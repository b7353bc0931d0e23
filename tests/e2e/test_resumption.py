"""A conversation over a real stream that dies: it goes on in another one, and the model knows what was said."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from session.events import ContinueReason, SendText, SessionContinued, TranscriptUpdated
from tests.e2e.remembering import conversation, until


def each(faults: Iterator[str]) -> Callable[[], str]:
    """Give the streams these faults, one after the other, and none any more when there are no more."""
    return lambda: next(faults, "")


@pytest.mark.parametrize("fault", ["rst@2.5s", "tcp_drop@2.5s", "exception:modelStreamErrorException@2.5s"])
async def test_the_model_of_the_next_stream_knows_what_was_said(tmp_path: Path, fault: str) -> None:
    async with conversation(tmp_path, fault=each(iter([fault]))) as runner:
        await runner.submit(SendText("My name is Ada."))
        await until(runner, TranscriptUpdated)
        continued = await until(runner, SessionContinued)
        await runner.submit(SendText("Who am I?"))
        answer = await until(runner, TranscriptUpdated)

    assert isinstance(continued, SessionContinued)
    assert continued.reason is ContinueReason.RESUMED
    assert isinstance(answer, TranscriptUpdated)
    assert answer.text == "I know 2 things: My name is Ada. / I know 0 things:"


async def test_a_question_that_died_with_its_stream_is_answered_by_the_next_one(tmp_path: Path) -> None:
    async with conversation(tmp_path, fault=each(iter(["rst@2textInput", "rst@0"]))) as runner:
        await runner.submit(SendText("My name is Ada."))
        continued = await until(runner, SessionContinued)
        answer = await until(runner, TranscriptUpdated)
        said = [turn.text for turn in runner.history]

    assert isinstance(continued, SessionContinued)
    assert isinstance(answer, TranscriptUpdated)
    assert answer.text == "I know 0 things:"
    assert said == ["My name is Ada.", "I know 0 things:"]

"""A conversation over a real stream that dies: it goes on in another one, and the model knows what was said."""

import asyncio
import random
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nova_sonic_local.brains.interface import Prompt, Reply, UserTurn
from session.events import ContinueReason, SendAudio, SendText, SessionContinued, TranscriptUpdated
from tests.e2e.remembering import conversation, until, until_all

FRAME_MS = 20
FRAME_BYTES = 32 * FRAME_MS
LOUD = 2_000
SPOKEN_MS = 1_600


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


async def test_a_history_that_the_service_refuses_is_told_in_part_and_the_conversation_goes_on(tmp_path: Path) -> None:
    faults = each(iter(["rst@2.5s", "exception:history_too_long@9"]))
    async with conversation(tmp_path, fault=faults) as runner:
        await runner.submit(SendText("My name is Ada, and I have much to tell you today."))
        await until(runner, TranscriptUpdated)
        await runner.submit(SendText("Who am I?"))
        second = await until(runner, TranscriptUpdated)

    assert isinstance(second, TranscriptUpdated)
    assert second.text == "I know 0 things:"


class Measuring:
    """Answers how much of what it heard was loud."""

    def __init__(self, _: Prompt) -> None:
        """Take any prompt."""

    def listen(self) -> None:
        return None

    async def answer(self, turn: UserTurn, reply: Reply) -> None:
        frames = [array("h", turn.pcm[start : start + FRAME_BYTES]) for start in range(0, len(turn.pcm), FRAME_BYTES)]
        await reply.say(f"{FRAME_MS * sum(max(frame) > LOUD for frame in frames)} ms")

    async def close(self) -> None:
        return


@pytest.mark.parametrize("fault", ["rst@userSpeechStart", "tcp_drop@60", "exception:modelStreamErrorException@80"])
async def test_what_is_said_while_the_stream_dies_is_heard_whole_by_the_next_one(tmp_path: Path, fault: str) -> None:
    chance = random.Random(1)  # noise
    voice = array("h", [chance.randint(-8_000, 8_000) for _ in range(16 * SPOKEN_MS)]).tobytes()
    sound = bytes(32 * 1_000) + voice + bytes(32 * 4_000)
    async with conversation(tmp_path, fault=each(iter([fault])), brain=Measuring) as runner:

        async def speak() -> None:
            for start in range(0, len(sound), FRAME_BYTES):
                await runner.submit(SendAudio(sound[start : start + FRAME_BYTES]))
                await asyncio.sleep(FRAME_MS / 1_000)

        speaking = asyncio.create_task(speak())
        continued, answer = await until_all(runner, SessionContinued, TranscriptUpdated)
        await speaking

    assert isinstance(continued, SessionContinued)
    assert isinstance(answer, TranscriptUpdated)
    assert abs(int(answer.text.removesuffix(" ms")) - SPOKEN_MS) <= 2 * FRAME_MS

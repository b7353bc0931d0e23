"""A conversation over a real stream that dies: it goes on in another one, and the model knows what was said."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from s2s.bedrock.client import NovaSonicClient
from s2s.events import Role, Stage
from s2s.models import DEFAULT_MODEL_ID
from session.events import ContinueReason, End, SendText, SessionContinued, SessionEvent, Start, TranscriptUpdated
from session.registry import SessionRegistry
from session.runner import SessionRunner
from tests.e2e.test_continuation import EndingKey, Remembering, profile
from tests.session.doubles import LoopClock, ScriptedTools


class Key(EndingKey):
    """Credentials that never expire."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 1


@asynccontextmanager
async def conversation(folder: Path, faults: Iterator[str]) -> AsyncIterator[SessionRunner]:
    """Run a session whose streams have these faults, one after the other, and none any more when there are no more."""
    options = Options(brain=Remembering, ca_dir=folder, fault=lambda: next(faults, ""))
    async with NovaSonicLocal(options) as emulator:
        client = NovaSonicClient("us-east-1", DEFAULT_MODEL_ID, emulator.endpoint, str(emulator.ca_file), Key())
        registry = SessionRegistry(
            assistants={"kind": profile()},
            default_assistant="kind",
            max_sessions=1,
            model=client,
            tools=ScriptedTools(),
            observers=(),
            clock=LoopClock(),
        )
        runner = registry.open(Start())
        running = asyncio.create_task(registry.run(runner))
        yield runner
        await runner.submit(End())
        await running
        await client.aclose()


async def until(runner: SessionRunner, kind: type[SessionEvent]) -> SessionEvent:
    """Return the next event of a kind; of transcripts, the assistant's final ones count."""
    async with asyncio.timeout(20):
        while (event := await runner.next_event()) is not None:
            if not isinstance(event, kind):
                continue
            if not isinstance(event, TranscriptUpdated) or (event.role, event.stage) == (Role.ASSISTANT, Stage.FINAL):
                return event
    raise AssertionError("the session ended")


@pytest.mark.parametrize("fault", ["rst@2.5s", "tcp_drop@2.5s", "exception:modelStreamErrorException@2.5s"])
async def test_the_model_of_the_next_stream_knows_what_was_said(tmp_path: Path, fault: str) -> None:
    async with conversation(tmp_path, iter([fault])) as runner:
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
    async with conversation(tmp_path, iter(["rst@2textInput", "rst@0"])) as runner:
        await runner.submit(SendText("My name is Ada."))
        continued = await until(runner, SessionContinued)
        answer = await until(runner, TranscriptUpdated)
        said = [turn.text for turn in runner.history]

    assert isinstance(continued, SessionContinued)
    assert isinstance(answer, TranscriptUpdated)
    assert answer.text == "I know 0 things:"
    assert said == ["My name is Ada.", "I know 0 things:"]

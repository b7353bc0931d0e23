"""A tool that takes its time: Carlos says so in his own voice, and tells the result when it comes; with the emulator, over HTTP/2."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bootstrap import build
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from s2s.events import Role, Stage, ToolSpec
from session.events import End, Interrupted, SendText, SessionEvent, SpeechChunk, Start, ToolFinished, TranscriptUpdated
from session.runner import SessionRunner
from tests.server.process import WITHOUT_AWS
from tests.server.test_bootstrap import settings_of
from tests.tools.desk import open_desk
from tools.executor import ToolAnswer, ToolExecutor


class HeldTools:
    """The seven tools, with a store that does not answer before the test lets it."""

    def __init__(self, executor: ToolExecutor) -> None:
        self.answers = asyncio.Event()
        self._executor = executor

    def specs(self, names: Sequence[str]) -> tuple[ToolSpec, ...]:
        """Return the specs."""
        return self._executor.specs(names)

    async def run(
        self, *, session_id: str, tool_use_id: str, name: str, arguments: str, caller: str = "", patient_id: str = ""
    ) -> ToolAnswer:
        """Run a tool when the store answers."""
        await self.answers.wait()
        return await self._executor.run(
            session_id=session_id, tool_use_id=tool_use_id, name=name, arguments=arguments, caller=caller, patient_id=patient_id
        )

    def forget(self, session_id: str) -> None:
        """Drop what is remembered."""
        self._executor.forget(session_id)


@dataclass
class Caller:
    """A client that listens to all that it is told, at the pace of speech."""

    runner: SessionRunner
    events: list[SessionEvent] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self) -> None:
        """Listen to the end."""
        while (event := await self.runner.next_event()) is not None:
            self.events.append(event)
            self.came.set()

    async def until_said(self, count: int) -> None:
        """Wait until this many sentences of the assistant have begun to be heard."""
        async with asyncio.timeout(20):
            while len(self.texts(Role.ASSISTANT)) < count or not isinstance(self.events[-1], SpeechChunk):
                self.came.clear()
                await self.came.wait()

    def texts(self, role: Role) -> list[str]:
        """Return what one side said."""
        told = [event for event in self.events if isinstance(event, TranscriptUpdated) and event.role is role]
        return [event.text for event in told if (event.stage is Stage.SPECULATIVE) is (role is Role.ASSISTANT)]


@pytest.fixture(autouse=True)
def _without_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in WITHOUT_AWS.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("language", "question", "sentence", "answer"),
    [
        ("es", "Consulta el pedido número 1, mi DNI es 12345678", "Un momento, lo estoy consultando.", "pendiente"),
        ("en", "Check order number 1, my ID is 12345678", "One moment, I am looking it up.", "pending"),
    ],
)
async def test_a_caller_who_waits_is_told_so_once_and_then_gets_the_answer(
    tmp_path: Path, language: str, question: str, sentence: str, answer: str
) -> None:
    async with NovaSonicLocal(Options(brain="demo", ca_dir=tmp_path)) as emulator, open_desk() as desk:
        tools = HeldTools(desk.executor)
        endpoint = {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": emulator.endpoint, "BEDROCK_CA_FILE": str(emulator.ca_file)}
        application = await build(settings_of(tmp_path, **endpoint), tools=tools)
        runner = application.registry.open(Start(language=language))
        caller, running = Caller(runner), asyncio.create_task(application.registry.run(runner))
        listening = asyncio.create_task(caller.listen())
        await runner.submit(SendText(question))
        await caller.until_said(1)
        finished_before = [event for event in caller.events if isinstance(event, ToolFinished)]
        tools.answers.set()
        await caller.until_said(2)
        await runner.submit(End())
        await asyncio.gather(running, listening)
        await application.stop()
    said = caller.texts(Role.ASSISTANT)

    assert finished_before == []
    assert said[0] == sentence
    assert len(said) == 2
    assert answer in said[1]
    assert caller.texts(Role.USER) == [question]
    assert [event.error_code for event in caller.events if isinstance(event, ToolFinished)] == [None]
    assert not [event for event in caller.events if isinstance(event, Interrupted)]
    assert "Note of the system" not in str(caller.events)

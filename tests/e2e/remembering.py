"""A session over real streams to an emulator whose assistant tells everything that it was told of the past."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from nova_sonic_local.brains.interface import Prompt, Reply, UserTurn
from nova_sonic_local.options import BrainFactory, Options
from nova_sonic_local.server import NovaSonicLocal
from s2s.bedrock.client import NovaSonicClient
from s2s.bedrock.credentials import Credentials, StaticCredentials
from s2s.events import InferenceConfiguration, Role, Stage
from s2s.models import DEFAULT_MODEL_ID
from session.assistant import AssistantLanguage, AssistantProfile
from session.events import End, SessionEvent, Start, TranscriptUpdated
from session.registry import SessionRegistry
from session.runner import SessionRunner
from tests.session.doubles import LoopClock, ScriptedTools

WAIT_SECONDS = 20.0


class Remembering:
    """Answers with everything that it was told of the past."""

    def __init__(self, prompt: Prompt) -> None:
        self._past = [text for _, text in prompt.history]

    def listen(self) -> None:
        return None

    async def answer(self, turn: UserTurn, reply: Reply) -> None:
        await reply.say(f"I know {len(self._past)} things: {' / '.join(self._past)}")

    async def close(self) -> None:
        return


@asynccontextmanager
async def conversation(
    folder: Path,
    *,
    credentials: Credentials | None = None,
    fault: str | Callable[[], str] = "",
    brain: str | BrainFactory = Remembering,
    output_hertz: int = 24_000,
) -> AsyncIterator[SessionRunner]:
    """Run a session for the length of the block."""
    async with NovaSonicLocal(Options(brain=brain, ca_dir=folder, fault=fault)) as emulator:
        key = credentials or StaticCredentials("a", "b")
        client = NovaSonicClient("us-east-1", DEFAULT_MODEL_ID, emulator.endpoint, str(emulator.ca_file), key)
        languages = {"en": AssistantLanguage("You are kind.", "matthew")}
        registry = SessionRegistry(
            assistants={"kind": AssistantProfile("kind", "en", languages, (), frozenset(), InferenceConfiguration(), None, ())},
            default_assistant="kind",
            max_sessions=1,
            model=client,
            tools=ScriptedTools(),
            observers=(),
            clock=LoopClock(),
        )
        runner = registry.open(Start(output_hertz=output_hertz))
        running = asyncio.create_task(registry.run(runner))
        try:
            yield runner
        finally:
            await runner.submit(End())
            await running
            await client.aclose()


async def until[E: SessionEvent](runner: SessionRunner, kind: type[E]) -> E:
    """Return the next event of a kind; of transcripts, the assistant's final ones count."""
    (event,) = await until_all(runner, kind)
    assert isinstance(event, kind)
    return event


async def until_all(runner: SessionRunner, *kinds: type[object]) -> list[object]:
    """Return the next event of each kind, in whatever order they come."""
    found: dict[type[object], object] = {}
    async with asyncio.timeout(WAIT_SECONDS):
        while len(found) < len(kinds):
            event = await runner.next_event()
            assert event is not None, "the session ended"
            is_final = not isinstance(event, TranscriptUpdated) or (event.role, event.stage) == (Role.ASSISTANT, Stage.FINAL)
            if type(event) in kinds and is_final:
                found.setdefault(type(event), event)
    return [found[kind] for kind in kinds]

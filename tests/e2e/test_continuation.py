"""A conversation over a real stream that has to give way: the caller notices nothing, and the model remembers."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from smithy_aws_core.identity import AWSCredentialsIdentity

from nova_sonic_local.brains.interface import Prompt, Reply, UserTurn
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from s2s.bedrock.client import NovaSonicClient
from s2s.events import InferenceConfiguration, Role, Stage
from s2s.models import DEFAULT_MODEL_ID
from session.assistant import AssistantLanguage, AssistantProfile
from session.continuation import EXPIRY_SECONDS
from session.events import End, SendText, SessionEnded, SessionEvent, Start, TranscriptUpdated
from session.registry import SessionRegistry
from session.runner import SessionRunner
from tests.session.doubles import LoopClock, ScriptedTools

HURRY_SECONDS = 0.5
"""How long after its opening the first stream is due."""


class EndingKey:
    """Credentials that expire soon after the first stream was opened, and later ones never."""

    source = "test"

    def __init__(self) -> None:
        self.asked = 0

    async def identity(self) -> AWSCredentialsIdentity:
        self.asked += 1
        soon = datetime.now(UTC) + timedelta(seconds=EXPIRY_SECONDS + HURRY_SECONDS)
        return AWSCredentialsIdentity(access_key_id="a", secret_access_key="b", expiration=soon if self.asked == 1 else None)

    def forget(self) -> None:
        """Nothing is kept."""


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


def profile() -> AssistantProfile:
    languages = {"en": AssistantLanguage("You are kind.", "matthew")}
    return AssistantProfile("kind", "en", languages, (), frozenset(), InferenceConfiguration(), None, ())


async def answer_to(runner: SessionRunner, text: str) -> str:
    """Type something and return what the assistant says to it."""
    await runner.submit(SendText(text))
    while (event := await runner.next_event()) is not None:
        if isinstance(event, TranscriptUpdated) and (event.role, event.stage) == (Role.ASSISTANT, Stage.FINAL):
            return event.text
    raise AssertionError("the session ended")


async def test_the_stream_is_changed_before_its_credentials_expire_and_the_model_remembers(tmp_path: Path) -> None:
    async with NovaSonicLocal(Options(brain=Remembering, ca_dir=tmp_path)) as emulator:
        key = EndingKey()
        client = NovaSonicClient("us-east-1", DEFAULT_MODEL_ID, emulator.endpoint, str(emulator.ca_file), key)
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
        first = await answer_to(runner, "My name is Ada.")
        async with asyncio.timeout(20):
            while key.asked == 1:  # noqa: ASYNC110  # the change of streams is told to nobody, on purpose
                await asyncio.sleep(0.05)
        second = await answer_to(runner, "Who am I?")
        await runner.submit(End())
        rest: list[SessionEvent] = []
        while (event := await runner.next_event()) is not None:
            rest.append(event)
        await running
        await client.aclose()

    assert first == "I know 0 things:"
    assert "My name is Ada. / I know 0 things:" in second
    assert isinstance(rest[-1], SessionEnded)

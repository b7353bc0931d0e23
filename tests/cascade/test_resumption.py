"""A conversation goes on when the services of a cascade break off, as it does when Nova Sonic's stream dies."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bootstrap import build, listen_on
from config import Settings
from nova_sonic_local.brains.script import ScriptBrains, parse_script
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from nova_sonic_local.upcoming import Operation
from parts.model import make_client
from s2s.bedrock.credentials import StaticCredentials
from tests.cascade.crew import leaked
from tests.e2e.clients import Client, connected
from tests.emulator.test_polly import CountingVoice

pytestmark = pytest.mark.timeout(60)
SCRIPT = {"turns": [{"hear": "good day", "say": ["Good morning."]}, {"hear": "goodbye", "say": ["See you soon."]}], "repeat": False}


def said(client: Client) -> list[str]:
    """Return what the assistant was about to say, in order."""
    return [str(one["text"]) for one in client.bodies("transcript") if (one["role"], one["stage"]) == ("assistant", "speculative")]


@pytest.mark.parametrize("operation", [None, Operation.CONVERSE, Operation.POLLY], ids=str)
async def test_a_service_that_breaks_off_costs_a_new_stream_and_no_answer(operation: Operation | None, tmp_path: Path) -> None:
    settings = Settings.from_env(
        {"MODEL_ID": "cascade", "HOST": "127.0.0.1", "WS_PORT": "0", "HEALTH_PORT": "0", "SQLITE_PATH": str(tmp_path / "records.sqlite3")},
        local=True,
    )
    async with AsyncExitStack() as stack:
        emulator = await stack.enter_async_context(NovaSonicLocal(Options(brain=ScriptBrains(parse_script(SCRIPT)), voice=CountingVoice())))
        model = make_client(settings, emulator.endpoint, Path(emulator.ca_file), StaticCredentials("a", "b"))
        stack.push_async_callback(model.aclose)
        application = await build(settings, model=model)
        stack.push_async_callback(application.stop)
        listening = listen_on(settings)
        await application.start(listening)
        client = await stack.enter_async_context(connected(f"ws://127.0.0.1:{listening.port}/"))
        await client.begin()
        await client.until(lambda: bool(client.bodies("session.started")))
        await client.type("good day")
        await client.until(lambda: said(client) == ["Good morning."])
        await client.until(lambda: bool(client.bodies("speech.ended")))
        if operation is None:
            await emulator.control.reset()  # ends the recogniser's stream
        else:
            await emulator.control.plan_next(faults="http_500", operation=operation)
            await client.type("goodbye")
        await client.until(lambda: bool(client.bodies("session.continued")))
        if operation is None:
            await client.type("goodbye")
        await client.until(lambda: len(said(client)) > 1 and len(client.bodies("speech.ended")) > 1)

    assert client.codes == []
    await asyncio.sleep(0)
    assert leaked() == []

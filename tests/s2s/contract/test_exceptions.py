"""Errors inside the stream reach both sides of it with the service's own words."""

import asyncio

import pytest

from nova_sonic_local.options import Options
from nova_sonic_local.refusals import Refusal
from s2s.errors import ModelError, Remedy
from s2s.events import AudioInput, AudioOutput
from session.interfaces import ModelStream
from tests.s2s.conversation import eventually, hear, opening, talking
from tests.s2s.ways import Way


@pytest.mark.parametrize(
    ("refusal", "code", "remedy"),
    [
        (Refusal.CONTENT_FILTER, "model_content_blocked", Remedy.DROP_LAST_AND_RESUME),
        (Refusal.UNSTABLE, "model_unstable", Remedy.RESUME),
        (Refusal.IDLE_55, "model_idle_limit", Remedy.RESUME),
        (Refusal.TOOL_NAME, "model_validation", Remedy.FATAL_CONFIG),
    ],
    ids=lambda value: value.name.lower() if isinstance(value, Refusal) else "",
)
async def test_an_exception_is_told_to_both_sides_in_the_services_words(way: Way, refusal: Refusal, code: str, remedy: Remedy) -> None:
    async with talking(Options(brain="echo", fault=f"exception:{refusal.name.lower()}@12"), way) as (client, _):
        stream = await client.open(opening())
        sending, receiving = asyncio.create_task(talk(stream)), asyncio.create_task(listen(stream))
        await asyncio.wait({sending, receiving})
        await stream.close()

    for task in (sending, receiving):
        error = task.exception()
        assert isinstance(error, ModelError)
        assert (error.code, error.remedy) == (code, remedy)
        assert "RequestId=" in error.detail
        assert refusal.value.text.partition("{")[0] in error.detail


async def test_what_was_said_before_an_exception_is_heard_before_it_is_told(way: Way) -> None:
    async with talking(Options(brain="echo", fault="exception:model_error@9"), way) as (client, emulator):
        stream = await client.open(opening())
        await stream.send((AudioInput("P", "A", b"\1\0"),))
        await stream.send((AudioInput("P", "A", b"\2\0"),))
        await eventually(lambda: emulator.live_streams == 0)
        with pytest.raises(ModelError):
            await talk(stream)
        heard = await hear(stream, lambda event: isinstance(event, AudioOutput) and event.pcm == b"\2\0")
        with pytest.raises(ModelError, match="model_unstable"):
            await stream.receive()
        await stream.close()

    assert heard


async def talk(stream: ModelStream) -> None:
    while True:
        await stream.send((AudioInput("P", "A", bytes(1024)),))
        await asyncio.sleep(0)


async def listen(stream: ModelStream) -> None:
    while await stream.receive() is not None:
        pass

"""The service's patience, on the wire: a millisecond or two stands for a second."""

import asyncio

import pytest

from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from tests.emulator.wire import Ending, RawClient, RawStream, audio_input, opening, silence, speech

IDLE = (
    "Timed out waiting for audio bytes or interactive content. "
    "Please ensure gaps between audio bytes and interactive content are less than {} seconds"
)


async def keep_alive(stream: RawStream, pcm: bytes) -> Ending:
    """Send audio until the stream ends."""
    while not stream.is_over:
        await stream.send(audio_input(pcm))
        await asyncio.sleep(0.005)
    return await stream.ending()


def text_of(ending: Ending) -> tuple[str, str]:
    assert ending.exception is not None
    prefix = f"RequestId={ending.headers['x-amzn-requestid']} : "
    return ending.exception[0], ending.exception[1].removeprefix(prefix)


async def test_a_stream_without_events_times_out() -> None:
    async with NovaSonicLocal(Options(brain="echo", time_scale=0.001)) as emulator, RawClient(emulator.h2c_endpoint) as client:
        ending = await client.open().ending()

        assert (ending.status, ending.body) == (400, b'{"message":"Timed out waiting for input events"}')


@pytest.mark.parametrize("seconds", [55, 295])
async def test_a_stream_without_audio_times_out(seconds: int) -> None:
    options = Options(brain="echo", time_scale=0.001, idle_profile=seconds)
    async with NovaSonicLocal(options) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open()
        await stream.send(*opening())

        assert text_of(await stream.ending()) == ("validationException", IDLE.format(seconds))


async def test_a_stream_ends_after_eight_minutes() -> None:
    options = Options(brain="echo", time_scale=0.002, idle_profile=295)  # 0.6 s of patience with a machine that is busy
    async with NovaSonicLocal(options) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open()
        await stream.send(*opening())
        ending = await keep_alive(stream, silence(0.01))

        assert text_of(ending) == (
            "modelTimeoutException",
            "Model has timed out in processing the request. Try your request again.",
        )


async def test_silence_can_be_made_not_to_count_as_audio() -> None:
    options = Options(brain="echo", time_scale=0.002, idle_profile=295, silence_resets_idle=False)
    async with NovaSonicLocal(options) as emulator, RawClient(emulator.h2c_endpoint) as client:
        silent, speaking = client.open(), client.open()
        await silent.send(*opening())
        await speaking.send(*opening())
        endings = await asyncio.gather(keep_alive(silent, silence(0.01)), keep_alive(speaking, speech(0.01)))

        assert [text_of(ending)[0] for ending in endings] == ["validationException", "modelTimeoutException"]

"""Three hundred streams at the same time in one emulator, none of which loses or mixes up a sample."""

import asyncio
import base64
from contextlib import AsyncExitStack

import pytest
from aws_sdk_bedrock_runtime.client import AsyncBedrockRuntimeClient

from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from tests.emulator.stock_sdk import StockStream, stock_client
from tests.emulator.wire import Json, RawClient, RawStream, audio_input, closing, opening, speech

STREAMS = 300
FRAMES = 5
FRAME_BYTES = 1024
pytestmark = pytest.mark.timeout(60)
OPTIONS = Options(brain="echo", max_streams=STREAMS)


def tone(number: int) -> bytes:
    """Return a sound that only this stream sends."""
    return speech(FRAMES * 0.032, loudness=1_000 + 20 * number)


def frames(pcm: bytes) -> list[Json]:
    return [audio_input(pcm[start : start + FRAME_BYTES]) for start in range(0, len(pcm), FRAME_BYTES)]


async def echo(stream: RawStream, pcm: bytes, all_open: asyncio.Barrier) -> bytes:
    await stream.send(*opening(hertz=16_000))
    assert await stream.head() == 200
    await all_open.wait()
    await stream.send(*frames(pcm), *closing())
    stream.end()
    ending = await stream.ending()

    assert (ending.is_ended, ending.reset_code, ending.exception) == (True, None, None)
    return stream.pcm()


@pytest.mark.parametrize("connections", [10, 3])
async def test_each_of_three_hundred_streams_gets_its_own_samples_back(connections: int) -> None:
    async with NovaSonicLocal(OPTIONS) as emulator, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(RawClient(emulator.endpoint, emulator.ca_file)) for _ in range(connections)]
        all_open = asyncio.Barrier(STREAMS + 1)
        async with asyncio.TaskGroup() as tasks:
            echoes = [tasks.create_task(echo(clients[n % connections].open(), tone(n), all_open)) for n in range(STREAMS)]
            await all_open.wait()
            live = emulator.live_streams

        assert live == STREAMS
        assert [task.result() for task in echoes] == [tone(number) for number in range(STREAMS)]


async def open_stock(client: AsyncBedrockRuntimeClient) -> StockStream:
    stream = await StockStream.open(client)
    await stream.send(*opening(hertz=16_000))
    _, stream.receiver = await stream.stream.await_output()
    return stream


async def echo_stock(stream: StockStream, pcm: bytes) -> bytes:
    receiving = asyncio.create_task(stream.receive_until("completionEnd"))
    await stream.send(*frames(pcm), *closing())
    await stream.end()
    contents = [event["audioOutput"]["content"] for event in await receiving if "audioOutput" in event]
    return b"".join(map(base64.b64decode, contents))


async def test_the_stock_client_holds_three_hundred_streams_on_one_connection() -> None:
    async with NovaSonicLocal(OPTIONS) as emulator, asyncio.timeout(30):
        client = await stock_client(emulator.endpoint, emulator.ca_file)
        streams = [await open_stock(client)]  # by itself: streams that are opened before there is a connection make one each
        streams += await asyncio.gather(*(open_stock(client) for _ in range(STREAMS - 1)))
        live = (emulator.live_streams, emulator.live_connections)
        echoes = await asyncio.gather(*(echo_stock(stream, tone(number)) for number, stream in enumerate(streams)))

        assert live == (STREAMS, 1)
        assert echoes == [tone(number) for number in range(STREAMS)]

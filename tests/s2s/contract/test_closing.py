"""Closing, on every way: in order when the model is there, in bounded time when it is not, and whoever waits is told."""

import asyncio
from contextlib import suppress

import pytest

from nova_sonic_local.options import Options
from s2s.errors import ModelError, Remedy
from s2s.events import AudioInput, AudioOutput, CompletionEnd, ContentEnd, OutputEvent, PromptEnd, SessionEnd
from session.interfaces import ModelStream
from tests.s2s.conversation import SHORT, eventually, hear, opening, talking
from tests.s2s.ways import Way

FAREWELL = (ContentEnd("P", "A"), PromptEnd("P"), SessionEnd())
AUDIO = (AudioInput("P", "A", bytes(1024)),)
BOUND_SECONDS = SHORT.closing + 1.2
"""The Common Runtime gets a second more, to close a connection that does not answer."""


@pytest.mark.req("S4-35", "S4-37", "S4-39")
async def test_closing_says_goodbye_in_order(way: Way) -> None:
    async with talking(Options(brain="echo"), way) as (client, emulator):
        stream = await client.open(opening())
        await hear(stream, lambda event: isinstance(event, AudioOutput))
        await stream.close()
        await eventually(lambda: emulator.live_streams == 0)

        assert emulator.control.counters()["streams"] == {"opened": 1, "live": 0, "ended": {"completed": 1}}


async def test_the_end_that_our_session_end_asked_for_is_none_for_ever(way: Way) -> None:
    async with talking(Options(brain="echo"), way) as (client, _):
        stream = await client.open(opening())
        await stream.send(FAREWELL)
        heard = []
        while (event := await stream.receive()) is not None:
            heard.append(event)
        again = await stream.receive()
        with pytest.raises(ModelError, match="closed"):
            await stream.send(AUDIO)
        await stream.close()

    assert again is None
    assert isinstance(heard[-1], CompletionEnd)


async def test_a_receiver_that_waits_is_told_none_when_the_stream_is_closed(way: Way) -> None:
    async with talking(Options(), way) as (client, _):
        stream = await client.open(opening())
        waiting = asyncio.create_task(stream.receive())
        await asyncio.sleep(0)
        await stream.close()
        async with asyncio.timeout(1):
            heard = await waiting
            while heard is not None:
                heard = await stream.receive()

    assert heard is None


async def test_a_sender_that_waits_is_told_when_the_stream_is_closed(way: Way) -> None:
    async with talking(Options(brain="echo", fault="slow_reader@7"), way) as (client, _):
        stream = await client.open(opening())
        sending = asyncio.create_task(keep_talking(stream))
        await eventually(lambda: not stream._exchange.has_room)
        await stream.close()
        async with asyncio.timeout(1):
            with pytest.raises(ModelError) as told:
                await sending

    assert told.value.remedy is Remedy.RESUME


async def keep_talking(stream: ModelStream) -> None:
    while True:
        await stream.send(AUDIO)


async def test_a_stream_that_nobody_reads_is_closed_in_time(way: Way) -> None:
    faults = ("slow_reader", "stall", "half_open", "rst", "goaway", "tcp_drop", "exception", "early_end", "garbage")
    await asyncio.gather(*(close_unread(way, fault) for fault in faults))


async def close_unread(way: Way, fault: str) -> None:
    async with talking(Options(brain="echo", fault=f"{fault}@7"), way) as (client, emulator):
        stream = await client.open(opening())
        async with asyncio.timeout(BOUND_SECONDS):
            await asyncio.gather(stream.close(), stream.close())
        async with asyncio.timeout(1):
            with suppress(ModelError):
                while await stream.receive() is not None:
                    pass

        assert stream.is_closed, fault
        await client.aclose()
        await eventually(lambda: emulator.live_streams == 0)


@pytest.mark.parametrize("fault", ["", "stall@7"])
async def test_a_close_that_is_cancelled_goes_on_and_may_be_waited_for_again(way: Way, fault: str) -> None:
    async with talking(Options(brain="echo", fault=fault), way) as (client, emulator):
        stream = await client.open(opening())
        closing = asyncio.create_task(stream.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait({closing})
        async with asyncio.timeout(BOUND_SECONDS):
            await stream.close()
        await eventually(lambda: emulator.live_streams == 0)

        assert closing.cancelled()


async def test_closing_the_client_closes_its_streams(way: Way) -> None:
    async with talking(Options(brain="echo"), way, streams_per_connection=16) as (client, emulator):
        streams = [await client.open(opening()) for _ in range(5)]
        receiving = [asyncio.create_task(listen(stream)) for stream in streams]
        async with asyncio.timeout(BOUND_SECONDS):
            await client.aclose()
        async with asyncio.timeout(1):
            heard = await asyncio.gather(*receiving)
        await eventually(lambda: emulator.live_connections == 0)

        assert heard == [None] * 5
        assert all(stream.is_closed for stream in streams)


async def listen(stream: ModelStream) -> OutputEvent | None:
    while (event := await stream.receive()) is not None:
        pass
    return event


async def test_closing_the_client_ends_openings_as_well(way: Way) -> None:
    async with talking(Options(fault="no_200"), way) as (client, emulator):
        openings = [asyncio.create_task(client.open(opening())) for _ in range(3)]
        await eventually(lambda: emulator.live_streams == 3)
        async with asyncio.timeout(BOUND_SECONDS):
            await client.aclose()
            await asyncio.wait(openings)

    errors = [task.exception() for task in openings]
    assert all(isinstance(error, ModelError) and error.remedy is Remedy.BACKOFF for error in errors), errors


async def test_closing_a_client_that_has_done_nothing_is_nothing(way: Way) -> None:
    async with talking(Options(), way) as (client, emulator):
        await client.aclose()
        await client.aclose()

        assert emulator.live_connections == 0

"""Turns of a conversation with the emulator, on every way: typed, spoken, with tools, and interrupted."""

import asyncio
from pathlib import Path

import pytest

from nova_sonic_local.envelope import SignatureCheck
from nova_sonic_local.manner import Manner
from nova_sonic_local.options import Options
from s2s.errors import LocalProtocolError
from s2s.events import (
    AudioInput,
    AudioOutput,
    ContentEnd,
    ContentEnded,
    ContentType,
    InputEvent,
    OutputEvent,
    StopReason,
    TextOutput,
    ToolContentStart,
    ToolResult,
    ToolSpec,
    ToolUse,
    UnknownEvent,
    UserSpeechEnd,
    UserSpeechStart,
)
from tests.s2s.conversation import LOOKUP, hear, opening, say, talking, tone, typed
from tests.s2s.ways import KEY, SECRET, Way

SIGNED = SignatureCheck.STRICT, {KEY: SECRET}
ORDERS = """
[[turns]]
say = ["One moment."]
tools = [{ name = "lookup", arguments = { order_id = "1" } }, { name = "stock", arguments = {} }]
then = "It is {status}, and we have {pieces}."
"""
STOCK = ToolSpec("stock", "Counts pieces", '{"type":"object","properties":{}}')
STORY = """
[[turns]]
say = ["Once upon a time there was a king who had three daughters, and the youngest of them was so fair that all who saw her wondered."]
[[turns]]
say = ["As you like."]
"""


def is_end_of_turn(event: OutputEvent) -> bool:
    return isinstance(event, ContentEnded) and event.type is ContentType.AUDIO and event.stop_reason is StopReason.END_TURN


def texts(events: list[OutputEvent]) -> list[str]:
    return [event.content for event in events if isinstance(event, TextOutput)]


async def test_a_typed_turn_is_answered(way: Way) -> None:
    async with talking(Options(signatures=SIGNED[0], secrets=SIGNED[1]), way) as (client, _):
        stream = await client.open(opening())
        await stream.send(typed("T", "hello"))
        heard = await hear(stream, is_end_of_turn)
        await stream.close()

    assert any(isinstance(event, AudioOutput) for event in heard)


@pytest.mark.req("S4-09")
async def test_a_spoken_turn_is_answered_in_text_and_speech(way: Way) -> None:
    async with talking(Options(signatures=SIGNED[0], secrets=SIGNED[1]), way) as (client, _):
        stream = await client.open(opening())
        await say(stream, tone(600) + bytes(32_000))
        heard = await hear(stream, is_end_of_turn)
        await stream.close()

    assert any(isinstance(event, UserSpeechEnd) for event in heard)
    assert sum(len(event.pcm) for event in heard if isinstance(event, AudioOutput)) > 8000
    assert texts(heard)[:2] == ["hello", "Hello, this is Nova Sonic Local. I heard you."]


def result(use: ToolUse, name: str, content: str) -> tuple[InputEvent, ...]:
    return ToolContentStart("P", name, use.tool_use_id), ToolResult("P", name, content), ContentEnd("P", name)


@pytest.mark.req("S4-44", "S4-45")
async def test_the_results_of_parallel_tools_are_spoken(way: Way, tmp_path: Path) -> None:
    script = tmp_path / "orders.toml"
    script.write_text(ORDERS)
    async with talking(Options(scenario=script, signatures=SIGNED[0], secrets=SIGNED[1]), way) as (client, _):
        stream = await client.open(opening((LOOKUP, STOCK)))
        await stream.send(typed("T", "where is my order"))
        uses: dict[str, ToolUse] = {}
        while len(uses) < 2:
            use = (await hear(stream, lambda event: isinstance(event, ToolUse)))[-1]
            assert isinstance(use, ToolUse)
            uses[use.tool_name] = use
        await asyncio.gather(
            stream.send(result(uses["stock"], "R1", '{"pieces":"seven"}')),
            stream.send(result(uses["lookup"], "R2", '{"status":"on its way"}')),
        )
        heard = await hear(stream, is_end_of_turn)
        with pytest.raises(LocalProtocolError):
            await stream.send(result(uses["lookup"], "R3", "{}"))
        await stream.close()

    assert uses["lookup"].content == '{"order_id":"1"}'
    assert "It is on its way, and we have seven." in texts(heard)


async def test_the_model_is_interrupted_by_speech(way: Way, tmp_path: Path) -> None:
    script = tmp_path / "story.toml"
    script.write_text(STORY)
    async with talking(Options(scenario=script, manner=Manner(speech_speed=2)), way) as (client, _):
        stream = await client.open(opening())
        await stream.send(typed("T", "tell me a story"))
        await hear(stream, lambda event: isinstance(event, AudioOutput))
        await say(stream, tone(600) + bytes(32_000))
        interrupted = await hear(stream, lambda event: isinstance(event, ContentEnded) and event.stop_reason is StopReason.INTERRUPTED)
        answered = await hear(stream, lambda event: isinstance(event, TextOutput) and event.content == "As you like.")
        await stream.close()

    assert any(isinstance(event, UserSpeechStart) for event in interrupted)
    assert answered


@pytest.mark.req("S4-74")
async def test_speech_comes_back_sample_by_sample(way: Way) -> None:
    spoken = tone(3000)
    async with talking(Options(brain="echo", signatures=SIGNED[0], secrets=SIGNED[1]), way) as (client, _):
        stream = await client.open(opening())
        sending = asyncio.create_task(say(stream, spoken))
        back = bytearray()
        while len(back) < len(spoken) + 3200:
            event = await stream.receive()
            back += event.pcm if isinstance(event, AudioOutput) else b""
        await sending
        await stream.close()

    assert bytes(3200) + spoken == bytes(back)


async def test_streams_of_one_client_do_not_mix(way: Way) -> None:
    async with talking(Options(brain="echo"), way, streams_per_connection=16) as (client, _):
        streams = [await client.open(opening()) for _ in range(6)]

        async def talk(number: int) -> set[bytes]:
            frame = bytes([number, 0]) * 512
            sending = asyncio.create_task(say(streams[number], frame * 50))
            heard = await hear_audio(number)
            await sending
            return set(heard) - {bytes(3200)}

        async def hear_audio(number: int) -> list[bytes]:
            pieces: list[bytes] = []
            while len(pieces) < 51:
                event = await streams[number].receive()
                pieces += [event.pcm] if isinstance(event, AudioOutput) else []
            return pieces

        heard = await asyncio.gather(*(talk(number) for number in range(6)))
        await asyncio.gather(*(stream.close() for stream in streams))

    assert heard == [{bytes([number, 0]) * 512} for number in range(6)]


async def test_an_event_that_is_in_no_guide_is_handed_on_as_such(way: Way) -> None:
    async with talking(Options(brain="echo", fault="unknown_event@7"), way) as (client, _):
        stream = await client.open(opening())
        heard = await hear(stream, lambda event: isinstance(event, UnknownEvent))
        await stream.send((AudioInput("P", "A", b"\1\0"),))
        await hear(stream, lambda event: isinstance(event, AudioOutput) and event.pcm == b"\1\0")
        await stream.close()

    assert [event.name for event in heard if isinstance(event, UnknownEvent)] == ["somethingNew"]

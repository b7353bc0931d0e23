"""Sending: groups stay whole and in order, and the chain of signatures unbroken, whoever sends and whoever is cancelled."""

import asyncio
import itertools

import pytest

from nova_sonic_local.control import transcript
from nova_sonic_local.envelope import SignatureCheck
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from s2s.errors import LocalProtocolError
from s2s.events import AudioInput, AudioOutput, InputEvent, Stage, TextOutput
from session.interfaces import ModelStream
from tests.s2s.conversation import eventually, hear, opening, talking, typed
from tests.s2s.ways import KEY, SECRET, Way

STRICT = Options(brain="echo", signatures=SignatureCheck.STRICT, secrets={KEY: SECRET})


def audio(number: int) -> tuple[InputEvent, ...]:
    return (AudioInput("P", "A", number.to_bytes(2, "little") * 512),)


def names_heard(emulator: NovaSonicLocal) -> list[str]:
    """Return the names of the events that the emulator has read from its one stream."""
    log = emulator.control.log("1")
    return [str(entry["name"]) for entry in transcript(log.rows()) if entry["dir"] == "in"]


async def test_groups_of_concurrent_senders_stay_whole(way: Way) -> None:
    async with talking(STRICT, way) as (client, emulator):
        stream = await client.open(opening())
        groups = [typed(f"T{number}", "hello") if number % 3 == 0 else audio(number) for number in range(90)]
        await asyncio.gather(*(stream.send(group) for group in groups))
        await stream.send(audio(1000))
        await hear(stream, lambda event: isinstance(event, AudioOutput) and event.pcm[:2] == (1000).to_bytes(2, "little"))
        names = names_heard(emulator)[7:]
        await stream.close()

    starts = [index for index, name in enumerate(names) if name == "contentStart"]
    assert len(starts) == 30
    assert all(names[start : start + 3] == ["contentStart", "textInput", "contentEnd"] for start in starts)
    assert names.count("audioInput") == 61


async def test_groups_are_sent_in_the_order_in_which_they_were_given(way: Way) -> None:
    async with talking(STRICT, way) as (client, _):
        stream = await client.open(opening())
        sending = asyncio.gather(*(stream.send(audio(number)) for number in range(300)))
        back: list[int] = []
        while len(back) < 301:
            event = await stream.receive()
            back += [int.from_bytes(event.pcm[:2], "little")] if isinstance(event, AudioOutput) else []
        await sending
        await stream.close()

    assert back[1:] == list(range(300))


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
async def test_a_cancelled_send_tears_neither_its_group_nor_the_signatures(way: Way, turns: int) -> None:
    async with talking(STRICT, way) as (client, emulator):
        stream = await client.open(opening())
        for number in range(30):
            sending = asyncio.create_task(stream.send(typed(f"T{number}", "hello")))
            for _ in range(turns):
                await asyncio.sleep(0)
            sending.cancel()
            await asyncio.wait({sending})
        await stream.send(audio(7))
        await hear(stream, lambda event: isinstance(event, AudioOutput) and event.pcm[:2] == b"\7\0")
        names = names_heard(emulator)[7:-1]
        await stream.close()

    assert len(names) % 3 == 0
    assert names == ["contentStart", "textInput", "contentEnd"] * (len(names) // 3)


async def test_a_sender_that_is_cancelled_while_it_waits_sends_nothing_and_lets_the_next_one_in_line(way: Way) -> None:
    async with talking(Options(brain="echo"), way) as (client, _):
        stream = await client.open(opening())
        await hear(stream, lambda event: isinstance(event, AudioOutput))
        senders = [asyncio.create_task(fill(stream, number * 1000)) for number in range(4)]
        await eventually(lambda: not stream._exchange.has_room)
        for sender in senders[:3]:
            sender.cancel()
        await asyncio.wait(senders[:3])
        back = set[int]()
        while not any(number >= 3150 for number in back):
            event = await stream.receive()
            back |= {int.from_bytes(event.pcm[:2], "little")} if isinstance(event, AudioOutput) else set()
        senders[3].cancel()
        await asyncio.wait(senders)
        await stream.close()

    assert {number for number in back if number >= 3000} >= set(range(3000, 3150))


async def fill(stream: ModelStream, first: int) -> None:
    for number in itertools.count(first):
        await stream.send(audio(number))


async def test_a_refused_group_leaves_the_stream_in_use(way: Way) -> None:
    async with talking(STRICT, way) as (client, _):
        stream = await client.open(opening())
        with pytest.raises(LocalProtocolError):
            await stream.send((*audio(1), AudioInput("P", "other", b"\0\0")))
        await stream.send(audio(2))
        heard = await hear(stream, lambda event: isinstance(event, AudioOutput) and event.pcm[:2] == b"\2\0")
        await stream.close()

    assert not any(isinstance(event, AudioOutput) and event.pcm[:2] == b"\1\0" for event in heard)


async def test_receive_may_be_cancelled_and_called_again_without_loss(way: Way) -> None:
    async with talking(STRICT, way) as (client, _):
        stream = await client.open(opening())
        await hear(stream, lambda event: isinstance(event, AudioOutput))
        for number in range(30):
            waiting = asyncio.create_task(stream.receive())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait({waiting})
            await stream.send(audio(number))
            event = await stream.receive()
            assert isinstance(event, AudioOutput)
            assert event.pcm == number.to_bytes(2, "little") * 512
        await stream.close()


async def test_a_receiver_that_is_cancelled_in_the_middle_of_a_turn_loses_nothing_of_it(way: Way) -> None:
    async with talking(Options(), way) as (client, _):
        stream = await client.open(opening())
        await stream.send(typed("T", "hello"))
        heard: list[object] = []
        while not any(isinstance(event, TextOutput) and event.content.startswith("Hello") for event in heard):
            waiting = asyncio.create_task(stream.receive())
            for _ in range(len(heard) % 4):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait({waiting})
            heard.append(waiting.result() if not waiting.cancelled() else await stream.receive())
        await stream.close()

    assert Stage.SPECULATIVE in [getattr(event, "stage", None) for event in heard]

"""Networks that fail at any moment for any time: every sample and every word arrives once and in order, both ways."""

import asyncio
import random

import pytest

from bench.resumable_client import ResumableClient
from s2s.events import TextInput
from tests.transports.coming_back.caller import GRACE, numbers_of, piece, speech, started
from tests.transports.doubles import ScriptedStream, running_server

PIECES = 300
ANSWERS = 12


async def talk(client: ResumableClient, chance: random.Random, typing: float) -> list[str]:
    """Speak, and type now and then; returns what was typed."""
    typed: list[str] = []
    for number in range(1, PIECES + 1):
        await client.send_audio(piece(number))
        if chance.random() < typing:
            typed.append(f"text {number}")
            await client.send_numbered({"type": "text", "text": typed[-1]})
        await asyncio.sleep(chance.choice((0.0, 0.03, 0.06)))
    return typed


async def answer(stream: ScriptedStream, chance: random.Random) -> list[int]:
    """Let the model speak; returns the numbers of the pieces."""
    said: list[int] = []
    for _ in range(ANSWERS):
        numbers = range(len(said) + 1, len(said) + 1 + chance.randrange(1, 12))
        said += numbers
        stream.say(*speech(*numbers))
        await asyncio.sleep(chance.random() * 2)
    return said


async def lose(client: ResumableClient, chance: random.Random) -> None:
    """Lose the connection again and again."""
    while True:
        await asyncio.sleep(chance.random() * 1.5)
        if chance.random() < 0.7:
            await client.cut()
            await asyncio.sleep(chance.choice((0.0, 0.2, 1.0, 8.0)))
        await client.resume()


@pytest.mark.req("S4-12", "S4-76")
@pytest.mark.parametrize("typing", [0.0, 0.03])
@pytest.mark.parametrize("seed", range(5))
async def test_everything_arrives_once_and_in_order(seed: int, typing: float) -> None:
    chance = random.Random(seed)
    async with running_server(resume_seconds=GRACE) as rig:
        client, stream = await started(rig)
        losing = asyncio.create_task(lose(client, chance))
        typed, said = await asyncio.gather(talk(client, chance, typing), answer(stream, chance))
        losing.cancel()
        await asyncio.wait({losing})
        await client.cut()
        await client.resume()
        await stream.wait_for(TextInput, len(typed))
        await client.until_acknowledged()
        await asyncio.sleep(len(said) / 10)
        heard = numbers_of(client.received.pcm(), 2_400)

        assert numbers_of(stream.pcm, 512) == list(range(1, PIECES + 1))
        assert stream.texts == typed
        assert client.received.missing == 0
        if typing:  # what is typed interrupts the assistant
            assert heard == sorted(set(heard))
            assert len(client.received.named("interrupted")) > 0
        else:
            assert heard == said
        await client.cut()

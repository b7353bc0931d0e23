"""What a client does out of measure is bounded, counted and told, from end to end."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from bench.positions import Verdict, coded_speech, compare
from nova_sonic_local.brains.interface import Listener, Prompt, Reply, UserTurn
from nova_sonic_local.manner import Manner
from nova_sonic_local.options import Options
from tests.e2e.clients import HERTZ, PIECE_BYTES, Client, conversing
from tests.e2e.desk import Model, desk

ANSWER_SECONDS = 60
HURRIED_SECONDS = 6


class Babbler:
    """Answers with a minute of speech."""

    def __init__(self, prompt: Prompt, spoken: asyncio.Event) -> None:
        self._speech = coded_speech(ANSWER_SECONDS * prompt.output_hertz)
        self._spoken = spoken

    def listen(self) -> Listener | None:
        """Need no words."""
        return None

    async def answer(self, turn: UserTurn, reply: Reply) -> None:
        """Speak as fast as it is taken."""
        del turn
        await reply.play(self._speech, "A long story.")
        self._spoken.set()

    async def close(self) -> None:
        """Hold nothing."""


class BabblingModel(Model):
    """Speaks a minute in one burst."""

    def options(self) -> Options:
        """Return the emulator's options."""
        self.asked.clear()
        return replace(super().options(), brain=lambda prompt: Babbler(prompt, self.asked), manner=Manner(speech_speed=0.0))


def statistics(client: Client) -> dict[str, int]:
    """Return what was counted in the session that has ended."""
    (ended,) = client.bodies("session.ended")
    counted = ended["statistics"]
    assert isinstance(counted, dict)
    return counted


def dropped_ms(client: Client, direction: str) -> int:
    """Return what the client was told of audio that is missing."""
    return sum(int(str(body["ms"])) for body in client.bodies("audio.dropped") if body["direction"] == direction)


async def test_of_an_answer_that_is_too_long_each_millisecond_is_heard_or_counted(tmp_path: Path) -> None:
    model = BabblingModel(brain="echo")
    async with desk(tmp_path, model) as (server, _), conversing(server.url) as client:
        await client.until(lambda: bool(client.bodies("session.started")))
        await client.speak(bytes(PIECE_BYTES * 4))
        await client.type("Tell me a story.")
        async with asyncio.timeout(20):
            await model.asked.wait()
        await client.speak(bytes(PIECE_BYTES * 80))  # what is dropped is told when time passes
        await client.socket.send('{"type":"end"}')
        await client.until(lambda: bool(client.bodies("session.ended")))
        counted = statistics(client)
        heard_ms = len(client.speech) / 2 / HERTZ * 1_000
        story = coded_speech(ANSWER_SECONDS * HERTZ)

    assert counted["audio_out_dropped_ms"] > (ANSWER_SECONDS - 35) * 1_000
    assert dropped_ms(client, "down") == counted["audio_out_dropped_ms"]
    assert heard_ms + counted["audio_out_flushed_ms"] + counted["audio_out_dropped_ms"] == pytest.approx(counted["audio_out_ms"], abs=2)
    assert compare(story[: len(client.speech)], bytes(client.speech)).is_exact


async def test_sound_that_comes_much_too_fast_waits_and_is_not_lost(tmp_path: Path) -> None:
    said = coded_speech(HURRIED_SECONDS * HERTZ // 512 * 512)
    async with desk(tmp_path, Model(brain="echo")) as (server, _), conversing(server.url) as client:
        await client.until(lambda: bool(client.bodies("session.started")))
        for start in range(0, len(said), PIECE_BYTES):
            await client.send_audio(said[start : start + PIECE_BYTES])
        await client.until(lambda: len(client.speech) >= len(said), 30.0)
        await client.socket.send('{"type":"end"}')
        await client.until(lambda: bool(client.bodies("session.ended")))
        counted = statistics(client)

    samples = len(said) // 2
    assert compare(said, bytes(client.speech[: len(said)])) == Verdict(samples, samples, lost=0, doubled=0, out_of_order=0, foreign=0)
    assert counted["audio_in_dropped_ms"] == counted["audio_out_dropped_ms"] == 0
    assert not client.bodies("audio.dropped")

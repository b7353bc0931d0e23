"""Clients that lose their network and come back, over real sockets: page's dialect -> server -> SDK over TLS and HTTP/2 -> emulator."""

import asyncio
from pathlib import Path

import pytest

from bench.positions import coded_speech
from bench.resumable_client import ResumableClient, ResumeRefused
from nova_sonic_local.brains.interface import Prompt, Reply, UserTurn
from tests.e2e.resuming import HELLO, HERTZ, PIECE_BYTES, heard_of, serving, speak, without_silence
from tests.session.doubles import Outcome
from tests.transports.coming_back.caller import eventually

pytestmark = [pytest.mark.req("S4-12", "S4-76")]


class Desk:
    """Looks everything up before it answers."""

    def __init__(self, prompt: Prompt) -> None:
        self._history = prompt.history

    def listen(self) -> None:
        """Need no words."""

    async def answer(self, turn: UserTurn, reply: Reply) -> None:
        """Call a tool and tell what it returned."""
        if turn.text and "look" in turn.text:
            (result,) = await reply.call_tools([("lookUp", {})])
            await reply.say(f"It is {result['found']}.")
        else:
            await reply.say(f"You said {turn.text}. " + "That is a long story, which takes its time to be told. " * 4)

    async def close(self) -> None:
        """Hold nothing."""


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("cuts", "away_seconds"), [(6, 0.2), (2, 2.0)])
async def test_no_sample_is_lost_or_doubled_either_way_by_a_cut_connection(tmp_path: Path, cuts: int, away_seconds: float) -> None:
    seconds = cuts * (away_seconds + 0.5) + 1.0
    said = coded_speech(round(seconds * HERTZ) // (PIECE_BYTES // 2) * (PIECE_BYTES // 2))
    async with serving(tmp_path) as house, ResumableClient(house.url, HELLO) as client:
        await client.start()
        speaking = asyncio.create_task(speak(client, said))
        for _ in range(cuts):
            await asyncio.sleep(0.5)
            await client.cut()
            await asyncio.sleep(away_seconds)
            await client.resume()
        await speaking
        await client.until(lambda: len(without_silence(client.received.pcm())) >= len(without_silence(said)), seconds + 20)
        verdict = heard_of(said, client.received.pcm())

        assert verdict.is_exact, verdict
        assert client.received.missing == 0
        assert house.counters.read()["client_resumed"] == cuts
        await client.send({"type": "end"})
        ended = await client.until_told("session.ended")
        assert ended["statistics"]["audio_in_dropped_ms"] == 0
        assert ended["statistics"]["audio_out_dropped_ms"] == 0


@pytest.mark.timeout(60)
async def test_a_network_that_falls_silent_is_left_for_another_without_loss(tmp_path: Path) -> None:
    said = coded_speech(4 * HERTZ)
    async with serving(tmp_path) as house, ResumableClient(house.url, HELLO) as client:
        await client.start()
        speaking = asyncio.create_task(speak(client, said))
        for _ in range(3):
            await asyncio.sleep(1.0)
            await client.resume()  # the connection before is still open: this one takes over
        await speaking
        await client.until(lambda: len(without_silence(client.received.pcm())) >= len(without_silence(said)))

        assert heard_of(said, client.received.pcm()).is_exact
        assert house.counters.read()["client_replaced"] == 3


async def test_what_was_typed_into_a_lost_connection_is_answered_once(tmp_path: Path) -> None:
    async with serving(tmp_path, Desk) as house, ResumableClient(house.url, HELLO) as client:
        await client.start()
        typing = client.send_numbered({"type": "text", "text": "Hello"})
        await asyncio.gather(typing, client.cut())
        await client.resume()
        await client.send_numbered({"type": "text", "text": "Again"})
        await client.until(lambda: any("Again" in message["text"] for message in client.received.named("transcript")))
        said = [message["text"] for message in client.received.named("transcript") if message["role"] == "user"]

        assert said == ["Hello", "Again"]


async def test_a_tool_that_ends_while_the_client_is_away_is_told_when_it_is_back(tmp_path: Path) -> None:
    async with serving(tmp_path, Desk) as house, ResumableClient(house.url, HELLO) as client:
        await client.start()
        await client.send_numbered({"type": "text", "text": "look it up"})
        started = await client.until_told("tool.started")
        await client.cut()
        house.tools.finish(started["id"], Outcome('{"found":"here"}'))
        await asyncio.sleep(0.5)
        await client.resume()
        finished = await client.until_told("tool.finished")
        await client.until_told("speech.ended")

        assert finished["id"] == started["id"]
        assert [message["text"] for message in client.received.named("transcript") if message["stage"] == "speculative"] == ["It is here."]
        assert len(client.received.named("tool.finished")) == 1


async def test_an_interruption_that_was_asked_for_while_away_leaves_nothing_stale_to_hear(tmp_path: Path) -> None:
    async with serving(tmp_path, Desk) as house, ResumableClient(house.url, HELLO, acknowledges=False) as client:
        await client.start()
        await client.send_numbered({"type": "text", "text": "Hello"})
        await client.until(lambda: len(client.received.speech) >= 4)
        await client.cut()
        await client.send_numbered({"type": "interrupt"})
        received = client.received.next
        client.received.next = client.received.speech[1].number  # the last frames are taken for lost on the way
        heard = client.received.speech[:]
        client.received.speech.clear()
        client.received.messages.clear()
        await client.resume()
        interrupted = await client.until_told("interrupted")
        await client.send_numbered({"type": "text", "text": "look it up"})
        started = await client.until_told("tool.started")
        again = [frame for frame in client.received.speech if frame.turn == heard[0].turn]

        assert received >= heard[-1].number
        assert interrupted["turn"] == heard[0].turn
        assert client.received.missing == 0
        assert started["turn"] > interrupted["turn"]
        stale = [frame for frame in again if frame.number > interrupted["seq"]]
        assert stale == []


async def test_the_grace_ends_and_with_it_the_session(tmp_path: Path) -> None:
    async with serving(tmp_path, resume_seconds=0.3) as house, ResumableClient(house.url, HELLO) as client:
        await client.start()
        await client.cut()
        await eventually(lambda: house.registry.live == 0)
        with pytest.raises(ResumeRefused, match="resume_refused"):
            await client.resume()

        client.received.next = 0
        await client.send({"type": "hello", "protocol": 1})
        await client.until_told("session.started", 2)


async def test_a_token_works_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as house, ResumableClient(house.url, HELLO) as client:
        await client.start()
        token = client.token
        await client.cut()
        await client.resume()
        async with ResumableClient(house.url) as thief:
            with pytest.raises(ResumeRefused, match="resume_refused"):
                await thief.resume(token, client.received.next)
        await client.send_audio(bytes(PIECE_BYTES))
        await client.until_acknowledged()

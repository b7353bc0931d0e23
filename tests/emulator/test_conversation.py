"""A conversation on the wire, by a client that speaks HTTP/2 by hand."""

import pytest

from nova_sonic_local.manner import Manner
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from tests.emulator.wire import Ending, Json, RawClient, audio_input, closing, opening, silence, spoken_turn, text_block


async def converse(options: Options, *events: Json) -> Ending:
    """Send the events, wait for the end of the answer, and close in order."""
    async with NovaSonicLocal(options) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open()
        await stream.send(*opening(), *events)
        await stream.until("contentEnd", type="AUDIO", stopReason="END_TURN")
        await stream.send(*closing())
        stream.end()
        return await stream.ending()


@pytest.mark.req("S4-09")
async def test_a_spoken_turn_is_answered_in_text_and_speech() -> None:
    ending = await converse(Options(), *spoken_turn())
    names = [next(iter(event)) for event in ending.events]

    assert (ending.is_ended, ending.exception) == (True, None)
    assert names[:3] == ["userSpeechStart", "completionStart", "userSpeechEnd"]
    assert names.count("audioOutput") > 10
    assert names[-1] == "completionEnd"


async def test_a_typed_turn_is_answered_in_text_and_speech() -> None:
    ending = await converse(Options(), audio_input(silence(0.1)), *text_block("U", "USER", "hi", interactive=True))
    texts = [event["textOutput"]["content"] for event in ending.events if "textOutput" in event]

    assert texts[:2] == ["hi", "Hello, this is Nova Sonic Local. I heard you."]


async def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    manner = Manner(speech_speed=0, final_delay_seconds=3600)
    same, again, other = [await converse(Options(seed=seed, manner=manner), *spoken_turn()) for seed in (1, 1, 2)]

    assert same.events == again.events
    assert same.headers == again.headers
    assert same.events != other.events

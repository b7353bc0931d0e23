"""Back-pressure both ways: a session that does not listen holds the model back, and a model that does not listen is told of in time."""

import array
import asyncio

import pytest

from nova_sonic_local.manner import Manner
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from s2s.bedrock.http2.liveness import PING_ANSWER_SECONDS, PING_IDLE_SECONDS
from s2s.bedrock.interfaces import RECEIVE_WINDOW_BYTES, ROOM_BYTES
from s2s.bedrock.stream import Timeouts
from s2s.errors import ModelError, Remedy
from s2s.events import AudioInput, AudioOutput
from session.interfaces import ModelStream
from tests.s2s.conversation import eventually, hear, opening, talking, typed
from tests.s2s.ways import Way

LONG = array.array("h", (number % 30_000 for number in range(1_500_000))).tobytes()
"""A minute of speech: 3 MB, and 5.3 MB on the wire."""
FRAME_SECONDS = 0.032
MESSAGE_BYTES = 2202
"""Of such a frame on the wire, 16 kHz."""
DEFAULT_WINDOW_BYTES = 65_535
"""RFC 9113 6.9.2: what a peer takes unread that says nothing else."""


class LongVoice:
    """Says anything for a minute, in samples that count up."""

    async def speak(self, text: str, voice_id: str, hertz: int) -> bytes:
        return LONG


async def test_a_receiver_that_stands_still_holds_the_model_back_and_nothing_is_lost(way: Way) -> None:
    options = Options(voice=LongVoice(), manner=Manner(speech_speed=0))
    async with talking(options, way) as (client, emulator):
        stream = await client.open(opening())
        await stream.send(typed("T", "hello"))
        said = await said_at_rest(emulator)
        heard = bytearray()
        async with asyncio.timeout(10):
            while len(heard) < len(LONG):
                event = await stream.receive()
                heard += event.pcm if isinstance(event, AudioOutput) else b""
        await stream.close()

    assert said < RECEIVE_WINDOW_BYTES + 256 * 1024  # what may wait here, and what the emulator has ready
    assert said > RECEIVE_WINDOW_BYTES // 4
    assert bytes(heard) == LONG


async def said_at_rest(emulator: NovaSonicLocal) -> int:
    """Return how many bytes of events the model has said when it says no more."""
    before, now = -1, 0
    while now == 0 or before != now:
        await asyncio.sleep(0.15)
        before, now = now, emulator.control.log("1").traffic_out.bytes
    return now


async def test_a_slow_receiver_of_one_stream_does_not_hold_up_the_others(way: Way) -> None:
    options = Options(voice=LongVoice(), manner=Manner(speech_speed=0))
    async with talking(options, way, streams_per_connection=16) as (client, _):
        deaf = [await client.open(opening()) for _ in range(4)]
        for stream in deaf:
            await stream.send(typed("T", "hello"))
        awake = await client.open(opening())
        await awake.send(typed("T", "hello"))
        heard = 0
        async with asyncio.timeout(10):
            while heard < len(LONG):
                event = await awake.receive()
                heard += len(event.pcm) if isinstance(event, AudioOutput) else 0
        await awake.close()

    assert heard == len(LONG)


async def test_a_model_that_does_not_listen_is_told_of_to_everybody(way: Way) -> None:
    async with talking(Options(brain="echo", fault="slow_reader@7"), way) as (client, _):
        stream = await client.open(opening())
        await hear(stream, lambda event: isinstance(event, AudioOutput))
        receiving = asyncio.create_task(stream.receive())
        sending = [asyncio.create_task(keep_talking(stream)) for _ in range(8)]
        await asyncio.wait([*sending, receiving])
        await stream.close()

    errors = [task.exception() for task in (*sending, receiving)]
    assert {(error.code, error.remedy) for error in errors if isinstance(error, ModelError)} == {("model_stalled", Remedy.RESUME)}
    assert all(isinstance(error, ModelError) for error in errors)


async def keep_talking(stream: ModelStream) -> None:
    while True:
        await stream.send((AudioInput("P", "A", bytes(1024)),))


async def test_a_model_that_listens_again_in_time_loses_nothing(way: Way) -> None:
    async with talking(Options(brain="echo"), way) as (client, _):
        stream = await client.open(opening())
        frames = [number.to_bytes(2, "little") * 512 for number in range(600)]
        sending = asyncio.create_task(send_all(stream, frames))
        await eventually(lambda: not stream._exchange.has_room)  # for nobody receives, so the emulator does not read
        back: list[bytes] = []
        while len(back) < 601:
            event = await stream.receive()
            back += [event.pcm] if isinstance(event, AudioOutput) else []
        await sending
        await stream.close()

    assert back[1:] == frames


async def send_all(stream: ModelStream, frames: list[bytes]) -> None:
    for frame in frames:
        await stream.send((AudioInput("P", "A", frame),))


@pytest.mark.parametrize("direction", ["up", "down"])
def test_whoever_falls_silent_is_given_up_within_three_seconds_of_speech(direction: str) -> None:
    filling = (DEFAULT_WINDOW_BYTES + ROOM_BYTES) / MESSAGE_BYTES * FRAME_SECONDS
    seconds = filling + Timeouts().write if direction == "up" else PING_IDLE_SECONDS + PING_ANSWER_SECONDS

    assert 2.0 < seconds < 3.0

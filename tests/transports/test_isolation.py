"""Conversations at the same time on one server: what one says or hears, no other does."""

import asyncio
import base64
import json

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from s2s.events import AudioInput, AudioOutput, ContentEnded, ContentStarted, ContentType, Role, StopReason
from tests.transports import raw_client
from tests.transports.doubles import Rig, ScriptedStream, running_server
from transports.dialects.binary import SUBPROTOCOL, Header, pack_audio, unpack_audio

CALLERS = 8
PIECES = 20


def tagged(number: int, piece: int, samples: int = 512) -> bytes:
    """Return samples that say whose they are and which piece."""
    return (number * 100 + piece + 1).to_bytes(2, "little") * samples


def answer(stream: ScriptedStream, number: int) -> None:
    """Let the model say something that says whose it is."""
    ids = ("S", "internal", "K")
    stream.say(
        ContentStarted(*ids, "X", ContentType.AUDIO, Role.ASSISTANT, None, 24_000),
        AudioOutput(*ids, "X", tagged(number, PIECES, 480)),
        ContentEnded(*ids, "X", ContentType.AUDIO, StopReason.END_TURN),
    )


async def call(rig: Rig, number: int, together: asyncio.Barrier) -> tuple[bytes, bytes]:
    """Speak and listen, as a page or with raw events; return what the model heard, and what the client did."""
    is_page = bool(number % 2)
    subprotocols = [Subprotocol(SUBPROTOCOL)] if is_page else None
    async with connect(rig.address, subprotocols=subprotocols, compression=None) as client:
        opening = ['{"type":"hello","protocol":1}'] if is_page else raw_client.opening()
        for message in opening:
            await client.send(message)
        await together.wait()
        for piece in range(PIECES):
            pcm = tagged(number, piece)
            await client.send(pack_audio(Header(1, 0, 0, piece, 0, 0), pcm) if is_page else raw_client.audio(pcm))
            await asyncio.sleep(0)
        while not (mine := [stream for stream in rig.model.streams if tagged(number, PIECES - 1) in stream.pcm]):  # noqa: ASYNC110 - of many streams
            await asyncio.sleep(0.01)
        await mine[0].wait_for(AudioInput, PIECES)
        answer(mine[0], number)
        heard = b""
        while not heard:
            frame = await client.recv()
            if isinstance(frame, bytes):
                heard = unpack_audio(frame)[1]
            elif "audioOutput" in (event := json.loads(frame).get("event", {})):
                heard = base64.b64decode(event["audioOutput"]["content"])
        return mine[0].pcm, heard


@pytest.mark.req("S0-53", "S2-05")
async def test_what_eight_callers_say_and_hear_at_once_stays_theirs() -> None:
    together = asyncio.Barrier(CALLERS)
    async with running_server(max_sessions=CALLERS) as rig:
        talks = await asyncio.gather(*(call(rig, number, together) for number in range(CALLERS)))

    for number, (said, heard) in enumerate(talks):
        assert said == b"".join(tagged(number, piece) for piece in range(PIECES))
        assert heard == tagged(number, PIECES, 480)

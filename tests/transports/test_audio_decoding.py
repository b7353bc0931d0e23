"""The recordings of one connection: one after another, and what becomes of those in which something is wrong."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray

from audio.decoding import AudioDecoding
from audio.recordings import HERTZ
from session.errors import InvalidAudio, SessionError, TooLarge, UnsupportedFormat
from tests.audio.recorder import beginning, block, record, tone
from transports.audio_decoding import Recordings
from transports.dialects.interface import SendEncoded

RECORDED = record(tone(2.0))
SILENT_120_MS = b"\xfb\x06"
"""Two bytes that claim six frames of 20 ms (RFC 6716 section 3.2.5)."""


def samples(pieces: Sequence[bytes]) -> NDArray[np.int16]:
    return np.frombuffer(b"".join(pieces), "<i2")


@pytest_asyncio.fixture
async def decoding() -> AsyncIterator[AudioDecoding]:
    made = AudioDecoding()
    await made.start()
    yield made
    made.close()


async def test_recordings_follow_one_another(decoding: AudioDecoding) -> None:
    recordings = Recordings(decoding)
    half = len(RECORDED) // 2
    first = [
        *await recordings.decode(SendEncoded("webm", 1, RECORDED[:half])),
        *await recordings.decode(SendEncoded("webm", 1, RECORDED[half:])),
    ]
    second = await recordings.decode(SendEncoded("webm", 2, RECORDED))

    assert b"".join(first) == b"".join(second)
    assert samples(second).size / HERTZ == pytest.approx(2.0, abs=0.05)


async def test_what_follows_a_mistake_in_a_recording_is_left_aside(decoding: AudioDecoding) -> None:
    recordings = Recordings(decoding)
    with pytest.raises(InvalidAudio):
        await recordings.decode(SendEncoded("webm", 1, b"nonsense"))

    assert await recordings.decode(SendEncoded("webm", 1, RECORDED)) == ()
    assert await recordings.decode(SendEncoded("webm", 2, RECORDED))


async def test_a_recording_whose_connection_ended_while_it_was_decoded_is_not_used_again(decoding: AudioDecoding) -> None:
    recordings = Recordings(decoding)
    decoded = asyncio.create_task(recordings.decode(SendEncoded("webm", 1, RECORDED)))
    await asyncio.sleep(0)
    decoded.cancel()
    with pytest.raises(asyncio.CancelledError):
        await decoded

    assert await recordings.decode(SendEncoded("webm", 1, RECORDED)) == ()


@pytest.mark.parametrize(
    ("encoding", "data", "error"),
    [
        ("flac", b"fLaC", UnsupportedFormat),
        ("webm", b"nonsense", InvalidAudio),
        ("webm", beginning() + block(SILENT_120_MS) * 5_000, TooLarge),
    ],
)
async def test_what_cannot_be_decoded_is_told_with_a_code(
    decoding: AudioDecoding, encoding: str, data: bytes, error: type[SessionError]
) -> None:
    with pytest.raises(error):
        await Recordings(decoding).decode(SendEncoded(encoding, 1, data))

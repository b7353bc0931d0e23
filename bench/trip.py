"""A caller who speaks on while there is no network, and comes back."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from bench.ear import CHUNK_SAMPLES, CHUNK_SECONDS, HERTZ
from bench.positions import Verdict, coded_speech, compare
from bench.resumable_client import ResumableClient

BEFORE_SECONDS = 2.0
AFTER_SECONDS = 3.0
CATCH_UP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Trip:
    """How it went."""

    verdict: Verdict
    late_ms: float
    """From the end of the speech until the last of its echo was heard: an echo plays on in full what was said without a network."""
    repeated: int
    """Frames that came again although they had come before."""


async def away(url: str, seconds: float) -> Trip:
    """Lose the network for some seconds in mid-speech.

    Args:
        url: of the server.
        seconds: without a network.
    """
    speech = coded_speech(round((BEFORE_SECONDS + seconds + AFTER_SECONDS) * HERTZ) // CHUNK_SAMPLES * CHUNK_SAMPLES)
    async with ResumableClient(url, {"input_hertz": HERTZ, "output_hertz": HERTZ}) as client:
        await client.start()
        speaking = asyncio.create_task(_speak(client, speech))
        await asyncio.sleep(BEFORE_SECONDS)
        await client.cut()
        await asyncio.sleep(seconds)
        await client.resume()
        await speaking
        said_at = asyncio.get_running_loop().time()
        with suppress(TimeoutError):  # the verdict tells how much is missing
            await client.until(lambda: len(client.received.pcm()) >= len(speech), CATCH_UP_SECONDS)
        received = client.received
        last_at = received.speech[-1].at if received.speech else said_at
        await client.send({"type": "end"})
    return Trip(compare(speech, received.pcm()), (last_at - said_at) * 1000, received.repeated)


async def _speak(client: ResumableClient, speech: bytes) -> None:
    loop = asyncio.get_running_loop()
    next_at = loop.time()
    for start in range(0, len(speech), 2 * CHUNK_SAMPLES):
        await client.send_audio(speech[start : start + 2 * CHUNK_SAMPLES])
        next_at += CHUNK_SECONDS
        await asyncio.sleep(max(0.0, next_at - loop.time()))

"""A caller and its model, for tests of coming back: both send pieces that tell their numbers."""

import asyncio
from collections.abc import Callable

from bench.resumable_client import ResumableClient
from s2s.events import AudioOutput, ContentEnded, ContentStarted, ContentType, OutputEvent, Role, StopReason
from tests.transports.doubles import Rig, ScriptedStream

IDS = ("S", "internal", "K")
GRACE = 30


def piece(number: int, samples: int = 512) -> bytes:
    """Return a piece of the microphone that tells its number."""
    return number.to_bytes(2, "little") * samples


def speech(*numbers: int, samples: int = 2_400, stop: StopReason = StopReason.END_TURN) -> list[OutputEvent]:
    """Return what a model says in pieces of a tenth of a second that tell their numbers."""
    return [
        ContentStarted(*IDS, "X", ContentType.AUDIO, Role.ASSISTANT, None, 24_000),
        *(AudioOutput(*IDS, "X", piece(number, samples)) for number in numbers),
        ContentEnded(*IDS, "X", ContentType.AUDIO, stop),
    ]


def numbers_of(pcm: bytes, samples: int) -> list[int]:
    """Return the numbers of whole pieces."""
    return [int.from_bytes(pcm[at : at + 2], "little") for at in range(0, len(pcm), 2 * samples)]


async def eventually(condition: Callable[[], bool]) -> None:
    """Let virtual time pass until something is true."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - it costs nothing, and there is no event for what is looked at
            await asyncio.sleep(0.01)


async def started(rig: Rig, number: int = 1) -> tuple[ResumableClient, ScriptedStream]:
    """Return a client in a session, and its model."""
    client = ResumableClient(rig.address)
    await client.start()
    return client, await rig.model.stream(number)

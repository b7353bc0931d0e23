"""A conversation over a real stream that has to give way: the caller notices nothing, and the model remembers."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from smithy_aws_core.identity import AWSCredentialsIdentity

from bench.positions import coded_speech, compare
from session.continuation import EXPIRY_SECONDS
from session.events import ContinueReason, End, SendAudio, SendText, SessionContinued, SessionEnded, SpeechChunk, TranscriptUpdated
from tests.e2e.remembering import conversation, until, until_all

HERTZ = 16_000
PIECE_BYTES = 640
"""20 ms."""
HURRY_SECONDS = 0.5
"""How long after its opening the first stream is due."""


class EndingKey:
    """Credentials that expire soon after the first stream was opened, and later ones never.

    Args:
        seconds: until they do.
    """

    source = "test"

    def __init__(self, seconds: float = EXPIRY_SECONDS + HURRY_SECONDS) -> None:
        self._seconds = seconds
        self._asked = 0

    async def identity(self) -> AWSCredentialsIdentity:
        self._asked += 1
        soon = datetime.now(UTC) + timedelta(seconds=self._seconds)
        return AWSCredentialsIdentity(access_key_id="a", secret_access_key="b", expiration=soon if self._asked == 1 else None)

    def forget(self) -> None:
        """Nothing is kept."""


async def test_the_stream_is_changed_before_its_credentials_expire_and_the_model_remembers(tmp_path: Path) -> None:
    async with conversation(tmp_path, credentials=EndingKey()) as runner:
        await runner.submit(SendText("My name is Ada."))
        first, continued = await until_all(runner, TranscriptUpdated, SessionContinued)
        await runner.submit(SendText("Who am I?"))
        second = await until(runner, TranscriptUpdated)
        await runner.submit(End())
        ended = await until(runner, SessionEnded)
        after = await runner.next_event()

    assert isinstance(first, TranscriptUpdated)
    assert first.text == "I know 0 things:"
    assert isinstance(continued, SessionContinued)
    assert continued.reason is ContinueReason.RENEWED
    assert "My name is Ada. / I know 0 things:" in second.text
    assert isinstance(ended, SessionEnded)
    assert after is None


async def test_every_sample_comes_back_once_when_the_stream_has_to_go_while_the_assistant_speaks(tmp_path: Path) -> None:
    speech = coded_speech(7 * HERTZ)
    async with conversation(
        tmp_path, credentials=EndingKey(EXPIRY_SECONDS / 3 + HURRY_SECONDS), brain="echo", output_hertz=HERTZ
    ) as runner:

        async def speak() -> None:
            for start in range(0, len(speech), PIECE_BYTES):
                await runner.submit(SendAudio(speech[start : start + PIECE_BYTES]))
                await asyncio.sleep(PIECE_BYTES / 2 / HERTZ)

        speaking = asyncio.create_task(speak())
        heard, continued = bytearray(), 0
        async with asyncio.timeout(20):
            while len(heard) < len(speech):
                event = await runner.next_event()
                assert event is not None
                heard += event.pcm if isinstance(event, SpeechChunk) else b""
                continued += isinstance(event, SessionContinued)
        await speaking

    assert continued == 1
    assert compare(speech, bytes(heard)).is_exact

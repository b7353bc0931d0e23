"""A conversation over a real stream that has to give way: the caller notices nothing, and the model remembers."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from smithy_aws_core.identity import AWSCredentialsIdentity

from session.continuation import EXPIRY_SECONDS
from session.events import ContinueReason, End, SendText, SessionContinued, SessionEnded, TranscriptUpdated
from tests.e2e.remembering import conversation, until, until_all

HURRY_SECONDS = 0.5
"""How long after its opening the first stream is due."""


class EndingKey:
    """Credentials that expire soon after the first stream was opened, and later ones never."""

    source = "test"

    def __init__(self) -> None:
        self._asked = 0

    async def identity(self) -> AWSCredentialsIdentity:
        self._asked += 1
        soon = datetime.now(UTC) + timedelta(seconds=EXPIRY_SECONDS + HURRY_SECONDS)
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

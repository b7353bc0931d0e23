"""What decodes recordings, with its threads."""

from collections.abc import AsyncIterator

import pytest_asyncio

from audio.decoding import AudioDecoding


@pytest_asyncio.fixture
async def decoding() -> AsyncIterator[AudioDecoding]:
    """Return what decodes recordings."""
    made = AudioDecoding()
    await made.start()
    yield made
    made.close()

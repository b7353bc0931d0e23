"""What a call costs the event loop that carries everybody's audio, and what becomes of one that the SDK cannot make."""

import asyncio
import importlib.metadata
from typing import NoReturn, cast

import pytest

from nova_sonic_local.options import Options
from s2s.bedrock.credentials import StaticCredentials
from s2s.errors import ModelError
from tests.s2s.conversation import opening, talking


async def test_opening_a_stream_does_not_search_all_installed_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    def search(**_: str) -> NoReturn:
        pytest.fail("the SDK read every package's metadata on the event loop")

    async with talking(Options(brain="echo")) as (client, emulator):
        monkeypatch.setattr(importlib.metadata, "entry_points", search)
        stream = await client.open(opening())

        assert emulator.live_streams == 1
        await stream.close()


async def test_a_call_that_the_sdk_cannot_sign_fails_at_once_and_leaves_no_task() -> None:
    unreadable = StaticCredentials("AKID", "secret", cast(str, 5))
    async with talking(Options(), credentials=unreadable) as (client, _):
        before = asyncio.all_tasks()
        async with asyncio.timeout(0.5):
            with pytest.raises(ModelError) as told:
                await client.open(opening())
        await asyncio.sleep(0)
        left = asyncio.all_tasks() - before

    assert "'int' object" in told.value.detail
    assert left == set()

"""What the first stream of a process costs the event loop that carries everybody's audio."""

import importlib.metadata
from typing import NoReturn

import pytest

from nova_sonic_local.options import Options
from tests.s2s.conversation import opening, talking


async def test_opening_a_stream_does_not_search_all_installed_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    def search(**_: str) -> NoReturn:
        pytest.fail("the SDK read every package's metadata on the event loop")

    async with talking(Options(brain="echo")) as (client, emulator):
        monkeypatch.setattr(importlib.metadata, "entry_points", search)
        stream = await client.open(opening())

        assert emulator.live_streams == 1
        await stream.close()

"""Which way the server takes to the model when its environment names a proxy."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from config import Settings
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from parts.errors import StartFailed
from parts.model import make_client
from s2s.bedrock.credentials import StaticCredentials
from s2s.errors import ModelError

NOBODY = "http://user:hunter2@127.0.0.1:9"
"""A proxy that is not there."""


@pytest.fixture
async def emulator() -> AsyncIterator[NovaSonicLocal]:
    async with NovaSonicLocal(Options()) as running:
        yield running


async def reach(emulator: NovaSonicLocal, *, local: bool = False, **environment: str) -> None:
    settings = Settings.from_env(environment, local=local)
    client = make_client(settings, emulator.endpoint, Path(emulator.ca_file), StaticCredentials("a", "b"))
    try:
        await client.ping()
    finally:
        await client.aclose()


async def test_the_proxy_is_used_and_named_without_its_password(emulator: NovaSonicLocal) -> None:
    with pytest.raises(ModelError) as told:
        await reach(emulator, HTTPS_PROXY=NOBODY)

    assert told.value.code == "model_unreachable"
    assert "127.0.0.1:9" in told.value.detail
    assert "hunter2" not in str(told.value)


async def test_a_host_in_no_proxy_is_reached_directly(emulator: NovaSonicLocal) -> None:
    await reach(emulator, HTTPS_PROXY=NOBODY, NO_PROXY="127.0.0.1")


async def test_the_emulator_of_local_is_never_behind_a_proxy(emulator: NovaSonicLocal) -> None:
    await reach(emulator, local=True, HTTPS_PROXY=NOBODY)


async def test_a_proxy_of_another_kind_is_told_at_start(emulator: NovaSonicLocal) -> None:
    with pytest.raises(StartFailed, match="HTTPS_PROXY"):
        await reach(emulator, HTTPS_PROXY="socks5://127.0.0.1:1080")

"""What is wrong with an endpoint before there is a stream is told in time, by `open` and by `ping` alike."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest

from s2s.bedrock.client import NovaSonicClient
from s2s.errors import ModelError
from tests.s2s.contract.outcomes import CRT_TROUBLES, TROUBLE_OUTCOMES, Told, Trouble
from tests.s2s.contract.troubles import troubled
from tests.s2s.conversation import opening
from tests.s2s.ways import WAYS, Way

TOLD_SECONDS = 3.0
OF_TLS = {Trouble.NO_TLS, Trouble.NO_ALPN, Trouble.UNKNOWN_AUTHORITY, Trouble.WRONG_HOST}


async def test_trouble_with_an_endpoint_is_told_in_time(tmp_path: Path) -> None:
    rows = [(way, trouble) for trouble in Trouble for way in WAYS if way is not Way.H2C or trouble not in OF_TLS]
    with ExitStack() as endpoints:  # all are there before the time of the first begins
        clients = [both_clients(way, trouble, tmp_path / f"{way.name}-{trouble.name}", endpoints) for way, trouble in rows]
        told = await asyncio.gather(*(told_of(*both) for both in clients))

    assert {row: both for row, both in zip(rows, told, strict=True) if both != [expected(*row)] * 2} == {}


def expected(way: Way, trouble: Trouble) -> Told:
    usual = TROUBLE_OUTCOMES[trouble]
    return CRT_TROUBLES.get(trouble, usual) if way is Way.CRT else usual


def both_clients(way: Way, trouble: Trouble, folder: Path, endpoints: ExitStack) -> tuple[NovaSonicClient, NovaSonicClient]:
    """Run an endpoint, and return a client of it that is to open and one that is to ping."""
    folder.mkdir()
    endpoint = endpoints.enter_context(troubled(way, trouble, folder))
    return way.client_for(endpoint.uri, endpoint.ca_file), way.client_for(endpoint.uri, endpoint.ca_file)


async def told_of(opened: NovaSonicClient, pinged: NovaSonicClient) -> list[Told]:
    """Return what `open` and `ping` say."""
    return list(await asyncio.gather(_open(opened), _ping(pinged)))


async def _open(client: NovaSonicClient) -> Told:
    try:
        async with asyncio.timeout(TOLD_SECONDS):
            with pytest.raises(ModelError) as told:
                await client.open(opening())
    finally:
        await client.aclose()
    return Told(told.value.code, told.value.remedy)


async def _ping(client: NovaSonicClient) -> Told:
    try:
        async with asyncio.timeout(TOLD_SECONDS):
            with pytest.raises(ModelError) as told:
                await client.ping()
    finally:
        await client.aclose()
    return Told(told.value.code, told.value.remedy)

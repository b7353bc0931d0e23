"""What is wrong with an endpoint before there is a stream is told in time, by `open` and by `ping` alike."""

import asyncio
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
    told = await asyncio.gather(*(tell(way, trouble, tmp_path / f"{way.name}-{trouble.name}") for way, trouble in rows))

    assert {row: both for row, both in zip(rows, told, strict=True) if both != [expected(*row)] * 2} == {}


def expected(way: Way, trouble: Trouble) -> Told:
    usual = TROUBLE_OUTCOMES[trouble]
    return CRT_TROUBLES.get(trouble, usual) if way is Way.CRT else usual


async def tell(way: Way, trouble: Trouble, folder: Path) -> list[Told]:
    """Return what `open` and `ping` say, with a client of its own for each."""
    folder.mkdir()
    with troubled(way, trouble, folder) as endpoint:
        opened, pinged = [way.client_for(endpoint.uri, endpoint.ca_file) for _ in range(2)]
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

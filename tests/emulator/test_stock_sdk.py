"""The stock Bedrock client of AWS over TLS and HTTP/2, with every signature checked."""

import asyncio

import pytest

from nova_sonic_local.envelope import SignatureCheck
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from tests.emulator.stock_sdk import ACCESS_KEY, SECRET_KEY, StockStream, stock_client
from tests.emulator.wire import closing, opening, spoken_turn

STRICT = Options(signatures=SignatureCheck.STRICT, secrets={ACCESS_KEY: SECRET_KEY})


@pytest.mark.timeout(30)
async def test_a_turn_of_the_stock_client_passes_the_strict_signature_check() -> None:
    async with NovaSonicLocal(STRICT) as emulator:
        stream = await StockStream.open(await stock_client(emulator.endpoint, emulator.ca_file))
        receiving = asyncio.create_task(stream.receive_until("contentEnd", type="AUDIO", stopReason="END_TURN"))
        await stream.send(*opening(), *spoken_turn())
        events = await receiving
        receiving = asyncio.create_task(stream.receive_until("completionEnd"))
        await stream.send(*closing())
        await stream.stream.input_stream.close()
        rest = await receiving

        assert "userSpeechStart" in events[0]
        assert rest[-1]["completionEnd"]["stopReason"] == "END_TURN"

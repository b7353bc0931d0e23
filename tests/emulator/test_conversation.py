"""A conversation on the wire, by a client that speaks HTTP/2 by hand."""

from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from tests.emulator.wire import RawClient, closing, opening, spoken_turn


async def test_a_spoken_turn_is_answered_in_text_and_speech() -> None:
    async with NovaSonicLocal(Options()) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open()
        await stream.send(*opening(), *spoken_turn())
        await stream.until("contentEnd", type="AUDIO", stopReason="END_TURN")
        await stream.send(*closing())
        stream.end()
        ending = await stream.ending()

        assert ending.is_ended

"""The server's own client and the emulator: two programs that share no code, in one conversation with every signature checked."""

from pathlib import Path

import orjson
import pytest

from nova_sonic_local.server import NovaSonicLocal
from s2s.bedrock.client import NovaSonicClient
from s2s.bedrock.credentials import StaticCredentials
from s2s.bedrock.interfaces import Transport
from s2s.codec_input import decode_input
from s2s.codec_output import encode_output
from s2s.models import DEFAULT_MODEL_ID
from session.interfaces import ModelStream
from tests.emulator.conversation import ACCESS_KEY, HEARD, SECRET_KEY, converse, options, outline
from tests.emulator.wire import Json

pytestmark = pytest.mark.timeout(30)


class OwnStream:
    """One stream of our client, which takes and gives events as objects."""

    def __init__(self, client: NovaSonicClient) -> None:
        self._client = client
        self._stream: ModelStream | None = None

    async def send(self, *events: Json) -> None:
        """Send events; the first ones open the stream."""
        decoded = [decode_input(orjson.dumps(event)) for event in events]
        if self._stream is None:
            self._stream = await self._client.open(decoded)
        else:
            await self._stream.send(decoded)

    async def receive(self) -> Json | None:
        assert self._stream is not None
        event = await self._stream.receive()
        if event is None:
            return None
        body: Json = orjson.loads(encode_output(event))["event"]
        return body

    async def end(self) -> None:
        """Do nothing: our client ends the request after sessionEnd."""

    async def close(self) -> None:
        assert self._stream is not None
        await self._stream.close()


@pytest.mark.parametrize("transport", Transport)
async def test_it_converses(transport: Transport, tmp_path: Path) -> None:
    async with NovaSonicLocal(options(tmp_path)) as emulator:
        credentials = StaticCredentials(ACCESS_KEY, SECRET_KEY)
        ca_file = str(emulator.ca_file)
        client = NovaSonicClient("us-east-1", DEFAULT_MODEL_ID, emulator.endpoint, ca_file, credentials, transport=transport)
        stream = OwnStream(client)
        heard = await converse(stream)
        await stream.close()
        await client.aclose()
        await emulator.quiet()

        assert outline(heard) == HEARD

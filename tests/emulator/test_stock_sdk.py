"""The stock Bedrock client of AWS over TLS and HTTP/2, with every signature checked."""

import asyncio
import base64
from pathlib import Path

import pytest
from aws_sdk_bedrock_runtime.client import AsyncBedrockRuntimeClient
from aws_sdk_bedrock_runtime.config import AsyncBedrockRuntimeConfig
from aws_sdk_bedrock_runtime.models import ValidationException
from smithy_http.aio.crt import AWSCRTHTTPClient

from nova_sonic_local.envelope import SignatureCheck
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from tests.emulator.conversation import ACCESS_KEY, HEARD, SECRET_KEY, converse, options, outline
from tests.emulator.stock_sdk import MODEL_ID, StockStream, stock_client
from tests.emulator.wire import audio_input, closing, opening, silence, speech

pytestmark = pytest.mark.timeout(30)
SECRETS = {ACCESS_KEY: SECRET_KEY}
STRICT = Options(signatures=SignatureCheck.STRICT, secrets=SECRETS)


@pytest.mark.parametrize("model_id", [MODEL_ID, "amazon.nova-2-5-sonic"])
async def test_it_converses(model_id: str, tmp_path: Path) -> None:
    async with NovaSonicLocal(options(tmp_path)) as emulator:
        stream = await StockStream.open(await stock_client(emulator.endpoint, emulator.ca_file), model_id)
        heard = await converse(stream)
        await emulator.quiet()

        assert outline(heard) == HEARD


async def test_it_needs_nothing_but_variables_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with NovaSonicLocal(options(tmp_path)) as emulator:
        monkeypatch.setenv("SSL_CERT_FILE", str(emulator.ca_file))
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", emulator.endpoint)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        config = await AsyncBedrockRuntimeConfig.resolve(region="us-east-1", transport=AWSCRTHTTPClient())
        heard = await converse(await StockStream.open(AsyncBedrockRuntimeClient(config=config)))

        assert outline(heard) == HEARD


async def test_sessions_of_one_client_are_apart() -> None:
    options = Options(brain="echo", signatures=SignatureCheck.STRICT, secrets=SECRETS)
    async with NovaSonicLocal(options) as emulator:
        client = await stock_client(emulator.endpoint, emulator.ca_file)
        streams = [await StockStream.open(client) for _ in range(3)]
        tones = [speech(0.5, loudness=1_000 * number) for number in (1, 2, 3)]

        async def echo(stream: StockStream, tone: bytes) -> bytes:
            pieces = [audio_input(tone[start : start + 1024]) for start in range(0, len(tone), 1024)]
            receiving = asyncio.create_task(stream.receive_until("completionEnd"))
            await stream.send(*opening(hertz=16_000), *pieces, *closing())
            await stream.end()
            contents = [event["audioOutput"]["content"] for event in await receiving if "audioOutput" in event]
            return b"".join(map(base64.b64decode, contents))

        assert await asyncio.gather(*map(echo, streams, tones)) == tones


async def test_a_mistake_is_raised_as_a_validation_error() -> None:
    async with NovaSonicLocal(STRICT) as emulator:
        stream = await StockStream.open(await stock_client(emulator.endpoint, emulator.ca_file))
        receiving = asyncio.create_task(stream.receive_until("never"))
        await stream.send(*opening(), audio_input(silence(0.1)), opening()[1])

        with pytest.raises(ValidationException, match=r"RequestId=.* : Invalid input request, please fix"):
            await receiving

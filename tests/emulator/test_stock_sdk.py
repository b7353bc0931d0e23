"""The stock Bedrock client of AWS over TLS and HTTP/2, with every signature checked."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from aws_sdk_bedrock_runtime.models import ValidationException

from nova_sonic_local.envelope import SignatureCheck
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from tests.emulator.stock_sdk import ACCESS_KEY, MODEL_ID, SECRET_KEY, StockStream, stock_client
from tests.emulator.wire import Json, audio_input, closing, opening, silence, speech, spoken_turn, tool, tool_result

pytestmark = pytest.mark.timeout(30)
SECRETS = {ACCESS_KEY: SECRET_KEY}
STRICT = Options(signatures=SignatureCheck.STRICT, secrets=SECRETS)
SCRIPT = """
[[turns]]
hear = "weather"
say = "Let me see."
tools = [{ name = "lookup", arguments = { city = "Oslo" } }]
then = "It is {sky}."
"""


async def converse(stream: StockStream, events: list[Json], until: str, **members: object) -> list[dict[str, Any]]:
    """Send events while receiving up to an event."""
    receiving = asyncio.create_task(stream.receive_until(until, **members))
    await stream.send(*events)
    return await receiving


async def end(stream: StockStream) -> list[dict[str, Any]]:
    """Close in order and return what still comes."""
    receiving = asyncio.create_task(stream.receive_until("never"))
    await stream.send(*closing())
    await stream.stream.input_stream.close()
    return await receiving


@pytest.mark.parametrize("model_id", [MODEL_ID, "amazon.nova-2-5-sonic"])
async def test_a_turn_passes_the_strict_signature_check(model_id: str) -> None:
    async with NovaSonicLocal(STRICT) as emulator:
        stream = await StockStream.open(await stock_client(emulator.endpoint, emulator.ca_file), model_id)
        events = await converse(stream, [*opening(), *spoken_turn()], "contentEnd", type="AUDIO", stopReason="END_TURN")
        rest = await end(stream)

        assert "userSpeechStart" in events[0]
        assert rest[-1]["completionEnd"]["stopReason"] == "END_TURN"


async def test_a_tool_is_called_and_its_result_is_spoken_of(tmp_path: Path) -> None:
    scenario = tmp_path / "script.toml"
    scenario.write_text(SCRIPT)
    async with NovaSonicLocal(Options(signatures=SignatureCheck.STRICT, secrets=SECRETS, scenario=scenario)) as emulator:
        stream = await StockStream.open(await stock_client(emulator.endpoint, emulator.ca_file))
        events = await converse(stream, [*opening(tools=[tool()]), *spoken_turn()], "contentEnd", type="TOOL")
        use = next(event["toolUse"] for event in events if "toolUse" in event)
        rest = await converse(stream, tool_result(use["toolUseId"], '{"sky":"grey"}'), "contentEnd", type="AUDIO", stopReason="END_TURN")
        await end(stream)
        texts = [event["textOutput"]["content"] for event in events + rest if "textOutput" in event]

        assert (use["toolName"], json.loads(use["content"])) == ("lookup", {"city": "Oslo"})
        assert texts[:2] == ["weather", "Let me see."]
        assert "It is grey." in texts


async def test_speech_interrupts_what_is_heard() -> None:
    async with NovaSonicLocal(STRICT) as emulator:
        stream = await StockStream.open(await stock_client(emulator.endpoint, emulator.ca_file))
        await converse(stream, [*opening(), *spoken_turn()], "contentEnd", type="AUDIO", stopReason="END_TURN")
        events = await converse(stream, [audio_input(speech(0.4))], "contentEnd", stopReason="INTERRUPTED")
        await end(stream)

        assert [event["textOutput"]["content"] for event in events if "textOutput" in event][-1] == '{ "interrupted" : true }'


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
            await stream.stream.input_stream.close()
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

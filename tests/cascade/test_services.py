"""The three adapters on the wire, against the emulator, which checks their signatures; and what they make of its failures."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest

from cascade.calls import Calls, Service
from cascade.converse import Converse
from cascade.interfaces import Reply, ReplyEnd, Request, TextPiece, ToolCall
from cascade.polly import PollyVoice
from cascade.transcribe import TranscribeStreaming
from nova_sonic_local.brains.script import ScriptBrains, parse_script
from nova_sonic_local.envelope import SignatureCheck
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from nova_sonic_local.upcoming import Operation
from parts.cascade import NoteWriter
from s2s.bedrock.credentials import StaticCredentials
from s2s.bedrock.http2.pool import Http2Exchanges
from s2s.errors import ModelError, Remedy
from s2s.events import ToolSpec
from session.errors import ModelFailure
from tests.cascade.crew import leaked
from tests.emulator.conversation import ACCESS_KEY, SECRET_KEY
from tests.emulator.test_polly import CountingVoice

pytestmark = pytest.mark.timeout(30)
KEYS = {ACCESS_KEY: SECRET_KEY}
SCRIPT = {
    "turns": [
        {"hear": "hello", "say": ["Good morning.", "How can I help?"]},
        {
            "hear": "where is my order",
            "say": "One moment.",
            "tools": [{"name": "find_order", "arguments": {"order_id": "PED-1"}}],
            "then": "It is {status}.",
        },
    ],
    "repeat": False,
}
FIND_ORDER = ToolSpec("find_order", "Finds an order.", '{"type":"object","properties":{"order_id":{"type":"string"}}}')
GREETING = ["Good", "morning.", "How", "can", "I", "help?"]
HELLO = Request("You are Carlos.", ({"role": "user", "content": [{"text": "hello"}]},))


@dataclass
class Wire:
    """The adapters, at one emulator."""

    emulator: NovaSonicLocal
    converse: Converse
    transcribe: TranscribeStreaming
    voice: PollyVoice


@asynccontextmanager
async def wired(secret: str = SECRET_KEY, endpoint: str = "", **options: object) -> AsyncIterator[Wire]:
    """Give adapters whose requests an emulator answers."""
    made = Options(
        **{
            "brain": ScriptBrains(parse_script(SCRIPT)),
            "voice": CountingVoice(),
            "signatures": SignatureCheck.STRICT,
            "secrets": KEYS,
            **options,
        }  # type: ignore[arg-type]
    )
    async with NovaSonicLocal(made) as emulator:
        ca_file, keys, uri = str(emulator.ca_file), StaticCredentials(ACCESS_KEY, secret), endpoint or emulator.endpoint
        exchanges = [Http2Exchanges(uri, ca_file=ca_file, streams_per_connection=limit) for limit in (16, 1)]
        bedrock, ears = (
            Calls(Service(name, signing, "us-east-1", uri), pool, keys, 2.0)
            for name, signing, pool in (("Converse", "bedrock", exchanges[0]), ("Transcribe", "transcribe", exchanges[1]))
        )
        voice = PollyVoice(Service("Polly", "polly", "us-east-1", uri), keys, ca_file)
        try:
            yield Wire(emulator, Converse(bedrock, "us.amazon.nova-lite-v1:0"), TranscribeStreaming(ears), voice)
        finally:
            await voice.aclose()
            await asyncio.gather(*(pool.close() for pool in exchanges))


async def written(wire: Wire, request: Request) -> list[Reply]:
    return [reply async for reply in wire.converse.reply(request)]


@pytest.mark.req("S0-20")
async def test_a_text_model_is_read_as_it_writes() -> None:
    async with wired() as wire:
        replies = await written(wire, HELLO)

    assert "".join(reply.text for reply in replies if isinstance(reply, TextPiece)).split() == GREETING
    assert len(replies) > 2
    assert isinstance(replies[-1], ReplyEnd)
    assert replies[-1].output_tokens > 0


async def test_a_tool_is_called_and_its_result_told() -> None:
    asked = {"role": "user", "content": [{"text": "where is my order"}]}
    before = [{"role": "user", "content": [{"text": "hello"}]}, {"role": "assistant", "content": [{"text": "Good morning."}]}]
    async with wired() as wire:
        replies = await written(wire, Request("You are Carlos.", (*before, asked), (FIND_ORDER,)))
        (call,) = [reply for reply in replies if isinstance(reply, ToolCall)]
        used = {"toolUse": {"toolUseId": call.tool_use_id, "name": call.name, "input": {"order_id": "PED-1"}}}
        result = {"toolResult": {"toolUseId": call.tool_use_id, "content": [{"json": {"status": "on its way"}}]}}
        told = ({"role": "assistant", "content": [{"text": "One moment."}, used]}, {"role": "user", "content": [result]})
        then = await written(wire, Request("You are Carlos.", (*before, asked, *told), (FIND_ORDER,)))

    assert (call.name, call.arguments.replace(" ", "")) == ("find_order", '{"order_id":"PED-1"}')
    assert "".join(reply.text for reply in then if isinstance(reply, TextPiece)).strip() == "It is on its way."


async def test_a_text_is_written_as_a_whole() -> None:
    async with wired() as wire:
        text = await wire.converse.complete("You are Carlos.", "hello")

    assert text.split() == GREETING


@pytest.mark.req("S0-21")
@pytest.mark.parametrize("hertz", [8_000, 16_000, 24_000])
async def test_a_sentence_is_spoken_at_each_rate(hertz: int) -> None:
    async with wired() as wire:
        pcm = b"".join([piece async for piece in wire.voice.speak("Good morning.", "carlos", hertz)])

    assert abs(len(pcm) / 2 / hertz - 0.13) < 0.001


async def test_a_wrong_key_is_refused_by_each_service() -> None:
    async with wired(secret="wrong") as wire:
        for use in USES.values():
            with pytest.raises(ModelError) as refused:
                await use(wire)
            assert (refused.value.code, refused.value.remedy) == ("model_credentials", Remedy.FATAL_CONFIG)


async def _spoken(wire: Wire) -> bytes:
    return b"".join([piece async for piece in wire.voice.speak("Good morning.", "carlos", 16_000)])


async def test_nobody_at_the_endpoint_is_told_by_each_service() -> None:
    async with wired(endpoint="https://127.0.0.1:9") as wire:
        for use in (*USES.values(), _reached):
            with pytest.raises(ModelError) as away:
                await use(wire)
            assert (away.value.code, away.value.remedy) == ("model_unreachable", Remedy.BACKOFF)


async def test_a_model_of_speech_writes_no_text() -> None:
    async with wired() as wire:
        speech_model = Converse(wire.converse._calls, "amazon.nova-2-sonic-v1:0")
        with pytest.raises(ModelError) as refused:
            await speech_model.complete("", "hello")
        with pytest.raises(ModelFailure):
            await NoteWriter(speech_model).complete("", "hello")

    assert refused.value.code == "model_validation"


BROKEN = ("model_lost", Remedy.RESUME)
FAULTS = {
    "http_429": ("model_throttled", Remedy.BACKOFF),
    "http_500": ("model_unstable", Remedy.RESUME),
    "http_503": ("model_unstable", Remedy.BACKOFF),
    "rst": BROKEN,
    "tcp_drop": BROKEN,
}


async def _heard(wire: Wire) -> None:
    stream = await wire.transcribe.open("en-US", 16_000)
    try:
        await stream.send(bytes(3_200))
        await stream.receive()
    finally:
        await stream.close()


async def _reached(wire: Wire) -> None:
    await wire.transcribe.reach()


USES: dict[Operation, Callable[[Wire], Awaitable[object]]] = {
    Operation.CONVERSE: lambda wire: written(wire, HELLO),
    Operation.TRANSCRIBE: _heard,
    Operation.POLLY: _spoken,
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("operation", USES, ids=str)
async def test_each_failure_of_each_service_has_its_remedy(operation: Operation, fault: str) -> None:
    async with wired() as wire:
        moment = "@1" if operation is Operation.TRANSCRIBE and not fault.startswith("http") else ""
        await wire.emulator.control.plan_next(faults=f"{fault}{moment}", operation=operation)
        with pytest.raises(ModelError) as failed:
            await USES[operation](wire)

    assert (failed.value.code, failed.value.remedy) == FAULTS[fault]


@pytest.mark.parametrize("operation", [Operation.CONVERSE, Operation.TRANSCRIBE], ids=str)
async def test_an_error_in_mid_stream_is_read(operation: Operation) -> None:
    async with wired() as wire:
        moment = "@1" if operation is Operation.TRANSCRIBE else "@1out"
        await wire.emulator.control.plan_next(faults=f"exception:throttlingException{moment}", operation=operation)
        with pytest.raises(ModelError) as failed:
            await USES[operation](wire)

    assert failed.value.code == "model_throttled"


async def test_speech_goes_to_the_recogniser_and_its_stream_closes_in_order() -> None:
    async with wired() as wire:
        stream = await wire.transcribe.open("en-US", 16_000)
        for _ in range(20):
            await stream.send(bytes(3_200))
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await stream.receive()
        await stream.close()
        await stream.close()

    assert leaked() == []

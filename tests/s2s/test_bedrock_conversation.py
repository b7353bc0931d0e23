"""Whole conversations of the real SDK over TLS and HTTP/2 with the emulator."""

import asyncio
import os
import socket
from pathlib import Path

import pytest
import uvloop

from nova_sonic_local.envelope import SignatureCheck
from nova_sonic_local.options import Options
from s2s.bedrock.client import NovaSonicClient
from s2s.errors import LocalProtocolError, ModelError
from s2s.events import (
    AudioInput,
    AudioOutput,
    CompletionEnd,
    ContentEnd,
    ContentEnded,
    ContentType,
    PromptEnd,
    PromptStart,
    SessionEnd,
    SessionStart,
    Stage,
    StopReason,
    TextOutput,
    ToolContentStart,
    ToolResult,
    ToolSpec,
    ToolUse,
    UserSpeechEnd,
)
from session.interfaces import ModelClient, ModelStream
from tests.s2s.conversation import SHORT, hear, opening, say, talking, tone, typed
from tests.s2s.ways import KEY, SECRET

SCRIPT = """
[[turns]]
hear = "where is my order"
say = ["One moment."]
tools = [{ name = "lookup", arguments = { order_id = "1" } }]
then = "It is {status}."
"""
LOOKUP = ToolSpec("lookup", "Finds an order", '{"type":"object","properties":{"order_id":{"type":"string"}}}')


def is_end_of_turn(event: object) -> bool:
    return isinstance(event, ContentEnded) and event.type is ContentType.AUDIO and event.stop_reason is StopReason.END_TURN


def test_the_client_has_the_shape_that_sessions_ask_for(tmp_path: Path) -> None:
    client: ModelClient = NovaSonicClient("us-east-1", "amazon.nova-2-sonic-v1:0", "https://localhost:1")

    assert client.model_id == "amazon.nova-2-sonic-v1:0"


@pytest.mark.req("S4-09")
async def test_a_spoken_turn_is_answered_in_text_and_speech() -> None:
    async with talking(Options()) as (client, _):
        live: ModelStream = await client.open(opening())
        await say(live, tone(600) + bytes(32_000))
        heard = await hear(live, is_end_of_turn)
        await live.close()

    assert any(isinstance(event, UserSpeechEnd) for event in heard)
    assert sum(len(event.pcm) for event in heard if isinstance(event, AudioOutput)) > 8000
    texts = [event.content for event in heard if isinstance(event, TextOutput)]
    assert texts[:2] == ["hello", "Hello, this is Nova Sonic Local. I heard you."]


async def test_a_typed_turn_is_answered() -> None:
    async with talking(Options()) as (client, _):
        stream = await client.open(opening())
        await stream.send(typed("T", "hello"))
        heard = await hear(stream, is_end_of_turn)

    assert any(isinstance(event, AudioOutput) for event in heard)


@pytest.mark.req("S4-44", "S4-45")
async def test_a_tool_result_is_spoken(tmp_path: Path) -> None:
    script = tmp_path / "orders.toml"
    script.write_text(SCRIPT)
    async with talking(Options(scenario=script)) as (client, _):
        stream = await client.open(opening((LOOKUP,)))
        await stream.send(typed("T", "where is my order"))
        use = (await hear(stream, lambda event: isinstance(event, ToolUse)))[-1]
        assert isinstance(use, ToolUse)
        await stream.send(
            (ToolContentStart("P", "R", use.tool_use_id), ToolResult("P", "R", '{"status":"on its way"}'), ContentEnd("P", "R"))
        )
        heard = await hear(stream, is_end_of_turn)
        with pytest.raises(LocalProtocolError):
            await stream.send((ToolContentStart("P", "R2", use.tool_use_id),))

    assert (use.tool_name, use.content) == ("lookup", '{"order_id":"1"}')
    assert "It is on its way." in [event.content for event in heard if isinstance(event, TextOutput)]


async def test_every_event_carries_a_signature_that_the_service_can_verify() -> None:
    async with talking(Options(brain="echo", signatures=SignatureCheck.STRICT, secrets={KEY: SECRET})) as (client, _):
        stream = await client.open(opening())
        await say(stream, tone(3000))
        heard = await hear(stream, lambda event: isinstance(event, AudioOutput))
        await stream.close()

    assert heard


@pytest.mark.req("S4-74")
async def test_speech_comes_back_sample_by_sample() -> None:
    spoken = tone(5000)
    async with talking(Options(brain="echo")) as (client, _):
        stream = await client.open(opening())
        sending = asyncio.create_task(say(stream, spoken))
        back = bytearray()
        while len(back) < len(spoken) + 3200:
            event = await stream.receive()
            back += event.pcm if isinstance(event, AudioOutput) else b""
        await sending

    assert bytes(3200) + spoken == bytes(back)


async def test_the_end_that_our_session_end_asked_for_is_none_for_ever() -> None:
    async with talking(Options()) as (client, _):
        stream = await client.open(opening())
        await stream.send((ContentEnd("P", "A"), PromptEnd("P"), SessionEnd()))
        heard = []
        while (event := await stream.receive()) is not None:
            heard.append(event)
        again = await stream.receive()
        with pytest.raises(ModelError, match="closed"):
            await stream.send((AudioInput("P", "A", b"\0\0"),))

    assert again is None
    assert all(isinstance(event, CompletionEnd) or not isinstance(event, TextOutput) or event.content for event in heard)


async def test_receive_may_be_cancelled_and_called_again_without_loss() -> None:
    async with talking(Options(brain="echo")) as (client, _):
        stream = await client.open(opening())
        await hear(stream, lambda event: isinstance(event, AudioOutput))
        for number in range(20):
            waiting = asyncio.create_task(stream.receive())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait({waiting})
            await stream.send((AudioInput("P", "A", bytes([number, 0])),))
            event = await stream.receive()
            assert isinstance(event, AudioOutput)
            assert event.pcm == bytes([number, 0])


async def test_a_cancelled_send_tears_neither_its_group_nor_the_signatures() -> None:
    options = Options(signatures=SignatureCheck.STRICT, secrets={KEY: SECRET})
    async with talking(options) as (client, _):
        stream = await client.open(opening())
        for number in range(10):
            sending = asyncio.create_task(stream.send((AudioInput("P", "A", bytes([number, 0] * 512)),)))
            await asyncio.sleep(0)
            sending.cancel()
            await asyncio.wait({sending})
        await stream.send(typed("T", "hello"))
        heard = await hear(stream, is_end_of_turn)

    assert Stage.SPECULATIVE in [event.stage for event in heard if hasattr(event, "stage")]


async def test_concurrent_groups_are_sent_one_after_the_other() -> None:
    options = Options(brain="echo", signatures=SignatureCheck.STRICT, secrets={KEY: SECRET})
    async with talking(options) as (client, _):
        stream = await client.open(opening())
        frames = [bytes([number, 0]) * 8 for number in range(100)]
        await asyncio.gather(*(stream.send((AudioInput("P", "A", frame),)) for frame in frames))
        back: list[bytes] = []
        while len(back) < 101:
            event = await stream.receive()
            if isinstance(event, AudioOutput):
                back.append(event.pcm)

    assert frames == back[1:]


async def test_a_refused_group_leaves_the_stream_in_use() -> None:
    async with talking(Options(brain="echo")) as (client, _):
        stream = await client.open(opening())
        with pytest.raises(LocalProtocolError):
            await stream.send((AudioInput("P", "other", b"\0\0"),))
        await stream.send((AudioInput("P", "A", b"\1\0"),))
        heard = await hear(stream, lambda event: isinstance(event, AudioOutput) and event.pcm == b"\1\0")

    assert heard


async def test_a_wrong_opening_is_refused_before_anything_is_sent() -> None:
    async with talking(Options()) as (client, emulator):
        with pytest.raises(LocalProtocolError):
            await client.open((SessionStart(), PromptStart("P", "pavarotti")))

        assert emulator.live_connections == 0


async def test_small_frames_do_not_wait_for_acknowledgements() -> None:
    async with talking(Options(brain="echo")) as (client, emulator):
        await client.open(opening())
        port = int(emulator.endpoint.rpartition(":")[2])
        found = [option for peer, option in nodelay_of_sockets() if peer == port]

    assert found
    assert all(found)


def nodelay_of_sockets() -> list[tuple[int, int]]:
    """Return (port of the peer, TCP_NODELAY) of each connected TCP socket of this process."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            with socket.socket(fileno=os.dup(int(entry.name))) as one:
                found.append((one.getpeername()[1], one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
        except (OSError, TypeError, IndexError):
            continue
    return found


@pytest.mark.parametrize(("limit", "connections"), [(1, 3), (2, 2), (20, 1)])
async def test_as_many_streams_share_a_connection_as_allowed(limit: int, connections: int) -> None:
    async with talking(Options(brain="echo"), streams_per_connection=limit) as (client, emulator):
        streams = [await client.open(opening()) for _ in range(3)]
        open_connections = emulator.live_connections
        for stream in streams:
            await stream.close()

        assert connections == open_connections


async def test_ping_says_that_a_stream_could_be_opened() -> None:
    async with talking(Options()) as (client, emulator):
        await client.ping()
        await client.ping()

        assert emulator.live_connections == 1


def test_everything_works_on_uvloop_too() -> None:
    async def converse() -> int:
        async with talking(Options(), timeouts=SHORT) as (client, _):
            stream = await client.open(opening())
            await stream.send(typed("T", "hello"))
            return len(await hear(stream, is_end_of_turn))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        heard = runner.run(converse())

    assert heard > 3

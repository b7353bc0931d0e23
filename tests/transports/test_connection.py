"""A connection from its first frame to its last, over a real socket, with a model that the test drives."""

import asyncio
import base64
import json
import socket
import struct
from typing import Any

import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.typing import Subprotocol

from s2s.events import (
    AudioContentStart,
    AudioInput,
    AudioOutput,
    ContentEnded,
    ContentStarted,
    ContentType,
    PromptStart,
    Role,
    StopReason,
    TextInput,
)
from session.events import Start
from session.runner import SessionRunner
from tests.transports import raw_client
from tests.transports.doubles import Rig, denied, running_server, throttled
from transports.dialects.binary import SUBPROTOCOL, Header, pack_audio, unpack_audio
from transports.sockets import UNSENT_BYTES

HELLO = '{"type":"hello","protocol":1}'
IDS = ("S", "internal", "K")
TONE = b"\1\1" * 512
"""32 ms that are not silence."""


def microphone(pcm: bytes = TONE) -> bytes:
    return pack_audio(Header(1, 0, 0, 0, 0, 0), pcm)


def page(rig: Rig) -> connect:
    return connect(rig.address, subprotocols=[Subprotocol(SUBPROTOCOL)], compression=None)


def raw(rig: Rig) -> connect:
    return connect(rig.address, compression=None)


async def next_message(client: ClientConnection, kind: str) -> dict[str, Any]:
    """Return the next control message of a type, reading over others."""
    while True:
        frame = await client.recv()
        if isinstance(frame, str) and (message := json.loads(frame)).get("type") == kind:
            return dict(message)


async def next_event(client: ClientConnection, name: str) -> Any:
    """Return the body of the next Nova event of a name."""
    while True:
        event = json.loads(await client.recv())["event"]
        if name in event:
            return event[name]


def speak(pcm: bytes) -> list[ContentStarted | AudioOutput | ContentEnded]:
    return [
        ContentStarted(*IDS, "X", ContentType.AUDIO, Role.ASSISTANT, None, 24_000),
        AudioOutput(*IDS, "X", pcm),
        ContentEnded(*IDS, "X", ContentType.AUDIO, StopReason.END_TURN),
    ]


@pytest.mark.req("S4-09", "S4-10", "S4-80")
async def test_a_page_has_a_conversation() -> None:
    async with running_server() as rig, page(rig) as client:
        await client.send(HELLO)
        started = await next_message(client, "session.started")
        stream = await rig.model.stream()
        await client.send(microphone())
        await stream.wait_for(AudioInput)
        stream.say(*speak(b"\2\2" * 480))
        await next_message(client, "speech.started")
        speech = await client.recv()
        await next_message(client, "speech.ended")
        await client.send('{"type":"end"}')
        ended = await next_message(client, "session.ended")

        assert started["assistant"] == "carlos"
        assert stream.pcm == TONE
        assert isinstance(speech, bytes)
        assert unpack_audio(speech)[1] == b"\2\2" * 480
        assert ended["reason"] == "client"
    assert stream.is_closed
    assert rig.registry.live == 0


async def test_a_page_gets_its_answer_to_a_ping_without_any_session() -> None:
    async with running_server() as rig, page(rig) as client:
        await client.send('{"type":"ping","t":42}')

        assert json.loads(await client.recv()) == {"type": "pong", "t": 42}


async def test_sessions_follow_one_another_on_one_connection() -> None:
    async with running_server() as rig, page(rig) as client:
        for language in ("es", "en"):
            await client.send(json.dumps({"type": "hello", "protocol": 1, "language": language}))
            started = await next_message(client, "session.started")
            await client.send('{"type":"end"}')
            await next_message(client, "session.ended")

            assert started["language"] == language
        assert len(rig.model.streams) == 2


async def test_a_hello_in_a_running_session_ends_it_first() -> None:
    async with running_server(max_sessions=1) as rig, page(rig) as client:
        await client.send(HELLO)
        first = await next_message(client, "session.started")
        await client.send(HELLO)
        ended = await next_message(client, "session.ended")
        second = await next_message(client, "session.started")

        assert ended["reason"] == "client"
        assert first["session_id"] != second["session_id"]
        assert rig.model.streams[0].is_closed


async def test_frames_wait_while_the_stream_opens() -> None:
    async with running_server() as rig, raw(rig) as client:
        rig.model.may_open.clear()
        for frame in [*raw_client.opening(), raw_client.audio(TONE), *raw_client.text_block("T", "USER", "Hola")]:
            await client.send(frame)
        await client.send(raw_client.audio(TONE))
        rig.model.may_open.set()
        stream = await rig.model.stream()
        await stream.wait_for(AudioInput, 2)
        await stream.wait_for(TextInput)

        assert stream.pcm == TONE * 2
        assert "Hola" in stream.texts
        assert len({event.prompt_name for event in [*stream.opening, *stream.sent] if isinstance(event, AudioInput | PromptStart)}) == 1


@pytest.mark.req("S4-09", "S4-10", "S4-60", "S4-80")
async def test_a_raw_client_has_a_conversation_under_its_own_names() -> None:
    async with running_server() as rig, raw(rig) as client:
        for frame in raw_client.opening(voice="lupe"):
            await client.send(frame)
        await client.send(raw_client.audio(TONE))
        stream = await rig.model.stream()
        await stream.wait_for(AudioInput)
        stream.say(*speak(b"\2\2" * 480))
        start = await next_event(client, "contentStart")
        speech = await next_event(client, "audioOutput")
        end = await next_event(client, "contentEnd")

        prompt = next(event for event in stream.opening if isinstance(event, PromptStart))
        assert prompt.voice_id == "lupe"
        assert {start["promptName"], speech["promptName"], end["promptName"]} == {"P"}
        assert base64.b64decode(speech["content"]) == b"\2\2" * 480


@pytest.mark.req("S4-35", "S4-37")
async def test_the_goodbye_in_the_same_tick_as_the_close_is_still_worked_off() -> None:
    async with running_server() as rig:
        client = await raw(rig)
        for frame in raw_client.opening():
            await client.send(frame)
        stream = await rig.model.stream()
        for frame in [raw_client.audio(TONE), *raw_client.goodbye()]:
            await client.send(frame)
        client.transport.close()  # no close frame, as a browser that leaves the page: code 1006 here, 1005 with one
        await client.wait_closed()
        await rig.server.stop()

        assert rig.counters.read().get("frame_refused", 0) == 0
        assert stream.is_closed
        assert rig.registry.live == 0


async def test_a_goodbye_keeps_the_connection_for_another_session() -> None:
    async with running_server() as rig, raw(rig) as client:
        for frame in raw_client.opening():
            await client.send(frame)
        await rig.model.stream()
        for frame in [*raw_client.goodbye(), *raw_client.opening("lupe"), raw_client.audio(TONE)]:
            await client.send(frame)
        stream = await rig.model.stream(2)
        await stream.wait_for(AudioInput)

        assert stream.pcm == TONE


async def test_another_voice_in_a_running_raw_session_opens_a_new_stream() -> None:
    async with running_server(max_sessions=1) as rig, raw(rig) as client:
        for frame in [*raw_client.opening(), raw_client.audio(TONE)]:
            await client.send(frame)
        await (await rig.model.stream()).wait_for(AudioInput)
        for frame in [raw_client.prompt_start("P2", "tiffany"), raw_client.audio(TONE)]:
            await client.send(frame)
        second = await rig.model.stream(2)
        await second.wait_for(AudioInput)

        assert [event.voice_id for event in second.opening if isinstance(event, PromptStart)] == ["tiffany"]
        assert rig.model.streams[0].is_closed


@pytest.mark.req("S4-06")
async def test_a_stream_that_dies_for_good_is_told_to_the_page_which_may_start_again() -> None:
    async with running_server() as rig, page(rig) as client:
        await client.send(HELLO)
        (await rig.model.stream()).say(denied())
        error = await next_message(client, "error")
        ended = await next_message(client, "session.ended")
        await client.send(HELLO)
        await next_message(client, "session.started")

        assert (error["code"], error["retryable"]) == ("model_refused", False)
        assert ended["reason"] == "failed"


async def test_a_stream_that_dies_for_good_closes_a_raw_connection_after_the_error() -> None:
    async with running_server() as rig, raw(rig) as client:
        for frame in raw_client.opening():
            await client.send(frame)
        (await rig.model.stream()).say(denied())
        error = await next_event(client, "error")
        await client.wait_closed()

        assert error["code"] == "model_refused"
        assert client.close_code == 1011


@pytest.mark.req("S4-06")
async def test_a_refused_stream_is_told_with_its_code() -> None:
    async with running_server() as rig, page(rig) as client:
        rig.model.refusal = throttled()
        await client.send(HELLO)

        assert (await next_message(client, "error"))["code"] == "model_busy"


@pytest.mark.parametrize("speaks_raw", [False, True])
async def test_one_session_too_many_is_told_that_all_lines_are_busy(*, speaks_raw: bool) -> None:
    async with running_server(max_sessions=1) as rig, page(rig) as first:
        await first.send(HELLO)
        await next_message(first, "session.started")
        async with raw(rig) if speaks_raw else page(rig) as second:
            for frame in raw_client.opening() if speaks_raw else [HELLO]:
                await second.send(frame)
            error = (await next_event(second, "error")) if speaks_raw else await next_message(second, "error")
            if speaks_raw:
                await second.wait_closed()

            assert error["code"] == "server_busy"
            assert second.close_code == (1013 if speaks_raw else None)
        assert rig.registry.live == 1


@pytest.mark.parametrize(
    "frame",
    ["nonsense", "[1]", '{"body":5}', '{"hello":1}'],
)
async def test_a_first_frame_of_no_dialect_is_refused_and_the_next_may_be_one(frame: str) -> None:
    async with running_server() as rig, raw(rig) as client:
        await client.send(frame)
        answer = json.loads(await client.recv())
        for each in raw_client.opening():
            await client.send(each)
        await rig.model.stream()

        assert answer["event"]["error"]["code"] == "bad_frame"


async def test_a_binary_first_frame_is_the_pages_dialect() -> None:
    async with running_server() as rig, raw(rig) as client:
        await client.send(microphone())
        error = json.loads(await client.recv())
        await client.send(HELLO)
        await next_message(client, "session.started")

        assert error["code"] == "wrong_order"


async def test_errors_do_not_end_a_session_until_they_are_too_many() -> None:
    async with running_server() as rig, page(rig) as client:
        await client.send(HELLO)
        await next_message(client, "session.started")
        for _ in range(19):
            await client.send("nonsense")
            await next_message(client, "error")
        await client.send(microphone())
        stream = await rig.model.stream()
        await stream.wait_for(AudioInput)
        await client.send("nonsense")
        await next_message(client, "error")
        await client.wait_closed()

        assert client.close_code == 1008
    assert rig.registry.live == 0
    assert stream.is_closed


async def test_audio_that_was_on_its_way_when_the_session_ended_is_no_error() -> None:
    async with running_server() as rig, page(rig) as client:
        await client.send(HELLO)
        (await rig.model.stream()).say(denied())
        await next_message(client, "session.ended")
        await client.send(microphone())
        await client.send('{"type":"ping","t":1}')

        assert json.loads(await client.recv())["type"] == "pong"
        assert rig.counters.read()["frame_late"] == 1


async def test_an_error_of_the_session_is_told_and_counts_as_a_strike() -> None:
    async with running_server() as rig, page(rig) as client:
        await client.send(HELLO)
        await next_message(client, "session.started")
        await client.send('{"type":"text","text":"  "}')

        assert (await next_message(client, "error"))["code"] == "wrong_order"


@pytest.mark.req("S2-15")
@pytest.mark.parametrize("way", ["close", "abort", "half"])
async def test_however_a_client_leaves_its_stream_is_closed(way: str) -> None:
    async with running_server() as rig:
        client = await page(rig)
        await client.send(HELLO)
        await next_message(client, "session.started")
        stream = await rig.model.stream()
        if way == "close":
            await client.close()
        elif way == "abort":
            client.transport.abort()
        else:
            client.transport.write_eof()
        await rig.server.stop()

        assert stream.is_closed
        assert rig.registry.live == 0


async def test_a_client_that_leaves_while_the_stream_opens_leaves_nothing_behind() -> None:
    async with running_server() as rig:
        rig.model.may_open.clear()
        client = await page(rig)
        await client.send(HELLO)
        await client.send('{"type":"ping","t":1}')
        await next_message(client, "pong")
        await client.close()
        await rig.server.stop()

        assert rig.registry.live == 0


async def test_a_leaving_server_tells_its_clients_and_closes() -> None:
    async with running_server() as rig, page(rig) as client, raw(rig) as idle:
        await client.send(HELLO)
        await next_message(client, "session.started")
        await rig.registry.drain(0.2)
        ended = await next_message(client, "session.ended")
        await client.wait_closed()
        await rig.server.stop()
        await idle.wait_closed()

        assert ended["reason"] == "server_leaving"
        assert client.close_code == 1012
        assert idle.close_code == 1001


async def test_a_message_over_the_limit_closes_with_1009() -> None:
    async with running_server() as rig, page(rig) as client:
        with pytest.raises(ConnectionClosed):  # noqa: PT012 - the close may be seen while sending or after it
            await client.send("x" * 300_000)
            await client.recv()

        assert client.close_code == 1009


async def test_text_that_is_no_utf_8_closes_with_1007() -> None:
    async with running_server() as rig, page(rig) as client:
        client.transport.write(Frame(Opcode.TEXT, b"\xff\xfe").serialize(mask=True))
        await client.wait_closed()

        assert client.close_code == 1007


async def test_a_flood_of_audio_is_slowed_down_and_nothing_of_it_is_lost() -> None:
    pcm = TONE * 16  # half a second
    async with running_server() as rig, page(rig) as client:
        await client.send(HELLO)
        await next_message(client, "session.started")
        stream = await rig.model.stream()
        started_at = asyncio.get_running_loop().time()
        for _ in range(6):
            await client.send(microphone(pcm))
        await stream.wait_for(AudioInput, 6)
        took = asyncio.get_running_loop().time() - started_at

        assert stream.pcm == pcm * 6
        assert took > 0.15, "3 s of audio have 1 s more than the burst, which takes a quarter of a second at four times real time"
        assert rig.counters.read()["client_slowed"] >= 1


async def test_the_model_gets_the_opening_before_any_audio() -> None:
    async with running_server() as rig, page(rig) as client:
        await client.send(HELLO)
        stream = await rig.model.stream()

        assert isinstance(stream.opening[-1], AudioContentStart)


async def test_accepted_sockets_have_small_buffers_and_no_delay() -> None:
    async with running_server() as rig, page(rig):
        (connection,) = rig.server._servers[0].connections
        accepted: socket.socket = connection.transport.get_extra_info("socket")

        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == UNSENT_BYTES
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * 65_536  # Linux reports twice what was set


async def test_a_reset_connection_does_not_disturb_another() -> None:
    async with running_server() as rig, page(rig) as other:
        await other.send(HELLO)
        await next_message(other, "session.started")
        client = await page(rig)
        await client.send(HELLO)
        await next_message(client, "session.started")
        raw_socket: socket.socket = client.transport.get_extra_info("socket")
        raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.transport.abort()
        await client.wait_closed()
        await other.send('{"type":"ping","t":1}')

        assert (await next_message(other, "pong"))["t"] == 1


async def test_a_connection_without_a_session_is_closed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transports.connection.IDLE_SECONDS", 0.05)
    async with running_server() as rig, page(rig) as idle, page(rig) as busy:
        await busy.send(HELLO)
        await next_message(busy, "session.started")
        await idle.wait_closed()
        await busy.send('{"type":"ping","t":1}')

        assert (await next_message(busy, "pong"))["t"] == 1
        assert idle.close_code == 4408


async def test_a_bug_of_ours_ends_its_own_connection_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_server() as rig, page(rig) as other, page(rig) as client:
        await other.send(HELLO)
        await next_message(other, "session.started")

        def broken(start: Start) -> SessionRunner:
            raise RuntimeError("a bug with details")

        monkeypatch.setattr(rig.registry, "open", broken)
        with capture_logs() as lines:
            await client.send(HELLO)
            await client.wait_closed()
        await other.send('{"type":"ping","t":1}')
        await next_message(other, "pong")

        crashes = [line for line in lines if line["event"] == "connection.crashed"]
        assert len(crashes) == 1
        assert client.close_code == 1011
        assert client.close_reason == crashes[0]["ref"]


async def test_audio_may_be_opened_again_after_it_was_closed() -> None:
    async with running_server() as rig, raw(rig) as client:
        for frame in [*raw_client.opening(), raw_client.goodbye()[0], raw_client.audio_start("B"), raw_client.audio(TONE, "B")]:
            await client.send(frame)
        stream = await rig.model.stream()
        await stream.wait_for(AudioInput)

        assert stream.pcm == TONE
        assert rig.counters.read().get("frame_refused", 0) == 0

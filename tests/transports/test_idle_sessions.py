"""A conversation in which nobody says anything holds no stream of the model for ever, whatever its client speaks."""

import json

import pytest
from websockets.asyncio.client import connect

from tests.transports.coming_back.caller import eventually
from tests.transports.doubles import running_server
from tests.transports.raw_client import opening
from tests.transports.test_connection import HELLO, next_event, next_message, page, raw

IDLE_SECONDS = 0.05


async def test_a_page_is_told_and_may_begin_again() -> None:
    async with running_server(idle_seconds=IDLE_SECONDS) as rig, page(rig) as client:
        await client.send(HELLO)
        error = await next_message(client, "error")
        ended = await next_message(client, "session.ended")
        await client.send(HELLO)
        await next_message(client, "session.started")

        assert (error["code"], error["retryable"]) == ("session_idle", False)
        assert ended["reason"] == "idle"
        assert rig.model.streams[0].is_closed


async def test_a_raw_client_is_told_and_closed() -> None:
    async with running_server(idle_seconds=IDLE_SECONDS) as rig, raw(rig) as client:
        for frame in opening():
            await client.send(frame)
        error = await next_event(client, "error")
        await client.wait_closed()

        assert error["code"] == "session_idle"
        assert (client.close_code, client.close_reason) == (4408, "idle")
        assert rig.model.streams[0].is_closed


@pytest.mark.req("S2-11")
async def test_a_voice_client_whose_microphone_is_shut_and_who_only_pings_is_told_and_may_begin_again() -> None:
    async with running_server(idle_seconds=IDLE_SECONDS) as rig, connect(rig.address, proxy=None) as client:
        await client.send(json.dumps({"type": "text_message", "data": {"content": "Hola"}}))
        received: list[dict[str, object]] = []
        while not received or received[-1]["type"] != "error":
            await client.send(json.dumps({"type": "ping"}))
            received.append(json.loads(await client.recv()))
        await eventually(lambda: rig.registry.live == 0)
        await client.send(json.dumps({"type": "text_message", "data": {"content": "Hola"}}))
        await rig.model.stream(2)
        told = received[-1]["data"]

        assert isinstance(told, dict)
        assert told["code"] == "session_idle"
        assert rig.model.streams[0].is_closed


async def test_a_realtime_client_is_told_and_closed() -> None:
    async with running_server(idle_seconds=IDLE_SECONDS) as rig:
        async with connect(f"ws://127.0.0.1:{rig.port}/v1/realtime", proxy=None) as client:
            await client.send(json.dumps({"type": "input_audio_buffer.append", "audio": "AAAA"}))
            error = await next_message(client, "error")
            await client.wait_closed()

        assert error["error"]["code"] == "session_idle"
        assert (client.close_code, client.close_reason) == (4408, "idle")

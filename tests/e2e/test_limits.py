"""What one client may take of a server that runs: connections, handshakes, sessions, streams of the model, and what it sends."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from websockets.exceptions import InvalidStatus

from bench.positions import coded_speech, compare
from bench.processes import child
from nova_sonic_local.server import NovaSonicLocal
from session.circuit import FAILURES
from tests.e2e.clients import Client, connected, conversing
from tests.e2e.desk import Model, Server, desk
from tests.e2e.test_model_faults import Planned

SPEECH = coded_speech(8 * 16_000)
"""Longer than the floods are borne."""


async def refusal(url: str) -> tuple[int, str, str]:
    """Return status, code and Retry-After of a handshake that is refused."""
    with pytest.raises(InvalidStatus) as refused:
        async with connected(url):
            pass
    response = refused.value.response
    return response.status_code, response.body.decode().partition(":")[0], response.headers["Retry-After"]


def counted(server: Server, name: str) -> object:
    """Return one of the counters of /health."""
    counters = server.get("health")[1]["counters"]
    assert isinstance(counters, dict)
    return counters.get(name, 0)


async def begun(client: Client, seconds: float = 20.0) -> Client:
    """Wait until the client's session has begun."""
    await client.until(lambda: bool(client.bodies("session.started")), seconds)
    return client


async def is_told(client: Client, code: str, seconds: float = 20.0) -> dict[str, object]:
    """Wait for an error with this code and return it."""
    await client.until(lambda: code in client.codes, seconds)
    return next(error for error in client.bodies("error") if error["code"] == code)


@pytest.mark.req("S2-29", "S3-26")
async def test_an_address_has_so_many_connections(tmp_path: Path) -> None:
    settings = {"MAX_CONNECTIONS_PER_ADDRESS": "3"}
    async with desk(tmp_path, Model(brain="echo"), settings) as (server, _), AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(server.url)) for _ in range(3)]
        refused = await refusal(server.url)
        status, _ = await asyncio.to_thread(server.get, "health")
        await clients[0].socket.close()
        await server.until(lambda: counted(server, "connection_closed") == 1)
        await stack.enter_async_context(conversing(server.url))

        assert refused == (HTTPStatus.TOO_MANY_REQUESTS, "too_many", "5")
        assert status == HTTPStatus.OK, "who asks for health opens no WebSocket"
        assert counted(server, "handshake_refused.address_connections") == 1


async def test_behind_a_proxy_each_client_counts_for_itself(tmp_path: Path) -> None:
    settings = {"MAX_CONNECTIONS_PER_ADDRESS": "1", "TRUSTED_PROXY_HOPS": "1", "MAX_CONNECTIONS": "2"}
    async with desk(tmp_path, Model(brain="echo"), settings) as (server, _), AsyncExitStack() as stack:
        for last in (1, 2):
            await stack.enter_async_context(connected(server.url, headers={"X-Forwarded-For": f"198.51.100.1, 203.0.113.{last}"}))
        refused = await refusal(server.url)

        assert refused == (HTTPStatus.SERVICE_UNAVAILABLE, "server_busy", "5")
        assert counted(server, "handshake_refused.connections") == 1


@pytest.mark.req("S2-29", "S3-26")
async def test_an_address_shakes_hands_so_often_a_second(tmp_path: Path) -> None:
    settings = {"HANDSHAKES_PER_SECOND_PER_ADDRESS": "1"}
    async with desk(tmp_path, Model(brain="echo"), settings) as (server, _):
        for _ in range(5):
            async with connected(server.url):
                pass
        refused = await refusal(server.url)
        await asyncio.sleep(float(refused[2]))
        async with conversing(server.url) as client:
            await begun(client)

        assert refused == (HTTPStatus.TOO_MANY_REQUESTS, "too_many", "1")
        assert counted(server, "handshake_refused.address_rate") == 1


async def asked(port: object) -> int:
    """Return the status of /health on a port."""

    def ask() -> int:
        try:
            with urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
                return int(answer.status)
        except HTTPError as error:
            return error.code

    return await asyncio.to_thread(ask)


@pytest.mark.req("S2-29")
async def test_a_crowd_of_slow_requests_keeps_neither_a_caller_nor_the_load_balancer_out(tmp_path: Path) -> None:
    async with desk(tmp_path, Model(brain="echo"), {"MAX_HTTP_CONNECTIONS": "20"}) as (server, _), AsyncExitStack() as stack:
        started = server.log("server.started")[0]
        for _ in range(60):
            _, writer = await asyncio.open_connection("127.0.0.1", int(str(started["port"])))
            stack.callback(writer.close)
            writer.write(b"POST /api/orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n{")
            await writer.drain()
        refused = await asked(started["port"])
        alive = await asked(started["health_port"])
        client = await begun(await stack.enter_async_context(conversing(server.url)))
        await client.speak(SPEECH[:32_000])
        await client.until(lambda: len(client.speech) >= 16_000)

        assert (refused, alive) == (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.OK)
        assert client.codes == []


@pytest.mark.req("S2-29")
async def test_a_user_has_so_many_sessions_and_others_have_theirs(tmp_path: Path) -> None:
    settings = {"MAX_SESSIONS_PER_USER": "2"}
    async with desk(tmp_path, Model(brain="echo"), settings) as (server, _), AsyncExitStack() as stack:
        first, _ = [await begun(await stack.enter_async_context(conversing(f"{server.url}?userId=alice"))) for _ in range(2)]
        third = await stack.enter_async_context(conversing(f"{server.url}?userId=alice"))
        error = await is_told(third, "too_many")
        await begun(await stack.enter_async_context(conversing(f"{server.url}?userId=bob")))
        await first.socket.send('{"type":"end"}')
        await first.until(lambda: bool(first.bodies("session.ended")))
        await third.begin()
        await begun(third)

        assert (error["retryable"], error["retry_after"]) == (True, 5)
        assert counted(server, "session_refused.too_many") == 1


async def test_a_full_server_answers_at_the_start_of_a_session_and_says_when_to_come_again(tmp_path: Path) -> None:
    async with desk(tmp_path, Model(brain="echo"), {"MAX_SESSIONS": "1"}) as (server, _), AsyncExitStack() as stack:
        first = await begun(await stack.enter_async_context(conversing(server.url)))
        second = await stack.enter_async_context(conversing(server.url))
        error = await is_told(second, "server_busy")
        ready, _ = await asyncio.to_thread(server.get, "ready")
        await first.socket.close()
        await server.until(lambda: server.sessions() == 0)
        await second.begin()
        await begun(second)

        assert (error["retryable"], error["retry_after"], ready) == (True, 5, HTTPStatus.SERVICE_UNAVAILABLE)


@pytest.mark.req("S2-29")
@pytest.mark.parametrize("kind", ["sound", "messages"])
async def test_a_flood_is_closed_with_4429_and_not_a_sample_of_a_neighbour_is_lost(tmp_path: Path, kind: str) -> None:
    settings = {"FLOOD_SECONDS": "2", "RESUME_GRACE_SECONDS": "0"}
    async with desk(tmp_path, Model(brain="echo"), settings) as (server, _):
        async with conversing(server.url) as neighbour, child("-m", "tests.e2e.flooder", server.url, kind) as flooder:
            await begun(neighbour)
            speaking = asyncio.create_task(neighbour.speak(SPEECH))
            assert flooder.stdout is not None
            code = await flooder.stdout.readline()
            is_still_speaking = not speaking.done()
            close_code = await flooder.stdout.readline()
            await speaking
            await neighbour.until(lambda: len(neighbour.speech) >= len(SPEECH))

        assert (code.strip(), close_code.strip()) == (b"too_many", b"4429")
        assert is_still_speaking
        assert compare(SPEECH, bytes(neighbour.speech[: len(SPEECH)])).is_exact
        assert neighbour.codes == []
        assert counted(server, "client_flooded") == 1


@pytest.mark.req("S2-29")
async def test_a_stream_beyond_the_cap_waits_for_its_turn_and_who_waits_in_vain_is_told(tmp_path: Path) -> None:
    settings = {"MODEL_MAX_STREAMS": "1", "MODEL_WAIT_MS": "1500"}
    async with desk(tmp_path, Model(brain="echo"), settings) as (server, _), AsyncExitStack() as stack:
        first = await begun(await stack.enter_async_context(conversing(server.url)))
        second = await stack.enter_async_context(conversing(server.url))
        error = await is_told(second, "model_busy")
        third = await stack.enter_async_context(conversing(server.url))
        await server.until(lambda: counted(server, "stream_waited") == 2)
        await first.socket.send('{"type":"end"}')
        await begun(third)

        assert (error["retryable"], error["retry_after"]) == (True, 5)
        assert counted(server, "stream_refused") == 1


async def test_the_first_stream_of_a_session_is_asked_for_again_when_the_service_throttles(tmp_path: Path) -> None:
    model = Planned("http_429", "http_429")
    async with desk(tmp_path, model, {"MODEL_WAIT_MS": "20000"}) as (server, _), conversing(server.url) as client:
        await begun(client)
        await client.speak(SPEECH[:32_000])
        await client.until(lambda: len(client.speech) >= 16_000)

        assert client.codes == []
        assert (model.opened, counted(server, "stream_throttled")) == (3, 2)


async def test_a_service_that_throttles_newcomers_for_too_long_is_told_as_busy(tmp_path: Path) -> None:
    model = Planned(*["http_429"] * 50)
    async with desk(tmp_path, model, {"MODEL_WAIT_MS": "1000"}) as (server, _), conversing(server.url) as client:
        error = await is_told(client, "model_busy", 10.0)

        assert (error["retryable"], error["retry_after"]) == (True, 5)
        assert 2 <= model.opened <= 6


async def test_while_the_model_is_away_newcomers_are_told_at_once_and_it_is_found_again(tmp_path: Path) -> None:
    model = Model(brain="echo")
    async with desk(tmp_path, model) as (server, emulator), AsyncExitStack() as stack:
        model.port = int(emulator.endpoint.rpartition(":")[2])
        await emulator.__aexit__(None, None, None)
        client = await stack.enter_async_context(connected(server.url))
        while not counted(server, "stream_refused"):
            tried = len(client.codes)
            await client.begin()
            await client.until(lambda tried=tried: len(client.codes) > tried)  # type: ignore[misc]  # bound at once
        failed = len(server.log("stream.failed"))
        await stack.enter_async_context(NovaSonicLocal(replace(model.options(), port=model.port)))
        while not client.bodies("session.started"):
            tried = len(client.codes)
            await client.begin()
            await client.until(lambda tried=tried: len(client.codes) > tried or bool(client.bodies("session.started")))  # type: ignore[misc]

        assert set(client.codes) == {"model_unreachable"}
        assert failed > FAILURES
        assert len(server.log("model.away")) == 1

"""What one client may take, over real sockets: connections, handshakes, sessions, and what it sends."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import AsyncExitStack

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Response
from websockets.typing import Subprotocol

from s2s.events import AudioInput, TextInput
from tests.transports import raw_client
from tests.transports.coming_back.caller import eventually
from tests.transports.doubles import Rig, running_server
from tests.transports.test_connection import HELLO, TONE, microphone, next_message, page, raw
from transports.dialects.binary import SUBPROTOCOL
from transports.limits import Limits


def from_address(rig: Rig, address: str, user: str = "") -> connect:
    """Connect as through a proxy that saw this address."""
    headers = {"X-Forwarded-For": f"10.9.9.9, {address}"}
    query = f"?userId={user}" if user else ""
    return connect(rig.address + query, subprotocols=[Subprotocol(SUBPROTOCOL)], compression=None, additional_headers=headers)


async def refused(connecting: connect) -> Response:
    """Return the answer to a handshake that is refused."""
    with pytest.raises(InvalidStatus) as refusal:
        await connecting
    return refusal.value.response


def told(response: Response) -> tuple[int, str, str]:
    """Return status, code and Retry-After."""
    return response.status_code, response.body.decode().partition(":")[0], response.headers["Retry-After"]


async def error_of(client: ClientConnection) -> Mapping[str, object]:
    """Return the next error, in either dialect."""
    while True:
        message = json.loads(await client.recv())
        if message.get("type") == "error":
            return dict(message)
        if "error" in message.get("event", {}):
            return dict(message["event"]["error"])


@pytest.mark.req("S2-29", "S3-26")
async def test_an_address_has_so_many_connections_and_one_that_closes_makes_room() -> None:
    async with running_server(limits=Limits(proxy_hops=1, connections_per_address=2)) as rig, AsyncExitStack() as stack:
        first = await stack.enter_async_context(from_address(rig, "203.0.113.7"))
        await stack.enter_async_context(from_address(rig, "203.0.113.7"))
        refusal = await refused(from_address(rig, "203.0.113.7"))
        await stack.enter_async_context(from_address(rig, "203.0.113.8"))
        await first.close()
        await eventually(lambda: rig.counters.read().get("connection_closed") == 1)
        await stack.enter_async_context(from_address(rig, "203.0.113.7"))

        assert told(refusal) == (429, "too_many", "5")
        assert rig.counters.read()["handshake_refused.address_connections"] == 1


async def test_an_ipv6_network_is_one_address_and_a_made_up_header_is_not_believed() -> None:
    async with running_server(limits=Limits(proxy_hops=1, connections_per_address=1)) as rig, AsyncExitStack() as stack:
        await stack.enter_async_context(from_address(rig, "2001:db8:1:2::1"))
        of_network = await refused(from_address(rig, "2001:db8:1:2:ffff::9"))
        await stack.enter_async_context(from_address(rig, "2001:db8:1:3::1"))
        made_up = await refused(from_address(rig, "198.51.100.77, 2001:db8:1:3::2"))

        assert told(of_network) == told(made_up) == (429, "too_many", "5")


async def test_without_trusted_proxies_the_header_counts_for_nothing() -> None:
    async with running_server(limits=Limits(connections_per_address=1)) as rig, from_address(rig, "203.0.113.7"):
        assert told(await refused(from_address(rig, "203.0.113.8"))) == (429, "too_many", "5")


async def test_connections_in_all_are_limited() -> None:
    async with running_server(limits=Limits(proxy_hops=1, connections=1)) as rig, from_address(rig, "203.0.113.7"):
        assert told(await refused(from_address(rig, "203.0.113.8"))) == (503, "server_busy", "5")


async def test_handshakes_are_limited_by_address() -> None:
    async with running_server(limits=Limits(proxy_hops=1, handshakes_per_second_per_address=1)) as rig:
        for _ in range(5):
            async with from_address(rig, "203.0.113.7"):
                pass
        refusal = await refused(from_address(rig, "203.0.113.7"))
        async with from_address(rig, "203.0.113.8"):
            pass

        assert told(refusal) == (429, "too_many", "1")
        assert rig.counters.read()["handshake_refused.address_rate"] == 1


async def test_a_handshake_that_is_refused_for_another_reason_leaves_no_connection_counted() -> None:
    limits = Limits(connections_per_address=1)
    async with running_server(limits=limits, origins=("https://app.example",)) as rig:
        for _ in range(5):
            with pytest.raises(InvalidStatus) as refusal:
                await connect(rig.address, origin="https://evil.example")  # type: ignore[arg-type]  # a NewType of str
            assert refusal.value.response.status_code == 403
            await eventually(lambda: rig.server._admission.websockets.inside == 0)
        async with page(rig):
            pass


@pytest.mark.req("S2-29")
async def test_a_user_has_so_many_conversations_over_all_connections_and_may_try_again_on_the_same_one() -> None:
    async with running_server(limits=Limits(proxy_hops=1, sessions_per_user=1)) as rig, AsyncExitStack() as stack:
        first = await stack.enter_async_context(from_address(rig, "203.0.113.7", "alice"))
        second = await stack.enter_async_context(from_address(rig, "198.51.100.1", "alice"))
        bob = await stack.enter_async_context(from_address(rig, "203.0.113.7", "bob"))
        for client in (first, bob):
            await client.send(HELLO)
            await next_message(client, "session.started")
        await second.send(HELLO)
        error = await error_of(second)
        await first.send('{"type":"end"}')
        await next_message(first, "session.ended")
        await second.send(HELLO)
        await next_message(second, "session.started")

        assert (error["code"], error["retryable"], error["retry_after"]) == ("too_many", True, 5)
        assert rig.counters.read()["session_refused.too_many"] == 1


async def test_who_has_no_name_counts_as_their_address() -> None:
    async with running_server(limits=Limits(proxy_hops=1, sessions_per_address=1)) as rig, AsyncExitStack() as stack:
        first = await stack.enter_async_context(from_address(rig, "203.0.113.7"))
        second = await stack.enter_async_context(from_address(rig, "203.0.113.7", "somebody-else"))
        elsewhere = await stack.enter_async_context(from_address(rig, "203.0.113.8"))
        for client in (first, elsewhere):
            await client.send(HELLO)
            await next_message(client, "session.started")
        await second.send(HELLO)

        assert (await error_of(second))["code"] == "too_many"


async def test_a_raw_client_over_its_sessions_is_told_and_closed_with_4429() -> None:
    async with running_server(limits=Limits(sessions_per_address=1)) as rig, page(rig) as first, raw(rig) as second:
        await first.send(HELLO)
        await next_message(first, "session.started")
        for frame in raw_client.opening():
            await second.send(frame)
        error = await error_of(second)
        with pytest.raises(ConnectionClosed):
            await second.recv()

        assert (error["code"], error["retry_after"]) == ("too_many", 5)
        assert second.close_code == 4429


async def test_a_full_server_says_when_to_try_again() -> None:
    async with running_server(max_sessions=1) as rig, page(rig) as first, page(rig) as second:
        await first.send(HELLO)
        await next_message(first, "session.started")
        await second.send(HELLO)
        error = await error_of(second)

        assert (error["code"], error["retry_after"]) == ("server_busy", 5)
        assert rig.counters.read()["session_refused.server_busy"] == 1


@pytest.mark.req("S2-28")
async def test_a_text_over_its_limit_is_refused_and_the_session_goes_on() -> None:
    async with running_server(limits=Limits(text_bytes=10)) as rig, page(rig) as client:
        await client.send(HELLO)
        await next_message(client, "session.started")
        await client.send(json.dumps({"type": "text", "text": "á" * 6}))
        error = await error_of(client)
        await client.send(json.dumps({"type": "text", "text": "á" * 5}))
        stream = await rig.model.stream()
        await stream.wait_for(TextInput)

        assert error["code"] == "too_large"
        assert stream.texts == ["á" * 5]


@pytest.mark.req("S2-28")
async def test_a_frame_over_its_limit_closes_with_1009_and_is_counted() -> None:
    async with running_server(limits=Limits(frame_bytes=1_000)) as rig, page(rig) as client:
        await client.send("x" * 1_001)
        with pytest.raises(ConnectionClosed):
            await client.recv()
        await eventually(lambda: rig.counters.read().get("frame_too_large") == 1)

        assert client.close_code == 1009


async def flood(client: ClientConnection, frame: str | bytes) -> None:
    """Send until the connection is closed."""
    try:
        while True:
            await client.send(frame)
    except ConnectionClosed:
        pass


@pytest.mark.req("S2-29")
@pytest.mark.parametrize(
    "frame",
    [microphone(), microphone(b"\1\0"), f'{{"type":"ping","t":1{" " * 30_000}}}'],
    ids=["sound", "a sample a frame", "bytes"],
)
async def test_who_never_stops_is_told_and_closed_with_4429_and_a_neighbour_is_heard(frame: str | bytes) -> None:
    limits = Limits(flood_seconds=1, frames_per_second=100, bytes_per_second=100_000)
    async with running_server(limits=limits) as rig, page(rig) as neighbour, page(rig) as client:
        for each in (neighbour, client):
            await each.send(HELLO)
            await next_message(each, "session.started")
        flooding = asyncio.create_task(flood(client, frame))
        async with asyncio.timeout(30):
            while (error := await error_of(client))["code"] != "too_many":
                pass
            await flooding
        await neighbour.send(microphone())
        stream = await rig.model.stream(1)
        pieces = 0
        while not stream.pcm:  # silence before it
            pieces += 1
            await stream.wait_for(AudioInput, pieces)

        assert (client.close_code, error["retry_after"]) == (4429, 5)
        assert stream.pcm == TONE
        assert rig.counters.read()["client_flooded"] == 1


async def test_a_handshake_that_comes_by_drops_is_given_up_in_time_and_others_are_served() -> None:
    async with running_server(open_seconds=0.3) as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)

        async def drip() -> None:
            try:
                for letter in f"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nX-Long: {'a' * 10_000}\r\n":
                    writer.write(letter.encode())
                    await writer.drain()
                    await asyncio.sleep(0.01)
            except ConnectionError:
                pass

        dripping = asyncio.create_task(drip())
        async with page(rig) as client:
            await client.send('{"type":"ping","t":1}')
            await client.recv()
        async with asyncio.timeout(5):
            answer = await reader.read()
        dripping.cancel()
        writer.close()

        assert answer.split()[1] == b"408"

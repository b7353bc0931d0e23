"""What one client may take of plain HTTP: slow ones, many at once, and those who ask too often."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import orjson
import pytest
from websockets.asyncio.client import connect

from tests.api.raw import exchange
from tests.transports.coming_back.caller import eventually
from tests.transports.doubles import Rig, running_server
from tests.transports.test_first_request import plain_http
from transports import first_request
from transports.limits import NO_LIMITS, Limits

ASK = "GET /config HTTP/1.1\r\nHost: x\r\n"
SLOW = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nbegin"
ELSEWHERE = "127.0.0.2"
"""An address of this machine too, and another one to whoever counts."""
OTHER_NAME = "127.0.0.3"


@asynccontextmanager
async def server(limits: Limits = NO_LIMITS) -> AsyncIterator[Rig]:
    async with running_server(plain=plain_http(), limits=limits) as rig:
        yield rig


@asynccontextmanager
async def holding(rig: Rig, text: str = "", address: str = "127.0.0.1") -> AsyncIterator[StreamReader]:
    """Hold a connection open that has said no more than this."""
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port, local_addr=(address, 0))
    writer.write(text.encode())
    await writer.drain()
    try:
        yield reader
    finally:
        await close(writer)


async def close(writer: StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def ask(rig: Rig, *headers: str) -> tuple[int, str, str]:
    """Return status, code and Retry-After of a plain request."""
    head, _, body = (await exchange(rig.port, ASK + "".join(f"{each}\r\n" for each in headers) + "\r\n")).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    named = dict(line.lower().split(": ", 1) for line in lines[1:])
    error = orjson.loads(body).get("error", {})
    return int(lines[0].split()[1]), error.get("code", ""), named.get("retry-after", "")


def counts(rig: Rig, name: str, number: int) -> Callable[[], bool]:
    """Return whether something was counted so often."""
    return lambda: rig.counters.read().get(name, 0) == number


@pytest.mark.req("S2-29", "S3-26")
async def test_an_address_that_asks_too_often_is_told_when_to_ask_again_and_may_still_talk() -> None:
    async with server(Limits(plain_per_second_per_address=1)) as rig:
        answers = [await ask(rig) for _ in range(6)]
        async with connect(rig.address, proxy=None):
            pass

        assert [status for status, _, _ in answers] == [200] * 5 + [429]
        assert answers[-1] == (429, "too_many", "1")
        assert counts(rig, "plain_refused.address_rate", 1)()


async def test_behind_a_proxy_each_client_has_its_own_rate_whatever_it_says_of_itself() -> None:
    limits = Limits(proxy_hops=1, plain_per_second_per_address=1)
    async with server(limits) as rig:
        for _ in range(5):
            await ask(rig, "X-Forwarded-For: 203.0.113.7")
        made_up = await ask(rig, "X-Forwarded-For: 198.51.100.1, 203.0.113.7", "X-Forwarded-For : 198.51.100.2")
        other = await ask(rig, "X-Forwarded-For: 203.0.113.7, 203.0.113.8")

        assert made_up == (429, "too_many", "1")
        assert other == (200, "", "")


@pytest.mark.req("S2-29")
async def test_slow_requests_take_no_more_than_the_places_of_plain_http() -> None:
    async with server(Limits(plain_connections=2)) as rig, AsyncExitStack() as stack:
        async with holding(rig, SLOW), holding(rig, SLOW):
            await eventually(lambda: rig.server.plain_requests == 2)
            refused = await ask(rig)
            await stack.enter_async_context(connect(rig.address, proxy=None))
        await eventually(lambda: rig.server.plain_requests == 0)
        answered = await ask(rig)

        assert refused == (503, "server_busy", "5")
        assert answered == (200, "", "")
        assert counts(rig, "plain_refused.connections", 1)()


async def test_slow_requests_of_one_address_leave_room_for_another() -> None:
    async with server(Limits(connections_per_address=3)) as rig, AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(holding(rig, SLOW, ELSEWHERE))
        await eventually(lambda: rig.server.plain_requests == 3)
        reader = await stack.enter_async_context(holding(rig, ASK + "\r\n", ELSEWHERE))
        refused = await reader.read()

        assert refused.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
        assert await ask(rig) == (200, "", "")


async def test_an_address_that_says_nothing_is_not_heard_any_more_and_others_are() -> None:
    async with server(Limits(connections_per_address=20)) as rig, AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(holding(rig, "G", ELSEWHERE)) for _ in range(60)]
        dropped = await asyncio.gather(*(reader.read() for reader in silent[20:]), return_exceptions=True)
        elsewhere = await stack.enter_async_context(holding(rig, ASK + "\r\n", OTHER_NAME))
        answered = await elsewhere.read()

        assert all(not each or isinstance(each, ConnectionError) for each in dropped)
        assert not any(reader.at_eof() for reader in silent[:20])
        assert answered.startswith(b"HTTP/1.1 200 ")
        assert counts(rig, "first_request_refused.address_connections", 40)()


async def test_who_says_something_at_last_makes_room_at_the_door() -> None:
    async with server(Limits(connections_per_address=1)) as rig, holding(rig, "GET /config HTTP/1.1\r\n"):
        with suppress(ConnectionError):
            assert await exchange(rig.port, "") == b""
    async with server(Limits(connections_per_address=1)) as rig:
        answers = [await ask(rig) for _ in range(5)]

        assert [status for status, _, _ in answers] == [200] * 5


async def test_the_connections_of_a_proxy_are_those_of_many_and_not_counted_at_the_door() -> None:
    async with server(Limits(proxy_hops=1, connections_per_address=2)) as rig, AsyncExitStack() as stack:
        for _ in range(10):
            await stack.enter_async_context(holding(rig, "G"))

        assert (await ask(rig, "X-Forwarded-For: 203.0.113.7"))[0] == 200


async def test_every_place_is_free_again_however_a_request_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_request, "PLAIN_SECONDS", 0.05)
    async with server(Limits(plain_connections=5, connections_per_address=5)) as rig:
        async with holding(rig, SLOW) as overdue:
            with suppress(ConnectionError):
                await overdue.read()
        await exchange(rig.port, "no HTTP\r\n\r\n")
        await exchange(rig.port, "\x16\x03\x01")
        await exchange(rig.port, "GET /crash HTTP/1.1\r\nHost: x\r\n\r\n")
        await eventually(lambda: rig.server.plain_requests == 0)
        async with AsyncExitStack() as stack:
            for _ in range(4):
                await stack.enter_async_context(holding(rig, SLOW))
            await eventually(lambda: rig.server.plain_requests == 4)

            assert await ask(rig) == (200, "", "")

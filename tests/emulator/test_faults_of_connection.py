"""Faults around a stream: its head, its connection, and what comes too late or never."""

import asyncio
import json

import pytest
from h2.errors import ErrorCodes

from nova_sonic_local.options import Head, Options
from nova_sonic_local.server import NovaSonicLocal
from tests.emulator.stage import VirtualClock
from tests.emulator.wire import RawClient, audio_input, closing, opening, silence

ECHO = Options(brain="echo")


def fault(text: str) -> list[tuple[str, str]]:
    return [("x-nova-sonic-local-fault", text)]


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("http_403_unmodeled", 403, "UnrecognizedClientException"),
        ("http_404", 404, "ResourceNotFoundException"),
        ("http_500", 500, "InternalServerException"),
    ],
)
async def test_more_requests_are_refused_with_a_status(name: str, status: int, kind: str) -> None:
    async with NovaSonicLocal(ECHO) as emulator, RawClient(emulator.h2c_endpoint) as client:
        ending = await client.open(headers=fault(name)).ending()

        assert (ending.status, ending.headers["x-amzn-errortype"]) == (status, kind)
        assert json.loads(ending.body)["message"]


async def test_something_in_between_answers_in_html() -> None:
    async with NovaSonicLocal(ECHO) as emulator, RawClient(emulator.h2c_endpoint) as client:
        ending = await client.open(headers=fault("http_502")).ending()

        assert (ending.status, ending.headers["content-type"]) == (502, "text/html")
        assert "x-amzn-errortype" not in ending.headers
        assert ending.body.startswith(b"<html>")


async def test_a_status_that_comes_too_late_is_an_error_in_the_stream() -> None:
    async with NovaSonicLocal(ECHO) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open(headers=fault("http_429@3"))
        await stream.send(*opening())
        ending = await stream.ending()

        assert (ending.status, ending.is_ended) == (200, True)
        assert ending.exception == ("ThrottlingException", "Too many requests, please wait before trying again.")


@pytest.mark.parametrize("head", list(Head))
async def test_a_refused_stream_was_not_looked_at(head: Head) -> None:
    options = Options(brain="echo", head=head)
    async with NovaSonicLocal(options) as emulator, RawClient(emulator.h2c_endpoint) as client:
        refused = await client.open(headers=fault("refuse_stream")).ending()
        other = client.open()
        await other.send(*opening())

        assert (refused.status, refused.reset_code) == (0, ErrorCodes.REFUSED_STREAM)
        assert await other.head() == 200


async def test_a_head_of_status_103_comes_before_the_real_one() -> None:
    async with NovaSonicLocal(ECHO) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open(headers=fault("informational"))
        await stream.send(*opening())

        assert await stream.head() == 200
        assert stream.informational == [103]


@pytest.mark.parametrize("text", ["late_head:3", "stall:3@1"])
async def test_what_is_held_back_comes_later_and_complete(text: str) -> None:
    clock = VirtualClock()
    async with NovaSonicLocal(ECHO, clock) as emulator, RawClient(emulator.h2c_endpoint) as client:
        held, other = client.open(headers=fault(text)), client.open()
        await held.send(*opening(), audio_input(silence(0.1)), *closing())
        await other.send(*opening(), audio_input(silence(0.1)))
        await other.until("audioOutput")
        await clock.advance(2.9)
        before = len(held.events())
        await clock.advance(0.2)
        ending = await held.ending()

        assert before == 0
        assert (ending.status, ending.is_ended) == (200, True)
        assert [next(iter(event)) for event in ending.events][-1] == "completionEnd"


async def test_times_of_faults_are_scaled() -> None:
    clock = VirtualClock()
    async with NovaSonicLocal(Options(brain="echo", time_scale=0.1), clock) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open(headers=fault("rst@20s"))
        await stream.send(*opening(), audio_input(silence(0.1)))
        await stream.until("audioOutput")
        await clock.advance(1.9)
        await stream.send(audio_input(silence(0.1)))
        await stream.until("audioOutput", 2)
        await clock.advance(0.2)
        ending = await stream.ending()

        assert (ending.reset_code, len(stream.named("audioOutput"))) == (ErrorCodes.NO_ERROR, 2)


async def test_a_draining_connection_refuses_new_streams_and_closes_after_the_last() -> None:
    async with NovaSonicLocal(ECHO) as emulator, RawClient(emulator.h2c_endpoint) as client:
        draining, other = client.open(headers=fault("goaway:drain@6")), client.open()
        await other.send(*opening())
        await draining.send(*opening())
        while client.goaway_code is None:
            await client.wait()
        refused = await client.open().ending()
        for stream in (draining, other):
            await stream.send(audio_input(silence(0.1)), *closing())
            stream.end()
        endings = [await stream.ending() for stream in (draining, other)]
        while not client.is_lost:
            await client.wait()

        assert (client.goaway_code, client.last_stream_id) == (ErrorCodes.NO_ERROR, other.stream_id)
        assert refused.reset_code == ErrorCodes.REFUSED_STREAM
        assert [(ending.status, ending.is_ended) for ending in endings] == [(200, True)] * 2
        assert all(stream.named("completionEnd") for stream in (draining, other))


async def test_goaway_can_say_why() -> None:
    async with NovaSonicLocal(ECHO) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open(headers=fault("goaway:ENHANCE_YOUR_CALM@6"))
        await stream.send(*opening())
        while not client.is_lost:
            await client.wait()

        assert client.goaway_code == ErrorCodes.ENHANCE_YOUR_CALM


async def test_a_half_open_connection_answers_nothing_and_stays_open() -> None:
    async with NovaSonicLocal(ECHO) as emulator:
        async with RawClient(emulator.h2c_endpoint) as client, RawClient(emulator.h2c_endpoint) as lively:
            stream = client.open(headers=fault("half_open@7"))
            await stream.send(*opening(), audio_input(silence(0.1)))
            await stream.until("audioOutput")
            for pinging in (client, lively):
                pinging.h2.ping(b"12345678")
                pinging.flush()
            await stream.send(audio_input(silence(0.1)))
            while not lively.pongs:
                await lively.wait()
            await asyncio.sleep(0.05)

            assert (client.pongs, client.is_lost, stream.is_over) == (0, False, False)
            assert len(stream.named("audioOutput")) == 1
        async with asyncio.timeout(5):
            await emulator.quiet()

        assert emulator.live_streams == 0

"""A stream is opened, or it is not: ModelClient.open and ping, on every way (session.interfaces)."""

import asyncio

import pytest

from nova_sonic_local.envelope import SignatureCheck
from nova_sonic_local.options import Head, Options
from s2s.bedrock.client import DEFAULT_TIMEOUTS, NovaSonicClient
from s2s.bedrock.http2.liveness import PING_IDLE_SECONDS
from s2s.bedrock.http2.pool import Http2Exchanges
from s2s.bedrock.interfaces import Transport
from s2s.bedrock.stream import Timeouts
from s2s.errors import LocalProtocolError, ModelError, Remedy
from s2s.events import AudioOutput, PromptStart, SessionStart
from s2s.models import DEFAULT_MODEL_ID
from session.interfaces import ModelClient, ModelStream
from tests.s2s.contract.sockets import nodelay_of_sockets
from tests.s2s.conversation import SHORT, eventually, hear, opening, talking, typed
from tests.s2s.ways import KEY, SECRET, Way


async def test_client_and_stream_have_the_shape_that_sessions_ask_for(way: Way) -> None:
    async with talking(Options(), way) as (client, _):
        shaped: ModelClient = client
        stream: ModelStream = await shaped.open(opening())
        await stream.close()

    assert shaped.model_id == DEFAULT_MODEL_ID


@pytest.mark.parametrize("head", Head, ids=lambda head: head.value)
async def test_it_matters_not_when_the_service_sends_its_head(way: Way, head: Head) -> None:
    async with talking(Options(head=head), way) as (client, _):
        stream = await client.open(opening())
        await stream.send(typed("T", "hello"))

        assert await hear(stream, lambda event: isinstance(event, AudioOutput))


async def test_a_head_that_never_comes_is_waited_for_until_the_time_is_up(way: Way) -> None:
    async with talking(Options(fault="no_200"), way, timeouts=Timeouts(opening=0.5)) as (client, emulator):
        with pytest.raises(ModelError) as told:
            await client.open(opening())
        await eventually(lambda: emulator.live_streams == 0)

    assert (told.value.code, told.value.remedy) == ("model_timeout_opening", Remedy.BACKOFF)


async def test_a_refusal_keeps_the_services_words(way: Way) -> None:
    async with talking(Options(fault="exception:validationException@0"), way) as (client, _):
        with pytest.raises(ModelError) as told:
            await client.open(opening())

    assert "Invalid input request, please fix your input and try again." in told.value.detail


async def test_a_wrong_opening_is_refused_before_anything_is_sent(way: Way) -> None:
    async with talking(Options(), way) as (client, emulator):
        with pytest.raises(LocalProtocolError):
            await client.open((SessionStart(), PromptStart("P", "pavarotti")))

        assert emulator.live_connections == 0


async def test_the_request_is_signed_with_the_right_key_only(way: Way) -> None:
    async with talking(Options(signatures=SignatureCheck.STRICT, secrets={KEY: SECRET}), way) as (client, _):
        await (await client.open(opening())).close()
    async with talking(Options(signatures=SignatureCheck.STRICT, secrets={KEY: "another"}), way) as (client, _):
        with pytest.raises(ModelError) as told:
            await client.open(opening())

    assert (told.value.code, told.value.remedy) == ("model_credentials", Remedy.FATAL_CONFIG)


@pytest.mark.parametrize("turns", [0, 1, 2, 5, 20])
async def test_an_opening_that_is_given_up_leaves_nothing_open(way: Way, turns: int) -> None:
    async with talking(Options(fault="no_200"), way) as (client, emulator):
        giving_up = asyncio.create_task(client.open(opening()))
        for _ in range(turns):
            await asyncio.sleep(0)
        giving_up.cancel()
        await asyncio.wait({giving_up})
        await eventually(lambda: emulator.live_streams == 0)

        assert giving_up.cancelled()


async def test_an_opening_that_is_given_up_while_the_service_thinks_is_reset(way: Way) -> None:
    async with talking(Options(fault="no_200"), way) as (client, emulator):
        giving_up = asyncio.create_task(client.open(opening()))
        await eventually(lambda: emulator.live_streams == 1)
        giving_up.cancel()
        await asyncio.wait({giving_up})
        await eventually(lambda: emulator.live_streams == 0)

        assert giving_up.cancelled()


async def test_one_opening_that_is_given_up_leaves_the_others(way: Way) -> None:
    async with talking(Options(), way, streams_per_connection=16) as (client, emulator):
        openings = [asyncio.create_task(client.open(opening())) for _ in range(4)]
        await asyncio.sleep(0)
        openings[0].cancel()
        await asyncio.wait(openings)
        live = [task.result() for task in openings if not task.cancelled()]
        await eventually(lambda: emulator.live_streams == 3)

    assert len(live) == 3


@pytest.mark.parametrize("way", [Way.H2C, Way.H2], ids=["h2c", "h2"])  # the Common Runtime does not tell a refusal from another reset
async def test_a_stream_that_the_service_did_not_look_at_is_opened_again_at_once(way: Way) -> None:
    faults = iter(("refuse_stream", ""))
    async with talking(Options(fault=lambda: next(faults)), way) as (client, emulator):
        stream = await client.open(opening())
        await stream.close()

        assert emulator.control.counters()["streams"] == {"opened": 2, "live": 0, "ended": {"completed": 1, "cut": 1}}


@pytest.mark.parametrize("way", [Way.H2C], ids=["h2c"])
async def test_an_opening_on_a_connection_that_died_unnoticed_is_repeated_on_another(way: Way) -> None:
    faults = iter(("half_open@7", ""))
    async with talking(Options(fault=lambda: next(faults)), way, timeouts=DEFAULT_TIMEOUTS, streams_per_connection=16) as (
        client,
        emulator,
    ):
        first = await client.open(opening())
        await eventually(lambda: emulator.live_streams == 1)
        await first._exchange.close()
        pool = client._exchanges
        assert isinstance(pool, Http2Exchanges)
        await eventually(lambda: not pool._wires[0].is_fresh(PING_IDLE_SECONDS))
        second = await client.open(opening())
        await second.send(typed("T", "hello"))
        heard = await hear(second, lambda event: isinstance(event, AudioOutput))
        await asyncio.gather(first.close(), second.close())

    assert heard


async def test_ping_says_that_a_stream_could_be_opened(way: Way) -> None:
    async with talking(Options(), way) as (client, emulator):
        await client.ping()
        await client.ping()

        assert emulator.live_streams == 0


async def test_trying_out_opens_a_stream_and_closes_it(way: Way) -> None:
    async with talking(Options(), way) as (client, emulator):
        await client.try_out()
        await eventually(lambda: emulator.live_streams == 0)

        assert emulator.control.counters()["streams"] == {"opened": 1, "live": 0, "ended": {"completed": 1}}


@pytest.mark.parametrize(("limit", "connections"), [(1, 3), (2, 2), (20, 1)])
async def test_as_many_streams_share_a_connection_as_allowed(way: Way, limit: int, connections: int) -> None:
    async with talking(Options(), way, streams_per_connection=limit) as (client, emulator):
        streams = [await client.open(opening()) for _ in range(3)]
        open_connections = emulator.live_connections
        await asyncio.gather(*(stream.close() for stream in streams))

    assert open_connections == (3 if way is Way.CRT else connections)  # the Common Runtime cannot reset one stream of several


async def test_small_frames_do_not_wait_for_acknowledgements(way: Way) -> None:
    async with talking(Options(), way) as (client, emulator):
        await client.open(opening())
        port = int(way.endpoint(emulator).rpartition(":")[2])
        found = [option for peer, option in nodelay_of_sockets() if peer == port]

    assert found
    assert all(found)


def test_the_common_runtime_refuses_a_plain_endpoint_at_once() -> None:
    with pytest.raises(ValueError, match="must be an https URI"):
        NovaSonicClient("us-east-1", DEFAULT_MODEL_ID, "http://127.0.0.1:8443", transport=Transport.CRT, timeouts=SHORT)

"""The model's side fails in ways that concern more than one stream, or more than one moment: who is told what, and who notices nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import nova_sonic_local.http2
from bench.positions import coded_speech, compare
from nova_sonic_local.server import NovaSonicLocal
from session.resumption import TURN_ATTEMPTS
from tests.e2e.clients import Client, connected, conversing
from tests.e2e.desk import Model, Server, desk, serving

SPEECH = coded_speech(2 * 16_000)
RESUMED_SECONDS = 20.0
DOWN_SECONDS = 60.0
"""Until readiness looks at the model again, and a busy machine has had its turn."""


class Planned(Model):
    """A model whose streams have these faults, one after the other, and none after the last."""

    def __init__(self, *faults: str, brain: str = "echo") -> None:
        super().__init__(brain=brain)
        self.faults = list(faults)
        self.opened = 0
        """Streams that were asked for."""

    def _take_fault(self) -> str:
        self.opened += 1
        return self.faults.pop(0) if self.faults else ""


def renewed(client: Client) -> list[object]:
    """Return why each new stream carries the client's session."""
    return [body["reason"] for body in client.bodies("session.continued")]


async def is_heard(client: Client) -> None:
    """Speak until the model has answered something new."""
    before = len(client.speech)
    await client.speak(SPEECH)
    await client.until(lambda: len(client.speech) >= before + len(SPEECH) // 2, RESUMED_SECONDS)


@asynccontextmanager
async def speaking(client: Client) -> AsyncIterator[None]:
    """Let the client speak for the length of the block."""
    task = asyncio.create_task(client.speak(SPEECH * 30))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_a_service_that_throttles_for_a_moment_is_asked_again_after_pauses(tmp_path: Path) -> None:
    model = Planned("rst@60", "http_429", "http_429")
    async with desk(tmp_path, model) as (server, _), conversing(server.url) as client:
        async with speaking(client):
            await client.until(lambda: bool(client.bodies("session.continued")), RESUMED_SECONDS)
        await is_heard(client)

    assert client.codes == []
    assert model.opened == 1 + TURN_ATTEMPTS
    assert [message["type"] for message in client.messages if str(message["type"]) in {"session.stalled", "session.continued"}] == [
        "session.stalled",
        "session.continued",
    ]


async def test_a_service_that_goes_on_throttling_is_told_as_busy_after_three_tries(tmp_path: Path) -> None:
    model = Planned("rst@60", *["http_429"] * 20)
    async with desk(tmp_path, model, None, "--local") as (server, _), conversing(server.url) as client:
        async with speaking(client):
            await client.until(lambda: bool(client.bodies("session.ended")), RESUMED_SECONDS)
        ready, body = await asyncio.to_thread(server.get, "ready")

    (error,) = client.bodies("error")
    assert (error["code"], error["retryable"]) == ("model_busy", True)
    assert model.opened == 1 + TURN_ATTEMPTS
    assert (ready, body["status"]) == (200, "ready"), "a service that throttles one session is no reason to take none"


@pytest.mark.parametrize("member", ["internalServerException", "modelTimeoutException", "serviceUnavailableException"])
async def test_an_error_of_the_service_in_mid_stream_is_cured_by_a_new_stream(tmp_path: Path, member: str) -> None:
    model = Planned(f"exception:{member}@60")
    async with desk(tmp_path, model) as (server, _), conversing(server.url) as client:
        async with speaking(client):
            await client.until(lambda: bool(client.bodies("session.continued")), RESUMED_SECONDS)
        await is_heard(client)

    assert renewed(client) == ["resumed"]
    assert client.codes == []


async def test_a_request_that_is_wrong_is_told_at_once_and_not_tried_again(tmp_path: Path) -> None:
    model = Planned("exception:unparsable@60")
    async with desk(tmp_path, model) as (server, _), conversing(server.url) as client:
        async with speaking(client):
            await client.until(lambda: bool(client.bodies("session.ended")), RESUMED_SECONDS)
        (failed,) = server.log("stream.failed")

    (error,) = client.bodies("error")
    assert (error["code"], error["retryable"]) == ("model_refused", False)
    assert model.opened == 1
    assert "Unable to parse input chunk" in str(failed["detail"])
    assert "parse" not in str(error["message"]), "the service's words are for the log"
    assert error["ref"] == failed["ref"]


@pytest.mark.parametrize("fault", ["goaway@60", "tcp_drop@60"])
async def test_what_ends_a_connection_ends_the_streams_that_share_it_and_no_other(tmp_path: Path, fault: str) -> None:
    shared, all_clients = 2, 6
    model = Planned("", fault)
    async with AsyncExitStack() as stack:
        server, emulator = await stack.enter_async_context(desk(tmp_path, model, {"BEDROCK_STREAMS_PER_CONNECTION": str(shared)}))
        clients: list[Client] = []
        for _ in range(all_clients):  # one after the other: the connections are filled in order
            client = await stack.enter_async_context(conversing(server.url))
            await client.until(lambda client=client: bool(client.bodies("session.started")))  # type: ignore[misc]  # bound at once
            clients.append(client)
        connections = emulator.live_connections
        hit, spared = clients[:shared], clients[shared:]
        said = [asyncio.create_task(client.speak(SPEECH)) for client in spared]
        async with speaking(hit[0]), speaking(hit[1]):
            for client in hit:
                await client.until(lambda client=client: bool(client.bodies("session.continued")), RESUMED_SECONDS)  # type: ignore[misc]
        await asyncio.gather(*said)
        for client in spared:
            await client.until(lambda client=client: len(client.speech) >= len(SPEECH))  # type: ignore[misc]
        await asyncio.gather(*(is_heard(client) for client in hit))

    assert connections == all_clients // shared
    assert [renewed(client) for client in hit] == [["resumed"]] * shared
    assert [renewed(client) for client in spared] == [[]] * len(spared)
    assert all(compare(SPEECH, bytes(client.speech[: len(SPEECH)])).is_exact for client in spared)
    assert [client.codes for client in clients] == [[]] * all_clients


async def test_when_the_peer_takes_no_more_streams_on_a_connection_another_one_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nova_sonic_local.http2, "MAX_STREAMS_PER_CONNECTION", 2)
    async with AsyncExitStack() as stack:
        server, emulator = await stack.enter_async_context(desk(tmp_path, Model(brain="echo")))
        clients = [await stack.enter_async_context(conversing(server.url)) for _ in range(5)]
        await asyncio.gather(*(is_heard(client) for client in clients))
        connections = emulator.live_connections

    assert connections == 3
    assert [client.codes for client in clients] == [[]] * 5
    assert [renewed(client) for client in clients] == [[]] * 5


HARMLESS = "unknown_event@20,unknown_event:type@30,huge_event:1024@40,extra_json_member"
"""1 MB in one event of an unknown name."""
HARMFUL = [
    "garbage@60",
    "corrupt_frame@60",
    "truncated_frame@60",
    "unknown_exception@60",
    "error_message@60",
    "early_end@60",
    "huge_event:4096@60",
]


async def test_events_that_nobody_knows_and_large_ones_change_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path, Planned(HARMLESS)) as (server, _), conversing(server.url) as client:
        await client.speak(SPEECH)
        await client.until(lambda: len(client.speech) >= len(SPEECH))
        crashes = server.log("session.crashed")

    assert compare(SPEECH, bytes(client.speech[: len(SPEECH)])).is_exact
    assert (client.codes, renewed(client), crashes) == ([], [], [])


async def test_bytes_that_are_no_events_cost_a_stream_and_not_the_conversation(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        server, _ = await stack.enter_async_context(desk(tmp_path, Planned(*HARMFUL), {"BEDROCK_STREAMS_PER_CONNECTION": "1"}))
        clients: list[Client] = []
        for _ in HARMFUL:
            client = await stack.enter_async_context(conversing(server.url))
            await client.until(lambda client=client: bool(client.bodies("session.started")))  # type: ignore[misc]  # bound at once
            clients.append(client)
        await asyncio.gather(*(is_replaced(client) for client in clients))
        crashes = server.log("session.crashed")

    assert [renewed(client) for client in clients] == [["resumed"]] * len(HARMFUL)
    assert [client.codes for client in clients] == [[]] * len(HARMFUL)
    assert crashes == []


async def is_replaced(client: Client) -> None:
    """Speak until the stream has been replaced and the next one answers."""
    async with speaking(client):
        await client.until(lambda: bool(client.bodies("session.continued")), RESUMED_SECONDS)
    await is_heard(client)


async def test_a_model_that_is_down_is_told_while_the_server_stays_alive_and_both_recover(tmp_path: Path) -> None:
    model = Model(brain="echo", ca_dir=tmp_path)
    async with AsyncExitStack() as stack:
        emulator = await stack.enter_async_context(NovaSonicLocal(model.options()))
        model.port = int(emulator.endpoint.rpartition(":")[2])
        server = await stack.enter_async_context(serving(tmp_path, emulator, None, "--local"))
        assert await answers(server, "ready", 200)
        await emulator.__aexit__(None, None, None)
        async with connected(server.url) as client:
            await client.begin()
            await client.until(lambda: bool(client.codes))
            codes = client.codes
            is_unready = await answers(server, "ready", 503)
            alive, _ = await asyncio.to_thread(server.get, "health")
            await stack.enter_async_context(NovaSonicLocal(replace(model.options(), port=model.port)))
            is_ready = await answers(server, "ready", 200)
            await client.begin()
            await client.until(lambda: bool(client.bodies("session.started")))
            await is_heard(client)

    assert codes == ["model_unreachable"]
    assert (is_unready, alive, is_ready) == (True, 200, True)


async def answers(server: Server, path: str, status: int) -> bool:
    """Wait until the server answers with this status."""
    return await server.until(lambda: server.get(path)[0] == status, DOWN_SECONDS)

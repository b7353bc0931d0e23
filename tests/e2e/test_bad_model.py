"""A model stream that is refused, dies or stalls: the client is told a code in time, nothing stays open, nobody else notices."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from bench.positions import Verdict, coded_speech, compare
from nova_sonic_local.server import NovaSonicLocal
from tests.e2e.clients import Client, connected, conversing
from tests.e2e.desk import Model, Server, desk

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOLD_SECONDS = 3.0
SLOWER_MACHINE_SECONDS = 2.0
"""For a machine that is busy with other tests."""
WITNESS_SECONDS = 3
SPEECH = coded_speech(WITNESS_SECONDS * 16_000)


@dataclass(frozen=True, slots=True)
class Case:
    """One fault, and what the client of the raw dialect sees at the end."""

    fault: str
    code: str
    close_code: int
    ends_within: float = TOLD_SECONDS


AT_OPENING = [
    Case("http_400", "model_refused", 1011),
    Case("http_403", "model_refused", 1011),
    Case("http_429", "model_busy", 1013),
    Case("http_503", "model_unreachable", 1011),
    Case("rst@0", "model_unreachable", 1011),
    Case("goaway@0", "model_unreachable", 1011),
    Case("tcp_drop@0", "model_unreachable", 1011),
    Case("exception:throttlingException@0", "model_busy", 1013),
]
MID_TURN = [
    Case("rst@40", "model_lost", 1011),
    Case("goaway@40", "model_lost", 1011),
    Case("tcp_drop@40", "model_lost", 1011),
    Case("exception:modelStreamErrorException@40", "model_lost", 1011),
    Case("exception:validationException@40", "model_refused", 1011),
    Case("exception:throttlingException@40", "model_busy", 1013),
    Case("exception:content_filter@40", "content_blocked", 1008),
    Case("exception:time_limit@40", "model_time_limit", 1000),
]
NEVER = [
    Case("no_200", "model_unreachable", 1011, ends_within=10.0),
    Case("slow_reader@40", "model_lost", 1011, ends_within=9.0),
    Case("stall@40", "model_lost", 1011, ends_within=12.0),
]
"""The opening's time-out; the 5 s of a write, after the model's window of 64 KB is full; the 10 s that a typed turn may go unanswered."""


@dataclass(frozen=True, slots=True)
class Place:
    """A server in front of a model that fails as it is told."""

    model: Model
    server: Server
    emulator: NovaSonicLocal


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    model = Model(brain="echo")
    own_connections = {"BEDROCK_STREAMS_PER_CONNECTION": "1"}  # what ends a connection ends all that share it
    async with desk(tmp_path_factory.mktemp("model"), model, own_connections) as (server, emulator):
        yield Place(model, server, emulator)


async def suffer(place: Place, case: Case, opened: asyncio.Lock, *, is_page: bool) -> float:
    """Hold a conversation that the fault ends; return how long the fault took to be told."""
    loop = asyncio.get_running_loop()
    async with connected(place.server.url, is_page=is_page) as client:
        await begin(place, client, case.fault, opened)
        asked_at = loop.time()
        speaking = asyncio.create_task(talk(client, case))
        await client.until(lambda: bool(client.codes), seconds=case.ends_within + 10)
        told_at = loop.time()
        await check_the_end(client, case)
        if is_page:
            await begin_again(place, client, opened)
        speaking.cancel()
        await asyncio.wait({speaking})
    began = client.speech_at[-1] if client.speech_at else asked_at
    return told_at - began


async def talk(client: Client, case: Case) -> None:
    """Speak on, whatever happens; a model that only stalls is asked something, because nobody can tell a stalled one from a listener."""
    if case.fault.startswith("stall"):
        await client.speak(SPEECH[:64_000])
        await client.type("Are you there?")
    await client.speak(SPEECH * 4)


async def begin(place: Place, client: Client, fault: str, opened: asyncio.Lock) -> None:
    """Begin a session whose stream, and no other, has the fault."""
    async with opened, asyncio.timeout(30):
        place.model.fault = fault
        place.model.asked.clear()
        await client.begin()
        await place.model.asked.wait()


async def begin_again(place: Place, client: Client, opened: asyncio.Lock) -> None:
    """Begin another session on the connection whose first one failed, as the page does."""
    before = len(client.bodies("session.started"))
    await begin(place, client, "", opened)
    await client.until(lambda: len(client.bodies("session.started")) > before)


async def check_the_end(client: Client, case: Case) -> None:
    """Look at the error and at what follows it."""
    if client.is_page:
        await client.until(lambda: bool(client.bodies("session.ended")))
        closed = None
    else:
        closed = await client.until_closed()
    error = client.bodies("error")[0]

    assert client.codes[0] == case.code, client.messages
    assert error["message"]
    assert error["ref"] is not None
    assert closed == (None if client.is_page else case.close_code)


@pytest.mark.parametrize("cases", [AT_OPENING, MID_TURN, NEVER], ids=["at the opening", "in the middle of a turn", "never answers"])
async def test_a_failing_stream_is_told_in_both_dialects_and_no_other_conversation_notices(place: Place, cases: list[Case]) -> None:
    opened = asyncio.Lock()
    async with conversing(place.server.url) as witness:
        await witness.until(lambda: bool(witness.bodies("session.started")))
        speaking = asyncio.create_task(witness.speak(SPEECH))
        told = await asyncio.gather(*(suffer(place, case, opened, is_page=is_page) for case in cases for is_page in (True, False)))
        await speaking
        await witness.until(lambda: len(witness.speech) >= len(SPEECH))

    late = [
        (case.fault, round(took, 1))
        for case, took in zip([case for case in cases for _ in "ab"], told, strict=True)
        if took > case.ends_within + SLOWER_MACHINE_SECONDS
    ]
    samples = len(SPEECH) // 2
    assert late == []
    assert compare(SPEECH, bytes(witness.speech[: len(SPEECH)])) == Verdict(samples, samples, lost=0, doubled=0, out_of_order=0, foreign=0)
    assert witness.codes == []
    assert await place.server.until(lambda: place.server.sessions() == 0)
    async with asyncio.timeout(10):
        await place.emulator.idle()
    logged = {line["code"] for line in place.server.log("session.closed") if line["reason"] == "failed"}
    assert {case.code for case in cases} <= logged

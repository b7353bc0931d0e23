"""A model stream that is refused: the client is told a code in time. One that dies or stalls: the conversation goes on in another.

Either way nothing stays open, and nobody else notices.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
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
    Case("http_503", "model_unreachable", 1011),
    Case("rst@0", "model_unreachable", 1011),
    Case("goaway@0", "model_unreachable", 1011),
    Case("tcp_drop@0", "model_unreachable", 1011),
    Case("exception:internalServerException@0", "model_unreachable", 1011),
]
"""Those that a service throttles are asked for again: tests/e2e/test_limits.py."""
NEVER = [Case("no_200", "model_unreachable", 1011, ends_within=10.0), Case("exception:accessDeniedException@40", "model_refused", 1011)]
"""The opening's time-out; what no new stream cures."""
DYING = [
    "rst@60",
    "goaway@60",
    "tcp_drop@60",
    "exception:modelStreamErrorException@60",
    "exception:validationException@60",
    "exception:throttlingException@60",
    "exception:content_filter@60",
    "exception:time_limit@60",
    "slow_reader@60",
    "stall@60",
]
"""The last two: the 5 s of a write, after the model's window of 64 KB is full; the 10 s that a typed turn may go unanswered."""
RESUMED_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Place:
    """A server in front of a model that fails as it is told."""

    model: Model
    server: Server
    emulator: NovaSonicLocal


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    model = Model(brain="echo")
    own = {"BEDROCK_STREAMS_PER_CONNECTION": "1"}  # what ends a connection ends all that share it
    async with desk(tmp_path_factory.mktemp("model"), model, own) as (server, emulator):
        yield Place(model, server, emulator)


async def suffer(place: Place, case: Case, opened: asyncio.Lock, *, is_page: bool) -> float:
    """Hold a conversation that the fault ends; return how long the fault took to be told."""
    loop = asyncio.get_running_loop()
    async with connected(place.server.url, is_page=is_page) as client:
        await begin(place, client, case.fault, opened)
        asked_at = loop.time()
        speaking = asyncio.create_task(client.speak(SPEECH * 4))
        await client.until(lambda: bool(client.codes), seconds=case.ends_within + 10)
        told_at = loop.time()
        await check_the_end(client, case)
        if is_page:
            await begin_again(place, client, opened)
        speaking.cancel()
        await asyncio.wait({speaking})
    began = client.speech_at[-1] if client.speech_at else asked_at
    return told_at - began


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


@pytest.mark.parametrize("cases", [AT_OPENING, NEVER], ids=["at the opening", "without a cure"])
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


async def go_on(client: Client, fault: str) -> None:
    """Speak until the stream has died, and be heard by the next one."""
    speaking = asyncio.create_task(client.speak(SPEECH * 6))
    if fault.startswith("stall"):  # nobody can tell a stalled model from one that listens
        await asyncio.sleep(2.0)
        await client.type("Are you there?")
    if client.is_page:
        await client.until(lambda: bool(client.bodies("session.continued")), RESUMED_SECONDS)
    await speaking
    client.speech.clear()
    await client.speak(SPEECH)
    await client.until(lambda: len(client.speech) >= len(SPEECH) // 2)


async def test_a_conversation_outlives_its_stream_in_both_dialects(place: Place) -> None:
    before = len(place.server.log("session.closed"))
    opened = asyncio.Lock()
    async with AsyncExitStack() as stack:
        clients: list[tuple[Client, str]] = []
        for fault in DYING:
            for is_page in (True, False):
                client = await stack.enter_async_context(connected(place.server.url, is_page=is_page))
                await begin(place, client, fault, opened)
                clients.append((client, fault))
        await asyncio.gather(*(go_on(client, fault) for client, fault in clients))
        told = {fault: client.codes for client, fault in clients}
        continued = [client.bodies("session.continued") for client, _ in clients if client.is_page]
        ended = [fault for client, fault in clients if client.closed.is_set()]
    assert await place.server.until(lambda: len(place.server.log("session.closed")) == before + len(clients))

    assert ended == []
    assert {fault for fault, codes in told.items() if codes} <= {"exception:content_filter@60"}
    assert [[body["reason"] for body in bodies] for bodies in continued] == [["resumed"]] * len(DYING)
    assert [line["resumptions"] for line in place.server.log("session.closed")[before:]] == [1] * len(clients)
    assert await place.server.until(lambda: place.emulator.live_streams == 0)

"""Two server processes on one store: one is told to leave, or killed, and its conversations go on with the other."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bench.resumable_client import ResumableClient, ResumeRefused
from tests import ministack
from tests.e2e.servers import ServerProcess, Stopwatch, final, moved, says, server, shared_model
from tests.server.process import ROOT
from tests.storage.conftest import dynamodb_endpoint

__all__ = ["dynamodb_endpoint"]

CALLERS = 12


@pytest.fixture(params=["sqlite", pytest.param("dynamodb", marks=pytest.mark.dynamodb)])
def store(request: pytest.FixtureRequest) -> Mapping[str, str]:
    """Return the settings of each store in turn."""
    if request.param == "sqlite":
        return {}
    settings = {"STORAGE": "dynamodb", "AWS_ENDPOINT_URL_DYNAMODB": request.getfixturevalue("dynamodb_endpoint"), **ministack.CREDENTIALS}
    needed = {**settings, "AWS_DEFAULT_REGION": ministack.REGION, "DNI_SALT": "a-salt-that-is-only-for-tests"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in needed.items():
            patch.setenv(name, value)
        subprocess.run([sys.executable, "scripts/seed_data.py", "--create-tables"], cwd=ROOT, check=True, capture_output=True, timeout=60)
    return settings


@pytest.fixture
async def pair(tmp_path: Path, store: Mapping[str, str]) -> AsyncIterator[tuple[ServerProcess, ServerProcess]]:
    """Run two servers."""
    async with AsyncExitStack() as stack:
        settings = {**await stack.enter_async_context(shared_model(tmp_path)), **store}
        first, second = await asyncio.gather(
            stack.enter_async_context(server(tmp_path, settings)), stack.enter_async_context(server(tmp_path, settings))
        )
        yield first, second


async def test_after_sigterm_the_other_server_knows_what_was_said(pair: tuple[ServerProcess, ServerProcess]) -> None:
    first, second = pair
    async with ResumableClient(first.address) as client:
        started = await client.start()
        await says(client, "My name is Ada.")
        watch = Stopwatch()
        first.process.send_signal(signal.SIGTERM)
        going, token = await client.until_told("goAway"), client.token
        told_after = watch.seconds
        ended = await client.until_told("session.ended")
        close_code = await client.until_closed()
        resumed = await moved(client, second)
        moved_after = watch.seconds
        answer = await says(client, "Who am I?")
        turns = [message["turn"] for message in client.received.named("transcript")]

        assert going["handle"] == token
        assert told_after < 1.0
        assert (ended["reason"], close_code) == ("parked", 1012)
        assert (resumed["adopted"], resumed["session_id"]) == (True, started["session_id"])
        assert answer.startswith("I know 2 things: My name is Ada. /")
        assert turns == sorted(turns)
        assert (client.received.missing, client.received.repeated) == (0, 0)
        assert moved_after < 10.0
    assert await first.exit_code() == 0


async def test_what_is_being_said_when_sigterm_comes_is_heard_to_the_end(pair: tuple[ServerProcess, ServerProcess]) -> None:
    first, second = pair
    async with ResumableClient(first.address) as client:
        await client.start()
        await client.send_numbered({"type": "text", "text": "My name is Ada."})
        await client.until_told("speech.started")
        first.process.send_signal(signal.SIGTERM)
        await client.until_told("goAway")
        heard_then = len(client.received.speech)
        ended = await client.until_told("session.ended")
        await moved(client, second)
        answer = await says(client, "Who am I?")

        assert ended["reason"] == "parked"
        assert len(client.received.speech) > heard_then
        assert answer == "I know 2 things: My name is Ada. / I know 0 things:"
    assert await first.exit_code() == 0


async def test_after_sigkill_the_other_server_knows_what_was_said(pair: tuple[ServerProcess, ServerProcess]) -> None:
    first, second = pair
    async with ResumableClient(first.address) as client:
        started = await client.start()
        await says(client, "My name is Ada.")
        saved = await first.counted("session_saved")
        await first.until_counted("session_saved", saved + 1)
        first.process.kill()
        await client.until_closed()
        resumed = await moved(client, second)
        answer = await says(client, "Who am I?")

        assert (resumed["adopted"], resumed["session_id"]) == (True, started["session_id"])
        assert answer.startswith("I know 2 things: My name is Ada. /")


async def test_a_question_without_an_answer_is_answered_by_the_other_server(
    pair: tuple[ServerProcess, ServerProcess],
) -> None:
    first, second = pair
    async with ResumableClient(first.address) as client:
        await client.start()
        await first.until_counted("session_saved", 1)
        await client.send_numbered({"type": "text", "text": "Think: who am I?"})
        await first.until_counted("session_saved", 2)
        first.process.kill()
        await client.until_closed()
        known = len(final(client))
        await moved(client, second)
        await client.until(lambda: len(final(client)) > known)

        assert final(client)[-1]["text"] == "I know 0 things:"


async def test_a_token_works_once_over_all_servers(pair: tuple[ServerProcess, ServerProcess]) -> None:
    first, second = pair
    async with ResumableClient(first.address) as client, ResumableClient(second.address) as thief:
        await client.start()
        await says(client, "My name is Ada.")
        spent = client.token
        first.process.send_signal(signal.SIGTERM)
        await client.until_closed()
        await moved(client, second)
        with pytest.raises(ResumeRefused, match="resume_refused"):
            await thief.resume(spent, 0)
        answer = await says(client, "Who am I?")

        assert answer.startswith("I know 2 things")


async def test_a_server_whose_session_was_taken_ends_it(pair: tuple[ServerProcess, ServerProcess]) -> None:
    first, second = pair
    async with ResumableClient(first.address) as client, ResumableClient(second.address) as same:
        await client.start()
        await says(client, "My name is Ada.")
        await first.until_counted("session_saved", 2)
        same.token = client.token
        resumed = await same.resume(number=client.received.next)
        same.sent = resumed["seq"]
        await client.send_numbered({"type": "text", "text": "Are you there?"})
        ended = await client.until_told("session.ended")
        answer = await says(same, "Who am I?")

        assert resumed["adopted"]
        assert ended["reason"] == "parked"
        assert answer.startswith("I know 2 things: My name is Ada. /")


@pytest.mark.req("S4-85")
async def test_everybody_is_told_in_time_and_the_server_ends_in_order(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        settings = await stack.enter_async_context(shared_model(tmp_path))
        first, second = await asyncio.gather(
            stack.enter_async_context(server(tmp_path, settings)), stack.enter_async_context(server(tmp_path, settings))
        )
        lasting = [await stack.enter_async_context(ResumableClient(first.address)) for _ in range(CALLERS)]
        passing = await stack.enter_async_context(ResumableClient(first.address, {"resume": False}))
        callers = [*lasting, passing]
        await asyncio.gather(*(caller.start() for caller in callers))
        await asyncio.gather(*(says(caller, f"I am number {number}.") for number, caller in enumerate(callers)))
        watch = Stopwatch()
        first.process.send_signal(signal.SIGTERM)
        await asyncio.gather(*(caller.until_told("goAway") for caller in callers))
        told_after = watch.seconds
        codes = await asyncio.gather(*(caller.until_closed() for caller in callers))
        await asyncio.gather(*(moved(caller, second) for caller in lasting))
        moved_after = watch.seconds
        exit_code, left_after = await first.exit_code(), watch.seconds
        answers = await asyncio.gather(*(says(caller, "Who am I?") for caller in lasting))

    assert told_after < 1.0
    assert moved_after < 10.0
    assert left_after < 20.0
    assert set(codes) == {1012}
    assert [caller.received.named("session.ended")[0]["reason"] for caller in callers] == ["parked"] * CALLERS + ["server_leaving"]
    assert [f"I am number {number}." in answer for number, answer in enumerate(answers)] == [True] * CALLERS
    assert exit_code == 0


async def test_a_server_that_leaves_is_not_ready_and_takes_nobody(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        settings = await stack.enter_async_context(shared_model(tmp_path))
        first = await stack.enter_async_context(server(tmp_path, settings))
        client = await stack.enter_async_context(ResumableClient(first.address))
        other = await stack.enter_async_context(ResumableClient(first.address))
        await client.start()
        await other.connect()
        await client.send_numbered({"type": "text", "text": "My name is Ada."})
        await client.until_told("speech.started")
        watch = Stopwatch()
        first.process.send_signal(signal.SIGTERM)
        await client.until_told("goAway")
        is_ready, known_after = await first.is_ready(), watch.seconds
        await other.send({"type": "resume", "protocol": 1, "token": "any", "seq": 0})
        code = await other.until_closed()

        assert not is_ready
        assert known_after < 1.0
        assert (other.answers[-1]["code"], other.answers[-1]["retryable"], code) == ("server_leaving", True, 1012)
        assert await first.exit_code() == 0


async def test_a_second_signal_cuts_the_end_short_and_loses_nobody(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        settings = await stack.enter_async_context(shared_model(tmp_path))
        first, second = await asyncio.gather(
            stack.enter_async_context(server(tmp_path, settings)), stack.enter_async_context(server(tmp_path, settings))
        )
        client = await stack.enter_async_context(ResumableClient(first.address))
        await client.start()
        await says(client, "My name is Ada.")
        await client.send_numbered({"type": "text", "text": "Tell me all."})
        await client.until_told("speech.started", 2)
        first.process.send_signal(signal.SIGTERM)
        await client.until_told("goAway")
        watch = Stopwatch()
        first.process.send_signal(signal.SIGTERM)
        exit_code, left_after = await first.exit_code(), watch.seconds
        resumed = await moved(client, second)

        assert exit_code == 0
        assert left_after < 8.0
        assert resumed["adopted"]


async def test_without_a_key_conversations_end_with_their_server(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        settings = {**await stack.enter_async_context(shared_model(tmp_path)), "SESSIONS_KEY": ""}
        first = await stack.enter_async_context(server(tmp_path, settings))
        client = await stack.enter_async_context(ResumableClient(first.address))
        await client.start()
        first.process.send_signal(signal.SIGTERM)
        ended = await client.until_told("session.ended")

        assert ended["reason"] == "server_leaving"
        assert await first.exit_code() == 0
        assert "sessions.not_kept" in first.log.read_text()

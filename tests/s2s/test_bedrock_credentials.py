"""Credentials that are kept ready: cached, renewed ahead of time by one call, in bounded time, and never on the event loop."""

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from smithy_aws_core.identity import AWSCredentialsIdentity

from s2s import failures
from s2s.bedrock.credential_chain import AHEAD_SECONDS
from s2s.bedrock.credentials import (
    FORGET_SECONDS,
    LONGEST_PAUSE_SECONDS,
    WAIT_SECONDS,
    ChainCredentials,
    PinnedIdentity,
    StaticCredentials,
    find_credentials,
)
from s2s.errors import ModelError, Remedy
from tests.s2s.aws_endpoints import Endpoints

HOUR = 3600


class Time:
    """A clock that goes only when told."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)


class Chain:
    """Gives numbered keys that last for `lasts` seconds, None for ever; may be down, or held up."""

    def __init__(self, time: Time) -> None:
        self.source = "double"
        self.time = time
        self.lasts: float | None = HOUR
        self.is_down = False
        self.calls = 0
        self.forgotten = 0
        self.may_answer = threading.Event()
        self.may_answer.set()

    def load(self) -> AWSCredentialsIdentity:
        self.calls += 1
        self.may_answer.wait(30)
        if self.is_down:
            raise failures.CREDENTIALS_AWAY.error(f"down at call {self.calls}")
        until = None if self.lasts is None else self.time.now() + timedelta(seconds=self.lasts)
        return AWSCredentialsIdentity(access_key_id=f"KEY{self.calls}", secret_access_key="secret", expiration=until)

    def forget(self) -> None:
        self.forgotten += 1


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def chain(clock: Time) -> Iterator[Chain]:
    chain = Chain(clock)
    yield chain
    chain.may_answer.set()


@pytest.fixture
def credentials(chain: Chain, clock: Time) -> ChainCredentials:
    return ChainCredentials(chain=chain, now=clock.now, monotonic=clock.monotonic)


@pytest.fixture
def container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Endpoints]:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    with Endpoints() as endpoints:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{endpoints.uri}/credentials")
        yield endpoints


async def key_of(credentials: ChainCredentials) -> str:
    return (await credentials.identity()).access_key_id


@pytest.mark.req("S4-18")
async def test_fifty_sessions_at_once_ask_the_source_once(credentials: ChainCredentials, chain: Chain) -> None:
    keys = await asyncio.gather(*(key_of(credentials) for _ in range(50)))

    assert ({"KEY1"}, 1) == (set(keys), chain.calls)


@pytest.mark.req("S4-18")
async def test_fifty_sessions_after_the_end_of_a_key_ask_once_as_well(credentials: ChainCredentials, chain: Chain, clock: Time) -> None:
    await credentials.identity()
    clock.seconds += HOUR + 1
    keys = await asyncio.gather(*(key_of(credentials) for _ in range(50)))

    assert ({"KEY2"}, 2) == (set(keys), chain.calls)


async def test_a_key_without_an_end_is_asked_for_once(credentials: ChainCredentials, chain: Chain, clock: Time) -> None:
    chain.lasts = None
    first = await credentials.identity()
    clock.seconds += 1000 * HOUR

    assert await credentials.identity() is first
    assert first.expiration is None


async def test_keys_are_renewed_ahead_of_their_end_without_anybody_waiting(
    credentials: ChainCredentials, chain: Chain, clock: Time
) -> None:
    await credentials.identity()
    clock.seconds += HOUR - AHEAD_SECONDS + 1
    chain.may_answer.clear()
    at_once = await key_of(credentials)
    chain.may_answer.set()
    await credentials.aclose()

    assert (at_once, await key_of(credentials)) == ("KEY1", "KEY2")


async def test_keys_too_short_for_a_stream_are_renewed_first(credentials: ChainCredentials, clock: Time) -> None:
    await credentials.identity()
    clock.seconds += HOUR - 300

    assert await key_of(credentials) == "KEY2"


async def test_a_source_that_is_down_does_not_matter_while_the_key_holds(credentials: ChainCredentials, chain: Chain, clock: Time) -> None:
    first = await credentials.identity()
    clock.seconds += HOUR - 300
    chain.is_down = True

    assert await credentials.identity() is first


async def test_a_key_that_has_ended_is_told_with_the_cause(credentials: ChainCredentials, chain: Chain, clock: Time) -> None:
    await credentials.identity()
    clock.seconds += HOUR
    chain.is_down = True
    with pytest.raises(ModelError) as told:
        await credentials.identity()

    assert (told.value.code, told.value.remedy, told.value.detail) == ("model_credentials", Remedy.BACKOFF, "down at call 2")


async def test_a_source_that_is_down_is_asked_after_growing_pauses(credentials: ChainCredentials, chain: Chain, clock: Time) -> None:
    chain.is_down = True
    asked_at: list[float] = []
    while clock.seconds < 300:
        calls = chain.calls
        with pytest.raises(ModelError, match=f"down at call {max(calls, 1)}|down at call {calls + 1}"):
            await credentials.identity()
        if chain.calls > calls:
            asked_at.append(clock.seconds)
        clock.seconds += 0.5

    pauses = [after - before for before, after in pairwise(asked_at)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert max(pauses) == LONGEST_PAUSE_SECONDS


async def test_a_source_that_is_back_ends_the_pauses(credentials: ChainCredentials, chain: Chain, clock: Time) -> None:
    chain.is_down = True
    with pytest.raises(ModelError):
        await credentials.identity()
    chain.is_down = False
    clock.seconds += 1
    key = await key_of(credentials)
    clock.seconds += HOUR

    assert (key, await key_of(credentials)) == ("KEY2", "KEY3")


async def test_a_source_that_gives_nothing_longer_is_not_asked_at_each_opening(
    credentials: ChainCredentials, chain: Chain, clock: Time
) -> None:
    chain.lasts = 300
    for _ in range(20):
        await credentials.identity()
        clock.seconds += 0.01

    assert chain.calls == 1


async def test_a_key_that_ends_within_the_pause_is_renewed_at_its_end(credentials: ChainCredentials, chain: Chain, clock: Time) -> None:
    chain.lasts = 10
    for _ in range(8):
        await credentials.identity()
        clock.seconds += 10

    assert chain.calls == 8


async def test_an_opening_waits_three_seconds_at_most_for_a_source_that_hangs(chain: Chain) -> None:
    chain.may_answer.clear()
    credentials = ChainCredentials(chain=chain)
    began = time.monotonic()
    with pytest.raises(ModelError) as told:
        await credentials.identity()
    waited = time.monotonic() - began
    with pytest.raises(ModelError):  # those that come later do not wait once more
        await asyncio.wait_for(credentials.identity(), 0.5)
    chain.may_answer.set()
    await credentials.aclose()

    assert WAIT_SECONDS - 0.05 < waited < WAIT_SECONDS + 0.5
    assert (told.value.code, told.value.remedy) == ("model_credentials", Remedy.BACKOFF)
    assert told.value.detail == "double: no answer within 3 s"
    assert chain.calls == 1


async def test_what_came_too_late_for_one_opening_serves_the_next(credentials: ChainCredentials, chain: Chain, clock: Time) -> None:
    chain.may_answer.clear()
    asking = asyncio.create_task(credentials.identity())
    await asyncio.sleep(0)
    clock.seconds += WAIT_SECONDS
    with pytest.raises(ModelError):
        await credentials.identity()
    chain.may_answer.set()

    assert await asking is await credentials.identity()
    assert chain.calls == 1


async def test_a_caller_that_gives_up_does_not_stop_the_others(credentials: ChainCredentials, chain: Chain) -> None:
    first, second = asyncio.create_task(credentials.identity()), asyncio.create_task(credentials.identity())
    await asyncio.sleep(0)
    first.cancel()

    assert ((await second).access_key_id, chain.calls) == ("KEY1", 1)


async def test_a_key_that_the_service_refused_is_read_anew_once_a_minute(credentials: ChainCredentials, chain: Chain, clock: Time) -> None:
    chain.lasts = None
    keys = []
    for _ in range(5):
        keys.append(await key_of(credentials))
        credentials.forget()
        clock.seconds += FORGET_SECONDS / 2

    assert keys == ["KEY1", "KEY2", "KEY2", "KEY3", "KEY3"]
    assert chain.forgotten == 3


async def test_no_thread_is_left_of_a_renewal(credentials: ChainCredentials) -> None:
    await credentials.identity()
    await credentials.aclose()
    for thread in threading.enumerate():
        if thread.name == "credentials":
            thread.join(5)

    assert "credentials" not in {thread.name for thread in threading.enumerate()}


async def test_a_loop_that_ends_during_a_renewal_leaves_no_error(chain: Chain, capfd: pytest.CaptureFixture[str]) -> None:
    def begin_and_leave() -> None:
        async def begin() -> None:
            asking = asyncio.create_task(ChainCredentials(chain=chain).identity())
            await asyncio.sleep(0)
            asking.cancel()

        chain.may_answer.clear()
        asyncio.run(begin())

    await asyncio.to_thread(begin_and_leave)
    (left,) = [thread for thread in threading.enumerate() if thread.name == "credentials"]
    chain.may_answer.set()
    left.join(5)

    assert not left.is_alive()
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.req("S4-18")
async def test_the_loop_goes_on_while_an_endpoint_takes_two_seconds(container: Endpoints) -> None:
    container.held.clear()
    asking = asyncio.create_task(ChainCredentials().identity())
    asyncio.get_running_loop().call_later(2, container.held.set)
    late: list[float] = []
    last = time.monotonic()
    while not asking.done():
        await asyncio.sleep(0.001)
        now = time.monotonic()
        late.append(now - last - 0.001)
        last = now
    identity = await asking

    late.sort()
    assert identity.access_key_id == "KEY1"
    assert len(late) > 500
    assert late[int(len(late) * 0.99)] < 0.5  # a quarter of what a loop would be late that waits; the rest is for the machine's others


async def test_an_endpoint_that_is_down_is_not_asked_again_by_openings_that_follow_each_other(container: Endpoints) -> None:
    container.status = 404
    credentials = ChainCredentials()
    with pytest.raises(ModelError) as first:
        await credentials.identity()
    asked = len(container.asked)
    for _ in range(10):
        with pytest.raises(ModelError):
            await credentials.identity()

    assert first.value.code == "model_credentials"
    assert "404" in first.value.detail
    assert len(container.asked) == asked


async def test_a_bare_machine_has_no_credentials(container: Endpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_CONTAINER_CREDENTIALS_FULL_URI")

    with pytest.raises(ModelError, match="finds no credentials"):
        await find_credentials()


async def test_what_is_found_says_where(container: Endpoints) -> None:
    assert (await find_credentials()).source == "container-role"


async def test_a_source_that_is_away_at_the_start_is_asked_again(container: Endpoints) -> None:
    container.status = 500
    found = await find_credentials()
    container.status = 200
    async with asyncio.timeout(10):
        while True:
            try:
                identity = await found.identity()
                break
            except ModelError:
                await asyncio.sleep(0.05)

    assert identity.access_key_id == "KEY1"


async def test_a_stream_keeps_the_identity_that_it_was_opened_with() -> None:
    identity = await StaticCredentials("A", "B", "C", expiration=datetime(2030, 1, 1, tzinfo=UTC)).identity()

    assert identity is await PinnedIdentity(identity).get_identity(properties={})
    assert identity.expiration == datetime(2030, 1, 1, tzinfo=UTC)

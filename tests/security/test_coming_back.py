"""Tokens with which clients come back, in the hands of somebody else: guessed, used, changed, late, too early, twice at once."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import pytest_asyncio

from tests.e2e.servers import KEY
from tests.security.battery import Attacker, Ground, battleground
from tests.security.tongues import HERTZ

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.req("S0-54", "S0-57", "S2-27")]

TOKEN_LENGTH = 43
GUESSES = 19
"""One less than closes a connection."""
GRACE_SECONDS = 4
"""How long a session waits for its client."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    settings = {"RESUME_GRACE_SECONDS": str(GRACE_SECONDS), "SESSIONS_KEY": KEY}
    async with battleground(tmp_path_factory.mktemp("battery"), settings) as running:
        yield running


def resume(token: object, seq: object = 0, **members: object) -> str:
    return json.dumps({"type": "resume", "protocol": 1, "token": token, "seq": seq, **members})


@asynccontextmanager
async def begun(ground: Ground, *, query: str = "") -> AsyncIterator[tuple[Attacker, str]]:
    """Begin a session that can be come back to; yield its client and its token."""
    async with ground.attacker(query=query) as client:
        await client.send(json.dumps({"type": "hello", "protocol": 1, "resume": True, "input_hertz": HERTZ, "output_hertz": HERTZ}))
        await client.until(lambda: bool(client.named("session.started")))
        yield client, str(client.named("session.started")[0]["resume_token"])


async def refused(ground: Ground, frame: str, *, query: str = "") -> str:
    """Try to come back on a connection of one's own; return the code of the refusal."""
    async with ground.attacker(query=query) as thief:
        await thief.send(frame)
        (code, _) = await thief.codes_until_probe(1)
        assert thief.named("session.resumed") == []
    return code


async def ended(client: Attacker) -> None:
    """End a client's session."""
    await client.send('{"type":"end"}')
    await client.until(lambda: bool(client.named("session.ended")))


async def came_back(ground: Ground, token: str, *, query: str = "") -> str:
    """Come back on a new connection, and end the session; return the new token."""
    async with ground.attacker(query=query) as client:
        await client.send(resume(token))
        await client.until(lambda: bool(client.named("session.resumed")))
        await ended(client)
        return str(client.named("session.resumed")[0]["resume_token"])


@asynccontextmanager
async def several(ground: Ground, count: int) -> AsyncIterator[list[Attacker]]:
    """Connect so many clients; those with a session end it."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(ground.attacker()) for _ in range(count)]
        yield clients
        for client in clients:
            if client.named("session.resumed"):
                await ended(client)


def cut(client: Attacker) -> None:
    """Lose the connection without a word."""
    client.socket.transport.abort()


CHANGES: dict[str, Callable[[str], str]] = {
    "another last letter": lambda token: token[:-1] + ("A" if token[-1] != "A" else "B"),
    "another first letter": lambda token: ("A" if token[0] != "A" else "B") + token[1:],
    "one letter less": lambda token: token[:-1],
    "padding": lambda token: token + "=",
    "a space behind": lambda token: token + " ",
    "a null byte behind": lambda token: token + "\0",
    "the other case": lambda token: token.swapcase(),
    "the handle that is stored": lambda _token: "0" * 64,
    "nothing": lambda _token: "",
    "a wildcard": lambda _token: "*",
    "all zeros": lambda _token: "A" * TOKEN_LENGTH,
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_token_that_is_nearly_right_is_wrong(ground: Ground, change: str) -> None:
    async with ground.watched(), begun(ground) as (client, token):
        cut(client)
        code = await refused(ground, resume(CHANGES[change](token)))
        await came_back(ground, token)

        assert code == "resume_refused"


NO_TOKENS: dict[str, tuple[str, str]] = {
    "null": (resume(None), "bad_frame"),
    "a number": (resume(7), "bad_frame"),
    "a list": (resume(["t"]), "bad_frame"),
    "true": (resume(token=True), "bad_frame"),
    "too long": (resume("t" * 65), "too_large"),
    "a negative place": (resume("t" * TOKEN_LENGTH, -1), "bad_frame"),
    "no place": (json.dumps({"type": "resume", "protocol": 1, "token": "t"}), "bad_frame"),
    "another version": (resume("t" * TOKEN_LENGTH, protocol=2), "not_allowed"),
}


@pytest.mark.parametrize("name", NO_TOKENS)
async def test_what_is_no_token_is_refused(ground: Ground, name: str) -> None:
    frame, expected = NO_TOKENS[name]
    async with ground.watched():
        assert await refused(ground, frame) == expected


async def test_a_token_works_once(ground: Ground) -> None:
    async with ground.watched(), begun(ground) as (client, token):
        cut(client)
        newer = await came_back(ground, token)

        assert newer != token
        assert await refused(ground, resume(token)) == "resume_refused"
        assert await refused(ground, resume(newer)) == "resume_refused"  # the session has ended


async def test_of_ten_who_have_a_token_one_gets_the_session(ground: Ground) -> None:
    async def try_it(thief: Attacker) -> bool:
        await thief.send(resume(token))
        await thief.until(lambda: bool(thief.named("session.resumed") or thief.codes))
        return bool(thief.named("session.resumed"))

    async with ground.watched(), begun(ground) as (client, token):
        cut(client)
        async with several(ground, 10) as thieves:
            won = await asyncio.gather(*(try_it(thief) for thief in thieves))

            assert won.count(True) == 1
            assert {code for thief in thieves for code in thief.codes} == {"resume_refused"}


async def test_somebody_elses_token_is_refused_like_one_that_never_was(ground: Ground) -> None:
    async with ground.watched(), begun(ground, query="?userId=ana") as (client, token):
        cut(client)
        codes = [await refused(ground, resume(token), query=query) for query in ("?userId=eva", "?userId=", "", "?userId=ANA")]
        unknown = await refused(ground, resume("t" * TOKEN_LENGTH), query="?userId=eva")
        await came_back(ground, token, query="?userId=ana")

        assert set(codes) | {unknown} == {"resume_refused"}


async def guess(ground: Ground, first: int) -> list[str]:
    """Try as many tokens as a connection has tries; return what the server said to each."""
    async with ground.attacker() as thief:
        await thief.send(*(resume(f"{number:0{TOKEN_LENGTH}d}") for number in range(first, first + GUESSES)))
        await thief.until(lambda: len(thief.codes) == GUESSES)
        return thief.codes


async def test_a_thousand_guesses_find_nothing(ground: Ground) -> None:
    async with ground.watched(), begun(ground) as (client, token):
        cut(client)
        told = [await guess(ground, first) for first in range(0, 1_000, GUESSES)]
        await came_back(ground, token)

        assert told == [["resume_refused"] * GUESSES] * len(told)


async def test_a_place_that_was_never_reached_is_refused(ground: Ground) -> None:
    async with ground.watched(), begun(ground) as (client, token):
        cut(client)

        assert await refused(ground, resume(token, 4_000_000_000)) == "resume_refused"
        await came_back(ground, token)


async def test_a_session_that_its_client_left_cannot_be_had(ground: Ground) -> None:
    async with ground.watched():
        async with begun(ground) as (client, token):
            await client.socket.close()
        assert await ground.server.until(lambda: ground.server.sessions() == ground.before.sessions)

        assert await refused(ground, resume(token)) == "resume_refused"


async def test_a_token_whose_time_is_over_leads_nowhere(ground: Ground) -> None:
    async with ground.watched():
        async with begun(ground) as (client, token):
            cut(client)
        assert await ground.server.until(lambda: ground.server.sessions() == ground.before.sessions, seconds=GRACE_SECONDS + 10)

        assert await refused(ground, resume(token)) == "resume_refused"


async def test_afterwards_everything_is_as_it_was(ground: Ground) -> None:
    await ground.unharmed()

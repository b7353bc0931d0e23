"""A token that expires in a conversation is told, may be replaced, and ends it politely if it is not."""

import asyncio

import pytest
from websockets.asyncio.client import ClientConnection

from auth.claims import LEEWAY_SECONDS
from bench.resumable_client import ResumableClient, ResumeRefused
from tests.transports.authenticating.house import HELLO, House, bearer, closing, heard, house, refusal, say
from tests.transports.coming_back.caller import eventually, speech
from transports.authentication import GRACE_SECONDS

LIFE_SECONDS = 30.0
GOOD_SECONDS = LIFE_SECONDS + LEEWAY_SECONDS


async def talking(own: House, client: ClientConnection) -> None:
    """Begin a session."""
    await say(client, **HELLO)
    await heard(client, "session.started")


def short(own: House, user_id: str = "ana") -> str:
    return own.issuer.token(user_id, expires_in=LIFE_SECONDS)


@pytest.mark.req("S0-57")
async def test_a_conversation_ends_politely_when_nobody_renews_the_token() -> None:
    loop = asyncio.get_running_loop()
    async with house() as own, own.page(short(own)) as client:
        await talking(own, client)
        began = loop.time()
        told = await heard(client, "error")
        told_at = loop.time() - began
        code, messages = await closing(client)
        ended_at = loop.time() - began

        assert told["code"] == "token_expired"
        assert told_at == pytest.approx(GOOD_SECONDS, abs=2)
        assert ended_at == pytest.approx(GOOD_SECONDS + GRACE_SECONDS / 2, abs=2)  # nobody speaks
        assert [message["reason"] for message in messages if message["type"] == "session.ended"] == ["token_expired"]
        assert not [message for message in messages if message["type"] == "goAway"]
        assert code == 4401
        await eventually(lambda: own.rig.registry.live == 0 and own.rig.model.streams[0].is_closed)


async def test_the_assistant_may_finish_what_it_is_saying() -> None:
    loop = asyncio.get_running_loop()
    async with house() as own, own.page(short(own)) as client:
        await talking(own, client)
        stream = await own.rig.model.stream()
        began = loop.time()
        await heard(client, "error")
        await asyncio.sleep(GRACE_SECONDS / 2 - 2)
        stream.say(*speech(*range(1, 81)))  # for eight seconds
        code, messages = await closing(client)
        ended_at = loop.time() - began - GOOD_SECONDS

        assert GRACE_SECONDS / 2 + 5 < ended_at < GRACE_SECONDS / 2 + 8
        assert [message["type"] for message in messages][-2:] == ["speech.ended", "session.ended"]
        assert code == 4401


async def test_the_grace_is_not_longer_however_long_the_assistant_speaks() -> None:
    loop = asyncio.get_running_loop()
    async with house(grace_seconds=20) as own, own.page(short(own)) as client:
        await talking(own, client)
        stream = await own.rig.model.stream()
        began = loop.time()
        await heard(client, "error")
        stream.say(*speech(*range(1, 240)))
        code, messages = await closing(client)

        assert loop.time() - began - GOOD_SECONDS == pytest.approx(20, abs=2)
        assert messages[-1]["reason"] == "token_expired"
        assert code == 4401


async def test_without_grace_it_ends_at_once() -> None:
    loop = asyncio.get_running_loop()
    async with house(grace_seconds=0) as own, own.page(short(own)) as client:
        await talking(own, client)
        began = loop.time()
        code, messages = await closing(client)

        assert loop.time() - began == pytest.approx(GOOD_SECONDS, abs=2)
        assert [message["type"] for message in messages][-2:] == ["error", "session.ended"]
        assert code == 4401


@pytest.mark.parametrize("is_late", [False, True], ids=["before it has expired", "in the grace time"])
async def test_a_new_token_prolongs_the_conversation(is_late: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    async with house() as own, own.page(short(own)) as client:
        await talking(own, client)
        if is_late:
            await heard(client, "error")
        await say(client, type="auth", token=own.issuer.token("ana", expires_in=600))
        accepted = await heard(client, "auth.accepted")
        await asyncio.sleep(100)
        await say(client, type="ping", t=1)
        await heard(client, "pong")

        assert accepted["user_id"] == "ana"
        assert own.rig.registry.live == 1


async def test_a_token_that_comes_while_the_last_turn_is_heard_keeps_connection_and_conversation() -> None:
    async with house() as own, own.page(short(own)) as client:
        await talking(own, client)
        stream = await own.rig.model.stream()
        await heard(client, "error")
        await asyncio.sleep(GRACE_SECONDS / 2 - 2)
        stream.say(*speech(*range(1, 81)))  # for eight seconds
        await asyncio.sleep(4)
        await say(client, type="auth", token=own.issuer.token("ana", expires_in=600))
        await heard(client, "auth.accepted")
        await heard(client, "speech.ended")
        await asyncio.sleep(GRACE_SECONDS)
        await say(client, type="ping", t=1)
        await heard(client, "pong")

        assert own.rig.registry.live == 1
        assert not own.rig.model.streams[0].is_closed


async def test_a_token_that_was_renewed_so_late_expires_like_any_other() -> None:
    async with house() as own, own.page(short(own)) as client:
        await talking(own, client)
        stream = await own.rig.model.stream()
        await heard(client, "error")
        await asyncio.sleep(GRACE_SECONDS / 2 - 2)
        stream.say(*speech(*range(1, 81)))
        await asyncio.sleep(4)
        await say(client, type="auth", token=own.issuer.token("ana", expires_in=100))
        await heard(client, "auth.accepted")
        again = await heard(client, "error")
        code, messages = await closing(client)

        assert again["code"] == "token_expired"
        assert messages[-1]["reason"] == "token_expired"
        assert code == 4401


async def test_it_may_be_renewed_again_and_again() -> None:
    async with house() as own, own.page(short(own)) as client:
        await talking(own, client)
        for round_number in range(1, 6):
            assert (await heard(client, "error"))["code"] == "token_expired"
            await say(client, type="auth", token=own.issuer.token("ana", expires_in=round_number * 100))
            await heard(client, "auth.accepted")

        assert own.rig.registry.live == 1


async def test_a_token_that_is_no_better_does_not_prolong_it() -> None:
    async with house() as own, own.page(short(own)) as client:
        await talking(own, client)
        await heard(client, "error")
        await say(client, type="auth", token="garbage")
        refused = await heard(client, "error")
        await say(client, type="auth", token=own.issuer.token("ana", expires_in=-60))
        outdated = await heard(client, "error")
        code, _ = await closing(client)

    assert (refused["code"], outdated["code"]) == ("not_authenticated", "token_expired")
    assert code == 4401


@pytest.mark.req("S0-57")
async def test_a_token_of_another_user_ends_the_connection() -> None:
    async with house() as own, own.page(short(own)) as client:
        await talking(own, client)
        await say(client, type="auth", token=own.issuer.token("eva"))
        code, messages = await closing(client)
        await eventually(lambda: own.rig.registry.live == 0)

        assert [message["code"] for message in messages if message["type"] == "error"] == ["forbidden"]
        assert code == 4403


async def test_no_conversation_begins_with_an_expired_token() -> None:
    async with house() as own, own.page(short(own)) as client:
        await say(client, type="ping", t=1)
        await heard(client, "pong")
        await heard(client, "error")
        await say(client, **HELLO)
        refused = await heard(client, "error")
        await say(client, type="resume", protocol=1, token="x", seq=0)
        not_resumed = await heard(client, "error")
        code, _ = await closing(client)

        assert (refused["code"], not_resumed["code"]) == ("token_expired", "token_expired")
        assert code == 4401
        assert own.is_untouched


async def test_guessing_in_a_conversation_ends_the_connection() -> None:
    async with house() as own, own.page(own.issuer.token("ana")) as client:
        for number in range(30):
            await say(client, type="auth", token=f"guess-{number}")
        code, messages = await closing(client)

    assert code == 1008
    assert {message["code"] for message in messages} == {"not_authenticated"}


async def test_a_client_of_novas_own_events_is_told_in_its_own_way() -> None:
    async with house(grace_seconds=2) as own, own.raw(short(own)) as client:
        await client.send('{"event":{"nonsense":{}}}')
        code, messages = await closing(client)

    assert [message["event"]["error"]["code"] for message in messages] == ["unknown_event", "token_expired"]
    assert code == 4401


async def test_who_lost_the_connection_comes_back_with_a_new_token() -> None:
    async with house(resume_seconds=30) as own:
        client = ResumableClient(own.rig.address, headers=bearer(short(own)))
        await client.start()
        await client.cut()
        await asyncio.sleep(25)
        client.headers = bearer(own.issuer.token("ana", expires_in=600))
        resumed = await client.resume()
        await asyncio.sleep(120)
        is_alive = own.rig.registry.live
        await client.close()

    assert resumed["type"] == "session.resumed"
    assert is_alive == 1


@pytest.mark.req("S0-54", "S0-57")
async def test_nobody_else_comes_back_to_a_conversation() -> None:
    async with house(resume_seconds=30) as own:
        client = ResumableClient(own.rig.address, headers=bearer(own.issuer.token("ana")))
        await client.start()
        await client.cut()
        thief = ResumableClient(own.rig.address, headers=bearer(own.issuer.token("eva")))
        with pytest.raises(ResumeRefused, match="resume_refused"):
            await thief.resume(client.token, 0)
        await thief.close()
        answer = await refusal(own.page("stolen"))
        resumed = await client.resume()
        await client.close()

    assert answer.status_code == 401
    assert resumed["session_id"] == client.received.named("session.started")[0]["session_id"]

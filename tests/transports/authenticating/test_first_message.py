"""Who brings no token to the handshake has to send one first of all, and soon; before it nothing else is looked at."""

import asyncio
import json

import pytest
from websockets.asyncio.client import connect

from tests.transports.authenticating.house import HELLO, closing, heard, house, refusal, say
from transports.authentication import AUTH_SECONDS
from transports.dialects.auth_messages import MESSAGE_LIMIT_BYTES, TOKEN_LIMIT

EVENT = '{"event":{"sessionStart":{"inferenceConfiguration":{"maxTokens":1024,"topP":0.9,"temperature":0.7}}}}'


@pytest.mark.req("S0-56", "S2-38")
async def test_the_first_message_lets_its_sender_in() -> None:
    async with house() as own, own.page() as client:
        await say(client, type="auth", token=own.issuer.token("ana"))
        await say(client, **HELLO)
        accepted = await heard(client, "auth.accepted")
        await heard(client, "session.started")

        assert accepted["user_id"] == "ana"
        assert accepted["expires_at"] > 0
        assert own.principals == ["ana"]


async def test_a_client_of_novas_own_events_says_it_in_the_same_way() -> None:
    async with house() as own, own.raw() as client:
        await say(client, type="auth", token=own.issuer.token("ana"))
        accepted = json.loads(await client.recv())
        await client.send('{"event":{"nonsense":{}}}')
        answer = json.loads(await client.recv())

    assert accepted["type"] == "auth.accepted"
    assert answer["event"]["error"]["code"] == "unknown_event"


FIRST = {
    "nothing of ours": ("hello", "error"),
    "the page's hello": (json.dumps(HELLO), "error"),
    "a resume": ('{"type":"resume","protocol":1,"token":"x","seq":0}', "error"),
    "a ping": ('{"type":"ping","t":1}', "error"),
    "a microphone": (b"\1\0\0\0" + b"\0" * 12 + b"\1\1" * 256, "error"),
    "an auth without a token": ('{"type":"auth"}', "error"),
    "an auth with a number": ('{"type":"auth","token":5}', "error"),
    "an auth with too much": (json.dumps({"type": "auth", "token": "x" * (TOKEN_LIMIT + 1)}), "error"),
    "an auth with garbage": ('{"type":"auth","token":"garbage"}', "error"),
    "an empty frame": ("", "error"),
}


@pytest.mark.req("S0-57", "S2-27")
@pytest.mark.parametrize(("frame", "kind"), FIRST.values(), ids=FIRST)
async def test_any_other_first_message_ends_it(frame: str | bytes, kind: str) -> None:
    async with house() as own, own.page() as client:
        await client.send(frame)
        await client.send(json.dumps({"type": "auth", "token": own.issuer.token()}))
        code, messages = await closing(client)

        assert code == 4401
        assert [(message["type"], message["code"], message["retryable"]) for message in messages] == [(kind, "not_authenticated", False)]
        assert messages[0]["ref"]
        assert own.is_untouched


async def test_a_client_of_novas_own_events_is_told_in_its_own_way() -> None:
    async with house() as own, own.raw() as client:
        await client.send(EVENT)
        code, messages = await closing(client)

        assert code == 4401
        assert [message["event"]["error"]["code"] for message in messages] == ["not_authenticated"]
        assert own.is_untouched


async def test_a_client_of_the_realtime_api_is_told_in_its_own_way() -> None:
    async with house() as own, connect(own.rig.address.replace("/ws", "/v1/realtime")) as client:
        await client.send('{"type":"session.update","session":{"type":"realtime"}}')
        code, messages = await closing(client)

        assert code == 4401
        assert [(message["type"], message["error"]["code"]) for message in messages] == [("error", "not_authenticated")]
        assert own.is_untouched


async def test_an_expired_token_is_told_as_such() -> None:
    async with house() as own, own.raw() as client:
        await say(client, type="auth", token=own.issuer.token(expires_in=-60))
        code, messages = await closing(client)

    assert code == 4401
    assert [message["code"] for message in messages] == ["token_expired"]


@pytest.mark.req("S2-26")
async def test_a_token_of_somebody_else_than_the_client_says_it_is_is_not_allowed() -> None:
    async with house() as own, own.page(query="?userId=eva") as client:
        await say(client, type="auth", token=own.issuer.token("ana"))
        code, messages = await closing(client)

    assert code == 4403
    assert [message["code"] for message in messages] == ["forbidden"]


async def test_who_says_nothing_is_not_waited_for() -> None:
    loop = asyncio.get_running_loop()
    async with house() as own, own.page() as page, own.raw() as raw:
        began = loop.time()
        code, messages = await closing(page)
        silent_code, nothing = await closing(raw)

        assert (code, silent_code) == (4401, 4401)
        assert loop.time() - began == pytest.approx(AUTH_SECONDS, abs=1)
        assert [message["code"] for message in messages] == ["not_authenticated"]
        assert nothing == []  # what it speaks is not known
        assert own.is_untouched


async def test_before_the_token_not_much_can_be_sent() -> None:
    async with house() as own, own.page() as client:
        await client.send("x" * (MESSAGE_LIMIT_BYTES + 1))
        code, _ = await closing(client)

        assert code == 1009
        assert own.is_untouched


async def test_after_the_token_there_is_room_again() -> None:
    async with house() as own, own.raw() as client:
        await say(client, type="auth", token=own.issuer.token())
        await heard(client, "auth.accepted")
        await client.send(" " * (MESSAGE_LIMIT_BYTES + 1) + '{"event":{"nonsense":{}}}')
        answer = json.loads(await client.recv())

    assert answer["event"]["error"]["code"] == "unknown_event"


async def test_so_many_may_wait_and_no_more() -> None:
    async with house(waiting_limit=2) as own:
        first, second = await own.page(), await own.page()
        answer = await refusal(own.page())
        async with own.page(own.issuer.token()):  # who says it in the handshake does not wait
            pass
        await say(first, type="auth", token=own.issuer.token())
        await heard(first, "auth.accepted")
        third = await own.page()
        await say(third, type="auth", token=own.issuer.token())
        accepted = await heard(third, "auth.accepted")
        for client in (first, second, third):
            await client.close()

    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert accepted["user_id"] == "ana"


async def test_who_leaves_without_a_word_leaves_no_trace() -> None:
    async with house(waiting_limit=1) as own:
        for _ in range(5):
            async with connect(own.rig.address) as client:
                client.transport.abort()
            await asyncio.sleep(0.1)  # virtual

        assert own.is_untouched
        async with own.page() as client:
            await say(client, type="auth", token=own.issuer.token())
            await heard(client, "auth.accepted")

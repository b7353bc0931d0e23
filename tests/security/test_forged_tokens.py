"""Who has no token, or somebody else's, or one that was made up: turned away before any stream is opened and any record is read."""

import asyncio
import itertools
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from aiohttp import web

from tests.auth.issuer import Issuer, jwk, running_issuer
from tests.auth.test_tokens import FORGED, signed_by_another
from tests.e2e.clients import HEADER
from tests.loopback import serving
from tests.security.battery import Answered, Attacker, Ground, battleground, knock
from tests.security.tongues import PAGE, RAW, Tongue
from tests.transports import raw_client

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.req("S0-54", "S0-56", "S0-57", "S2-27", "S2-38")]

HELLO = str(PAGE.opening[0])
GRACE_SECONDS = 1
CLEAN = re.compile(r"[!-~]{1,4000}")
"""What fits into a header; longer ones and others are refused before anybody looks at them as tokens."""
OFFERABLE = re.compile(r"[A-Za-z0-9._~*!-]{1,4000}")
"""What is a subprotocol (RFC 9110 5.6.2)."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def issuer() -> AsyncIterator[Issuer]:
    """Somebody who signs tokens."""
    async with running_issuer() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> AsyncIterator[Ground]:
    """A server that asks for tokens."""
    settings = {**issuer.settings, "AUTH_SECONDS": "2", "TOKEN_GRACE_SECONDS": str(GRACE_SECONDS)}
    bearer = {"Authorization": f"Bearer {issuer.token('neighbour')}"}
    async with battleground(tmp_path_factory.mktemp("battery"), settings, headers=bearer) as running:
        yield running


def auth(token: object) -> str:
    return json.dumps({"type": "auth", "token": token})


def bearer(issuer: Issuer, user: str) -> dict[str, str]:
    """Return the header of somebody who has a good token."""
    return {"Authorization": f"Bearer {issuer.token(user)}"}


def upgrade(*lines: str) -> list[bytes]:
    """Return a handshake with these headers."""
    usual = ("Host: localhost", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
    head = ("GET / HTTP/1.1", *usual, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *lines, "", "")
    return ["\r\n".join(head).encode()]


def shows(token: str, text: str) -> list[str]:
    """Return the parts of a token that a text shows."""
    return [part for part in token.split(".") if len(part) > 10 and part in text]


async def turned_away(ground: Ground, *frames: str | bytes, tongue: Tongue = PAGE) -> Attacker:
    """Connect without a token, send frames, and be closed with 4401; no stream was opened."""
    streams = {stream["id"] for stream in ground.emulator.control.streams()}
    async with ground.attacker(tongue, additional_headers={}) as attacker:
        await attacker.send(*frames)

        assert await attacker.until_closed() in (4401, 1009)  # the second for a message that no token is as long as
        assert {stream["id"] for stream in ground.emulator.control.streams()} == streams
    return attacker


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_token_in_the_first_message_closes_the_connection(ground: Ground, issuer: Issuer, name: str) -> None:
    token = FORGED[name](issuer)
    async with ground.watched():
        attacker = await turned_away(ground, auth(token), HELLO)

        assert attacker.codes == (["not_authenticated"] if attacker.socket.close_code == 4401 else [])
        assert shows(token, str(attacker.answers)) == []
    assert shows(token, ground.server.log_file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_token_in_a_header_is_refused_before_the_upgrade(ground: Ground, issuer: Issuer, name: str) -> None:
    token = FORGED[name](issuer)
    async with ground.watched():
        told = await knock(ground, upgrade(f"Authorization: Bearer {token}"))

        if CLEAN.fullmatch(token) or not token.strip():
            assert told.statuses == [401]
        else:
            assert 101 not in told.statuses
        assert shows(token, told.data.decode(errors="replace")) == []


@pytest.mark.parametrize("name", [name for name, forge in FORGED.items() if OFFERABLE.fullmatch(forge(Issuer()))])
@pytest.mark.parametrize("prefix", ["bearer.", "openai-insecure-api-key."])
async def test_a_forged_token_in_a_subprotocol_is_refused_before_the_upgrade(
    ground: Ground, issuer: Issuer, name: str, prefix: str
) -> None:
    token = FORGED[name](issuer)
    async with ground.watched():
        told = await knock(ground, upgrade(f"Sec-WebSocket-Protocol: nova-sonic.v1, {prefix}{token}"))

        assert told.statuses == [401]
        assert shows(token, told.data.decode(errors="replace")) == []


BEFORE: dict[str, tuple[str | bytes, ...]] = {
    "a hello": (HELLO,),
    "a resumption": ('{"type":"resume","protocol":1,"token":"t","seq":0}',),
    "a ping": ('{"type":"ping","t":1}',),
    "sound": (HEADER.pack(1, 0, 0, 0, 0, 0) + bytes(64),),
    "a conversation of raw events": tuple(raw_client.opening()),
    "a call of a tool": (raw_client.event("toolUse", toolName="consultarOrder", content='{"orderId":"1"}'),),
    "no JSON": ("[" * 8_000,),
    "a token that is no text": (auth({"a": 1}),),
    "no token": ('{"type":"auth"}',),
    "a token without end": (auth("t" * 8_193),),
    "a made-up acceptance": ('{"type":"auth.accepted","user_id":"ana"}', HELLO),
}


@pytest.mark.parametrize("name", BEFORE)
@pytest.mark.parametrize("tongue", [PAGE, RAW], ids=lambda tongue: tongue.name)
async def test_before_a_token_nothing_is_worked_off(ground: Ground, tongue: Tongue, name: str) -> None:
    async with ground.watched():
        attacker = await turned_away(ground, *BEFORE[name], tongue=tongue)

        assert attacker.codes == ["not_authenticated"]
        assert attacker.named("pong") == attacker.named("session.started") == []


async def test_who_says_nothing_is_closed_in_time(ground: Ground) -> None:
    async with ground.watched():
        assert (await turned_away(ground)).codes == ["not_authenticated"]


async def test_before_a_token_no_large_message_is_taken(ground: Ground) -> None:
    async with ground.watched(), ground.attacker(additional_headers={}) as attacker:
        await attacker.send(auth("t" * 200_000))

        assert await attacker.until_closed() == 1009


@pytest.mark.parametrize("field", ["token", "access_token", "Authorization", "jwt", "bearer"])
async def test_a_token_in_the_address_is_not_taken(ground: Ground, issuer: Issuer, field: str) -> None:
    token = issuer.token()
    async with ground.watched():
        async with ground.attacker(query=f"?{field}={token}", additional_headers={}) as attacker:
            await attacker.send(HELLO)

            assert await attacker.until_closed() == 4401
        assert shows(token, ground.server.log_file.read_text(encoding="utf-8")) == []


async def test_a_token_is_never_sent_back(ground: Ground, issuer: Issuer) -> None:
    token = issuer.token()
    async with ground.watched():
        told = await knock(ground, upgrade(f"Sec-WebSocket-Protocol: bearer.{token}, nova-sonic.v1"), seconds=0.5)

        assert told.statuses == [101]
        assert shows(token, told.data.decode()) == []


TWICE = {
    "two tokens": ("Authorization: Bearer {0}", "Authorization: Bearer {1}"),
    "one in a header and one offered": ("Authorization: Bearer {0}", "Sec-WebSocket-Protocol: bearer.{1}"),
    "two offered": ("Sec-WebSocket-Protocol: bearer.{0}, bearer.{1}",),
    "a name and a password": ("Authorization: Basic YW5hOmFuYQ==",),
    "a cookie": ("Cookie: token={0}", "Authorization: Bearer "),
}


@pytest.mark.parametrize("name", TWICE)
async def test_tokens_in_doubt_are_no_tokens(ground: Ground, issuer: Issuer, name: str) -> None:
    tokens = issuer.token("ana"), issuer.token("eva")
    async with ground.watched():
        told = await knock(ground, upgrade(*(line.format(*tokens) for line in TWICE[name])), seconds=4.0)

        assert told.statuses == [401] or b"not_authenticated" in told.data


async def test_an_expired_token_is_named_as_one(ground: Ground, issuer: Issuer) -> None:
    async with ground.watched():
        attacker = await turned_away(ground, auth(issuer.token(expires_in=-60)))

        assert attacker.codes == ["token_expired"]


async def test_addresses_in_a_token_are_not_fetched(ground: Ground) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({"keys": [jwk(2)]})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with serving(app) as evil:
        other = Issuer(evil)
        forged = [
            signed_by_another(other, jku=f"{evil}/keys", x5u=f"{evil}/certificate"),
            signed_by_another(other, kid=f"{evil}/keys"),
            other.token(),
        ]
        async with ground.watched():
            for token in forged:
                await turned_away(ground, auth(token))

    assert asked == []


async def test_a_hundred_made_up_keys_cost_the_issuer_five_questions_at_most(ground: Ground, issuer: Issuer) -> None:
    before = issuer.asked
    async with ground.watched():
        tokens = [issuer.token(headers={"kid": f"made-up-{number}"}) for number in range(100)]
        told: list[Answered] = []
        for some in itertools.batched(tokens, 20):
            told += await asyncio.gather(*(knock(ground, upgrade(f"Authorization: Bearer {token}"), seconds=5) for token in some))

        assert [answer.statuses for answer in told] == [[401]] * 100
        assert issuer.asked - before <= 5


async def test_a_session_is_nobodys_but_its_users(ground: Ground, issuer: Issuer) -> None:
    async with ground.watched(), ground.attacker(additional_headers=bearer(issuer, "ana")) as ana:
        await ana.send(json.dumps({"type": "hello", "protocol": 1, "resume": True}))
        await ana.until(lambda: bool(ana.named("session.started")))
        resume = json.dumps({"type": "resume", "protocol": 1, "token": ana.named("session.started")[0]["resume_token"], "seq": 0})
        ana.socket.transport.abort()
        async with ground.attacker(additional_headers=bearer(issuer, "eva")) as eva:
            await eva.send(resume)
            told = await eva.codes_until_probe(1)
        async with ground.attacker(additional_headers=bearer(issuer, "ana")) as again:
            await again.send(resume, '{"type":"end"}')
            await again.until(lambda: bool(again.named("session.ended")))

        assert told[0] == "resume_refused"
        assert len(again.named("session.resumed")) == 1


async def test_nobody_is_who_they_say_they_are(ground: Ground, issuer: Issuer) -> None:
    async with ground.watched():
        told = await knock(ground, [upgrade(f"Authorization: Bearer {issuer.token('eva')}")[0].replace(b"GET /", b"GET /?userId=ana")])

        assert told.statuses == [403]


async def test_another_users_token_in_mid_conversation_is_refused(ground: Ground, issuer: Issuer) -> None:
    async with ground.watched(), ground.attacker() as attacker:
        await attacker.begin()
        await attacker.until(lambda: bool(attacker.named("session.started")))
        await attacker.send(auth(issuer.token("eva")))

        assert await attacker.until_closed() == 4403
        assert attacker.codes == ["forbidden"]


async def test_a_conversation_ends_soon_after_its_token(ground: Ground, issuer: Issuer) -> None:
    soon = issuer.token("ana", exp=time.time() - 8)  # the clocks may be ten seconds apart
    async with ground.watched(), ground.attacker(additional_headers={"Authorization": f"Bearer {soon}"}) as attacker:
        await attacker.begin()
        await attacker.until(lambda: bool(attacker.named("session.started")))

        assert await attacker.until_closed(GRACE_SECONDS + 10) == 4401
        assert "token_expired" in attacker.codes


async def test_two_hundred_strangers_keep_nobody_out_for_long(ground: Ground, issuer: Issuer) -> None:
    async with ground.watched(), AsyncExitStack() as stack:
        for _ in range(150):
            await stack.enter_async_context(ground.attacker(additional_headers={}))
        async with ground.attacker(additional_headers=bearer(issuer, "ana")) as ana:
            await ana.begin()
            await ana.until(lambda: bool(ana.named("session.started")))

            assert ana.codes == []


async def test_afterwards_everything_is_as_it_was(ground: Ground) -> None:
    await ground.unharmed()

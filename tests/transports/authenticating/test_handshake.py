"""Who brings a token to the handshake is known from then on, and who brings a wrong one comes no further."""

from collections.abc import Callable

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from auth.anonymous import AnonymousAuthenticator
from auth.interfaces import KeysUnavailable
from auth.principal import Principal
from tests.auth.issuer import Issuer
from tests.transports.authenticating.house import HELLO, House, bearer, heard, house, refusal, say
from transports.authentication import TOKEN_SUBPROTOCOLS
from transports.dialects.binary import SUBPROTOCOL


class KeysAway:
    """Can tell nothing of anybody."""

    needs_token = True

    async def authenticate(self, token: str, claimed_user: str = "") -> Principal:
        raise KeysUnavailable("http://issuer.example does not answer")


def offering(house: House, *names: str) -> connect:
    return connect(house.rig.address, subprotocols=[Subprotocol(name) for name in names])


@pytest.mark.req("S0-56", "S2-38")
async def test_a_token_in_the_header_lets_its_owner_in() -> None:
    async with house() as own, own.page(own.issuer.token("ana")) as client:
        await say(client, **HELLO)
        started = await heard(client, "session.started")
        principals = own.principals

    assert started["assistant"] == "carlos"
    assert principals == ["ana"]


@pytest.mark.parametrize("prefix", TOKEN_SUBPROTOCOLS)
async def test_a_token_in_a_subprotocol_does_the_same_and_is_not_sent_back(prefix: str) -> None:
    async with house() as own:
        token = own.issuer.token("ana")
        async with offering(own, f"{prefix}{token}", SUBPROTOCOL) as client:
            await say(client, **HELLO)
            await heard(client, "session.started")

            assert client.subprotocol == SUBPROTOCOL
            assert client.response is not None
            assert token not in str(client.response.headers)


async def test_a_browser_with_the_library_of_openai_comes_in_as_it_is() -> None:
    async with (
        house() as own,
        offering(own, "realtime", f"openai-insecure-api-key.{own.issuer.token()}", "openai-beta.realtime-v1") as client,
    ):
        created = await heard(client, "session.created")

        assert client.subprotocol == "realtime"
        assert created["session"]


async def test_with_a_token_a_subprotocol_that_nobody_knows_is_taken_because_browsers_need_one() -> None:
    async with house() as own, offering(own, f"bearer.{own.issuer.token()}", "my-app") as client:
        assert client.subprotocol == "my-app"


async def test_a_token_alone_is_never_the_subprotocol() -> None:
    async with house() as own, offering(own, f"bearer.{own.issuer.token()}") as client:
        assert client.subprotocol is None


async def test_the_same_token_twice_is_one() -> None:
    async with house() as own:
        token = own.issuer.token()
        async with connect(own.rig.address, subprotocols=[Subprotocol(f"bearer.{token}")], additional_headers=bearer(token)) as client:
            await say(client, type="auth", token=token)
            accepted = await heard(client, "auth.accepted")

    assert accepted["user_id"] == "ana"


WRONG: dict[str, Callable[[Issuer], str]] = {
    "garbage": lambda _: "garbage",
    "expired": lambda issuer: issuer.token(expires_in=-60),
    "forged": lambda issuer: issuer.token().replace(".", ".e30", 1),
    "of another app": lambda issuer: issuer.token(client_id="somebody-else"),
}


@pytest.mark.req("S0-56", "S0-57", "S2-27")
@pytest.mark.parametrize("way", ["header", "subprotocol"])
@pytest.mark.parametrize("make", WRONG.values(), ids=WRONG)
async def test_a_wrong_token_is_refused_before_there_is_a_connection(way: str, make: Callable[[Issuer], str]) -> None:
    async with house() as own:
        token = make(own.issuer)
        answer = await refusal(own.page(token) if way == "header" else offering(own, SUBPROTOCOL, f"bearer.{token}"))

        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
        assert token not in str(answer.headers) + bytes(answer.body or b"").decode()
        assert own.counted["auth_refused"] == 1
        assert own.is_untouched


async def test_two_tokens_are_none() -> None:
    async with house() as own:
        mine, other = own.issuer.token("ana"), own.issuer.token("eva")
        answer = await refusal(connect(own.rig.address, subprotocols=[Subprotocol(f"bearer.{mine}")], additional_headers=bearer(other)))

        assert answer.status_code == 401
        assert own.authenticator.asked == 0


async def test_where_nobody_can_be_authenticated_the_client_is_to_come_again() -> None:
    async with house(authenticator=KeysAway()) as own:
        answer = await refusal(own.page("a.b.c"))

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0


async def test_another_scheme_is_no_token() -> None:
    async with house() as own, connect(own.rig.address, additional_headers={"Authorization": "Basic YTpi"}) as client:
        await say(client, type="auth", token=own.issuer.token())

        assert (await heard(client, "auth.accepted"))["user_id"] == "ana"


@pytest.mark.parametrize("name", ["token", "access_token", "id_token", "authorization", "bearer"])
async def test_a_token_in_the_address_is_not_looked_at(name: str) -> None:
    async with house() as own, own.page(query=f"?{name}={own.issuer.token()}") as client:
        await say(client, **HELLO)

        assert (await heard(client, "error"))["code"] == "not_authenticated"
        assert own.authenticator.asked == 0


@pytest.mark.req("S2-26")
async def test_who_claims_to_be_somebody_else_is_refused() -> None:
    async with house() as own:
        answer = await refusal(own.page(own.issuer.token("ana"), query="?userId=eva"))

        assert answer.status_code == 403
        async with own.page(own.issuer.token("ana"), query="?userId=ana&sessionId=s-1"):
            pass


@pytest.mark.parametrize("claim", ["", "a%20b", "(anybody)", "a%00", "%C2%80%7f", "a" * 200, "a&userId=b"])
async def test_a_claim_that_is_no_name_is_refused(claim: str) -> None:
    async with house(authenticator=AnonymousAuthenticator()) as own:
        if not claim:  # an empty field is none
            async with own.page(query="?userId="):
                return
        answer = await refusal(own.page(query=f"?userId={claim}"))

    assert answer.status_code == 400


async def test_foreign_pages_are_refused_before_their_token_is_looked_at() -> None:
    async with house() as own:
        headers = {"Origin": "https://evil.example", **bearer(own.issuer.token())}
        answer = await refusal(connect(own.rig.address, additional_headers=headers))

        assert answer.status_code == 403
        assert own.authenticator.asked == 0


@pytest.mark.req("S2-26")
async def test_where_nobody_is_asked_a_client_is_who_it_says_it_is() -> None:
    async with house(authenticator=AnonymousAuthenticator()) as own, own.page("no token at all", query="?userId=ana") as client:
        await say(client, type="auth", token="")
        accepted = await heard(client, "auth.accepted")
        await say(client, **HELLO)
        await heard(client, "session.started")
        principals = own.principals

    assert accepted == {"type": "auth.accepted", "user_id": "ana", "expires_at": None}
    assert principals == ["ana"]

"""The question for keys over HTTP: bounded in time and size, and answered by the issuer alone."""

import gzip

import pytest
from aiohttp import web

from auth.interfaces import KeysUnavailable
from auth.key_endpoint import KeyEndpoint
from auth.key_set import LIMIT_BYTES, parse_key_set
from tests.auth.issuer import JWKS_PATH, running_issuer


async def test_what_the_issuer_publishes_is_fetched() -> None:
    async with running_issuer() as issuer:
        keys = parse_key_set(await KeyEndpoint(issuer.url).fetch())

    assert set(keys) == {"key-1"}


@pytest.mark.req("S0-56", "S2-38")
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (web.Response(status=500), "answers 500"),
        (web.Response(status=404), "answers 404"),
        (web.Response(status=204), "answers 204"),
        (web.Response(body=b" " * (LIMIT_BYTES + 1)), "more than"),
        (web.Response(status=302, headers={"Location": "http://169.254.169.254/latest/meta-data/"}), "answers 302"),
        (web.Response(status=307, headers={"Location": JWKS_PATH}), "answers 307"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value.status),
)
async def test_any_other_answer_is_none(answer: web.Response, reason: str) -> None:
    async with running_issuer() as issuer:
        issuer.answer = answer

        with pytest.raises(KeysUnavailable, match=reason):
            await KeyEndpoint(issuer.url).fetch()
        assert issuer.asked == 1


async def test_a_packed_answer_is_not_unpacked() -> None:
    packed = gzip.compress(b" " * 50_000_000)
    async with running_issuer() as issuer:
        issuer.answer = web.Response(body=packed, headers={"Content-Encoding": "gzip"})
        body = await KeyEndpoint(issuer.url).fetch()

    assert body == packed


async def test_an_issuer_that_is_silent_is_not_waited_for() -> None:
    async with running_issuer() as issuer:
        issuer.may_answer.clear()

        with pytest.raises(KeysUnavailable, match="in time"):
            await KeyEndpoint(issuer.url, seconds=0.05).fetch()


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "https://127.0.0.1:9", "http://issuer.invalid"])
async def test_an_issuer_that_is_not_there_is_told(address: str) -> None:
    with pytest.raises(KeysUnavailable):
        await KeyEndpoint(address).fetch()


async def test_a_proxy_on_the_way_is_asked() -> None:
    async with running_issuer() as proxy:
        proxy.published = [2]
        keys = parse_key_set(await KeyEndpoint("http://issuer.invalid", proxy.url, {"Proxy-Authorization": "Basic eDp5"}).fetch())

    assert set(keys) == {"key-2"}

"""Where the server asks who the user is, the page asks the user for a token, says it first of all, and keeps it to itself."""

import json

import pytest
from playwright.async_api import expect

from tests import needs
from tests.browser import Chromium
from tests.web.page_server import PageServer
from tests.web.test_accessibility import violations

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

ASKING: dict[str, object] = {"auth": {"mode": "cognito"}}
TOKEN = "header.payload.signature"


@pytest.mark.parametrize("mode", ["none", "open"])
async def test_where_nobody_is_asked_there_is_no_field_and_nothing_is_said(chromium: Chromium, mode: str) -> None:
    async with PageServer({"auth": {"mode": mode}}) as server, chromium.open(server.url) as page:
        await page.click("#welcome-start")
        client = await server.client()
        await client.start()

        assert client.messages[0]["type"] == "hello"
        await expect(page.locator("#sign-in")).to_be_hidden()


@pytest.mark.req("S0-56")
async def test_the_token_is_said_first_of_all_and_shown_nowhere(chromium: Chromium) -> None:
    async with PageServer(ASKING) as server, chromium.open(server.url) as page:
        await page.get_by_label("Access token").fill(TOKEN)
        await page.click("#welcome-start")
        client = await server.client()
        await client.expect("auth")
        await client.send("auth.accepted", user_id="ana", expires_at=None)
        await client.start()
        state = await page.evaluate("JSON.stringify(window.novaSonicState)")
        stored = await page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])")
        shown = await page.evaluate("document.body.innerText")

        assert client.messages[0] == {"type": "auth", "token": TOKEN}
        assert client.messages[1]["type"] == "hello"
        assert not any(TOKEN in place for place in (state, stored, shown))
        assert await page.get_by_label("Access token").get_attribute("type") == "password"


async def test_a_token_that_has_expired_can_be_replaced_while_one_talks(chromium: Chromium) -> None:
    async with PageServer(ASKING) as server, chromium.open(server.url) as page:
        await page.get_by_label("Access token").fill(TOKEN)
        await page.click("#welcome-start")
        client = await server.client()
        await client.start()
        await client.send("error", code="token_expired", message="", retryable=False, ref="r1")
        await expect(page.get_by_role("alert")).to_contain_text("has expired")
        await page.get_by_label("Access token").fill("another.token.here")
        await page.get_by_label("Access token").press("Tab")
        await client.until(lambda: any(message.get("token") == "another.token.here" for message in client.messages))

        said = [message["token"] for message in client.messages if message["type"] == "auth"]
        assert said == [TOKEN, "another.token.here"]


async def test_a_refused_token_is_told_and_not_tried_again(chromium: Chromium) -> None:
    async with PageServer(ASKING) as server, chromium.open(server.url) as page:
        await page.click("#welcome-start")
        client = await server.client()
        await client.expect("auth")
        await client.send("error", code="not_authenticated", message="", retryable=False, ref="r1")
        await client.connection.close(4401, "not_authenticated")
        await expect(page.get_by_role("alert")).to_contain_text("does not know who you are")

        assert json.loads(await page.evaluate("JSON.stringify(window.novaSonicState.state)")) == "ended"
        assert server.clients.empty()


@pytest.mark.parametrize("language", ["en", "es"])
async def test_the_field_is_accessible(chromium: Chromium, language: str) -> None:
    axe = needs.axe_core().read_text(encoding="utf-8")
    async with PageServer(ASKING) as server, chromium.open(server.url) as page:
        await page.select_option("#language", language)
        await expect(page.locator("#sign-in")).to_be_visible()

        assert await violations(page, axe) == []

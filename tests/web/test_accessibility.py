"""The page against axe-core's rules, in the states that a user meets."""

from collections.abc import Awaitable, Callable
from typing import Literal

import pytest
from playwright.async_api import Page, expect

from tests import needs
from tests.browser import Chromium, PageOptions
from tests.web.page_server import Client, PageServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

type Scheme = Literal["light", "dark"]


@pytest.fixture(scope="session")
def axe() -> str:
    return needs.axe_core().read_text(encoding="utf-8")


async def violations(page: Page, axe: str) -> list[str]:
    """Return each broken rule with the elements that break it."""
    await page.evaluate(axe)  # through the debugger: the page's own policy forbids foreign scripts
    found = await page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [f"{rule['id']}: {node['html']}: {node['failureSummary']}" for rule in found["violations"] for node in rule["nodes"]]


async def talk(page: Page, server: PageServer) -> Client:
    await page.click("#welcome-start")
    client = await server.client()
    await client.start()
    await client.send("transcript", turn=1, role="user", stage="final", text="Check order number one")
    await client.send("tool.started", turn=2, id="a", name="consultarOrder", arguments='{"orderId":"1"}')
    await client.send("tool.finished", turn=2, id="a", name="consultarOrder", result='{"a":1}', error_code=None, duration_ms=38)
    await client.send("tool.started", turn=2, id="b", name="cancelarOrder", arguments="{}")
    await client.send("tool.finished", turn=2, id="b", name="cancelarOrder", result="{}", error_code="refused", duration_ms=3)
    await client.send("transcript", turn=2, role="assistant", stage="final", text="It is on its way.")
    await client.send("transcript", turn=2, role="assistant", stage="speculative", text="It is on its way.")
    await client.send("transcript", turn=2, role="assistant", stage="speculative", text="Goodbye.")
    await client.send("interrupted", turn=2, heard_ms=900)
    await client.send("usage", input_speech=1, input_text=2, output_speech=3, output_text=4)
    await client.send("session.stalled", code="model_lost")
    await client.send("audio.dropped", direction="down", ms=40)
    await client.send("error", code="internal", message="", retryable=False, ref="r1")
    await expect(page.get_by_role("alert")).to_be_visible()
    await expect(page.locator("#link-text")).not_to_be_empty()
    return client


async def show_timeline(page: Page) -> None:
    await page.click("#tab-timeline")


async def show_events(page: Page) -> None:
    await page.click("#tab-events")
    await page.locator("#events-rows summary").first.click()


async def show_tools(page: Page) -> None:
    await page.click("#tab-tools")


TABS: tuple[Callable[[Page], Awaitable[None]], ...] = (show_timeline, show_events, show_tools)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
async def test_axe_finds_no_violation(chromium: Chromium, server: PageServer, axe: str, scheme: Scheme, width: int) -> None:
    async with chromium.open(server.url, PageOptions(color_scheme=scheme, width=width, height=760)) as page:
        assert await violations(page, axe) == []
        await talk(page, server)
        assert await violations(page, axe) == []
        if width < 860:
            await page.click("#inspector-toggle")
        for show in TABS:
            await show(page)
            assert await violations(page, axe) == []


@pytest.mark.parametrize("width", [1440, 390, 320])
async def test_nothing_is_wider_than_the_screen_and_controls_can_be_hit(chromium: Chromium, server: PageServer, width: int) -> None:
    async with chromium.open(server.url, PageOptions(width=width, height=760, locale="es-AR")) as page:
        await talk(page, server)
        overflow = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        small = await page.evaluate(
            """[...document.querySelectorAll("button, select, input, summary")].filter((node) => node.checkVisibility()).filter((node) => {
                 const { width, height } = node.getBoundingClientRect();
                 return width < 44 || height < 44;
               }).map((node) => node.outerHTML)"""
        )

        assert overflow <= 0
        assert small == []

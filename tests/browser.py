"""Headless Chromium for tests. Import the `chromium` fixture into a conftest to use it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests import needs


@dataclass(frozen=True)
class PageOptions:
    """How a page is opened.

    Attributes:
        microphone: WAV file that the fake microphone plays in a loop; None gives Chromium's beeps.
        has_microphone: whether there is one at all.
        grant: whether the page may use the microphone; False refuses as a user would.
        locale: what `navigator.language` says.
        color_scheme: what `prefers-color-scheme` says.
        width: of the viewport in CSS pixels.
        height: of the viewport in CSS pixels.
        init_script: JavaScript that runs before the page's own.
        arguments: more of Chromium's command line.
    """

    microphone: Path | None = None
    has_microphone: bool = True
    grant: bool = True
    locale: str = "en-US"
    color_scheme: Literal["light", "dark"] = "light"
    width: int = 1440
    height: int = 820
    init_script: str = ""
    arguments: tuple[str, ...] = ()


class Chromium:
    """One browser executable; every page gets a browser of its own, because the fake microphone is a launch option."""

    def __init__(self, executable: Path) -> None:
        self.executable = executable

    def _arguments(self, options: PageOptions) -> list[str]:
        arguments = ["--no-sandbox", "--autoplay-policy=user-gesture-required", *options.arguments]
        arguments.append("--use-fake-ui-for-media-stream" if options.grant else "--deny-permission-prompts")
        if options.has_microphone:
            arguments.append("--use-fake-device-for-media-stream")
        if options.microphone is not None:
            arguments.append(f"--use-file-for-fake-audio-capture={options.microphone}")
        return arguments

    @asynccontextmanager
    async def open(self, url: str, options: PageOptions | None = None) -> AsyncIterator[Page]:
        """Open a page in a fresh browser; it fails the test when the page throws or breaks its content security policy."""
        options = options or PageOptions()
        async with async_playwright() as playwright:
            browser: Browser = await playwright.chromium.launch(executable_path=self.executable, args=self._arguments(options))
            context: BrowserContext = await browser.new_context(
                locale=options.locale,
                color_scheme=options.color_scheme,
                viewport={"width": options.width, "height": options.height},
            )
            page = await context.new_page()
            faults: list[str] = []
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("console", lambda line: faults.append(line.text) if "Content Security Policy" in line.text else None)
            if options.init_script:
                await page.add_init_script(options.init_script)
            try:
                await page.goto(url)
                yield page
            finally:
                await browser.close()
            assert faults == []


async def until(page: Page, expression: str) -> None:
    """Wait until a JavaScript expression is true; unlike Playwright's own wait it needs no eval, which the page's policy forbids."""
    look = f"new Promise((done) => {{ const look = () => ({expression}) ? done() : setTimeout(look, 20); look(); }})"
    async with asyncio.timeout(15):
        await page.evaluate(look)


@pytest.fixture(scope="session")
def chromium() -> Chromium:
    """A Chromium, or a skip that says what is missing."""
    return Chromium(needs.chromium())

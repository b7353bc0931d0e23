"""Headless Chromium for tests. Import the `chromium` fixture into a conftest to use it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import pytest
from playwright.async_api import Browser, Page, ViewportSize, async_playwright

from tests import needs

PLAIN_MICROPHONE = """{
    const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    navigator.mediaDevices.getUserMedia = ({ audio }) => ask({ audio: { ...audio, ...plain } });
}"""
"""An `init_script` that has the browser leave the microphone's sound as it is. What its noise suppression, made for people, leaves of a
synthetic voice is misheard in one of 30 long sentences; of the sound as it is, in none of 96 (one sentence, four recordings)."""


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
    """One browser executable. Each page has a browser of its own, unless they share one: see `sharing`."""

    def __init__(self, executable: Path) -> None:
        self.executable = executable
        self._shared: Browser | None = None

    @asynccontextmanager
    async def sharing(self) -> AsyncIterator[Self]:
        """Serve all pages with usual options by one browser; they still share no storage. All of them must run in this event loop."""
        async with self._launch(PageOptions()) as self._shared:
            yield self
        self._shared = None

    @asynccontextmanager
    async def open(self, url: str, options: PageOptions | None = None) -> AsyncIterator[Page]:
        """Open a page; it fails the test when the page throws or breaks its content security policy."""
        options = options or PageOptions()
        if self._shared is not None and self._arguments(options) == self._arguments(PageOptions()):
            async with self._page(self._shared, url, options) as page:
                yield page
        else:
            async with self._launch(options) as browser, self._page(browser, url, options) as page:
                yield page

    def _arguments(self, options: PageOptions) -> list[str]:
        arguments = ["--no-sandbox", "--autoplay-policy=user-gesture-required", *options.arguments]
        arguments.append("--use-fake-ui-for-media-stream" if options.grant else "--deny-permission-prompts")
        if options.has_microphone:
            arguments.append("--use-fake-device-for-media-stream")
        if options.microphone is not None:
            arguments.append(f"--use-file-for-fake-audio-capture={options.microphone}")
        return arguments

    @asynccontextmanager
    async def _launch(self, options: PageOptions) -> AsyncIterator[Browser]:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=self.executable, args=self._arguments(options))
            try:
                yield browser
            finally:
                await browser.close()

    @asynccontextmanager
    async def _page(self, browser: Browser, url: str, options: PageOptions) -> AsyncIterator[Page]:
        viewport: ViewportSize = {"width": options.width, "height": options.height}
        context = await browser.new_context(locale=options.locale, color_scheme=options.color_scheme, viewport=viewport)
        faults: list[str] = []
        try:
            page = await context.new_page()
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("console", lambda line: faults.append(line.text) if "Content Security Policy" in line.text else None)
            if options.init_script:
                await page.add_init_script(options.init_script)
            await page.goto(url)
            yield page
        finally:
            await context.close()
        assert faults == []


async def until(page: Page, expression: str, seconds: float = 15) -> None:
    """Wait until a JavaScript expression is true; unlike Playwright's own wait it needs no eval, which the page's policy forbids."""
    look = f"new Promise((done) => {{ const look = () => ({expression}) ? done() : setTimeout(look, 20); look(); }})"
    async with asyncio.timeout(seconds):
        await page.evaluate(look)


@pytest.fixture(scope="session")
def chromium() -> Chromium:
    """A Chromium, or a skip that says what is missing."""
    return Chromium(needs.chromium())

"""Headless Chromium for tests. Import the `chromium` fixture into a conftest to use it."""

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
        grant: whether the page may use the microphone; False refuses as a user would.
        locale: what `navigator.language` says.
        color_scheme: what `prefers-color-scheme` says.
        width: of the viewport in CSS pixels.
        height: of the viewport in CSS pixels.
        init_script: JavaScript that runs before the page's own.
    """

    microphone: Path | None = None
    grant: bool = True
    locale: str = "en-US"
    color_scheme: Literal["light", "dark"] = "light"
    width: int = 1440
    height: int = 820
    init_script: str = ""


class Chromium:
    """One browser executable; every page gets a browser of its own, because the fake microphone is a launch option."""

    def __init__(self, executable: Path) -> None:
        self.executable = executable

    def _arguments(self, options: PageOptions) -> list[str]:
        arguments = ["--no-sandbox", "--use-fake-device-for-media-stream", "--autoplay-policy=user-gesture-required"]
        arguments.append("--use-fake-ui-for-media-stream" if options.grant else "--deny-permission-prompts")
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


@pytest.fixture(scope="session")
def chromium() -> Chromium:
    """A Chromium, or a skip that says what is missing."""
    return Chromium(needs.chromium())

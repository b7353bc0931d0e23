"""A person at the page whose network goes away in the middle of a conversation, or whose server does."""

import asyncio
import base64
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from playwright.async_api import Page, expect

from tests.browser import Chromium, PageOptions, until
from tests.e2e.desk import Model, Server, desk
from tests.e2e.servers import ServerProcess, server, shared_model
from tests.e2e.speech import silence, write_wav
from tests.web.cuttable import CuttableNetwork
from tests.web.page_server import Message

pytestmark = [pytest.mark.browser]

TAPS = Path(__file__).parents[1] / "web"
AWAY_SECONDS = 2.0
SPEECH_SECONDS = 5

type Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Visit:
    """A page in front of a server, and the network between them."""

    page: Page
    network: CuttableNetwork

    async def type(self, text: str) -> None:
        """Say something by typing."""
        await self.page.fill("#text", text)
        await self.page.press("#text", "Enter")

    async def state(self) -> Message:
        """Return the page's own view."""
        state: Message = await self.page.evaluate("novaSonicState")
        return state

    async def hear_out(self, count: int) -> Floats:
        """Wait until so many turns were played; return what went to the loudspeaker since the last time, silence left out."""
        await until(self.page, f"novaSonicState.marks.filter(({{ name }}) => name === 'drained').length >= {count}", seconds=40)
        signal = np.frombuffer(base64.b64decode(await self.page.evaluate("readTap()")), np.float32)
        await self.page.evaluate("testTap.blocks.splice(0)")
        heard: Floats = signal[signal != 0]
        return heard

    async def end(self) -> Message:
        """End the conversation; return the server's counters."""
        await self.page.click("#end")
        ended = "novaSonicState.messages.findLast(({ message }) => message.type === 'session.ended')"
        await until(self.page, f"Boolean({ended})")
        statistics: Message = await self.page.evaluate(f"{ended}.message.statistics")
        return statistics


@asynccontextmanager
async def visiting(chromium: Chromium, port: int, folder: Path) -> AsyncIterator[Visit]:
    """Open the page of a server and begin a conversation in a quiet room; what is played is recorded as well."""
    tap = json.dumps((TAPS / "tap.js").read_text())
    blob = f'URL.createObjectURL(new Blob([{tap}], {{ type: "text/javascript" }}))'
    setup = (TAPS / "tap-setup.js").read_text().replace('"/test/tap.js"', blob)
    options = PageOptions(microphone=write_wav(folder / "quiet.wav", silence(30)), init_script=setup)
    async with CuttableNetwork(port) as network, chromium.open("about:blank", options) as page:
        debugger = await page.context.new_cdp_session(page)
        await debugger.send("Page.setBypassCSP", {"enabled": True})  # for the tap, which the server does not serve
        await page.goto(network.url)
        await page.wait_for_selector("html[data-ready]")
        await page.click("#welcome-start")
        await expect(page.locator("#pill")).to_have_text("Listening", timeout=20_000)
        await page.evaluate("testTap.ready")
        yield Visit(page, network)


@pytest.fixture
async def model_desk(tmp_path: Path) -> AsyncIterator[Server]:
    """A server in front of a model that does what is typed."""
    async with desk(tmp_path, Model()) as (running, _):
        yield running


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[ServerProcess, ServerProcess]]:
    """Two servers with one model and one store."""
    async with shared_model(tmp_path) as settings, server(tmp_path, settings) as first, server(tmp_path, settings) as second:
        yield first, second


def port_of(running: Server) -> int:
    """Return a server's port."""
    return int(running.url.rstrip("/").rpartition(":")[2])


@pytest.mark.req("S4-46", "S4-74", "S4-75")
async def test_a_cut_in_the_middle_of_an_answer_loses_and_doubles_nothing(model_desk: Server, chromium: Chromium, tmp_path: Path) -> None:
    async with visiting(chromium, port_of(model_desk), tmp_path) as visit:
        await visit.type(f"count {SPEECH_SECONDS} []")
        undisturbed = await visit.hear_out(1)
        await visit.type(f"count {SPEECH_SECONDS} []")
        await until(visit.page, "novaSonicState.player.turn_played_ms > 1000 && novaSonicState.player.turn_played_ms < 4000")
        visit.network.cut()
        await expect(visit.page.locator("#link-text")).to_have_text("Reconnecting; what you say is kept")
        await asyncio.sleep(AWAY_SECONDS)
        visit.network.mend()
        await expect(visit.page.locator("#link-text")).to_have_text("")
        disturbed = await visit.hear_out(2)
        await visit.type("still here")
        await visit.hear_out(3)
        statistics = await visit.end()
        seen = await visit.state()

    player, link, microphone = (seen[name] for name in ("player", "link", "microphone"))
    assert np.array_equal(undisturbed, disturbed)
    assert (link["resumes"], link["missing"], link["given_up"]) == (1, 0, 0)
    assert seen["speech"] == {"samples": player["played"], "frames": seen["speech"]["frames"], "missing": 0}
    assert statistics["audio_in_ms"] == microphone["samples"] / 16
    assert statistics["audio_in_dropped_ms"] == 0
    assert seen["problems"] == []
    assert visit.network.refused >= 2


@pytest.mark.req("S4-74")
async def test_a_network_that_falls_silent_is_left_for_one_that_speaks(model_desk: Server, chromium: Chromium, tmp_path: Path) -> None:
    async with visiting(chromium, port_of(model_desk), tmp_path) as visit:
        await visit.type("hello")
        await visit.hear_out(1)
        visit.network.fall_silent()
        await expect(visit.page.locator("#link-text")).not_to_have_text("", timeout=12_000)
        visit.network.mend()
        await expect(visit.page.locator("#link-text")).to_have_text("", timeout=12_000)
        await visit.type("again")
        await visit.hear_out(2)
        statistics = await visit.end()
        seen = await visit.state()

    assert statistics["audio_in_ms"] == seen["microphone"]["samples"] / 16
    assert seen["problems"] == []
    assert [entry["finals"] for entry in seen["transcript"] if entry["role"] == "assistant"] == [["You said hello."], ["You said again."]]


@pytest.mark.req("S4-46")
async def test_the_page_follows_its_conversation_to_another_server(
    pair: tuple[ServerProcess, ServerProcess], chromium: Chromium, tmp_path: Path
) -> None:
    first, second = pair
    async with visiting(chromium, first.port, tmp_path) as visit:
        await visit.type("My name is Ada.")
        await visit.hear_out(1)
        visit.network.lead_to(second.port)
        first.process.send_signal(signal.SIGTERM)
        await until(visit.page, "novaSonicState.link.resumes === 1", seconds=30)
        await visit.type("Who am I?")
        await visit.hear_out(2)
        statistics = await visit.end()
        seen = await visit.state()

    answers = [entry["finals"] for entry in seen["transcript"] if entry["role"] == "assistant"]
    assert "My name is Ada." in answers[-1][0]
    assert not [entry for entry in seen["transcript"] if entry["kind"] == "note"]
    assert seen["problems"] == []
    assert statistics["audio_in_dropped_ms"] == 0

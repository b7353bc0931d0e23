"""The page loses its network in the middle of a conversation, and comes back."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from playwright.async_api import Page, expect
from websockets.exceptions import ConnectionClosed

from tests.browser import Chromium, PageOptions, until
from tests.web.cuttable import CuttableNetwork
from tests.web.page_server import Message, PageServer
from tests.web.resumable import ResumableSession

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

TAP = (Path(__file__).parent / "tap-setup.js").read_text()
CHUNK_SAMPLES = 512
AWAY_SECONDS = 2.0

type Samples = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Talk:
    """A page in a conversation over a network that can be cut."""

    page: Page
    session: ResumableSession
    network: CuttableNetwork
    server: PageServer
    hertz: int

    async def lose_network(self, seconds: float = AWAY_SECONDS) -> None:
        """Cut the network for so long."""
        self.network.cut()
        await asyncio.sleep(seconds)
        self.network.mend()

    async def come_back(self, *, adopted: bool = False) -> None:
        """Take the page's return."""
        await self.session.resume(await self.server.client(), adopted=adopted)

    async def heard(self) -> Samples:
        """Return what went to the loudspeaker, silence left out."""
        signal = np.frombuffer(base64.b64decode(await self.page.evaluate("readTap()")), np.float32)
        played: Samples = np.round(signal[signal != 0] * 32768).astype(np.int16)
        return played

    async def state(self) -> Message:
        """Return the page's own counters."""
        state: Message = await self.page.evaluate("novaSonicState")
        return state


@asynccontextmanager
async def talking(chromium: Chromium, server: PageServer, **fields: object) -> AsyncIterator[Talk]:
    async with CuttableNetwork(server.port) as network, chromium.open(network.url, PageOptions(init_script=TAP)) as page:
        await page.click("#welcome-start")
        session = ResumableSession(await server.client())
        await session.start(**fields)
        await expect(page.locator("#pill")).to_have_text("Listening")
        await page.evaluate("testTap.ready")
        yield Talk(page, session, network, server, await page.evaluate("novaSonicState.context_hertz"))


def noise(count: int, seed: int = 1) -> Samples:
    """Return samples that are never 0: silence in the tap is then the player's."""
    generator = np.random.default_rng(seed)
    return (generator.integers(1, 12_000, count) * generator.choice([-1, 1], count)).astype(np.int16)


def assert_complete(session: ResumableSession) -> None:
    """Check that every sample of the microphone is there once and in its place."""
    frames = session.microphone
    assert [CHUNK_SAMPLES * i for i in range(len(frames))] == [frame.sample_offset for frame in frames]
    assert {2 * CHUNK_SAMPLES} == {len(frame.pcm) for frame in frames}


@pytest.mark.req("S4-74", "S4-75")
async def test_a_cut_in_the_middle_of_speech_loses_and_doubles_no_sample(chromium: Chromium, server: PageServer) -> None:
    async with talking(chromium, server) as talk:
        pcm = noise(talk.hertz * 4)
        half = talk.hertz * 2
        await talk.session.say("speech.started", turn=2, output_hertz=talk.hertz)
        await talk.session.speak(2, pcm[:half].tobytes())
        await until(talk.page, "novaSonicState.player.turn_played_ms > 300")
        losing = asyncio.create_task(talk.lose_network())
        await expect(talk.page.locator("#link-text")).to_have_text("Reconnecting; what you say is kept")
        await expect(talk.page.locator("#link-seconds")).to_have_text("29 s")
        with suppress(ConnectionClosed):  # the server may not know yet
            await talk.session.speak(2, pcm[half:].tobytes())
        await losing
        await talk.come_back()
        await talk.session.say("speech.ended", turn=2)
        await until(talk.page, "novaSonicState.player.played > 0 && novaSonicState.player.state === 'IDLE'")
        await talk.session.client.until(lambda: len(talk.session.client.frames) > 40 + AWAY_SECONDS * 31)
        heard = await talk.heard()
        state = await talk.state()
        status = await talk.page.locator("#link").get_attribute("data-status")

    assert np.array_equal(pcm, heard)
    assert_complete(talk.session)
    assert pcm.size == state["speech"]["samples"] == state["player"]["played"]
    assert (state["speech"]["missing"], state["link"]["given_up"], state["link"]["resumes"]) == (0, 0, 1)
    assert status == "up"
    assert talk.network.refused >= 2


async def test_speech_that_is_sent_again_is_played_once(chromium: Chromium, server: PageServer) -> None:
    async with talking(chromium, server) as talk:
        pcm = noise(talk.hertz)
        await talk.session.say("speech.started", turn=2, output_hertz=talk.hertz)
        await talk.session.speak(2, pcm.tobytes())
        await until(talk.page, f"novaSonicState.speech.samples === {pcm.size}")
        await talk.lose_network(0.2)
        again = await talk.server.client()
        asked = await again.expect("resume")
        await again.send("session.resumed", session_id="test-session", resume_token="x", resume_seconds=30, seq=0, adopted=False)
        for frame in talk.session.frames[1:]:  # more than was asked for
            await again.connection.send(frame)
        await again.send("speech.ended", turn=2, seq=len(talk.session.frames))
        await until(talk.page, "novaSonicState.player.played > 0 && novaSonicState.player.state === 'IDLE'")
        heard = await talk.heard()
        state = await talk.state()

    assert asked == {"type": "resume", "protocol": 1, "token": "token-0", "seq": len(talk.session.frames)}
    assert np.array_equal(pcm, heard)
    assert state["link"]["repeated"] == len(talk.session.frames) - 1


@pytest.mark.req("S4-74")
async def test_a_network_that_falls_silent_is_noticed(chromium: Chromium, server: PageServer) -> None:
    async with talking(chromium, server) as talk:
        await talk.session.client.until(lambda: len(talk.session.client.frames) > 10)
        talk.network.fall_silent()
        await expect(talk.page.locator("#link-text")).to_have_text("Reconnecting; what you say is kept", timeout=12_000)
        talk.network.mend()
        await talk.come_back()
        await talk.session.client.until(lambda: len(talk.session.client.frames) > 200)
        state = await talk.state()

        await expect(talk.page.locator("#link-text")).to_have_text("")
        assert_complete(talk.session)
        assert state["link"]["given_up"] == 0


async def test_what_was_typed_and_heard_meanwhile_is_told_after_the_return(chromium: Chromium, server: PageServer) -> None:
    async with talking(chromium, server) as talk:
        await talk.session.say("speech.started", turn=2, output_hertz=talk.hertz)
        await talk.session.speak(2, noise(talk.hertz // 2).tobytes())
        await talk.session.say("speech.ended", turn=2)
        await until(talk.page, f"novaSonicState.speech.samples === {talk.hertz // 2}")
        talk.network.cut()
        await talk.page.fill("#text", "Hello?")
        await talk.page.press("#text", "Enter")
        await until(talk.page, "novaSonicState.player.played > 0 && novaSonicState.player.state === 'IDLE'")
        talk.network.mend()
        await talk.come_back()
        client = talk.session.client
        await client.until(lambda: {"text", "playback"} <= {message["type"] for message in client.messages})
        await client.until(lambda: talk.session.wanted > 40)

        assert [message["text"] for message in client.messages if message["type"] == "text"] == ["Hello?"]
        assert {"type": "playback", "turn": 2, "heard_ms": 500} in client.messages
        await expect(talk.page.locator(".entry")).to_have_count(1)
        await expect(talk.page.locator("#banner")).to_be_hidden()


async def test_the_conversation_on_the_screen_goes_on(chromium: Chromium, server: PageServer) -> None:
    async with talking(chromium, server) as talk:
        await talk.session.say("transcript", turn=1, role="user", stage="final", text="Where is my order?")
        await talk.session.say("transcript", turn=2, role="assistant", stage="speculative", text="On its way.")
        await talk.lose_network(0.5)
        await talk.session.say("transcript", turn=2, role="assistant", stage="final", text="On its way.")
        await talk.come_back()

        await expect(talk.page.locator(".entry p")).to_have_text(["Where is my order?", "On its way."])
        await expect(talk.page.locator(".speculative")).to_have_count(0)
        await expect(talk.page.locator("#pill")).to_have_text("Listening")
        await expect(talk.page.locator("#timeline-rows")).to_contain_text("connection back")
        await expect(talk.page.locator("#link-figures")).to_contain_text("Connection recovered: 1")


async def test_a_return_that_is_refused_is_told_and_the_user_may_begin_again(chromium: Chromium, server: PageServer) -> None:
    async with talking(chromium, server) as talk:
        await talk.lose_network(0.2)
        client = await server.client()
        await client.expect("resume")
        await client.send("error", code="resume_refused", message="", retryable=False, ref="r1")
        await expect(talk.page.get_by_role("alert")).to_contain_text("cannot go on")
        await expect(talk.page.locator("#pill")).to_have_text("Ended")
        await talk.page.get_by_role("button", name="Try again").click()
        await client.start(seq=0, resume_token="fresh", resume_seconds=30)

        await expect(talk.page.locator("#pill")).to_have_text("Listening")
        await expect(talk.page.locator("#link-text")).to_have_text("")


async def test_a_server_that_cannot_be_found_in_time_is_looked_for_as_before(chromium: Chromium, server: PageServer) -> None:
    async with talking(chromium, server, resume_seconds=1) as talk:
        talk.network.cut()
        await expect(talk.page.locator("#pill")).to_have_text("Reconnecting", timeout=8000)
        await expect(talk.page.get_by_role("alert")).to_contain_text("starts afresh")
        talk.network.mend()
        client = await server.client()
        await client.start()

        await expect(talk.page.locator("#pill")).to_have_text("Listening")


@pytest.mark.req("S4-74")
async def test_a_server_that_leaves_hands_the_conversation_to_another(chromium: Chromium, server: PageServer) -> None:
    async with talking(chromium, server) as talk:
        first = talk.session.client
        await first.until(lambda: len(first.frames) > 10)
        await talk.session.say("goAway", time_left_ms=3000, handle="handle")
        await talk.session.say("session.ended", reason="parked", statistics={})
        await first.connection.close(1012)
        asked = await talk.session.resume(await server.client(), adopted=True)
        await talk.session.client.until(lambda: len(talk.session.client.frames) > 40)

        assert {"token": "handle", "seq": len(talk.session.frames)}.items() <= asked.items()
        assert_complete(talk.session)
        await expect(talk.page.locator("#banner")).to_be_hidden()
        await expect(talk.page.locator("#pill")).to_have_text("Listening")


async def test_a_model_that_is_away_is_told_in_a_quiet_line(chromium: Chromium, server: PageServer) -> None:
    async with talking(chromium, server) as talk:
        await talk.session.say("session.stalled", code="model_lost")
        await expect(talk.page.get_by_role("status").filter(has_text="Looking for the assistant")).to_be_visible()
        await talk.session.say("audio.dropped", direction="up", ms=120)
        await talk.session.say("session.continued", reason="resumed", waited_ms=1500)

        await expect(talk.page.locator("#link-text")).to_have_text("")
        await expect(talk.page.locator("#link-figures")).to_contain_text("Audio dropped: 120 ms of yours")
        assert (await talk.state())["link"]["dropped_ms"] == {"up": 120, "down": 0}


async def test_a_conversation_can_be_ended_and_begun_while_the_network_is_away(chromium: Chromium, server: PageServer) -> None:
    async with talking(chromium, server) as talk:
        talk.network.cut()
        await expect(talk.page.locator("#link-text")).not_to_have_text("")
        await talk.page.click("#end")
        await expect(talk.page.locator("#pill")).to_have_text("Ended")
        await expect(talk.page.locator("#link-text")).to_have_text("")
        talk.network.mend()
        await talk.page.click("#welcome-start")
        client = await server.client()
        await client.start()

        await expect(talk.page.locator("#pill")).to_have_text("Listening")
        assert [message["type"] for message in client.messages if message["type"] in ("hello", "resume")] == ["hello"]


async def test_the_token_is_in_no_log(chromium: Chromium, server: PageServer) -> None:
    async with talking(chromium, server) as talk:
        await talk.lose_network(0.1)
        await talk.come_back()
        await expect(talk.page.locator("#timeline-rows")).to_contain_text("connection back")

        assert "token-" not in await talk.page.evaluate("JSON.stringify(novaSonicState)")

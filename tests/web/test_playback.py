"""What the page plays, recorded by a tap beside the loudspeaker."""

import asyncio
import base64
import random
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from playwright.async_api import Page

from tests.browser import Chromium, PageOptions, until
from tests.web.page_server import Client, PageServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

HERE = Path(__file__).parent
CHUNK = 1024

type Samples = npt.NDArray[np.int16]
type Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Listener:
    """A page with a running session and a tap."""

    page: Page
    client: Client
    hertz: int

    async def heard(self) -> Floats:
        """Return everything that went to the loudspeaker."""
        return np.frombuffer(base64.b64decode(await self.page.evaluate("readTap()")), np.float32)

    async def drained(self, turn: int, milliseconds: int) -> None:
        """Wait until the page reports that it played this much of the turn."""
        await self.client.until(lambda: any((m.get("turn"), m.get("heard_ms")) == (turn, milliseconds) for m in self.client.messages))
        await until(self.page, "novaSonicState.player.state === 'IDLE'")  # the tap's last block was posted before this figure


@asynccontextmanager
async def listening(chromium: Chromium, server: PageServer) -> AsyncIterator[Listener]:
    setup = (HERE / "tap-setup.js").read_text()
    async with chromium.open(server.url, PageOptions(init_script=setup)) as page:
        await page.click("#welcome-start")
        client = await server.client()
        await client.start()
        await page.evaluate("testTap.ready")
        yield Listener(page, client, await page.evaluate("novaSonicState.context_hertz"))


def noise(count: int, seed: int) -> Samples:
    """Return samples that are never 0: silence in the tap is then the player's."""
    generator = np.random.default_rng(seed)
    return (generator.integers(1, 12_000, count) * generator.choice([-1, 1], count)).astype(np.int16)


def resampled(pcm: Samples, hertz: int) -> Floats:
    """Return what the player's resampler makes of speech at 24 kHz, in Node."""
    command = ["node", str(HERE / "node" / "resample.mjs"), "24000", str(hertz)]
    output = subprocess.run(command, input=pcm.tobytes(), capture_output=True, check=True).stdout
    return np.frombuffer(output, np.float32)


def without_silence(signal: Floats) -> Floats:
    audible: Floats = signal[signal != 0]
    return audible


@dataclass(frozen=True)
class Pattern:
    """How speech arrives: `pace` times real time, each chunk later by `delay(random)` seconds; order is kept."""

    pace: float
    delay: Callable[[random.Random], float] = lambda _: 0.0


def spike(chance: random.Random) -> float:
    return chance.uniform(0.08, 0.25) if chance.random() < 0.06 else 0.0


PATTERNS = {
    "rt": Pattern(1),
    "burst": Pattern(3),
    "jit20": Pattern(1, lambda chance: abs(chance.gauss(0, 0.02))),
    "spike": Pattern(1, spike),
    "nova": Pattern(1.6, spike),
}


async def speak_paced(client: Client, turn: int, pcm: Samples, hertz: int, pattern: Pattern) -> None:
    chance = random.Random(turn)
    loop = asyncio.get_running_loop()
    begin = loop.time()
    await client.send("speech.started", turn=turn, output_hertz=hertz)
    client.speech_offset = 0
    for start in range(0, len(pcm), CHUNK):
        at = begin + start / hertz / pattern.pace + pattern.delay(chance)
        await asyncio.sleep(max(0.0, at - loop.time()))
        await client.speak_chunk(turn, pcm[start : start + CHUNK].tobytes())
    await client.send("speech.ended", turn=turn)


@pytest.mark.req("S4-74", "S4-75")
@pytest.mark.parametrize("name", PATTERNS)
async def test_speech_is_played_bit_exact_however_it_arrives(chromium: Chromium, server: PageServer, name: str) -> None:
    async with listening(chromium, server) as listener:
        turns = {turn: noise(listener.hertz * 3 // 2 + 320, turn) for turn in (2, 4, 6)}
        for turn, pcm in turns.items():
            await speak_paced(listener.client, turn, pcm, listener.hertz, PATTERNS[name])
            await listener.drained(turn, round(1000 * len(pcm) / listener.hertz))
        heard = without_silence(await listener.heard())
        state = await listener.page.evaluate("novaSonicState")

    sent = np.concatenate(list(turns.values()))
    assert np.array_equal(sent, np.round(heard * 32768).astype(np.int16))
    assert len(sent) == state["player"]["played"]
    assert state["speech"]["missing"] == 0
    if name == "burst":
        assert state["player"]["underruns"] == 0


async def test_speech_at_the_models_rate_becomes_one_continuous_stream(chromium: Chromium, server: PageServer) -> None:
    async with listening(chromium, server) as listener:
        pcm = noise(48_000, 1)
        await listener.client.speak(2, pcm.tobytes())
        await listener.drained(2, 2000)
        heard = await listener.heard()
        hertz = listener.hertz

    wanted = resampled(pcm, hertz)
    begin = int(np.flatnonzero(heard)[0])

    assert np.array_equal(wanted, heard[begin : begin + len(wanted)])
    assert not heard[begin + len(wanted) :].any()


async def test_the_page_reports_four_times_a_second_what_was_heard(chromium: Chromium, server: PageServer) -> None:
    async with listening(chromium, server) as listener:
        await listener.client.speak(2, noise(48_000, 1).tobytes())
        await listener.drained(2, 2000)
        reports = [m["heard_ms"] for m in listener.client.messages if m["type"] == "playback"]

    assert sorted(reports) == reports
    assert 6 <= len(reports) <= 11
    assert max(b - a for a, b in zip([0, *reports], reports, strict=False)) < 500


async def test_an_interruption_silences_the_page_and_drops_what_is_on_its_way(chromium: Chromium, server: PageServer) -> None:
    async with listening(chromium, server) as listener:
        client = listener.client
        await client.speak(2, noise(24_000 * 10, 1).tobytes())
        await client.until(lambda: any(m.get("heard_ms", 0) > 400 for m in client.messages))
        before = len(client.messages)
        await client.send("user.speech_started", turn=3)
        await client.send("interrupted", turn=2, heard_ms=500)
        await client.speak_chunk(2, noise(CHUNK, 9).tobytes())
        await client.until(lambda: any(m["type"] == "playback" for m in client.messages[before:]))
        await client.speak(4, noise(2400, 2).tobytes())
        await listener.drained(4, 100)
        acknowledged = next(m for m in client.messages[before:] if m["type"] == "playback")
        heard = await listener.heard()
        state = await listener.page.evaluate("novaSonicState")

    audible = np.flatnonzero(heard)
    played = (audible[-1] - audible[0]) / listener.hertz
    assert acknowledged["turn"] == 2
    assert 400 < acknowledged["heard_ms"] < 3000
    assert state["player"]["late"] == CHUNK
    assert state["player"]["flushed"] > 24_000 * 6
    assert played < 4
    assert len(state["barge_in_ms"]) == 1
    assert state["transcript"] == []


async def test_escape_silences_at_once_without_waiting_for_the_server(chromium: Chromium, server: PageServer) -> None:
    async with listening(chromium, server) as listener:
        client = listener.client
        await client.speak(2, noise(24_000 * 10, 1).tobytes())
        await client.until(lambda: any(m.get("heard_ms", 0) > 200 for m in client.messages))
        await listener.page.keyboard.press("Escape")
        await client.expect("interrupt")
        await until(listener.page, "novaSonicState.player.flushed > 0")
        state = await listener.page.evaluate("novaSonicState")

    assert state["player"]["flushed"] > 0
    assert len(state["barge_in_ms"]) == 1
    assert state["barge_in_ms"][0] < 300


async def test_the_reply_is_measured_from_what_the_user_typed(chromium: Chromium, server: PageServer) -> None:
    async with listening(chromium, server) as listener:
        await listener.page.fill("#text", "Hello")
        await listener.page.press("#text", "Enter")
        await listener.client.expect("text")
        await listener.client.speak(2, noise(2400, 1).tobytes())
        await listener.drained(2, 100)
        state = await listener.page.evaluate("novaSonicState")

    assert len(state["reply_ms"]) == 1
    assert 0 < state["reply_ms"][0] < 2000

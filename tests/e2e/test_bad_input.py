"""What clients send that cannot be used: a coded error, and the conversation goes on; too much of it closes the connection."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bench.positions import Verdict, coded_speech, compare
from tests.e2e.clients import HEADER, Client, connected, conversing
from tests.e2e.desk import Model, Server, desk
from tests.transports import raw_client
from tests.transports.raw_client import event

pytestmark = pytest.mark.asyncio(loop_scope="module")

type Flaws = list[tuple[str | bytes, str]]

SPEECH = coded_speech(2 * 16_000)
SAMPLES = len(SPEECH) // 2
EXACT = Verdict(SAMPLES, SAMPLES, lost=0, doubled=0, out_of_order=0, foreign=0)
DEEP = "[" * 20_000
LONG_AUDIO = bytes(80_000)
"""2.5 s at once."""

OF_A_PAGE: Flaws = [
    ("not JSON", "bad_frame"),
    (DEEP, "bad_frame"),
    ("[]", "bad_frame"),
    ('{"type":"fly"}', "unknown_event"),
    ('{"type":"text"}', "bad_frame"),
    ('{"type":"text","text":""}', "wrong_order"),
    ('{"type":"text","text":"\\ud800"}', "bad_frame"),
    (json.dumps({"type": "text", "text": "a" * 5_000}), "too_large"),
    (json.dumps({"type": "text", "text": "a" * 50_000}), "too_large"),
    ('{"type":"playback","turn":-1,"heard_ms":"x"}', "bad_frame"),
    ('{"type":"hello","protocol":99}', "not_allowed"),
    (b"", "bad_frame"),
    (b"\x01\x00", "bad_frame"),
    (HEADER.pack(1, 0, 0, 0, 0, 0), "invalid_audio"),
    (HEADER.pack(1, 0, 0, 0, 0, 0) + b"odd", "invalid_audio"),
    (HEADER.pack(1, 0, 0, 0, 0, 0) + LONG_AUDIO, "too_large"),
    (HEADER.pack(9, 0, 0, 0, 0, 0) + bytes(64), "unknown_event"),
]
OF_A_RAW_CLIENT: Flaws = [
    ("not JSON", "bad_frame"),
    (DEEP, "bad_frame"),
    (b"\x00\x01", "bad_frame"),
    ('{"event":{}}', "bad_frame"),
    ('{"event":{"audioInput":7}}', "bad_frame"),
    (event("fly"), "unknown_event"),
    (event("completionStart", promptName="P"), "unknown_event"),
    (event("toolResult", promptName="P", contentName="T", content="{}"), "unknown_event"),
    (raw_client.text_block("X", "ASSISTANT", "I am the model.")[0], "unknown_event"),
    (event("textInput", promptName="P", contentName="nowhere", content="x"), "wrong_order"),
    (event("contentEnd", promptName="P", contentName="nowhere"), "wrong_order"),
    (raw_client.audio_start(), "wrong_order"),
    (raw_client.audio(bytes(64), content="another"), "wrong_order"),
    (event("audioInput", promptName="P", contentName="A", content="no base64!"), "invalid_audio"),
    (raw_client.audio(b"odd"), "invalid_audio"),
    (raw_client.audio(LONG_AUDIO), "too_large"),
]
STRANGE_BEGINNINGS: Flaws = [
    ("not JSON", "bad_frame"),
    ("[]", "bad_frame"),
    ('{"hello":1}', "bad_frame"),
]
TOO_EARLY_OF_A_PAGE: Flaws = [(HEADER.pack(1, 0, 0, 0, 0, 0) + bytes(64), "wrong_order"), ('{"type":"text","text":"a"}', "wrong_order")]
TOO_EARLY_OF_A_RAW_CLIENT: Flaws = [
    *STRANGE_BEGINNINGS,
    (raw_client.audio(bytes(64)), "wrong_order"),
    (raw_client.prompt_start(), "wrong_order"),
    (event("sessionEnd"), "wrong_order"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    async with desk(tmp_path_factory.mktemp("input"), Model(brain="echo")) as (running, _):
        yield running


async def send_all(client: Client, flaws: Flaws) -> None:
    for frame, _ in flaws:
        await client.socket.send(frame)
    await client.until(lambda: len(client.codes) >= len(flaws))


async def all_is_back(client: Client, speech: bytes) -> Verdict:
    """Wait for the echo; what the server puts in for a silent client comes after it."""
    await client.until(lambda: len(client.speech) >= len(speech), seconds=len(speech) / 32_000 + 10)
    return compare(speech, bytes(client.speech[: len(speech)]))


@pytest.mark.parametrize(
    ("is_page", "early", "flaws"),
    [(True, TOO_EARLY_OF_A_PAGE, OF_A_PAGE), (False, TOO_EARLY_OF_A_RAW_CLIENT, OF_A_RAW_CLIENT[:12]), (False, [], OF_A_RAW_CLIENT)],
    ids=["page", "raw, from the first frame", "raw"],
)
async def test_each_flaw_has_its_code_and_not_a_sample_of_the_conversation_is_lost(
    server: Server, early: Flaws, flaws: Flaws, *, is_page: bool
) -> None:
    async with connected(server.url, is_page=is_page) as client:
        await send_all(client, early)
        await client.begin()
        await client.speak(SPEECH[:16_000])
        for frame, _ in flaws:
            await client.socket.send(frame)
        await client.speak(SPEECH[16_000:])
        verdict = await all_is_back(client, SPEECH)

    assert client.codes == [code for _, code in (*early, *flaws)]
    assert verdict == EXACT
    assert client.socket.close_code == 1000


@pytest.mark.parametrize("is_page", [True, False])
async def test_the_twentieth_flaw_closes_the_connection_and_nobody_elses(server: Server, *, is_page: bool) -> None:
    async with conversing(server.url) as other, conversing(server.url, is_page=is_page) as client:
        speaking = asyncio.create_task(other.speak(SPEECH))
        for _ in range(25):
            await client.socket.send("not JSON")
        close_code = await client.until_closed()
        await speaking

        assert close_code == 1008
        assert client.codes == ["bad_frame"] * 20
        assert await all_is_back(other, SPEECH) == EXACT
        assert other.codes == []
    assert await server.until(lambda: server.sessions() == 0)


async def test_a_message_over_the_limit_closes_its_connection_with_1009(server: Server) -> None:
    async with conversing(server.url) as client:
        await client.socket.send(bytes(300_000))

        assert await client.until_closed() == 1009
    assert await server.until(lambda: server.sessions() == 0)


async def test_a_flood_of_audio_is_slowed_down_without_loss_and_without_harm_to_others(server: Server) -> None:
    flood = coded_speech(4 * 16_000)
    async with conversing(server.url) as other, conversing(server.url) as client:
        speaking = asyncio.create_task(other.speak(SPEECH))
        for start in range(0, len(flood), 1_024):
            await client.send_audio(flood[start : start + 1_024])
        await speaking

        assert await all_is_back(other, SPEECH) == EXACT
        assert (await all_is_back(client, flood)).is_exact
        assert client.codes == []


async def test_a_flood_of_messages_is_answered_without_harm_to_others(server: Server) -> None:
    async with conversing(server.url) as other, conversing(server.url) as client:
        speaking = asyncio.create_task(other.speak(SPEECH))
        for number in range(1_100):
            await client.socket.send(json.dumps({"type": "ping", "t": number}))
        await client.until(lambda: len(client.bodies("pong")) == 1_100)
        await speaking

        assert [pong["t"] for pong in client.bodies("pong")] == list(range(1_100))
        assert await all_is_back(other, SPEECH) == EXACT


async def test_no_line_of_the_log_repeats_what_was_sent(server: Server) -> None:
    async with connected(server.url, is_page=False) as client:
        await send_all(client, [("my DNI is 12345678", "bad_frame"), ('{"event":{"juan.perez@email.com":{}}}', "unknown_event")])

    log = server.log_file.read_text(encoding="utf-8")
    assert client.codes == ["bad_frame", "unknown_event"]
    assert "12345678" not in log
    assert "juan.perez" not in log
    assert {"bad_frame", "unknown_event"} <= {line["code"] for line in server.log("client.refused")}

"""What the page shows and sends in a conversation."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Page, expect

from tests.browser import Chromium, PageOptions, until
from tests.web.page_server import Client, PageServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@asynccontextmanager
async def talking(chromium: Chromium, server: PageServer, options: PageOptions | None = None) -> AsyncIterator[tuple[Page, Client]]:
    async with chromium.open(server.url, options) as page:
        await page.click("#welcome-start")
        client = await server.client()
        await client.start()
        await expect(page.locator("#pill")).to_have_text("Escuchando" if options and options.locale.startswith("es") else "Listening")
        yield page, client


async def test_the_session_is_asked_for_in_the_browsers_language(chromium: Chromium, server: PageServer) -> None:
    async with chromium.open(server.url, PageOptions(locale="es-AR")) as page:
        await expect(page.get_by_role("heading", name="Hable con el asistente")).to_be_visible()
        await page.get_by_role("button", name="Empezar a hablar").first.click()
        hello = await (await server.client()).start()

        wanted = {
            "type": "hello",
            "protocol": 1,
            "assistant": "carlos",
            "language": "es",
            "input_hertz": 16_000,
            "output_hertz": 24_000,
            "resume": True,
        }
        assert hello == wanted
        await expect(page.locator("#backend")).to_have_text("emulador · es · carlos")
        assert await page.evaluate("document.documentElement.lang") == "es"


async def test_the_page_says_when_it_talks_to_bedrock(chromium: Chromium) -> None:
    async with PageServer({"local": False}) as server, chromium.open(server.url) as page:
        await expect(page.locator("#backend")).to_have_text("Amazon Bedrock · en · matthew")
        await expect(page.locator("#examples")).to_be_hidden()


@pytest.mark.req("S1-02")
async def test_final_text_takes_the_place_of_speculative_text(chromium: Chromium, server: PageServer) -> None:
    async with talking(chromium, server) as (page, client):
        for text in ("It is on its way.", "Goodbye."):
            await client.send("transcript", turn=2, role="assistant", stage="speculative", text=text)
        await expect(page.locator(".speculative")).to_have_text("It is on its way. Goodbye.")
        await client.send("transcript", turn=2, role="assistant", stage="final", text="It is on its way.")

        await expect(page.locator(".speculative")).to_have_text("Goodbye.")
        await expect(page.locator(".entry.assistant p")).to_have_text("It is on its way. Goodbye.")


async def test_only_final_text_is_announced_and_only_once(chromium: Chromium, server: PageServer) -> None:
    async with talking(chromium, server) as (page, client):
        await client.send("transcript", turn=1, role="user", stage="final", text="Where is my order?")
        await client.send("transcript", turn=2, role="assistant", stage="speculative", text="On its way.")
        await client.send("transcript", turn=2, role="assistant", stage="final", text="On its way.")
        await client.send("interrupted", turn=2, heard_ms=700)
        await expect(page.locator(".interruption")).to_have_text("— interrupted, heard 0.7 s")

        await expect(page.get_by_role("log").locator("p")).to_have_text(["You: Where is my order?", "Carlos: On its way."])


@pytest.mark.req("S4-45")
async def test_a_tool_call_is_shown_where_it_happened(chromium: Chromium, server: PageServer) -> None:
    async with talking(chromium, server) as (page, client):
        await client.send("tool.started", turn=2, id="a", name="consultarOrder", arguments='{"orderId":"1"}')
        await expect(page.locator("#entries .tool .status")).to_have_text("running")
        await client.send("tool.finished", turn=2, id="a", name="consultarOrder", result='{"status":"x"}', error_code=None, duration_ms=38)
        await client.send("tool.started", turn=2, id="b", name="cancelarOrder", arguments="not json")
        await client.send("tool.finished", turn=2, id="b", name="cancelarOrder", result="{}", error_code="identity_needed", duration_ms=2)

        await expect(page.locator("#entries .tool .status")).to_have_text(["ok", "identity_needed"])
        await expect(page.locator("#entries .tool .duration")).to_have_text(["38 ms", "2 ms"])
        await expect(page.locator("#entries .tool-body").first).to_have_text('input{"orderId": "1"}output{"status": "x"}')
        await expect(page.locator("#entries .tool-body").last).to_contain_text("not json")
        await page.click("#tab-tools")
        await expect(page.locator("#tools-rows li")).to_have_count(2)


async def test_a_long_result_is_folded_until_the_user_opens_it(chromium: Chromium, server: PageServer) -> None:
    async with talking(chromium, server) as (page, client):
        result = json.dumps({"items": ["a long list of things"] * 30})
        await client.send("tool.started", turn=2, id="a", name="consultarOrder", arguments="{}")
        await expect(page.locator("#entries .tool-body")).to_be_visible()
        await client.send("tool.finished", turn=2, id="a", name="consultarOrder", result=result, error_code=None, duration_ms=38)
        await expect(page.locator("#entries .tool-body")).to_be_hidden()
        await page.click("#entries .tool summary")
        await expect(page.locator("#entries .tool-body")).to_contain_text("a long list of things")
        await page.select_option("#language", "es")

        await expect(page.locator("#entries .tool-body")).to_be_visible()


async def test_typing_starts_a_session_without_a_microphone(chromium: Chromium, server: PageServer) -> None:
    async with chromium.open(server.url) as page:
        await page.fill("#text", "Check order <b>one</b>")
        await page.press("#text", "Enter")
        client = await server.client()
        await client.start()
        text = await client.expect("text")
        await client.send("transcript", turn=1, role="user", stage="final", text="Check order <b>one</b>")
        await client.send("transcript", turn=2, role="assistant", stage="final", text="Done.")

        assert text == {"type": "text", "text": "Check order <b>one</b>"}
        await expect(page.locator(".entry p")).to_have_text(["Check order <b>one</b>", "Done."])
        await expect(page.locator("#mute")).to_contain_text("Use microphone")
        await page.click("#mute")
        await expect(page.locator("#mute")).to_contain_text("Mute")
        await until(page, "novaSonicState.microphone.open")


async def test_an_example_is_sent_as_typed_text(chromium: Chromium, server: PageServer) -> None:
    async with chromium.open(server.url) as page:
        await page.get_by_role("button", name="Cancel order number two for Juan Pérez").click()
        client = await server.client()
        await client.start()

        assert (await client.expect("text"))["text"] == "Cancel order number two for Juan Pérez"


async def test_another_language_begins_another_session(chromium: Chromium, server: PageServer) -> None:
    async with talking(chromium, server) as (page, client):
        await client.send("transcript", turn=1, role="user", stage="final", text="Hello")
        await expect(page.locator(".entry")).to_have_count(1)
        await page.select_option("#language", "es")
        await client.expect("end")
        await client.send("session.ended", reason="client", statistics={})
        hello = await client.start()

        assert hello["language"] == "es"
        await expect(page.locator(".note")).to_have_text("Conversación nueva · es · carlos")
        await expect(page.locator("#pill")).to_have_text("Escuchando")


async def test_keys_mute_and_interrupt_but_not_while_typing(chromium: Chromium, server: PageServer) -> None:
    async with talking(chromium, server) as (page, client):
        await page.locator("#text").press_sequentially("mmm")
        await expect(page.locator("#mute")).to_have_attribute("aria-pressed", "false")
        await page.locator("#text").press("Escape")
        await client.expect("interrupt")
        await page.locator("#transcript").focus()
        await page.keyboard.press("m")

        await expect(page.locator("#mute")).to_have_attribute("aria-pressed", "true")
        await expect(page.locator("#pill")).to_have_text("Muted")
        await expect(page.locator("#text")).to_have_value("mmm")


async def test_the_page_can_be_used_by_keyboard_alone(chromium: Chromium, server: PageServer) -> None:
    async with chromium.open(server.url) as page:
        await page.locator("#welcome-start").focus()
        await page.keyboard.press("Enter")
        await (await server.client()).start()
        await expect(page.locator("#pill")).to_have_text("Listening")
        await expect(page.locator("#transcript")).to_be_focused()
        await page.locator("#tab-timeline").focus()
        await page.keyboard.press("ArrowRight")
        await expect(page.locator("#panel-events")).to_be_visible()
        await page.keyboard.press("End")
        await expect(page.locator("#panel-tools")).to_be_visible()
        await page.keyboard.press("ArrowRight")

        await expect(page.locator("#panel-timeline")).to_be_visible()
        await expect(page.locator("#tab-timeline")).to_be_focused()
        outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"


async def test_errors_are_told_by_code_in_the_pages_language(chromium: Chromium, server: PageServer) -> None:
    async with talking(chromium, server, PageOptions(locale="es-ES")) as (page, client):
        await client.send("error", code="model_busy", message="The assistant is busy.", retryable=True, ref="r-17")
        await expect(page.get_by_role("alert")).to_contain_text("El asistente está ocupado. Pruebe de nuevo en un momento. (r-17)")
        await client.send("error", code="from_a_later_version", message="Something new.", retryable=False, ref="")

        await expect(page.get_by_role("alert")).to_contain_text("Something new.")


async def test_a_session_that_is_refused_can_be_tried_again(chromium: Chromium, server: PageServer) -> None:
    async with chromium.open(server.url) as page:
        await page.click("#welcome-start")
        client = await server.client()
        await client.expect("hello")
        await client.send("error", code="server_busy", message="All lines are busy.", retryable=True, ref="")
        await expect(page.locator("#pill")).to_have_text("Ended")
        await page.get_by_role("button", name="Try again").click()
        await client.start()

        await expect(page.locator("#pill")).to_have_text("Listening")
        await expect(page.locator("#banner")).to_be_hidden()


async def test_a_session_that_is_refused_for_a_while_is_tried_again_when_the_server_said(chromium: Chromium, server: PageServer) -> None:
    async with chromium.open(server.url) as page:
        await page.click("#welcome-start")
        client = await server.client()
        first = await client.expect("hello")
        asked_at = asyncio.get_running_loop().time()
        await client.send("error", code="server_busy", message="All lines are busy.", retryable=True, ref="", retry_after=1)
        await expect(page.get_by_role("alert")).to_contain_text(re.compile(r"All lines are busy.*Trying again in [12] s\."))
        await expect(page.get_by_role("button", name="Try again")).to_be_visible()
        again = await client.start()
        waited = asyncio.get_running_loop().time() - asked_at

        await expect(page.locator("#pill")).to_have_text("Listening")
        await expect(page.locator("#banner")).to_be_hidden()
        assert again == first
        assert waited >= 1.0


async def test_a_wait_for_a_session_can_be_given_up(chromium: Chromium, server: PageServer) -> None:
    async with chromium.open(server.url) as page:
        await page.click("#welcome-start")
        client = await server.client()
        await client.expect("hello")
        await client.send("error", code="model_busy", message="Busy.", retryable=True, ref="", retry_after=60)
        await expect(page.get_by_role("alert")).to_contain_text("Trying again in")
        await page.click("#end")
        await client.connection.wait_closed()

        await expect(page.locator("#pill")).to_have_text("Ended")


async def test_a_session_can_be_given_up_while_it_is_being_opened(chromium: Chromium, server: PageServer) -> None:
    async with chromium.open(server.url) as page:
        await page.click("#welcome-start")
        client = await server.client()
        await client.expect("hello")
        await page.click("#end")
        await client.connection.wait_closed()

        await expect(page.locator("#pill")).to_have_text("Ended")
        assert client.connection.close_code == 1000


async def test_a_lost_server_is_told_and_found_again(chromium: Chromium) -> None:
    async with PageServer() as first:
        port = first.port
        async with talking(chromium, first) as (page, client):
            await client.send("transcript", turn=1, role="user", stage="final", text="Hello")
            await expect(page.locator(".entry")).to_have_count(1)
            await first.stop()
            await expect(page.locator("#pill")).to_have_text("Reconnecting")
            await expect(page.get_by_role("alert")).to_contain_text("restarting")
            await until(page, "novaSonicState.problems.length >= 2")  # an attempt failed by itself
            async with PageServer(port=port) as second:
                button = page.get_by_role("button", name="Reconnect now")
                if await button.is_visible():
                    await button.click()
                again = await second.client()
                await again.start()
                await again.until(lambda: len(again.frames) >= 5)

                assert [frame.seq for frame in again.frames[:5]] == [0, 1, 2, 3, 4]
                await expect(page.locator("#banner")).to_be_hidden()
                await expect(page.locator(".entry")).to_have_count(1)


async def test_a_connection_that_breaks_in_the_middle_is_tried_again(chromium: Chromium, server: PageServer) -> None:
    async with talking(chromium, server) as (_page, client):
        client.connection.transport.abort()
        again = await server.client()

        assert (await again.start())["language"] == "en"


async def test_a_refused_connection_is_not_tried_again(chromium: Chromium, server: PageServer) -> None:
    async with talking(chromium, server) as (page, client):
        await client.connection.close(1008)
        await expect(page.get_by_role("alert")).to_contain_text("refused the connection")

        await expect(page.locator("#pill")).to_have_text("Ended")
        assert server.clients.empty()


async def test_the_timeline_names_each_moment_of_a_turn(chromium: Chromium, server: PageServer) -> None:
    async with talking(chromium, server) as (page, client):
        await client.send("user.speech_started", turn=1)
        await client.send("user.speech_ended", turn=1)
        await client.send("tool.started", turn=2, id="a", name="consultarOrder", arguments="{}")
        await client.send("tool.finished", turn=2, id="a", name="consultarOrder", result="{}", error_code=None, duration_ms=1)
        await client.speak(2, b"\x00\x20" * 4800)
        await expect(page.locator("#timeline-rows tr").last).to_contain_text("all played")
        rows = [row.split("\t") for row in await page.locator("#timeline-rows tr").all_inner_texts()]

    names = [name.split(" reply ")[0] for _, name, _ in rows]
    for name in ("user starts", "end of turn", "tool consultarOrder", "result consultarOrder", "first audio", "heard", "speech complete"):
        assert name in names
    times = [float(time) for time, _, _ in rows]
    assert sorted(times) == times
    assert names.index("first audio") < names.index("heard")


async def test_the_event_log_can_be_filtered_and_taken_away(chromium: Chromium, server: PageServer) -> None:
    async with talking(chromium, server) as (page, client):
        await client.send("user.speech_started", turn=1)
        await page.click("#tab-events")
        await expect(page.locator("#events-rows code")).to_have_text(["hello", "session.started", "user.speech_started"])
        await page.fill("#events-filter", "matthew")
        await expect(page.locator("#events-rows code")).to_have_text(["session.started"])
        async with page.expect_download() as waiting:
            await page.click("#events-download")
        path = await (await waiting.value).path()
        lines = [json.loads(line) for line in (await asyncio.to_thread(path.read_text)).splitlines()]

    assert lines[0]["direction"] == "out"
    assert [line["message"]["type"] for line in lines if line["message"]["type"] not in ("ping", "pong")][:3] == [
        "hello",
        "session.started",
        "user.speech_started",
    ]


async def test_levels_can_be_read_by_assistive_technology(chromium: Chromium, server: PageServer) -> None:
    async with talking(chromium, server) as (page, client):
        await client.speak(2, b"\x00\x40" * 24_000)
        meter = page.get_by_role("meter", name="Assistant level")
        await until(page, "Number(document.getElementById('meter-assistant').getAttribute('aria-valuenow')) > -10")

        await expect(meter).to_have_attribute("aria-valuetext", "-6 dB")


async def test_motion_stops_when_the_user_wants_none(chromium: Chromium, server: PageServer) -> None:
    async with talking(chromium, server) as (page, _client):
        await expect(page.locator("#waveform")).to_be_visible()
        await page.emulate_media(reduced_motion="reduce")

        await expect(page.locator("#waveform")).to_be_hidden()


async def test_diagnostics_cannot_be_changed_from_outside(chromium: Chromium, server: PageServer) -> None:
    async with talking(chromium, server) as (page, _client):
        state = await page.evaluate("(novaSonicState.state = 'broken', delete globalThis.novaSonicState, novaSonicState.state)")

        assert state == "listening"

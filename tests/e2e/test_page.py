"""A person at the page: every tool by voice, interruption, typing, and two at once."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.browser import PLAIN_MICROPHONE, Chromium, PageOptions, until
from tests.e2e.conversations import SCENARIOS, Json, Scenario, finished_tool, hold_again_if_misheard, start, state
from tests.e2e.speech import Utterance, conversation, write_wav
from tests.e2e.stack import Stack, running_stack

pytestmark = [pytest.mark.browser, pytest.mark.speech]


@pytest.mark.req("S4-07", "S4-09", "S4-46", "S4-47", "S4-48", "S4-49", "S4-50", "S4-51", "S4-52", "S4-59", "S4-60")
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_a_spoken_request_reaches_the_database_and_is_answered(
    scenario: Scenario, stack: Stack, chromium: Chromium, tmp_path: Path
) -> None:
    await hold_again_if_misheard(scenario, stack, running_stack, chromium, tmp_path)


@pytest.mark.req("S4-07")
async def test_speaking_over_the_assistant_silences_it(stack: Stack, chromium: Chromium, tmp_path: Path) -> None:
    asking = Utterance("es-419", "Quiero los detalles del pedido número uno, mi DNI es uno dos tres cuatro cinco seis siete ocho")
    interrupting = Utterance("es-419", "No, gracias", pause_seconds=2.5)
    again = replace(asking, pause_seconds=8.0)  # in case that it was misheard: a short answer is over before anybody speaks over it
    wav = write_wav(tmp_path / "microphone.wav", conversation([asking, interrupting, again, interrupting]))

    async with chromium.open(
        stack.page, PageOptions(microphone=Path(f"{wav}%noloop"), locale="es-AR", init_script=PLAIN_MICROPHONE)
    ) as page:
        await start(page, "es")
        heard_in_part = "window.novaSonicState.transcript.some((entry) => entry.interruptedMs > 0)"
        await until(page, heard_in_part, seconds=60)
        seen = await state(page)

    assert seen["barge_in_ms"]


@pytest.mark.req("S4-07", "S4-46")
async def test_typing_works_without_a_microphone(stack: Stack, chromium: Chromium) -> None:
    async with chromium.open(stack.page, PageOptions(grant=False, locale="es-AR")) as page:
        await page.wait_for_selector("html[data-ready]")
        await page.fill("#text", "Quiero consultar el pedido número 1, mi DNI es 12345678")
        await page.press("#text", "Enter")
        tool = await finished_tool(page, "consultarOrder")

    assert json.loads(str(tool["input"])) == {"orderId": "1", "dni": "12345678"}
    assert tool["errorCode"] is None


@pytest.mark.req("S0-53")
async def test_two_pages_talk_without_hearing_each_other(stack: Stack, chromium: Chromium) -> None:
    async def look_up(order: str, name: str) -> Json:
        async with chromium.open(stack.page, PageOptions(grant=False, locale="es-AR")) as page:
            await page.wait_for_selector("html[data-ready]")
            await page.fill("#text", f"Quiero consultar el pedido número {order}, soy {name}")
            await page.press("#text", "Enter")
            return await finished_tool(page, "consultarOrder")

    first, second = await asyncio.gather(look_up("3", "María García"), look_up("4", "Ana Martínez"))

    assert json.loads(str(first["output"]))["order"]["status"] == "shipped"
    assert json.loads(str(second["output"]))["order"]["status"] == "delivered"

"""The demo brain from turn to reply, with its recogniser where speech is."""

import asyncio
from pathlib import Path

import pytest

from nova_sonic_local.brains.demo import DemoFactory, choose_language, demo_factory
from nova_sonic_local.brains.interface import UserTurn
from nova_sonic_local.brains.scenario import parse_scenario
from tests.speech.stage import NotedReply, built_in, factory, prompt, today, tool

WEATHER = Path(__file__).parent / "weather.toml"
WEATHER_TOOLS = {"getWeather": tool("getWeather", ["city"], ["city", "date"])}


async def talk(brains: DemoFactory, lines: list[str | None], reply: NotedReply, voice_id: str = "carlos", system: str = "") -> None:
    brain = brains(prompt(voice_id, system))
    for number, line in enumerate(lines, 1):
        await brain.answer(UserTurn(number, line), reply)
    await brain.close()
    await brains.aclose()


@pytest.mark.req("S4-07", "S4-60")
async def test_a_typed_request_leads_to_a_tool_call_and_a_spoken_result() -> None:
    reply = NotedReply({"success": True, "order": {"id": "1", "status": "shipped"}})
    await talk(factory(), ["Consulta el pedido número 1", "12345678"], reply)

    assert reply.called == [("consultarOrder", {"orderId": "1", "dni": "12345678"})]
    assert reply.said == ["Para verificar tu identidad, decime tu DNI o tu nombre completo.", "Tu pedido 1 está en camino."]


@pytest.mark.req("S4-58")
async def test_answers_end_with_the_marker_only_when_the_prompt_asks_for_it() -> None:
    marked, plain = NotedReply(), NotedReply()
    await talk(factory(), ["hola"], marked, system="Al final de cada respuesta, incluye [FINAL].")
    await talk(factory(), ["hola"], plain)

    assert marked.said == [f"{plain.said[0]} [FINAL]"]


async def test_a_sentence_that_is_dictated_while_a_tool_runs_is_said_and_the_task_goes_on() -> None:
    brains = factory()
    brain = brains(prompt())
    reply = NotedReply({"success": True, "order": {"id": "1", "status": "shipped"}})
    reply.returns.clear()
    asking = asyncio.create_task(brain.answer(UserTurn(1, "Consulta el pedido número 1, mi dni es 12345678"), reply))
    await asyncio.sleep(0)
    await brain.answer(UserTurn(2, 'The tool is still at work. Say this and nothing else: "Un momento, lo busco."'), reply)
    reply.returns.set()
    await asking
    await brain.answer(UserTurn(3, 'Say this: "no"', bytes(2)), reply)  # spoken words are no orders
    await brain.close()
    await brains.aclose()

    assert reply.said == ["Un momento, lo busco.", "Tu pedido 1 está en camino.", "Perdón, no te entendí. ¿Me lo repetís?"]


async def test_speech_that_was_not_understood_is_answered() -> None:
    reply = NotedReply()
    await talk(factory(), [None], reply)

    assert reply.said == ["Perdón, no te entendí. ¿Me lo repetís?"]


async def test_another_tool_set_needs_a_scenario_and_no_code() -> None:
    brains = demo_factory(WEATHER, today)
    brain = brains(prompt("matthew", tools=WEATHER_TOOLS))
    reply = NotedReply({"place": "Madrid", "sky": "sunny", "degrees": 31})
    for number, line in enumerate(["What is the weather like tomorrow?", "in Madrid, please", "check order number one"], 1):
        await brain.answer(UserTurn(number, line), reply)
    await brain.close()
    await brains.aclose()

    assert reply.called == [("getWeather", {"city": "Madrid", "date": "2025-11-20"})]
    assert reply.said == ["In which city?", "In Madrid there is a blue sky and 31 degrees.", "Pardon?"]


@pytest.mark.req("S3-16")
async def test_a_prompt_that_describes_a_persona_is_played_by_the_scenario_made_for_it() -> None:
    known, unknown = NotedReply(), NotedReply()
    about_john = f"You are Buddy, a companion. {'You are kind. ' * 100}You talk to John. Sarah is his daughter. He has a blue tablet."
    await talk(demo_factory(), ["Who is Sarah?", "What do I do this morning?"], known, "tiffany", about_john)
    await talk(demo_factory(), ["Who is Sarah?"], unknown, "tiffany", "You are Buddy, a companion.")

    assert known.said == [
        "Sarah is your daughter, and she visits you every Sunday.",
        "You have breakfast at eight, take your blue tablet with it, and then you walk in the garden.",
    ]
    assert "daughter" not in unknown.said[0]


async def test_an_interrupted_answer_leaves_the_brain_usable() -> None:
    brains = factory()
    brain = brains(prompt())
    reply = NotedReply()
    answering = asyncio.create_task(brain.answer(UserTurn(1, "consulta el pedido número 1"), reply))
    await asyncio.sleep(0)
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    await brain.answer(UserTurn(2, "hola"), reply)
    await brain.close()
    await brains.aclose()

    assert reply.said == ["¡Hola! Soy Carlos. ¿En qué te puedo ayudar?"]


@pytest.mark.parametrize(
    ("voice_id", "system", "expected"),
    [
        ("carlos", "", "es"),
        ("lupe", "You answer in English.", "es"),
        ("Matthew", "", "en"),
        ("matthew", "Eres Carlos, el asistente. Responde en español.", "es"),
        ("tiffany", "You are a friendly assistant.", "en"),
        ("amy", "Eres Carlos, responde en español.", "en"),
        ("greta", "", "es"),
        ("greta", "You answer your users' questions.", "en"),
    ],
)
def test_the_language_is_that_of_the_voice_or_of_the_prompt(voice_id: str, system: str, expected: str) -> None:
    assert choose_language(built_in(), prompt(voice_id, system)) == expected


async def test_a_brain_without_tools_still_talks() -> None:
    brains = DemoFactory(parse_scenario("[languages.en]\nvoices = ['matthew']\n"), today)
    brain = brains(prompt("matthew", tools={}))
    reply = NotedReply()
    await brain.answer(UserTurn(1, "hello"), reply)
    await brain.close()
    await brains.aclose()

    assert reply.said == ["?"]


async def test_who_takes_dictation_understands_everything_and_answers_nothing() -> None:
    brains, reply = factory(), NotedReply()
    brain = brains(prompt("matthew", "You take dictation. The user speaks English.", {}))
    await brain.answer(UserTurn(1, "What is the status of order 2?"), reply)
    heard = brain._grammar.words
    await brain.close()
    await brains.aclose()

    assert (reply.said, reply.called) == (["OK."], [])
    assert {"status", "order"} <= set(heard)

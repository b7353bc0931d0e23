"""The companion's scenario: what it knows by heart, what it looks up, and that both are understood when they are spoken."""

import json

import pytest

from nova_sonic_local.brains.demo import DemoFactory
from nova_sonic_local.brains.interface import Prompt, Tool, UserTurn
from nova_sonic_local.brains.scenario import BUILT_IN, load_scenario
from tests.speech.stage import Json, NotedReply, speech, today
from tests.speech.test_heard import heard
from tools.catalogue import TOOLS

JOHN = "You are Buddy, a companion. You talk to John. Sarah is his daughter. She comes on Sunday. Michael is his grandson. He has a tablet."
ROSE = "You are Buddy, a companion. You talk to Rose."
OWN_TOOLS = {one.name: Tool(one.name, one.description, json.loads(one.spec.input_schema)) for one in TOOLS[7:]}
SARAH = {"success": True, "relative": {"name": "Sarah", "relation": "niece", "about": "She sings."}, "message": "Sarah, niece. She sings."}
MORNING = {"success": True, "part": "morning", "summary": "07:30 feeding Milo", "message": "In the morning: 07:30 feeding Milo."}


def companion() -> DemoFactory:
    return DemoFactory(load_scenario(), today, [load_scenario(BUILT_IN.parent / "buddy.toml")])


def prompt(system: str) -> Prompt:
    return Prompt("amazon.nova-2-sonic-v1:0", "tiffany", 16_000, 24_000, system, tools=OWN_TOOLS)


async def talk(system: str, lines: list[str], *results: Json) -> NotedReply:
    brains, reply = companion(), NotedReply(*results)
    brain = brains(prompt(system))
    for number, line in enumerate(lines, 1):
        await brain.answer(UserTurn(number, line), reply)
    await brain.close()
    await brains.aclose()
    return reply


@pytest.mark.req("S3-16")
async def test_what_the_prompt_tells_is_known_by_heart() -> None:
    reply = await talk(JOHN, ["Who is Sarah?", "What do I do this morning?", "hello"])

    assert reply.called == []
    assert reply.said == [
        "Sarah is your daughter, and she visits you every Sunday.",
        "You have breakfast at eight, take your blue tablet with it, and then you walk in the garden.",
        "Hello, John! It is good to hear you.",
    ]


@pytest.mark.req("S3-16")
async def test_what_the_prompt_does_not_tell_is_looked_up() -> None:
    reply = await talk(ROSE, ["Who is Sarah?", "What do I do this morning?", "hello"], SARAH, MORNING)

    assert reply.called == [("whoIs", {"name": "Sarah"}), ("getRoutine", {"part": "morning"})]
    assert reply.said == ["Sarah is your niece. She sings.", "In the morning: 07:30 feeding Milo.", "Hello! It is good to hear you."]


@pytest.mark.req("S3-16")
async def test_nobody_is_made_up_when_the_tool_knows_nobody() -> None:
    reply = await talk(JOHN, ["Who is Peter?"], {"success": False, "error": "relative_unknown", "message": "Nobody."})

    assert reply.called == [("whoIs", {"name": "Peter"})]
    assert reply.said == ["I do not know anybody of that name. Shall we ask your family?"]


@pytest.mark.req("S3-07", "S3-16")
@pytest.mark.parametrize(
    ("lines", "call"),
    [
        (["remind me to water the plants at ten"], ("addReminder", {"what": "water the plants", "time": "10:00"})),
        (["remind me to call Sarah", "at five in the afternoon"], ("addReminder", {"what": "call Sarah", "time": "17:00"})),
        (["what are my reminders"], ("listReminders", {})),
        (["mark water the plants as done"], ("completeReminder", {"reminder": "water the plants"})),
        (["what do I do now?"], ("getRoutine", {"part": "now"})),
        (["what do I do today?"], ("getRoutine", {"part": "day"})),
        (["who is my grandson?"], ("whoIs", {"name": "grandson"})),
        (["who is Zoe?"], ("whoIs", {"name": "Zoe"})),
        (["I am in pain"], ("alertCaregivers", {"reason": "is in pain", "urgency": "now"})),
        (["I need help"], ("alertCaregivers", {"reason": "asks for help", "urgency": "now"})),
    ],
)
async def test_a_request_calls_its_tool(lines: list[str], call: tuple[str, Json]) -> None:
    reply = await talk(ROSE, lines, {"success": True, "message": "Yes.", "summary": "nothing"})

    assert reply.called == [call]


@pytest.mark.speech
@pytest.mark.req("S3-16")
@pytest.mark.parametrize("voice", ["en-us", "en-gb", "en-us+m3"])
async def test_the_questions_are_understood_when_they_are_spoken(voice: str) -> None:
    speech()
    brains = companion()
    brain = brains(prompt(JOHN))
    sentences = [
        "Who is Sarah?",
        "Who is Peter?",
        "What do I do this morning?",
        "What do I do this evening?",
        "What are my reminders?",
        "I need help",
    ]
    texts = [await heard(brain, sentence, voice) for sentence in sentences]
    await brain.close()
    await brains.aclose()

    assert texts == [sentence.lower().rstrip("?") for sentence in sentences]

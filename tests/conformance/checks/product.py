"""The conversations once more, through this project's own client and codec."""

from collections.abc import Callable

import pytest

from s2s.bedrock.stream import NovaSonicStream
from s2s.errors import ModelError
from s2s.events import (
    AudioContentStart,
    AudioInput,
    AudioOutput,
    ContentEnd,
    ContentEnded,
    ContentStarted,
    ContentType,
    InputEvent,
    OutputEvent,
    PromptStart,
    Role,
    SessionStart,
    Stage,
    StopReason,
    TextContentStart,
    TextInput,
    ToolContentStart,
    ToolResult,
    ToolSpec,
    ToolUse,
    UnknownEvent,
)
from tests.conformance.facts import holds
from tests.conformance.recording import LOOKUP, SYSTEM, TOOL_SYSTEM
from tests.conformance.target import Brain, Setup, Target

SPEC = ToolSpec("lookup", "The weather of a city.", LOOKUP["toolSpec"]["inputSchema"]["json"])


def opened(system: str, tools: tuple[ToolSpec, ...] = (), voice_id: str = "matthew") -> list[InputEvent]:
    return [
        SessionStart(),
        PromptStart("P", voice_id, 24_000, tools),
        TextContentStart("P", "S", Role.SYSTEM),
        TextInput("P", "S", system),
        ContentEnd("P", "S"),
        AudioContentStart("P", "A"),
        AudioInput("P", "A", bytes(3_200)),
    ]


def typed(text: str) -> list[InputEvent]:
    return [TextContentStart("P", "U", Role.USER, interactive=True), TextInput("P", "U", text), ContentEnd("P", "U")]


async def hear(stream: NovaSonicStream, until: Callable[[OutputEvent], bool]) -> list[OutputEvent]:
    heard: list[OutputEvent] = []
    while not heard or not until(heard[-1]):
        event = await stream.receive()
        assert event is not None, f"the stream ended after {heard}"
        heard.append(event)
    return heard


def is_turn_end(event: OutputEvent) -> bool:
    return isinstance(event, ContentEnded) and event.type is ContentType.AUDIO and event.stop_reason is StopReason.END_TURN


@holds("client.typed-turn")
async def _typed_turn(target: Target) -> None:
    async with target.product() as client:
        stream = await client.open(opened(SYSTEM))
        await stream.send(typed("Say hello to me."))
        heard = await hear(stream, is_turn_end)
        await stream.close()

        assert any(isinstance(event, AudioOutput) and event.pcm for event in heard)
        assert any(isinstance(event, ContentStarted) and event.stage is Stage.SPECULATIVE for event in heard)


@holds("client.spoken-turn")
async def _spoken_turn(target: Target) -> None:
    pcm = await target.say("Hello, how are you today?")
    async with target.product() as client:
        stream = await client.open(opened(SYSTEM))
        for start in range(0, len(pcm), 1_024):
            await stream.send([AudioInput("P", "A", pcm[start : start + 1_024])])
        heard = await hear(stream, is_turn_end)
        await stream.close()

        assert any(isinstance(event, ContentStarted) and event.role is Role.USER for event in heard)


@holds("client.tool-turn")
async def _tool_turn(target: Target) -> None:
    async with target.product(Setup(Brain.TOOL)) as client:
        stream = await client.open(opened(TOOL_SYSTEM, (SPEC,)))
        await stream.send(typed("What is the weather in Oslo?"))
        heard = await hear(stream, lambda event: isinstance(event, ContentEnded) and event.stop_reason is StopReason.TOOL_USE)
        use = next(event for event in heard if isinstance(event, ToolUse))
        await stream.send([ToolContentStart("P", "T", use.tool_use_id), ToolResult("P", "T", '{"sky":"grey"}'), ContentEnd("P", "T")])
        after = await hear(stream, is_turn_end)
        await stream.close()

        assert use.tool_name == "lookup"
        assert any(isinstance(event, AudioOutput) for event in after)


@holds("client.knows-every-event")
async def _knows_every_event(target: Target) -> None:
    async with target.product(Setup(Brain.TOOL)) as client:
        stream = await client.open(opened(TOOL_SYSTEM, (SPEC,)))
        await stream.send(typed("What is the weather in Oslo?"))
        heard = await hear(stream, lambda event: isinstance(event, ContentEnded) and event.stop_reason is StopReason.TOOL_USE)
        await stream.close()

        assert [event for event in heard if isinstance(event, UnknownEvent)] == []


@holds("client.names-the-refusal")
async def _names_the_refusal(target: Target) -> None:
    async with target.product(Setup(Brain.TOOL, fault="content_filter@8")) as client:
        stream = await client.open(opened(SYSTEM))
        with pytest.raises(ModelError, match="blocked by our content filters"):
            await _say_and_hear(stream)
        await stream.close()


async def _say_and_hear(stream: NovaSonicStream) -> None:
    await stream.send(typed("Say hello to me."))
    await hear(stream, lambda _event: False)

"""What follows what: turns, tools, interruptions, typed texts, the close; and what makes the model answer."""

import asyncio
import base64
import json
from contextlib import suppress

from tests.conformance.checks.shapes import everything
from tests.conformance.facts import holds
from tests.conformance.recording import LOOKUP, TOOL_SYSTEM, Recording, Talk, opened, recorded, talking
from tests.conformance.target import FIRST_MODEL_ID, PLAIN, Brain, Setup, Target
from tests.emulator.signed_wire import path_of
from tests.emulator.wire import (
    Json,
    audio_input,
    audio_start,
    closing,
    opening,
    prompt_start,
    session_start,
    silence,
    text_block,
    tool_result,
)

QUIET_SECONDS = 8.0
"""An answer of the service begins within two seconds; this long without one is none."""


def stage(start: Json) -> str:
    return str(json.loads(start.get("additionalModelFields", "{}")).get("generationStage", ""))


def texts(recording: Recording, role: str, wanted: str) -> list[int]:
    """Return where the TEXT blocks of a role and stage begin."""
    return [
        place
        for place, one in enumerate(recording.heard)
        if one.name == "contentStart" and one.body["type"] == "TEXT" and one.body["role"] == role and stage(one.body) == wanted
    ]


@holds("order.spoken-turn")
async def _spoken_turn(target: Target) -> None:
    recording = await recorded(target, "spoken")
    place = recording.index("userSpeechStart")
    place = recording.index("userSpeechEnd", place)
    place = recording.index("contentStart", place, type="TEXT", role="USER")
    place = recording.index("contentEnd", place, type="TEXT", stopReason="PARTIAL_TURN")
    place = recording.index("contentStart", place, type="TEXT", role="ASSISTANT")
    place = recording.index("contentStart", place, type="AUDIO", role="ASSISTANT")
    place = recording.index("audioOutput", place)
    place = recording.index("contentEnd", place, type="AUDIO", stopReason="END_TURN")
    recording.index("completionEnd", place)


@holds("order.completion-start")
async def _completion_start(target: Target) -> None:
    for recording in await everything(target):
        names = [one.name for one in recording.heard if one.name != "userSpeechStart"]

        assert names[0] == "completionStart"


@holds("order.one-completion")
async def _one_completion(target: Target) -> None:
    recording = await recorded(target, "barge-in")

    assert len(recording.named("completionStart")) == 1
    assert len(recording.named("completionEnd")) <= 1


@holds("order.completion-end")
async def _completion_end(target: Target) -> None:
    for recording in await everything(target):
        assert recording.index("completionEnd") >= recording.marks["closing"]


@holds("order.user-text")
async def _user_text(target: Target) -> None:
    recording = await recorded(target, "spoken")
    ids = [start["contentId"] for start in recording.named("contentStart", type="TEXT", role="USER")]

    assert {stage(start) for start in recording.named("contentStart", type="TEXT", role="USER")} == {"FINAL"}
    assert {end["stopReason"] for end in recording.named("contentEnd") if end["contentId"] in ids} == {"PARTIAL_TURN"}


@holds("order.speculative-first")
async def _speculative_first(target: Target) -> None:
    recording = await recorded(target, "spoken")
    for place, one in enumerate(recording.heard):
        if one.name == "contentStart" and one.body["type"] == "AUDIO":
            before = [earlier.body for earlier in recording.heard[:place] if earlier.name == "contentStart"]

            assert (before[-1]["type"], stage(before[-1])) == ("TEXT", "SPECULATIVE")


@holds("order.partial-turns")
async def _partial_turns(target: Target) -> None:
    ends = (await recorded(target, "spoken")).named("contentEnd", type="AUDIO")

    assert [end["stopReason"] for end in ends] == ["PARTIAL_TURN"] * (len(ends) - 1) + ["END_TURN"]


@holds("order.final-later")
async def _final_later(target: Target) -> None:
    recording = await recorded(target, "spoken")
    finals = texts(recording, "ASSISTANT", "FINAL")

    assert finals
    assert finals[0] > recording.index("contentEnd", type="AUDIO")


@holds("order.no-interleaving")
async def _no_interleaving(target: Target) -> None:
    for recording in await everything(target):
        is_open: str | None = None
        for one in recording.heard:
            if one.name == "contentStart":
                assert is_open is None, recording.outline()
                is_open = one.body["contentId"]
            elif "contentId" in one.body:
                assert one.body["contentId"] == is_open
                is_open = None if one.name == "contentEnd" else is_open


@holds("order.usage-between")
async def _usage_between(target: Target) -> None:
    recording = await recorded(target, "spoken")
    last = recording.index("completionEnd")

    assert 0 < recording.index("usageEvent") < last


@holds("order.faster-than-real-time")
async def _faster_than_real_time(target: Target) -> None:
    recording = await recorded(target, "barge-in" if not target.is_remote else "spoken")
    outputs = [one for one in recording.heard if one.name == "audioOutput"]
    first_block = [one for one in outputs if one.body["contentId"] == outputs[0].body["contentId"]]
    seconds = sum(len(base64.b64decode(one.body["content"])) for one in first_block) / 48_000

    assert first_block[-1].at - first_block[0].at < seconds


@holds("order.tool-turn")
async def _tool_turn(target: Target) -> None:
    recording = await recorded(target, "tool")
    place = recording.index("contentStart", type="TOOL")
    place = recording.index("toolUse", place)
    place = recording.index("contentEnd", place, type="TOOL", stopReason="TOOL_USE")
    place = recording.index("contentStart", place, type="AUDIO")
    recording.index("contentEnd", place, type="AUDIO", stopReason="END_TURN")


@holds("order.speaks-after-result")
async def _speaks_after_result(target: Target) -> None:
    recording = await recorded(target, "tool")

    assert recording.index("contentStart", recording.marks["result"], type="AUDIO") >= recording.marks["result"]


@holds("order.parallel-tools")
async def _parallel_tools(target: Target) -> None:
    async with talking(target, Setup(Brain.TWO_TOOLS), opened(TOOL_SYSTEM, tools=[LOOKUP])) as (talk, _):
        await talk.send(*text_block("U", "USER", "How is the weather in Oslo and in Rome?", interactive=True))
        await talk.stream.until("contentEnd", 2, type="TOOL")
        uses = talk.stream.named("toolUse")
        for number, use in enumerate(reversed(uses)):
            await talk.send(*tool_result(use["toolUseId"], '{"sky":"grey"}', f"T{number}"))
        await talk.stream.until("contentEnd", type="AUDIO", stopReason="END_TURN")

        assert len({use["toolUseId"] for use in uses}) == 2


@holds("order.talk-while-tool-runs")
async def _talk_while_tool_runs(target: Target) -> None:
    async with talking(target, Setup(Brain.TOOL), opened(TOOL_SYSTEM, tools=[LOOKUP])) as (talk, _):
        await talk.send(*text_block("U", "USER", "How is the weather in Oslo?", interactive=True))
        use = await talk.stream.until("toolUse")
        await talk.stream.until("contentEnd", type="TOOL")
        await talk.say(silence(0.5))
        await talk.send(*text_block("U2", "USER", "Are you still there?", interactive=True))
        await talk.stream.until("contentStart", type="AUDIO")
        await talk.send(*tool_result(use["toolUseId"], '{"sky":"grey"}'))
        await talk.stream.until("contentEnd", type="AUDIO", stopReason="END_TURN")

        assert talk.stream.exception() is None


@holds("order.interruption-marker")
async def _interruption_marker(target: Target) -> None:
    recording = await recorded(target, "barge-in")
    end = recording.index("contentEnd", recording.marks["interruption"], stopReason="INTERRUPTED")
    content_id = recording.heard[end].body["contentId"]
    start = next(block for block in recording.blocks() if block["contentId"] == content_id)
    text = next(output["content"] for output in recording.named("textOutput", contentId=content_id))

    assert (start["type"], start["role"], stage(start)) == ("TEXT", "ASSISTANT", "FINAL")
    assert text == '{ "interrupted" : true }'


@holds("order.interrupted-audio-end")
async def _interrupted_audio_end(target: Target) -> None:
    recording = await recorded(target, "barge-in")
    marker = recording.index("contentEnd", stopReason="INTERRUPTED")
    ends = [one.body["stopReason"] for one in recording.heard[:marker] if one.name == "contentEnd" and one.body["type"] == "AUDIO"]

    assert ends[-1] == "END_TURN"


@holds("order.typed-turn")
async def _typed_turn(target: Target) -> None:
    recording = await recorded(target, "typed")
    place = recording.index("contentStart", recording.marks["text"], type="TEXT", role="ASSISTANT")
    place = recording.index("contentStart", place, type="AUDIO")
    recording.index("contentEnd", place, type="AUDIO", stopReason="END_TURN")


@holds("order.close")
async def _close(target: Target) -> None:
    recording = await recorded(target, "typed")

    assert recording.heard[-1].name == "completionEnd"
    assert recording.ending.is_ended


async def is_answered(talk: Talk, seconds: float) -> bool:
    """Tell whether speech comes within a time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await talk.stream.until("contentStart", type="AUDIO")
            return True
    return False


def patience(target: Target) -> float:
    return QUIET_SECONDS if target.is_remote else 0.5


async def typed_after(target: Target, milliseconds: int, model_path: str | None = None) -> tuple[bool, int]:
    """Type a text after so much audio; tell whether it is answered in speech, and how many text tokens it cost."""
    async with target.raw(PLAIN) as client:
        stream = client.open(model_path) if model_path else client.open()
        await stream.send(*opening(), audio_input(silence(milliseconds / 1000)), *text_block("U", "USER", "Say hello.", interactive=True))
        talk = Talk(stream, 0)
        answered = await is_answered(talk, patience(target))
        usage = stream.named("usageEvent")
        return answered, usage[-1]["details"]["total"]["input"]["textTokens"] if usage else 0


@holds("priming.too-little")
async def _too_little(target: Target) -> None:
    assert (await typed_after(target, 66))[0] is False


@holds("priming.enough")
async def _enough(target: Target) -> None:
    assert (await typed_after(target, 68))[0] is True


@holds("priming.billed")
async def _billed(target: Target) -> None:
    answered, tokens = await typed_after(target, 20)

    assert answered is False
    assert tokens > 0


@holds("priming.first-model")
async def _first_model(target: Target) -> None:
    assert (await typed_after(target, 200, path_of(FIRST_MODEL_ID)))[0] is False


@holds("text.assistant-ignored")
async def _assistant_ignored(target: Target) -> None:
    async with talking(target, PLAIN, opening()) as (talk, _):
        await talk.send(*text_block("U", "ASSISTANT", "I said something.", interactive=True))

        assert await is_answered(talk, patience(target)) is False
        assert talk.stream.exception() is None


HISTORY = [*text_block("H1", "USER", "My name is Ada."), *text_block("H2", "ASSISTANT", "Hello Ada.")]


@holds("text.history-accepted")
async def _history_accepted(target: Target) -> None:
    async with talking(target, PLAIN, opening(*HISTORY)) as (talk, _):
        await talk.send(*text_block("U", "USER", "What is my name?", interactive=True))

        assert await talk.stream.until("contentEnd", type="AUDIO", stopReason="END_TURN")


@holds("text.history-not-answered")
async def _history_not_answered(target: Target) -> None:
    async with talking(target, PLAIN, opening(*HISTORY[:3])) as (talk, _):
        assert await is_answered(talk, patience(target)) is False


@holds("text.several-inputs")
async def _several_inputs(target: Target) -> None:
    async with target.raw() as client:
        stream = client.open()
        system = text_block("S", "SYSTEM", "Be brief. ")
        await stream.send(
            session_start(), prompt_start(), system[0], system[1], system[1], system[2], audio_start(), audio_input(silence(0.1))
        )
        await stream.send(*closing())
        await stream.finish()

        assert (await stream.ending()).exception is None


@holds("text.system-interactive")
async def _system_interactive(target: Target) -> None:
    async with target.raw() as client:
        stream = client.open()
        system = text_block("S", "SYSTEM", "Be brief.", interactive=True)
        await stream.send(session_start(), prompt_start(), *system, audio_start(), audio_input(silence(0.1)), *closing())
        await stream.finish()

        assert (await stream.ending()).exception is None


@holds("text.system-speech")
async def _system_speech(target: Target) -> None:
    async with target.raw() as client:
        stream = client.open()
        await stream.send(*opening(*text_block("V", "SYSTEM_SPEECH", "Speak slowly.")), audio_input(silence(0.1)), *closing())
        await stream.finish()

        assert (await stream.ending()).exception is None


async def detection_ms(target: Target, sensitivity: str) -> int:
    """Return the milliseconds of input between the end of speech and its detection."""
    start = session_start(turnDetectionConfiguration={"endpointingSensitivity": sensitivity})
    async with talking(target, PLAIN, [start, *opening()[1:]]) as (talk, _):
        await talk.say(await target.say("Hello, how are you today?") + silence(0.5))
        end = await talk.stream.until("userSpeechEnd")
        return int(end["inputAudioDetectionOffsetMs"]) - int(end["inputAudioOffsetMs"])


@holds("detection.order")
async def _detection_order(target: Target) -> None:
    high, medium, low = [await detection_ms(target, name) for name in ("HIGH", "MEDIUM", "LOW")]

    assert high < medium < low


@holds("detection.medium")
async def _detection_medium(target: Target) -> None:
    assert abs(await detection_ms(target, "MEDIUM") - 480) <= 60


@holds("detection.needs-silence")
async def _needs_silence(target: Target) -> None:
    pcm = (await target.say("Hello, how are you today?")).rstrip(b"\0")
    pcm = pcm[: len(pcm) - len(pcm) % 2]
    async with target.raw() as client:
        stream = client.open()
        talk = Talk(stream, target.frame_seconds)
        await stream.send(*opening())
        await talk.say(pcm)

        assert await is_answered(talk, patience(target)) is False

"""Turns: what is written, in which order, and what an interruption does."""

import asyncio
import json
from collections.abc import Mapping

import pytest

from nova_sonic_local.brains.interface import Reply, UserTurn
from nova_sonic_local.events import Endpointing
from nova_sonic_local.manner import Finals, Manner
from nova_sonic_local.refusals import Refusal, Refused
from tests.emulator.stage import settle, stage
from tests.emulator.wire import Json, silence, speech

MARKER = 'TEXT ASSISTANT FINAL: { "interrupted" : true }'


async def say_two(_turn: UserTurn, reply: Reply) -> None:
    await reply.say("one two")
    await reply.say("three four")


async def say_four(_turn: UserTurn, reply: Reply) -> None:
    await reply.say("one two three four")


async def test_an_answer_is_speculative_text_speech_and_late_final_text() -> None:
    async with stage(say_two) as play:
        await play.speak()
        spoken = play.outline()
        await play.clock.advance(2.0)

        assert spoken == [
            "userSpeechStart",
            "completionStart",
            "userSpeechEnd",
            "TEXT USER FINAL: hello",
            "end TEXT PARTIAL_TURN",
            "TEXT ASSISTANT SPECULATIVE: one two",
            "end TEXT PARTIAL_TURN",
            "audio",
            "end AUDIO PARTIAL_TURN",
            "TEXT ASSISTANT SPECULATIVE: three four",
            "end TEXT PARTIAL_TURN",
            "audio",
            "end AUDIO END_TURN",
        ]
        assert play.outline()[len(spoken) :] == [
            "TEXT ASSISTANT FINAL: one two",
            "end TEXT PARTIAL_TURN",
            "TEXT ASSISTANT FINAL: three four",
            "end TEXT END_TURN",
        ]


async def test_each_final_text_comes_when_its_sentence_has_been_played() -> None:
    async with stage(say_two, manner=Manner(speech_speed=0, final_delay_seconds=0.25)) as play:
        await play.speak()
        await play.clock.advance(1.24)
        before = play.outline().count("TEXT ASSISTANT FINAL: one two")
        await play.clock.advance(0.02)

        assert (before, play.outline().count("TEXT ASSISTANT FINAL: one two")) == (0, 1)
        assert "TEXT ASSISTANT FINAL: three four" not in play.outline()


@pytest.mark.parametrize(
    ("endpointing", "pause_ms"),
    [(Endpointing.HIGH, 360), (None, 480), (Endpointing.MEDIUM, 480), (Endpointing.LOW, 700)],
)
async def test_the_turn_ends_after_the_pause_of_the_endpointing(endpointing: Endpointing | None, pause_ms: int) -> None:
    async with stage(say_four, endpointing=endpointing) as play:
        await play.hear(silence(0.3) + speech(0.6) + silence(pause_ms / 1000 - 0.02))
        early = "userSpeechEnd" in play.outline()
        await play.hear(silence(0.04))
        end = dict(play.events())["userSpeechEnd"]

        assert not early
        assert (end["inputAudioOffsetMs"], end["inputAudioDetectionOffsetMs"]) == (900, 900 + pause_ms)


async def test_the_brain_gets_the_speech_with_what_came_before_its_detection() -> None:
    async with stage(say_four) as play:
        await play.hear(silence(1.0) + speech(0.6) + silence(0.6))
        turn = play.brain.turns[0]
        spoken = speech(0.6)
        lead = turn.pcm.find(spoken[:640].lstrip(b"\0"))

        assert spoken[320:-320] in turn.pcm
        assert 0.3 <= lead / 2 / 16_000 <= 0.45
        assert play.brain.cues[0].pcm == turn.pcm


async def test_speech_while_the_answer_is_heard_interrupts_it_where_the_listener_is() -> None:
    async with stage(say_four) as play:
        await play.speak()
        await play.clock.advance(1.2)
        before = len(play.outline())
        await play.hear(speech(0.3))

        assert play.outline()[before - 1] == "end AUDIO END_TURN"
        assert play.outline()[before:] == [
            "userSpeechStart",
            MARKER,
            "end TEXT INTERRUPTED",
            "TEXT ASSISTANT FINAL: one two",
            "end TEXT END_TURN",
        ]


async def test_an_interrupted_answer_that_is_still_being_sent_is_closed_and_stopped() -> None:
    async with stage(say_two, manner=Manner(speech_speed=2, final_delay_seconds=0)) as play:
        await play.speak()
        await play.clock.advance(0.2)
        await play.hear(speech(0.3))
        interrupted = play.outline()
        await play.clock.advance(5)

        assert interrupted[-5:] == ["audio", "userSpeechStart", "end AUDIO END_TURN", MARKER, "end TEXT INTERRUPTED"]
        assert play.outline() == interrupted


async def test_speech_after_the_answer_was_played_is_no_interruption() -> None:
    async with stage(say_four) as play:
        await play.speak()
        await play.clock.advance(2.1)
        await play.speak()

        assert MARKER not in play.outline()
        assert [turn.number for turn in play.brain.turns] == [1, 2]


async def test_the_user_can_go_on_after_an_interruption() -> None:
    async with stage(say_four, words=["first", "second"]) as play:
        await play.speak()
        await play.clock.advance(0.6)
        await play.speak()

        assert [turn.text for turn in play.brain.turns] == ["first", "second"]
        assert play.outline()[-6:] == [
            "TEXT USER FINAL: second",
            "end TEXT PARTIAL_TURN",
            "TEXT ASSISTANT SPECULATIVE: one two three four",
            "end TEXT PARTIAL_TURN",
            "audio",
            "end AUDIO END_TURN",
        ]


async def test_the_assistant_waits_while_the_user_speaks() -> None:
    thinking = asyncio.Event()

    async def think(turn: UserTurn, reply: Reply) -> None:
        if turn.number == 1:
            await thinking.wait()
        await reply.say(f"answer {turn.number}")

    async with stage(think) as play:
        await play.speak()
        await play.hear(speech(0.4))
        thinking.set()
        await settle()
        meanwhile = play.outline()
        await play.hear(silence(0.6))

        assert "TEXT ASSISTANT SPECULATIVE: answer 1" not in meanwhile
        assert [line for line in play.outline() if "SPECULATIVE" in line] == [
            "TEXT ASSISTANT SPECULATIVE: answer 1",
            "TEXT ASSISTANT SPECULATIVE: answer 2",
        ]
        assert MARKER not in play.outline()


async def test_tools_are_called_at_once_and_answered_in_any_order() -> None:
    got: list[Mapping[str, object]] = []

    async def use_tools(_turn: UserTurn, reply: Reply) -> None:
        await reply.say("wait")
        got.extend(await reply.call_tools([("first", {"n": 1}), ("second", {})]))
        await reply.say("done")

    async with stage(use_tools) as play:
        await play.speak()
        called = play.outline()
        first, second = play.tool_ids()
        still_pending = set(play.pending)
        play.engine.take_result(second, {"b": 2})
        play.engine.take_result(first, {"a": 1})
        await settle()

        assert called[-6:] == [
            "audio",
            "end AUDIO PARTIAL_TURN",
            'tool first {"n":1}',
            "end TOOL TOOL_USE",
            "tool second {}",
            "end TOOL TOOL_USE",
        ]
        assert still_pending == {first, second}
        assert got == [{"a": 1}, {"b": 2}]
        assert play.outline()[-1] == "end AUDIO END_TURN"


async def test_the_conversation_goes_on_while_a_tool_runs() -> None:
    async def slow_tool(turn: UserTurn, reply: Reply) -> None:
        if turn.number == 1:
            await reply.call_tools([("slow", {})])
        await reply.say(f"answer {turn.number}")

    async with stage(slow_tool) as play:
        await play.speak()
        await play.speak()
        await play.clock.advance(5)
        play.engine.take_result(play.tool_ids()[0], {})
        await settle()

        assert [line for line in play.outline() if "SPECULATIVE" in line] == [
            "TEXT ASSISTANT SPECULATIVE: answer 2",
            "TEXT ASSISTANT SPECULATIVE: answer 1",
        ]


async def test_a_tool_of_an_interrupted_turn_still_takes_its_result() -> None:
    async def filler_and_tool(turn: UserTurn, reply: Reply) -> None:
        await reply.say("one moment please")
        if turn.number == 1:
            await reply.call_tools([("slow", {})])
            await reply.say("never said")

    async with stage(filler_and_tool) as play:
        await play.speak()
        await play.clock.advance(0.5)
        await play.speak()
        still_pending = set(play.pending)
        play.engine.take_result(play.tool_ids()[0], {})
        await settle()

        assert MARKER in play.outline()
        assert still_pending == set(play.tool_ids())
        assert "TEXT ASSISTANT SPECULATIVE: never said" not in play.outline()


async def test_arguments_can_be_encoded_twice() -> None:
    async def use_tool(_turn: UserTurn, reply: Reply) -> None:
        await reply.call_tools([("t", {"a": 1})])

    async with stage(use_tool, manner=Manner(argument_encodings=2)) as play:
        await play.speak()
        content = dict(play.events())["toolUse"]["content"]

        assert json.loads(json.loads(content)) == {"a": 1}


async def test_arguments_that_are_a_text_go_out_as_they_are() -> None:
    async def use_tool(_turn: UserTurn, reply: Reply) -> None:
        await reply.call_tools([("t", "{no json")])

    async with stage(use_tool) as play:
        await play.speak()

        assert dict(play.events())["toolUse"]["content"] == "{no json"


async def test_a_typed_turn_is_answered_when_68_ms_of_audio_came_before_it() -> None:
    async with stage(say_four) as play:
        await play.hear(silence(0.067))
        play.engine.read("too early")
        await settle()
        early = play.outline()
        await play.hear(silence(0.068))
        play.engine.read("in time")
        await settle()

        assert early == ["completionStart"]
        assert [turn.text for turn in play.brain.turns] == ["in time"]
        assert "TEXT USER FINAL: in time" in play.outline()


async def test_each_typed_turn_needs_audio_of_its_own() -> None:
    async with stage(say_four) as play:
        await play.hear(silence(0.5))
        play.engine.read("first")
        play.engine.read("second")
        await settle()

        assert [turn.text for turn in play.brain.turns] == ["first"]


async def test_a_typed_turn_interrupts_what_is_heard() -> None:
    async with stage(say_four) as play:
        await play.speak()
        await play.hear(silence(0.1))
        play.engine.read("stop")
        await settle()

        assert MARKER in play.outline()
        assert play.brain.turns[-1].text == "stop"


async def test_a_typed_turn_from_before_the_audio_is_answered_once_the_audio_is_primed() -> None:
    async with stage(say_four, typed="hi") as play:
        await play.hear(silence(0.06))
        early = len(play.brain.turns)
        await play.hear(silence(0.1))

        assert (early, [turn.text for turn in play.brain.turns]) == (0, ["hi"])


async def test_the_first_model_does_not_answer_typed_turns_and_tells_nothing_of_speech() -> None:
    async with stage(say_four, model="amazon.nova-sonic-v1") as play:
        await play.hear(silence(0.5))
        play.engine.read("hi")
        await play.speak()

        assert [turn.text for turn in play.brain.turns] == ["hello"]
        assert {"userSpeechStart", "userSpeechEnd"}.isdisjoint(play.outline())


async def test_speech_that_nobody_understood_is_written_as_inaudible() -> None:
    async with stage(say_four, words=[None]) as play:
        await play.speak()

        assert play.brain.turns[0].text is None
        assert "TEXT USER FINAL: [inaudible]" in play.outline()


async def test_late_finals_come_with_the_next_turn() -> None:
    async with stage(say_four, manner=Manner(speech_speed=0, finals=Finals.WITH_NEXT_TURN)) as play:
        await play.speak()
        await play.clock.advance(60)
        before = "TEXT ASSISTANT FINAL: one two three four" in play.outline()
        await play.speak()
        lines = play.outline()

        assert not before
        assert lines.index("TEXT ASSISTANT FINAL: one two three four") < len(lines) - lines[::-1].index("TEXT USER FINAL: hello") - 1


async def test_finals_can_be_left_out() -> None:
    async with stage(say_four, manner=Manner(speech_speed=0, finals=Finals.NEVER)) as play:
        await play.speak()
        await play.clock.advance(60)
        play.engine.finish()

        assert [line for line in play.outline() if line.startswith("TEXT ASSISTANT FINAL")] == []


async def test_usage_adds_up() -> None:
    async with stage(say_two) as play:
        await play.speak()
        await play.clock.advance(5)
        await play.speak()
        usages = [body for name, body in play.events() if name == "usageEvent"]
        sums = {"input": {"speechTokens": 0, "textTokens": 0}, "output": {"speechTokens": 0, "textTokens": 0}}
        for usage in usages:
            for side, kinds in sums.items():
                for kind in kinds:
                    kinds[kind] += usage["details"]["delta"][side][kind]
            assert usage["details"]["total"] == sums
            assert usage["totalInputTokens"] == sum(sums["input"].values())
            assert usage["totalOutputTokens"] == sum(sums["output"].values())
            assert usage["totalTokens"] == usage["totalInputTokens"] + usage["totalOutputTokens"]

        assert len(usages) == 6
        assert sums["output"]["speechTokens"] == 4 * 25


async def test_speech_is_sent_faster_than_it_plays_by_the_factor() -> None:
    async with stage(say_four, manner=Manner(speech_speed=4)) as play:
        await play.speak()
        await play.clock.advance(0.25)
        half = sum(len(body["content"]) for name, body in play.events() if name == "audioOutput")
        await play.clock.advance(0.3)
        whole = sum(len(body["content"]) for name, body in play.events() if name == "audioOutput")

        assert 0.4 < half / whole < 0.65
        assert play.outline()[-1] == "end AUDIO END_TURN"


async def test_pieces_of_speech_are_of_the_sizes_seen_on_the_service() -> None:
    async def play_much(_turn: UserTurn, reply: Reply) -> None:
        await reply.play(speech(10, 24_000), "much")

    async with stage(play_much) as play:
        await play.speak()
        await asyncio.sleep(0)
        sizes = [len(body["content"]) * 3 // 4 for name, body in play.events() if name == "audioOutput"]

        assert all(2_555 <= size <= 6_402 for size in sizes[:-1])
        assert len(set(sizes)) > 10


async def test_a_stream_has_one_completion() -> None:
    async with stage(say_four) as play:
        await play.speak()
        await play.clock.advance(9)
        await play.speak()
        play.engine.finish()
        play.engine.finish()

        assert [line for line in play.outline() if line.startswith("completion")] == ["completionStart", "completionEnd"]
        assert len({body["completionId"] for _, body in play.events() if "completionId" in body}) == 1


async def test_audio_that_ends_in_mid_speech_ends_the_turn() -> None:
    async with stage(say_four) as play:
        await play.hear(silence(0.3) + speech(0.6))
        play.engine.end_audio()
        await settle()

        assert len(play.brain.turns) == 1


async def test_a_brain_that_fails_is_an_error_of_the_model() -> None:
    async def fail(_turn: UserTurn, _reply: Reply) -> None:
        raise ZeroDivisionError

    errors: tuple[Exception, ...] = ()
    try:
        async with stage(fail) as play:
            await play.speak()
            await asyncio.sleep(60)
    except* Refused as group:
        errors = group.exceptions

    assert [str(error) for error in errors] == [Refusal.MODEL_ERROR.value.text]
    assert play.brain.closed == 1


async def test_a_brain_that_ignores_the_interruption_is_not_heard() -> None:
    async def stubborn(_turn: UserTurn, reply: Reply) -> None:
        try:
            await reply.say("one two three four")
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await reply.say("and another thing")

    async with stage(stubborn) as play:
        await play.speak()
        await play.clock.advance(0.5)
        await play.hear(speech(0.3))
        await play.hear(silence(0.6))
        await play.clock.advance(0.1)

        assert "TEXT ASSISTANT SPECULATIVE: and another thing" not in play.outline()


async def test_a_ninth_answer_takes_the_place_of_the_oldest() -> None:
    async def wait_for_tool(_turn: UserTurn, reply: Reply) -> None:
        await reply.call_tools([("slow", {})])
        await reply.say("done")

    async with stage(wait_for_tool) as play:
        for _ in range(9):
            await play.speak()
        for tool_use_id in play.tool_ids():
            play.engine.take_result(tool_use_id, {})
        await settle()
        await play.clock.advance(60)

        assert len(play.tool_ids()) == 9
        assert [line for line in play.outline() if "SPECULATIVE" in line] == ["TEXT ASSISTANT SPECULATIVE: done"] * 8


def test_fields_that_readers_index_are_always_there() -> None:
    async def use_all(_turn: UserTurn, reply: Reply) -> None:
        await reply.say("wait")
        await reply.call_tools([("t", {})])

    async def run() -> list[tuple[str, Json]]:
        async with stage(use_all) as play:
            await play.speak()
            return play.events()

    events = asyncio.run(run())
    starts = [body for name, body in events if name == "contentStart"]
    ends = [body for name, body in events if name == "contentEnd"]

    assert {start["type"] for start in starts} == {"TEXT", "AUDIO", "TOOL"}
    assert all({"sessionId", "promptName", "completionId", "contentId", "role", "type"} <= start.keys() for start in starts)
    assert all(json.loads(start["additionalModelFields"]).keys() == {"generationStage"} for start in starts if start["type"] == "TEXT")
    assert all({"contentId", "type", "stopReason"} <= end.keys() for end in ends)
    assert [start["contentId"] for start in starts] == [end["contentId"] for end in ends]

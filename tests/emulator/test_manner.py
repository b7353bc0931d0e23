"""Other readings of the guide: what an interrupted block and a completion may look like, and when."""

import pytest

from nova_sonic_local.brains.interface import Reply, UserTurn
from nova_sonic_local.faults import Fault, FaultPlan
from nova_sonic_local.manner import Completions, Finals, Manner, behave
from tests.emulator.stage import stage
from tests.emulator.wire import silence, speech

MARKER = 'TEXT ASSISTANT FINAL: { "interrupted" : true }'
PER_TURN = Manner(speech_speed=0, final_delay_seconds=0, completions=Completions.TURN)


async def say_four(_turn: UserTurn, reply: Reply) -> None:
    await reply.say("one two three four")


async def say_nothing(_turn: UserTurn, _reply: Reply) -> None:
    return


@pytest.mark.parametrize("reason", ["END_TURN", "INTERRUPTED"])
async def test_the_audio_that_is_interrupted_ends_with_its_reason(reason: str) -> None:
    async with stage(say_four, manner=Manner(speech_speed=2, interrupted_audio_end=reason)) as play:
        await play.speak()
        await play.clock.advance(0.2)
        await play.hear(speech(0.3))
        lines = play.outline()

        assert lines[lines.index(MARKER) - 1] == f"end AUDIO {reason}"


async def test_a_completion_of_a_turn_ends_after_its_last_final_text() -> None:
    async with stage(say_four, manner=PER_TURN) as play:
        for _ in range(2):
            await play.speak()
            spoken = play.outline().count("completionEnd")
            await play.clock.advance(5)
            lines = play.outline()
            ids = [body["completionId"] for name, body in play.events() if name == "completionStart"]

            assert lines.count("completionEnd") == spoken + 1
            assert lines[-3:] == ["TEXT ASSISTANT FINAL: one two three four", "end TEXT END_TURN", "completionEnd"]

        assert len(set(ids)) == 2


async def test_every_event_of_a_completion_carries_its_id() -> None:
    async with stage(say_four, manner=PER_TURN) as play:
        for _ in range(2):
            await play.speak()
            await play.clock.advance(5)
        now = ""
        for name, body in play.events():
            if name == "completionStart":
                now = body["completionId"]
            if "completionId" in body:
                assert (name, body["completionId"]) == (name, now)

        assert now


async def test_an_interrupted_completion_says_so_and_the_next_turn_has_its_own() -> None:
    async with stage(say_four, manner=PER_TURN) as play:
        await play.speak()
        await play.clock.advance(0.5)
        await play.speak()
        await play.clock.advance(5)
        ends = [body["stopReason"] for name, body in play.events() if name == "completionEnd"]

        assert ends == ["INTERRUPTED", "END_TURN"]
        assert play.outline().count("completionStart") == 2


@pytest.mark.parametrize("finals", [Finals.NEVER, Finals.WHEN_PLAYED])
async def test_a_turn_without_final_texts_ends_its_completion_too(finals: Finals) -> None:
    manner = Manner(speech_speed=0, final_delay_seconds=0, finals=finals, completions=Completions.TURN)
    async with stage(say_four if finals is Finals.NEVER else say_nothing, manner=manner) as play:
        await play.speak()

        assert play.outline()[-1] == "completionEnd"


async def test_a_completion_may_never_end() -> None:
    async with stage(say_four, manner=Manner(speech_speed=0, completions=Completions.ENDLESS)) as play:
        await play.speak()
        await play.clock.advance(5)
        play.engine.finish()

        assert [line for line in play.outline() if line.startswith("completion")] == ["completionStart"]


async def test_usage_goes_on_adding_up_over_completions() -> None:
    async with stage(say_four, manner=PER_TURN) as play:
        for _ in range(2):
            await play.speak()
            await play.clock.advance(5)
        usages = [body for name, body in play.events() if name == "usageEvent"]
        spoken = sum(usage["details"]["delta"]["output"]["speechTokens"] for usage in usages)

        assert spoken == usages[-1]["details"]["total"]["output"]["speechTokens"] == 2 * 2 * 25


async def test_silence_is_not_billed() -> None:
    async with stage(say_four) as play:
        await play.hear(silence(5))

        assert play.events() == []


def test_a_fault_that_is_no_way_to_behave_changes_no_manner() -> None:
    assert behave(Manner(), FaultPlan(Fault.RST)) is None

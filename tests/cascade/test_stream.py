"""A stream of a cascade as a session sees it: opened, spoken to, failed and closed."""

import asyncio
from collections.abc import Callable

import pytest

from cascade.interfaces import ToolCall
from s2s import failures
from s2s.errors import LocalProtocolError, ModelError, Remedy
from s2s.events import (
    AudioContentStart,
    AudioInput,
    AudioOutput,
    CompletionEnd,
    ContentEnded,
    ContentType,
    PromptStart,
    StopReason,
    ToolUse,
)
from session.interfaces import ModelClient
from tests.cascade.crew import GOODBYE, OPENING, Stage, leaked, says, tool_result, typed, until
from tests.cascade.talk import HERTZ, told

LOST = failures.LOST.error("gone")
DENIED = failures.ACCESS_DENIED.error("no")


async def settled() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_it_fits_where_nova_sonic_does() -> None:
    client: ModelClient = Stage().client()

    assert client.model_id == "cascade"


@pytest.mark.req("S1-27")
async def test_a_spoken_turn_is_answered_in_speech() -> None:
    stage = Stage()
    stage.writer.scripts = [says("It is on its way.")]
    stream = await stage.open()
    await stream.send((AudioInput("prompt", "audio", bytes(3_200)),))
    stage.ear.hears("Where is my order?")
    end = await until(stream, ContentEnded)
    while end.type is not ContentType.AUDIO:
        end = await until(stream, ContentEnded)
    await stream.close()

    assert end.stop_reason is StopReason.END_TURN
    assert bytes(stage.ear.heard) == bytes(3_200)
    assert stage.transcriber.opened == [("es-US", 16_000)]
    assert stage.voice.spoken == [("It is on its way.", "carlos", HERTZ)]
    assert leaked() == []


async def test_a_typed_turn_and_a_tool_go_their_way() -> None:
    stage = Stage()
    stage.writer.scripts = [[ToolCall("use-1", "lookUp", "{}"), *says()], says("Here it is.")]
    stream = await stage.open()
    await stream.send(typed("Where is my order?"))
    use = await until(stream, ToolUse)
    with pytest.raises(LocalProtocolError):
        await stream.send(tool_result("use-2"))
    await stream.send(tool_result(use.tool_use_id))
    await until(stream, AudioOutput)
    await stream.close()

    assert [len(request.messages) for request in stage.writer.requests] == [1, 3]


async def test_the_end_of_the_session_ends_the_stream_in_order() -> None:
    stage = Stage()
    stage.writer.scripts = [says("It is on its way.")]
    stream = await stage.open()
    await stream.send((AudioInput("prompt", "audio", bytes(3_200)), *typed("Where is my order?")))
    await until(stream, AudioOutput)
    await stream.send(GOODBYE)
    await until(stream, CompletionEnd)

    assert await stream.receive() is None
    with pytest.raises(ModelError):
        await stream.send(typed("Hello?"))
    await stream.close()
    assert leaked() == []


@pytest.mark.parametrize(
    "opening",
    [OPENING[:-1], (OPENING[0], PromptStart("prompt", "arjun", HERTZ), *OPENING[2:]), (AudioContentStart("prompt", "audio"),)],
    ids=["no audio", "no such voice", "out of order"],
)
async def test_an_opening_against_the_rules_reaches_nobody(opening: tuple[object, ...]) -> None:
    stage = Stage()

    with pytest.raises(LocalProtocolError):
        await stage.open(opening)  # type: ignore[arg-type]  # slices of events
    assert stage.transcriber.opened == []


async def test_a_refused_opening_tells_why() -> None:
    stage = Stage()
    stage.transcriber.error = DENIED

    with pytest.raises(ModelError) as refused:
        await stage.open()
    assert refused.value is DENIED
    assert leaked() == []


async def test_an_opening_that_hangs_ends_in_time() -> None:
    stage = Stage()
    stage.transcriber.hangs = True

    with pytest.raises(ModelError) as late:
        await stage.open(opening_seconds=0.01)
    assert (late.value.code, late.value.remedy) == ("model_timeout_opening", Remedy.BACKOFF)


def _ear_fails(stage: Stage) -> None:
    stage.ear.fails(LOST)


def _writer_fails(stage: Stage) -> None:
    stage.writer.scripts = [[*says("One sentence here. ")[:1], LOST]]
    stage.ear.hears("Hello")


def _voice_fails(stage: Stage) -> None:
    stage.voice.error = LOST
    stage.writer.scripts = [says("One sentence here.")]
    stage.ear.hears("Hello")


@pytest.mark.parametrize("fail", [_ear_fails, _writer_fails, _voice_fails])
async def test_the_failure_of_any_service_ends_the_stream_with_its_remedy(fail: Callable[[Stage], None]) -> None:
    stage = Stage()
    stream = await stage.open()
    fail(stage)

    with pytest.raises(ModelError) as failed:
        await until(stream, CompletionEnd)
    assert (failed.value.code, failed.value.remedy) == ("model_lost", Remedy.RESUME)
    with pytest.raises(ModelError):
        await stream.send(typed("Hello?"))
    await stream.close()
    assert (stage.writer.under_way, stage.voice.under_way, stage.ear.closed) == (0, 0, 1)
    assert leaked() == []


async def test_what_came_before_a_failure_is_told_before_it() -> None:
    stage = Stage()
    stream = await stage.open()
    _voice_fails(stage)
    await settled()
    events = [await stream.receive() for _ in range(len(stream._unread))]

    assert told(event for event in events if event)[-2:] == ["audio", "speech"]
    with pytest.raises(ModelError):
        await stream.receive()
    await stream.close()


async def test_audio_that_is_not_taken_ends_the_stream() -> None:
    stage = Stage()
    stream = await stage.open()
    stage.ear.send_error = failures.STALLED.error("full")

    with pytest.raises(ModelError) as stalled:
        await stream.send((AudioInput("prompt", "audio", bytes(320)),))
    assert stalled.value.code == "model_stalled"
    with pytest.raises(ModelError):
        await stream.receive()
    await stream.close()
    assert leaked() == []


async def test_an_interruption_gives_up_what_is_written_and_spoken() -> None:
    stage = Stage()
    stage.writer.scripts = [[*says("Once upon a time there was a king. ")[:1], asyncio.Event()], says("Very well.")]
    stage.voice.waits_for = asyncio.Event()
    stream = await stage.open()
    stage.ear.hears("Tell me a story.")
    await until(stream, AudioOutput)
    before = (stage.writer.under_way, stage.voice.under_way)
    stage.ear.hears("Sto", is_partial=True)
    end = await until(stream, ContentEnded)
    await settled()

    assert before == (1, 1)
    assert (stage.writer.under_way, stage.voice.under_way) == (0, 0)
    assert end.stop_reason is StopReason.INTERRUPTED
    await stream.close()
    assert leaked() == []


async def test_speech_that_nobody_takes_waits_at_the_voice() -> None:
    stage = Stage()
    stage.writer.scripts = [says("A long sentence.")]
    stage.voice.pieces, stage.voice.piece_seconds = 1_000, 1.0
    stream = await stage.open()
    stage.ear.hears("Hello")
    await settled()
    for _ in range(200):
        await asyncio.sleep(0)
    waiting = stage.voice.yielded
    for _ in range(10):
        await until(stream, AudioOutput)
    await settled()

    assert waiting < 15
    assert stage.voice.yielded > waiting
    await stream.close()
    assert stage.voice.under_way == 0


async def test_receiving_may_be_cancelled_and_called_again() -> None:
    stage = Stage()
    stage.writer.scripts = [says("It is on its way.")]
    stream = await stage.open()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await stream.receive()
    stage.ear.hears("Where is my order?")

    assert await until(stream, AudioOutput)
    await stream.close()


async def test_a_client_closes_its_streams_and_then_its_services() -> None:
    stage = Stage()
    closed = []

    async def close() -> None:
        closed.append(stage.ear.closed)

    client = stage.client()
    client._close_crew = (close,)
    stream = await client.open(OPENING)
    await client.aclose()

    assert (closed, stream.is_closed) == ([1], True)

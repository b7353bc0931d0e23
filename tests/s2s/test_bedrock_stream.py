"""A stream against an SDK that misbehaves in ways that no server on a wire can bring about on demand."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from aws_sdk_bedrock_runtime.models import (
    BidirectionalOutputPayloadPart,
    InvokeModelWithBidirectionalStreamOutputChunk,
    InvokeModelWithBidirectionalStreamOutputUnknown,
)
from smithy_aws_event_stream.exceptions import InvalidEventBytes

from s2s.bedrock.connections import Connection, Connections
from s2s.bedrock.stream import INPUT_GROUPS, OUTPUT_EVENTS, Duplex, NovaSonicStream
from s2s.codec import encode_input
from s2s.errors import ModelError
from s2s.events import AudioInput, CompletionStart, ContentEnd, InputEvent, PromptEnd, SessionEnd
from s2s.models import DEFAULT_MODEL_ID, capabilities
from s2s.protocol import StreamProtocol
from tests.s2s.conversation import SHORT, opening

COMPLETION_START = b'{"event":{"completionStart":{"sessionId":"S","promptName":"P","completionId":"K"}}}'
FAREWELL = (ContentEnd("P", "A"), PromptEnd("P"), SessionEnd())
AUDIO = AudioInput("P", "A", bytes(64))


class ScriptedSdk:
    """The SDK's duplex stream, with both ends in the hands of the test."""

    def __init__(self) -> None:
        self.input_stream = self
        self.incoming: asyncio.Queue[Any] = asyncio.Queue()
        self.sent: list[bytes] = []
        self.is_input_closed = asyncio.Event()
        self.may_send = asyncio.Event()
        self.may_send.set()
        self.send_error: Exception | None = None

    async def send(self, event: Any) -> None:
        await self.may_send.wait()
        if self.send_error is not None:
            raise self.send_error
        self.sent.append(event.value.bytes_)

    async def close(self) -> None:
        await self.may_send.wait()
        self.is_input_closed.set()
        if self.send_error is not None:
            raise self.send_error

    async def await_output(self) -> tuple[None, "ScriptedSdk"]:
        return None, self

    async def receive(self) -> Any:
        item = await self.incoming.get()
        if isinstance(item, Exception):
            raise item
        return item

    def says(self, *items: Any) -> None:
        for item in items:
            chunk = InvokeModelWithBidirectionalStreamOutputChunk(value=BidirectionalOutputPayloadPart(bytes_=item))
            self.incoming.put_nowait(chunk if isinstance(item, bytes) else item)


class ScriptedConnections:
    """Takes connections back."""

    def __init__(self, sdk: ScriptedSdk) -> None:
        self.released: list[bool] = []
        self._sdk = sdk

    async def release(self, connection: object, *, broken: bool) -> None:
        self.released.append(broken)
        self._sdk.says(OSError("closed by us"))  # what the transport does to a reader


async def started(sdk: ScriptedSdk) -> tuple[NovaSonicStream, ScriptedConnections]:
    protocol = StreamProtocol(capabilities(DEFAULT_MODEL_ID))
    connections = ScriptedConnections(sdk)
    stream = NovaSonicStream(
        duplex=cast(Duplex, sdk),
        protocol=protocol,
        connections=cast(Connections, connections),
        connection=cast(Connection, object()),
        timeouts=SHORT,
    )
    await stream.start(protocol.send_group(opening()))
    return stream, connections


async def code_of(stream: NovaSonicStream, events: Sequence[InputEvent] | None = None) -> str:
    with pytest.raises(ModelError) as told:
        await (stream.receive() if events is None else stream.send(events))
    return told.value.code


@pytest.mark.parametrize(
    ("says", "code"),
    [
        (None, "model_lost"),
        (KeyError("brandNewException"), "model_lost"),
        (InvalidEventBytes(), "model_lost"),
        (OSError("Failed to read from stream."), "model_lost"),
        (AttributeError("a bug"), "model_lost"),
    ],
    ids=["an end that nobody asked for", "KeyError", "InvalidEventBytes", "OSError", "AttributeError"],
)
async def test_whatever_ends_the_reader_is_told_to_both_sides_again_and_again(says: Exception | None, code: str) -> None:
    sdk = ScriptedSdk()
    stream, connections = await started(sdk)
    sdk.says(COMPLETION_START, says)
    first = await stream.receive()
    told = [await code_of(stream), await code_of(stream), await code_of(stream, (AUDIO,))]
    await stream.close()

    assert isinstance(first, CompletionStart)
    assert [code, code, code] == told
    assert connections.released == [True]


async def test_an_event_that_cannot_be_read_is_dropped_and_counted() -> None:
    sdk = ScriptedSdk()
    stream, _ = await started(sdk)
    sdk.says(
        b"oops", InvokeModelWithBidirectionalStreamOutputUnknown(tag="mood"), b'{"event":{"audioOutput":{"content":"A"}}}', COMPLETION_START
    )
    event = await stream.receive()

    assert isinstance(event, CompletionStart)
    assert stream.undecodable_events == 2


async def test_an_end_after_our_session_end_is_in_order() -> None:
    sdk = ScriptedSdk()
    stream, connections = await started(sdk)
    await stream.send(FAREWELL)
    sdk.says(None)
    answers = [await stream.receive(), await stream.receive()]
    await stream.close()

    assert answers == [None, None]
    assert sdk.is_input_closed.is_set()
    assert connections.released == [False]


async def test_a_model_that_ends_before_our_last_byte_ends_in_order() -> None:
    sdk = ScriptedSdk()
    stream, _ = await started(sdk)
    sdk.may_send.clear()
    leaving = asyncio.create_task(stream.send(FAREWELL))
    await asyncio.sleep(0)
    sdk.send_error = OSError("the stream is over")
    sdk.says(None)
    sdk.may_send.set()
    await leaving

    assert await stream.receive() is None


@pytest.mark.req("S4-35", "S4-37", "S4-39")
async def test_closing_says_goodbye_in_order() -> None:
    sdk = ScriptedSdk()
    stream, _ = await started(sdk)
    closing = asyncio.create_task(stream.close())
    await sdk.is_input_closed.wait()
    sdk.says(None)
    await closing
    await stream.close()

    assert [encode_input(event) for event in FAREWELL] == sdk.sent[-3:]
    assert stream.is_closed
    assert await stream.receive() is None


async def test_closing_takes_bounded_time_when_the_model_neither_reads_nor_answers() -> None:
    sdk = ScriptedSdk()
    stream, connections = await started(sdk)
    sdk.may_send.clear()
    async with asyncio.timeout(3 * SHORT.closing + 1):
        await stream.close()

    assert connections.released == [True]


async def test_closing_does_not_wait_for_a_session_that_reads_no_more() -> None:
    sdk = ScriptedSdk()
    stream, _ = await started(sdk)
    sdk.says(*[COMPLETION_START] * (OUTPUT_EVENTS + 50), None)
    async with asyncio.timeout(3 * SHORT.closing):
        await stream.close()

    assert await stream.receive() is None


async def test_groups_that_wait_for_a_stalled_model_are_all_told() -> None:
    sdk = ScriptedSdk()
    stream, _ = await started(sdk)
    sdk.may_send.clear()
    waiting = [asyncio.create_task(stream.send((AUDIO,))) for _ in range(3 * INPUT_GROUPS)]
    await asyncio.wait(waiting)
    codes = {cast(ModelError, task.exception()).code for task in waiting}

    assert codes == {"model_stalled"}
    assert await code_of(stream) == "model_stalled"
    await stream.close()


async def test_a_failed_write_waits_for_the_models_reason() -> None:
    sdk = ScriptedSdk()
    stream, _ = await started(sdk)
    sdk.send_error = OSError("the stream is over")
    sending = asyncio.create_task(stream.send((AUDIO,)))
    await asyncio.sleep(0)
    sdk.says(KeyError("throttlingException"))
    await asyncio.wait({sending})

    assert cast(ModelError, sending.exception()).code == "model_throttled"
    await stream.close()


async def test_a_failed_write_without_a_reason_is_a_loss() -> None:
    sdk = ScriptedSdk()
    stream, _ = await started(sdk)
    sdk.send_error = OSError("the stream is over")

    assert await code_of(stream, (AUDIO,)) == "model_lost"
    assert await code_of(stream) == "model_lost"
    await stream.close()


async def test_a_receiver_that_waits_is_told_when_the_stream_is_closed_under_it() -> None:
    sdk = ScriptedSdk()
    stream, _ = await started(sdk)
    waiting = asyncio.create_task(stream.receive())
    await asyncio.sleep(0)
    closing = asyncio.create_task(stream.close())
    await sdk.is_input_closed.wait()
    sdk.says(None)
    await closing

    assert await waiting is None

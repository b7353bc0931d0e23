"""A stream over an exchange whose both ends are in the hands of the test: what no server on a wire can bring about on demand."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

import pytest

from s2s.bedrock.event_stream import InputEncoder, OutputDecoder, encode_message
from s2s.bedrock.interfaces import ROOM_BYTES, Headers, StreamBroken, StreamRefused
from s2s.bedrock.plugs import OutputReader
from s2s.bedrock.sdk import Call
from s2s.bedrock.stream import NovaSonicStream
from s2s.codec import encode_input
from s2s.errors import LocalProtocolError, ModelError
from s2s.events import AudioInput, CompletionStart, ContentEnd, InputEvent, PromptEnd, SessionEnd
from s2s.models import DEFAULT_MODEL_ID, capabilities
from s2s.protocol import StreamProtocol
from tests.s2s.conversation import SHORT, opening
from tests.s2s.messages import event_message, payloads_sent

COMPLETION_START = b'{"event":{"completionStart":{"sessionId":"S","promptName":"P","completionId":"K"}}}'
FAREWELL = (ContentEnd("P", "A"), PromptEnd("P"), SessionEnd())
AUDIO = AudioInput("P", "A", bytes(64))


class ScriptedExchange:
    """An exchange in memory (s2s.bedrock.interfaces.Exchange)."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.is_input_ended = asyncio.Event()
        self.closes = 0
        self.takes = asyncio.Event()
        self.takes.set()
        self.error: StreamBroken | None = None
        self._is_ended = False
        self._incoming: list[bytes] = []
        self._changed = asyncio.Event()

    @property
    def is_over(self) -> bool:
        return self.error is not None or self._is_ended

    @property
    def has_room(self) -> bool:
        return self.takes.is_set() and not self.is_over

    async def head(self) -> tuple[int, Headers]:
        return 200, ()

    async def room(self) -> None:
        if self.is_over:
            raise self.error or StreamBroken("over")
        await self.takes.wait()

    def write(self, data: bytes) -> None:
        if self.is_over:
            raise self.error or StreamBroken("over")
        self.sent.append(data)

    def end_input(self) -> None:
        self.is_input_ended.set()

    async def read(self) -> bytes | None:
        while not self._incoming:
            if self._is_ended:
                return None
            if self.error is not None:
                raise self.error
            self._changed.clear()
            await self._changed.wait()
        return self.take()

    def take(self) -> bytes:
        data = b"".join(self._incoming)
        self._incoming.clear()
        return data

    async def close(self) -> None:
        self.closes += 1
        self.breaks("closed by us")

    def says(self, *events: bytes) -> None:
        self.brings(*map(event_message, events))

    def brings(self, *messages: bytes) -> None:
        self._incoming += messages
        self._changed.set()

    def ends(self) -> None:
        self._is_ended = True
        self._changed.set()

    def breaks(self, reason: str) -> None:
        if self.error is None and not self._is_ended:
            self.error = StreamBroken(reason)
        self._changed.set()
        self.takes.set()


class ScriptedReader:
    """Reads plain events; raises what the SDK would for a message that is only a name of an exception."""

    def __init__(self) -> None:
        self._errors = {b"KeyError": KeyError("throttlingException"), b"AttributeError": AttributeError("a bug"), b"OSError": OSError("no")}
        self._decoder = OutputDecoder()
        self._decoder.learn(event_message(b""))

    def plain_event(self, message: bytes) -> bytes | None:
        return self._decoder.plain_event(message)

    async def other_event(self, message: bytes) -> bytes | None:
        error = self._errors.get(message[12:-4])
        if error is not None:
            raise error
        return None


def stream_over(exchange: ScriptedExchange, accepted: Exception | None = None) -> tuple[NovaSonicStream, list[bytes]]:
    protocol = StreamProtocol(capabilities(DEFAULT_MODEL_ID))
    answer: asyncio.Future[OutputReader] = asyncio.get_running_loop().create_future()
    if accepted is None:
        answer.set_result(cast(OutputReader, ScriptedReader()))
    else:
        answer.set_exception(accepted)
    call = Call(exchange, InputEncoder("secret", "us-east-1", "bedrock", "0" * 64), cast("asyncio.Task[OutputReader]", answer))
    stream = NovaSonicStream(call=call, protocol=protocol, timeouts=SHORT, signed_until=datetime(2026, 1, 1, tzinfo=UTC))
    return stream, protocol.send_group(opening())


async def started(exchange: ScriptedExchange) -> NovaSonicStream:
    stream, wires = stream_over(exchange)
    await stream.start(wires)
    return stream


async def code_of(stream: NovaSonicStream, events: Sequence[InputEvent] | None = None) -> str:
    with pytest.raises(ModelError) as told:
        await (stream.receive() if events is None else stream.send(events))
    return told.value.code


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (encode_message(b"", b"KeyError"), "model_throttled"),
        (encode_message(b"", b"OSError"), "model_lost"),
        (encode_message(b"", b"AttributeError"), "model_lost"),
        (b"\0" * 64, "model_lost"),
    ],
    ids=["an exception without a class", "OSError", "a bug", "garbage"],
)
async def test_whatever_ends_the_stream_is_told_to_both_sides_again_and_again(message: bytes, code: str) -> None:
    exchange = ScriptedExchange()
    stream = await started(exchange)
    exchange.says(COMPLETION_START)
    exchange.brings(message)
    first = await stream.receive()
    told = [await code_of(stream), await code_of(stream), await code_of(stream, (AUDIO,))]
    await stream.close()

    assert isinstance(first, CompletionStart)
    assert [code, code, code] == told
    assert exchange.closes


@pytest.mark.parametrize("how", ["ends", "breaks", "ends inside a message"])
async def test_an_end_that_nobody_asked_for_is_a_loss(how: str) -> None:
    exchange = ScriptedExchange()
    stream = await started(exchange)
    if how == "breaks":
        exchange.breaks("RST_STREAM(NO_ERROR)")
    else:
        exchange.brings(event_message(COMPLETION_START)[: -1 if "inside" in how else 0])
        exchange.ends()

    assert await code_of(stream) == "model_lost"
    assert await code_of(stream, (AUDIO,)) == "model_lost"


async def test_an_event_that_cannot_be_read_is_dropped_and_counted() -> None:
    exchange = ScriptedExchange()
    stream = await started(exchange)
    exchange.says(b"oops", b'{"event":{"audioOutput":{"content":"A"}}}', COMPLETION_START)
    event = await stream.receive()

    assert isinstance(event, CompletionStart)
    assert stream.undecodable_events == 2


async def test_events_arrive_whole_and_in_order_however_the_bytes_are_cut() -> None:
    exchange = ScriptedExchange()
    stream = await started(exchange)
    data = event_message(COMPLETION_START) * 3
    heard = []
    for position in range(0, len(data), 7):
        exchange.brings(data[position : position + 7])
        waiting = asyncio.create_task(stream.receive())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        if not waiting.cancelled():
            heard.append(waiting.result())

    assert [CompletionStart] * 3 == [type(event) for event in heard]


async def test_a_cancelled_receiver_loses_nothing() -> None:
    exchange = ScriptedExchange()
    stream = await started(exchange)
    for _ in range(5):
        waiting = asyncio.create_task(stream.receive())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
    exchange.says(COMPLETION_START)

    assert isinstance(await stream.receive(), CompletionStart)


async def test_a_cancelled_sender_tears_no_group() -> None:
    exchange = ScriptedExchange()
    stream = await started(exchange)
    before = len(exchange.sent)
    exchange.takes.clear()
    waiting = [asyncio.create_task(stream.send((AUDIO, AUDIO))) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    waiting[1].cancel()
    await asyncio.wait(waiting[:2])
    exchange.takes.set()
    await waiting[2]

    assert payloads_sent(exchange.sent[before:]) == [encode_input(AUDIO)] * 2


async def test_a_group_against_the_rules_is_not_sent_at_all() -> None:
    exchange = ScriptedExchange()
    stream = await started(exchange)
    before = len(exchange.sent)
    with pytest.raises(LocalProtocolError):
        await stream.send((AUDIO, SessionEnd()))
    await stream.send((AUDIO,))

    assert payloads_sent(exchange.sent[before:]) == [encode_input(AUDIO)]


async def test_an_end_after_our_session_end_is_in_order() -> None:
    exchange = ScriptedExchange()
    stream = await started(exchange)
    await stream.send(FAREWELL)
    exchange.ends()
    answers = [await stream.receive(), await stream.receive()]
    await stream.close()

    assert answers == [None, None]
    assert exchange.is_input_ended.is_set()


@pytest.mark.req("S4-35", "S4-37", "S4-39")
async def test_closing_says_goodbye_in_order() -> None:
    exchange = ScriptedExchange()
    stream = await started(exchange)
    closing = asyncio.create_task(stream.close())
    await exchange.is_input_ended.wait()
    exchange.ends()
    await closing
    await stream.close()

    assert [encode_input(event) for event in FAREWELL] == payloads_sent(exchange.sent[-4:-1])
    assert payloads_sent(exchange.sent[-1:]) == [b""]
    assert stream.is_closed
    assert await stream.receive() is None


@pytest.mark.parametrize("model", ["reads", "does not read"])
async def test_closing_takes_bounded_time_when_the_model_does_not_answer(model: str) -> None:
    exchange = ScriptedExchange()
    stream = await started(exchange)
    if model == "does not read":
        exchange.takes.clear()
    async with asyncio.timeout(3 * SHORT.closing + 1):
        await stream.close()

    assert exchange.closes


async def test_closing_does_not_wait_for_a_session_that_reads_no_more() -> None:
    exchange = ScriptedExchange()
    stream = await started(exchange)
    exchange.says(*[COMPLETION_START] * 300)
    closing = asyncio.create_task(stream.close())
    await exchange.is_input_ended.wait()
    exchange.ends()
    async with asyncio.timeout(3 * SHORT.closing):
        await closing

    assert await stream.receive() is None


async def test_a_peer_that_makes_no_room_is_told_to_all_who_wait() -> None:
    exchange = ScriptedExchange()
    stream = await started(exchange)
    exchange.takes.clear()
    waiting = [asyncio.create_task(stream.send((AUDIO,))) for _ in range(24)]
    await asyncio.wait(waiting)
    codes = {cast(ModelError, task.exception()).code for task in waiting}

    assert codes == {"model_stalled"}
    assert await code_of(stream) == "model_stalled"
    await stream.close()


async def test_a_write_to_a_dead_stream_finds_the_models_last_words() -> None:
    exchange = ScriptedExchange()
    stream = await started(exchange)
    exchange.says(COMPLETION_START)
    exchange.brings(encode_message(b"", b"KeyError"))
    exchange.ends()

    assert await code_of(stream, (AUDIO,)) == "model_throttled"
    assert isinstance(await stream.receive(), CompletionStart)
    assert await code_of(stream) == "model_throttled"


async def test_a_write_to_a_dead_stream_without_last_words_is_a_loss() -> None:
    exchange = ScriptedExchange()
    stream = await started(exchange)
    exchange.says(COMPLETION_START)
    exchange.breaks("the connection was lost")

    assert await code_of(stream, (AUDIO,)) == "model_lost"
    assert isinstance(await stream.receive(), CompletionStart)


async def test_a_receiver_that_waits_is_told_when_the_stream_is_closed_under_it() -> None:
    exchange = ScriptedExchange()
    stream = await started(exchange)
    waiting = asyncio.create_task(stream.receive())
    await asyncio.sleep(0)
    closing = asyncio.create_task(stream.close())
    await exchange.is_input_ended.wait()
    exchange.ends()
    await closing

    assert await waiting is None


async def test_a_stream_that_the_peer_did_not_look_at_may_be_tried_again() -> None:
    exchange = ScriptedExchange()
    stream, wires = stream_over(exchange, StreamRefused("GOAWAY"))
    with pytest.raises(StreamRefused):
        await stream.start(wires)
    await stream.close()

    assert exchange.closes


async def test_a_stream_that_was_never_accepted_was_not_lost() -> None:
    exchange = ScriptedExchange()
    stream, wires = stream_over(exchange, StreamBroken("RST_STREAM(INTERNAL_ERROR)"))
    with pytest.raises(ModelError) as told:
        await stream.start(wires)
    await stream.close()

    assert told.value.code == "model_unreachable"


def test_what_may_wait_for_the_peer_is_less_than_a_second_of_speech() -> None:
    frames = ROOM_BYTES / 2202

    assert frames * 32 < 1000

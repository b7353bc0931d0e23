"""Our encoding of the event stream against the bytes of AWS's SDK and against the emulator's own reader."""

import hypothesis.strategies as st
import orjson
import pybase64
import pytest
from hypothesis import given

from nova_sonic_local.framing import decode_message
from nova_sonic_local.signing import MessageChain
from s2s.bedrock.event_stream import MESSAGE_BYTES, FramingError, InputEncoder, MessageSplitter, OutputDecoder, encode_message
from tests.s2s import vectors
from tests.s2s.messages import event_message, string_header


def encoder(seed: str = "0" * 64) -> InputEncoder:
    return InputEncoder(vectors.SECRET, vectors.REGION, vectors.SERVICE, seed)


@pytest.mark.parametrize("signed", vectors.SIGNED_MESSAGES, ids=lambda signed: signed.name)
def test_a_signed_message_is_byte_for_byte_the_sdks(signed: vectors.SignedMessage) -> None:
    ours = encoder(signed.previous)
    if signed.inner:
        event = pybase64.b64decode(orjson.loads(decode_message(signed.inner).payload)["bytes"])
        wire = ours.encode_event(event, signed.date_ms)
    else:
        wire = ours.encode_end(signed.date_ms)

    assert signed.wire == wire


@given(st.lists(st.tuples(st.binary(max_size=200), st.integers(min_value=0, max_value=4_000_000_000_000)), max_size=8))
def test_a_chain_of_messages_passes_the_emulators_check(events: list[tuple[bytes, int]]) -> None:
    seed = "ab" * 32
    ours, chain = encoder(seed), MessageChain(vectors.SECRET, vectors.REGION, vectors.SERVICE, seed)
    for event, date_ms in events:
        outer = decode_message(ours.encode_event(event, date_ms))

        assert outer.value(":chunk-signature") == chain.sign(date_ms, outer.payload)
        assert pybase64.b64decode(orjson.loads(decode_message(outer.payload).payload)["bytes"]) == event


@given(st.lists(st.binary(max_size=300), max_size=6), st.integers(min_value=1, max_value=40))
def test_messages_come_out_whole_however_they_are_cut(payloads: list[bytes], size: int) -> None:
    data = b"".join(encode_message(b"", payload) for payload in payloads)
    splitter = MessageSplitter()
    found = [message for start in range(0, len(data), size) for message in splitter.feed(data[start : start + size])]

    assert found == [encode_message(b"", payload) for payload in payloads]
    assert splitter.is_at_border


@given(st.data())
def test_a_message_with_a_wrong_byte_is_never_taken(data: st.DataObject) -> None:
    message = bytearray(event_message(b'{"event":{}}'))
    position = data.draw(st.integers(min_value=0, max_value=len(message) - 1))
    message[position] ^= data.draw(st.integers(min_value=1, max_value=255))
    with pytest.raises(FramingError):
        list(MessageSplitter().feed(bytes(message)))


def test_a_message_of_absurd_length_is_refused_by_its_first_bytes() -> None:
    huge = encode_message(b"", bytes(MESSAGE_BYTES))
    with pytest.raises(FramingError, match="impossible"):
        list(MessageSplitter().feed(huge[:16]))


@pytest.mark.parametrize("chunk", vectors.CHUNKS)
def test_the_sdks_chunk_is_read_once_its_headers_are_known(chunk: vectors.Chunk) -> None:
    decoder = OutputDecoder()
    first = decoder.plain_event(chunk.wire)
    decoder.learn(chunk.wire)

    assert first is None or first == chunk.event
    assert decoder.plain_event(chunk.wire) == chunk.event


def test_a_padding_member_beside_the_bytes_is_passed_over() -> None:
    headers = b"".join(
        string_header(*pair) for pair in ((":message-type", "event"), (":event-type", "chunk"), (":content-type", "application/json"))
    )

    assert OutputDecoder().plain_event(encode_message(headers, b'{"bytes":"e30=","p":"abcdef"}')) == b"{}"


@pytest.mark.parametrize("exception", vectors.EXCEPTIONS, ids=lambda exception: exception.member)
def test_an_exception_is_left_to_the_sdk(exception: vectors.ExceptionMessage) -> None:
    assert OutputDecoder().plain_event(exception.wire) is None


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b'{"bytes":1}', b'{"bytes":"*"}', b"\xff", b"null"])
def test_what_is_no_chunk_by_its_payload_is_left_to_the_sdk(payload: bytes) -> None:
    headers = b"".join(
        string_header(*pair) for pair in ((":message-type", "event"), (":event-type", "chunk"), (":content-type", "application/json"))
    )

    assert OutputDecoder().plain_event(encode_message(headers, payload)) is None


def test_the_number_of_remembered_headers_is_bounded() -> None:
    decoder = OutputDecoder()
    for number in range(100):
        decoder.learn(encode_message(string_header(":event-type", str(number)), b""))
    known = [decoder.plain_event(encode_message(string_header(":event-type", str(number)), b'{"bytes":""}')) for number in range(100)]

    assert len([event for event in known if event == b""]) < OutputDecoder.HEADS

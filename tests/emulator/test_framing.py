"""Bytes of the event stream, against vectors made by AWS's SDK."""

from binascii import crc32
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_sonic_local.emission import encode_chunk, encode_exception
from nova_sonic_local.envelope import Envelope, SignatureCheck
from nova_sonic_local.framing import (
    FramingError,
    Header,
    HeaderType,
    Message,
    MessageDecoder,
    decode_headers,
    decode_message,
    encode_header,
    encode_message,
    text_header,
)
from nova_sonic_local.signing import MessageChain
from tests.s2s import vectors


@pytest.mark.parametrize("row", vectors.DATE_HEADERS)
def test_the_date_header_is_encoded_as_the_sdk_does(row: vectors.DateHeader) -> None:
    date = Header(":date", HeaderType.TIMESTAMP, row.date_ms)

    assert encode_header(date) == row.wire
    assert decode_headers(row.wire) == (date,)


@pytest.mark.parametrize("row", vectors.INNER_MESSAGES)
def test_a_message_is_encoded_as_the_sdk_does(row: vectors.InnerMessage) -> None:
    headers = tuple(text_header(name, value) for name, value in row.headers)

    assert encode_message(headers, row.payload) == row.wire
    assert decode_message(row.wire) == Message(headers, row.payload)


@pytest.mark.parametrize("row", vectors.SIGNED_MESSAGES, ids=lambda row: row.name)
def test_a_message_is_signed_as_the_sdk_does(row: vectors.SignedMessage) -> None:
    chain = MessageChain(vectors.SECRET, vectors.REGION, vectors.SERVICE, row.previous)
    signature = chain.sign(row.date_ms, row.inner)
    headers = (Header(":date", HeaderType.TIMESTAMP, row.date_ms), Header(":chunk-signature", HeaderType.BYTES, signature))

    assert signature.hex() == row.signature
    assert encode_message(headers, row.inner) == row.wire


def test_a_signed_stream_is_unwrapped_to_its_events_and_its_end() -> None:
    first = vectors.SIGNED_MESSAGES[0]
    envelope = Envelope(SignatureCheck.STRICT, MessageChain(vectors.SECRET, vectors.REGION, vectors.SERVICE, first.previous))
    wire = b"".join(row.wire for row in vectors.SIGNED_MESSAGES)

    assert list(envelope.feed(wire)) == [b'{"bytes":"eyJldmVudCI6eyJzZXNzaW9uRW5kIjp7fX19"}', None]


@pytest.mark.parametrize("row", vectors.CHUNKS)
def test_an_output_event_is_encoded_as_the_sdk_decodes_it(row: vectors.Chunk) -> None:
    assert encode_chunk(row.event) == row.wire


@pytest.mark.parametrize("row", vectors.EXCEPTIONS)
def test_an_exception_is_encoded_as_the_sdk_decodes_it(row: vectors.ExceptionMessage) -> None:
    assert encode_exception(row.member, row.message) == row.wire


HEADERS = (
    Header("t", HeaderType.TRUE, True),
    Header("f", HeaderType.FALSE, False),
    Header("i8", HeaderType.INT8, -128),
    Header("i16", HeaderType.INT16, 32_767),
    Header("i32", HeaderType.INT32, -2_147_483_648),
    Header("i64", HeaderType.INT64, 2**63 - 1),
    Header("b", HeaderType.BYTES, b"\x00\xff"),
    Header("s", HeaderType.STRING, "ñ"),
    Header("d", HeaderType.TIMESTAMP, 1),
    Header("u", HeaderType.UUID, UUID(int=7)),
)


def test_headers_of_every_type_survive() -> None:
    assert decode_message(encode_message(HEADERS, b"payload")).headers == HEADERS


@given(st.binary(max_size=300), st.integers(1, 40))
def test_messages_are_found_in_pieces_of_any_size(payload: bytes, size: int) -> None:
    wire = encode_message(HEADERS, payload) + encode_message((), b"")
    decoder = MessageDecoder()
    messages = [message for start in range(0, len(wire), size) for message in decoder.feed(wire[start : start + size])]

    assert [message.payload for message in messages] == [payload, b""]
    assert decoder.pending_bytes == 0


@given(st.data())
def test_a_flipped_bit_is_never_taken_for_a_message(data: st.DataObject) -> None:
    wire = bytearray(encode_message((text_header("a", "b"),), b"some payload"))
    bit = data.draw(st.integers(0, 8 * len(wire) - 1))
    wire[bit // 8] ^= 1 << bit % 8

    with pytest.raises(FramingError):
        decode_message(bytes(wire))


@given(st.binary(max_size=64))
def test_any_bytes_as_headers_are_decoded_or_refused(data: bytes) -> None:
    try:
        headers = decode_headers(data)
    except FramingError:
        return

    assert b"".join(map(encode_header, headers)) == data


def test_a_header_given_twice_is_refused() -> None:
    with pytest.raises(FramingError, match="twice"):
        decode_headers(encode_header(text_header("a", "1")) * 2)


@pytest.mark.parametrize("header", [text_header("", "x"), text_header("n" * 256, "x"), text_header("n", "x" * 65_536)])
def test_what_does_not_fit_is_not_encoded(header: Header) -> None:
    with pytest.raises(FramingError):
        encode_header(header)


def test_a_message_too_large_is_refused_before_it_has_come() -> None:
    lengths = (17 * 1024 * 1024).to_bytes(4) + (0).to_bytes(4)

    with pytest.raises(FramingError, match="message length"):
        MessageDecoder().feed(lengths + crc32(lengths).to_bytes(4))

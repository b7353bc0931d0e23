"""Vectors of tests/vectors: every shape of every event, and everything that must not pass for one."""

import dataclasses
import json
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.codec import decode_input, decode_output, encode_input, encode_output
from s2s.errors import CodecError
from s2s.events import AudioInput, AudioOutput, TextInput, UnknownEvent
from s2s.limits import EVENT_BYTES
from s2s.wire import Members

VECTORS = Path(__file__).parent.parent / "vectors"


def rows(name: str) -> list[Any]:
    found = map(json.loads, (VECTORS / name).read_text(encoding="utf-8").splitlines())
    return [pytest.param(row, id=f"{row['direction']} {row['name']}") for row in found]


def plain(value: object) -> object:
    """Turn an event into what the vectors write."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def described(event: Any) -> object:
    return {"class": type(event).__name__, **{key: plain(item) for key, item in dataclasses.asdict(event).items()}}


@pytest.mark.req("S4-34", "S4-35", "S4-36", "S4-37", "S4-38", "S4-39", "S4-40", "S4-41", "S4-42", "S4-43", "S4-44", "S4-45")
@pytest.mark.parametrize("row", rows("s2s_codec.jsonl"))
def test_an_event_is_read_as_the_vector_says(row: dict[str, Any]) -> None:
    decode = decode_input if row["direction"] == "input" else decode_output
    event = decode(row["wire"].encode())

    assert row["event"] == described(event)


@pytest.mark.req("S4-34", "S4-35", "S4-36", "S4-37", "S4-38", "S4-39", "S4-40", "S4-42", "S4-45")
@pytest.mark.parametrize("row", [p for p in rows("s2s_codec.jsonl") if p.values[0]["exact"] and p.values[0]["direction"] == "input"])
def test_an_input_event_is_written_as_aws_documents_it(row: dict[str, Any]) -> None:
    assert row["wire"] == encode_input(decode_input(row["wire"])).decode()


@pytest.mark.parametrize("row", [p for p in rows("s2s_codec.jsonl") if p.values[0]["exact"] and p.values[0]["direction"] == "output"])
def test_an_output_event_is_written_as_it_came(row: dict[str, Any]) -> None:
    assert row["wire"] == encode_output(decode_output(row["wire"].encode())).decode()


@pytest.mark.parametrize("row", rows("s2s_hostile.jsonl"))
def test_what_is_no_event_is_refused_with_its_flaw(row: dict[str, Any]) -> None:
    data = bytes.fromhex(row["hex"]) if "hex" in row else row["data"].encode()
    decode = decode_input if row["direction"] == "input" else decode_output
    with pytest.raises(CodecError) as refused:
        decode(data)

    assert row["flaw"] == refused.value.flaw.value


def test_text_and_bytes_are_read_alike() -> None:
    text = '{"event":{"textInput":{"promptName":"P","contentName":"C","content":"¿Qué?"}}}'

    assert decode_input(text.encode()) == decode_input(text) == TextInput("P", "C", "¿Qué?")


def test_text_with_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(CodecError):
        decode_input('{"event":{"textInput":{"promptName":"P","contentName":"C","content":"\ud800"}}}')


def test_a_lone_surrogate_is_not_written() -> None:
    with pytest.raises(CodecError):
        encode_input(TextInput("P", "C", "\ud800"))


def test_half_a_sample_is_not_written() -> None:
    with pytest.raises(CodecError):
        encode_input(AudioInput("P", "C", b"\0\0\0"))
    with pytest.raises(CodecError):
        encode_output(AudioOutput("S", "P", "K", "X", b"\0"))


def test_an_event_over_the_size_limit_is_refused_unread() -> None:
    with pytest.raises(CodecError) as refused:
        decode_input(b'"' + b"x" * EVENT_BYTES + b'"')

    assert refused.value.flaw.value == "too_large"


def test_names_that_need_escapes_survive_the_template_of_audio() -> None:
    event = AudioInput('P"\\', "C\n", b"\1\0\2\0")

    assert event == decode_input(encode_input(event))


def test_an_unknown_event_keeps_members_of_any_kind() -> None:
    event = decode_output(b'{"event":{"newEvent":{"list":[1,{"a":null}],"text":"\\"q\\""}}}')

    assert UnknownEvent("newEvent", '{"list":[1,{"a":null}],"text":"\\"q\\""}') == event


def test_a_whole_number_written_as_float_is_whole() -> None:
    assert Members("x", {"n": 3.0}).whole("n", 0) == 3


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    [
        "sessionStart",
        "promptStart",
        "contentStart",
        "textInput",
        "audioInput",
        "toolResult",
        "contentEnd",
        "promptEnd",
        "sessionEnd",
        "completionStart",
        "textOutput",
        "audioOutput",
        "toolUse",
        "completionEnd",
        "usageEvent",
        "userSpeechStart",
        "userSpeechEnd",
    ]
)
MEMBERS = st.sampled_from(
    [
        "promptName",
        "contentName",
        "contentId",
        "type",
        "role",
        "content",
        "inferenceConfiguration",
        "turnDetectionConfiguration",
        "toolConfiguration",
        "interactive",
        "audioInputConfiguration",
        "audioOutputConfiguration",
        "toolResultInputConfiguration",
        "stopReason",
        "additionalModelFields",
        "details",
    ]
)
NEAR_VALUES = JSON | st.sampled_from(
    ["TEXT", "AUDIO", "TOOL", "USER", "SYSTEM", "END_TURN", "AAAA", "AAAAAA==", '{"generationStage":"FINAL"}']
)


def only_codec_errors(data: bytes | str) -> None:
    for decode in (decode_input, decode_output):
        with suppress(CodecError):
            decode(data)  # type: ignore[arg-type]  # decode_output is asked for bytes; it must not die of text either


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_a_decoder_raises_nothing_but_codec_error_on_any_bytes(data: bytes | str) -> None:
    only_codec_errors(data)


@given(NAMES, st.dictionaries(MEMBERS, NEAR_VALUES, max_size=6))
def test_a_decoder_raises_nothing_but_codec_error_on_near_events(name: str, body: dict[str, object]) -> None:
    only_codec_errors(json.dumps({"event": {name: body}}))


@pytest.mark.req("S4-40", "S4-41", "S4-74")
@given(st.text(), st.text(), st.binary(max_size=64).map(lambda data: data[: len(data) // 2 * 2]))
def test_audio_survives_the_wire_bit_by_bit(prompt_name: str, content_name: str, pcm: bytes) -> None:
    event = AudioInput(prompt_name, content_name, pcm)
    try:
        data = encode_input(event)
    except CodecError:
        return  # names with lone surrogates cannot be written

    assert event == decode_input(data)

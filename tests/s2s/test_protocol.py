"""The order of events: vectors for every rule, properties for every state."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s.codec import decode_input, encode_input
from s2s.errors import LocalProtocolError
from s2s.events import (
    AudioContentStart,
    AudioInput,
    ContentEnd,
    InputEvent,
    PromptEnd,
    PromptStart,
    Role,
    SessionEnd,
    SessionStart,
    TextContentStart,
    TextInput,
    ToolContentStart,
    ToolResult,
)
from s2s.limits import RELAXED
from s2s.models import DEFAULT_MODEL_ID, capabilities
from s2s.protocol import StreamProtocol
from s2s.tables import PROMPT, STREAM, Block, PromptPhase, StreamState

LINES = (Path(__file__).parent.parent / "vectors" / "s2s_protocol.jsonl").read_text(encoding="utf-8").splitlines()
ROWS = [pytest.param(row, id=row["name"]) for row in map(json.loads, LINES)]

OPENING: tuple[InputEvent, ...] = (
    SessionStart(),
    PromptStart("P", "matthew"),
    TextContentStart("P", "S", Role.SYSTEM),
    TextInput("P", "S", "You are kind."),
    ContentEnd("P", "S"),
    AudioContentStart("P", "A"),
    AudioInput("P", "A", bytes(64)),
)
TOOL_USE = (
    b'{"event":{"toolUse":{"sessionId":"S","promptName":"P","completionId":"K","contentId":"X",'
    b'"toolName":"t","toolUseId":"U","content":"{}"}}}'
)


def stream(events: Sequence[InputEvent] = ()) -> StreamProtocol:
    protocol = StreamProtocol(capabilities(DEFAULT_MODEL_ID))
    protocol.send_group(events)
    return protocol


@pytest.mark.parametrize("row", ROWS)
def test_a_stream_goes_as_the_vector_says(row: dict[str, Any]) -> None:
    protocol = StreamProtocol(capabilities(row["model"]))
    refused = None
    for step in row["steps"]:
        if "receive" in step:
            protocol.receive_data(json.dumps(step["receive"]).encode())
            continue
        try:
            protocol.send(decode_input(json.dumps(step["send"])))
        except LocalProtocolError as error:
            refused = str(error)  # what follows is the rest of the block that a client would have sent
            break

    if row["refused"] is None:
        assert (refused, row["state"]) == (None, protocol.state.value)
    else:
        assert row["refused"] in (refused or "nothing was refused")


def test_a_refused_event_changes_nothing() -> None:
    protocol = stream(OPENING)
    before = protocol.closing_events()
    with pytest.raises(LocalProtocolError):
        protocol.send(PromptEnd("P"))

    assert before == protocol.closing_events()
    assert protocol.send(AudioInput("P", "A", b"\0\0")) == encode_input(AudioInput("P", "A", b"\0\0"))


def test_a_group_is_sent_whole_or_not_at_all() -> None:
    protocol = stream(OPENING)
    group = (TextContentStart("P", "T", Role.USER, interactive=True), TextInput("P", "T", "hello"), TextInput("P", "other", "x"))
    with pytest.raises(LocalProtocolError):
        protocol.send_group(group)

    assert len(protocol.send_group((*group[:2], ContentEnd("P", "T")))) == 3


def test_a_group_that_cannot_be_written_is_refused() -> None:
    protocol = stream(OPENING)
    with pytest.raises(LocalProtocolError):
        protocol.send_group((TextContentStart("P", "T", Role.USER, interactive=True), TextInput("P", "T", "\ud800")))
    with pytest.raises(LocalProtocolError):
        protocol.send(AudioInput("P", "A", b"\0"))

    assert protocol.state is StreamState.PROMPT_OPEN


def test_a_tool_call_waits_for_exactly_one_result() -> None:
    protocol = stream(OPENING)
    protocol.receive_data(TOOL_USE)
    waiting = protocol.pending_tools
    protocol.send_group((ToolContentStart("P", "T", "U"), ToolResult("P", "T", "{}"), ContentEnd("P", "T")))

    assert (frozenset({"U"}), frozenset()) == (waiting, protocol.pending_tools)


def test_the_models_open_blocks_are_known_until_they_end() -> None:
    protocol = stream(OPENING)
    names = b'"sessionId":"S","promptName":"P","completionId":"K","contentId":"X"'
    protocol.receive_data(b'{"event":{"contentStart":{' + names + b',"type":"AUDIO","role":"ASSISTANT"}}}')
    block = protocol.output_block("X")
    protocol.receive_data(b'{"event":{"contentEnd":{' + names + b',"type":"AUDIO","stopReason":"END_TURN"}}}')

    assert block is not None
    assert (block.role, protocol.output_block("X")) == (Role.ASSISTANT, None)


def test_a_confused_model_cannot_fill_memory_with_open_blocks() -> None:
    protocol = stream(OPENING)
    for number in range(1000):
        protocol.receive_data(b'{"event":{"contentStart":{"contentId":"%d","type":"TEXT","role":"USER"}}}' % number)

    assert (protocol.output_block("0"), protocol.output_block("999") is not None) == (None, True)


def test_the_relaxed_profile_takes_longer_texts() -> None:
    protocol = StreamProtocol(capabilities(DEFAULT_MODEL_ID), RELAXED)
    protocol.send_group((*OPENING[:3], TextInput("P", "S", "x" * 50_000), ContentEnd("P", "S")))

    assert protocol.phase is PromptPhase.HISTORY


@pytest.mark.parametrize(
    ("sent", "closing"),
    [
        (0, ()),
        (1, (SessionEnd(),)),
        (2, ()),
        (3, (TextInput("P", "S", "."), ContentEnd("P", "S"))),
        (4, (ContentEnd("P", "S"),)),
    ],
)
def test_a_young_stream_is_closed_with_what_it_lacks(sent: int, closing: tuple[InputEvent, ...]) -> None:
    events = stream(OPENING[:sent]).closing_events()

    assert closing == events[: len(closing)]
    assert (len(events) > len(closing)) == (sent > 2)


@pytest.mark.req("S4-35", "S4-37")
def test_a_prompt_without_audio_gets_a_moment_of_silence_before_it_ends() -> None:
    events = stream(OPENING[:5]).closing_events()

    assert [AudioContentStart, AudioInput, ContentEnd, PromptEnd, SessionEnd] == [type(event) for event in events]


def test_an_empty_audio_block_gets_a_moment_of_silence_before_it_ends() -> None:
    events = stream(OPENING[:6]).closing_events()

    assert (AudioInput("P", "A", bytes(3200)), ContentEnd("P", "A"), PromptEnd("P"), SessionEnd()) == events


def test_an_open_tool_block_is_closed_with_an_error() -> None:
    protocol = stream(OPENING)
    protocol.receive_data(TOOL_USE)
    protocol.send(ToolContentStart("P", "T", "U"))
    events = protocol.closing_events()

    assert (ToolResult("P", "T", '{"error":"cancelled"}'), ContentEnd("P", "T")) == events[:2]


CONTENT_NAMES = st.sampled_from(["A", "B", "C", "D"])
EVENTS = st.one_of(
    st.just(SessionStart()),
    st.just(PromptStart("P", "carlos")),
    st.builds(TextContentStart, st.sampled_from(["P", "Q"]), CONTENT_NAMES, st.sampled_from(Role), st.booleans()),
    st.builds(AudioContentStart, st.just("P"), CONTENT_NAMES, st.sampled_from([8000, 16000, 44100])),
    st.builds(ToolContentStart, st.just("P"), CONTENT_NAMES, st.sampled_from(["U", "V"])),
    st.builds(TextInput, st.just("P"), CONTENT_NAMES, st.sampled_from(["", "hola", "x" * 1025])),
    st.builds(AudioInput, st.just("P"), CONTENT_NAMES, st.sampled_from([b"", b"\0", b"\0\0"])),
    st.builds(ToolResult, st.just("P"), CONTENT_NAMES, st.sampled_from(["{}", "[]", "oops"])),
    st.builds(ContentEnd, st.just("P"), CONTENT_NAMES),
    st.just(PromptEnd("P")),
    st.just(SessionEnd()),
)
MODELS = st.sampled_from(["amazon.nova-sonic-v1:0", DEFAULT_MODEL_ID, "amazon.nova-2-5-sonic", "unknown"])


@settings(max_examples=400)
@given(MODELS, st.integers(0, 7), st.lists(EVENTS | st.just("tool use"), max_size=25))
def test_any_event_in_any_state_moves_or_refuses_and_leaves_a_stream_that_can_end(
    model_id: str, head: int, events: list[InputEvent | str]
) -> None:
    protocol = StreamProtocol(capabilities(model_id))
    for event in (*OPENING[:head], *events):
        before = protocol.state
        if isinstance(event, str):
            protocol.receive_data(TOOL_USE)
            continue
        try:
            protocol.send(event)
        except LocalProtocolError:
            assert before is protocol.state
            continue
        assert STREAM[before][type(event)] is protocol.state

    closing = protocol.closing_events()
    protocol.send_group(closing)
    if closing:
        assert protocol.state is StreamState.CLOSED
    else:
        assert protocol.state in (StreamState.IDLE, StreamState.CLOSED) or protocol.phase is PromptPhase.EMPTY


def test_every_state_and_kind_of_block_can_be_reached() -> None:
    assert set(STREAM) == set(StreamState)
    assert set(PROMPT) == set(PromptPhase)
    assert {block for row in PROMPT.values() for block in row} == set(Block)

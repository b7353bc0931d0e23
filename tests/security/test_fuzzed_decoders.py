"""Whatever comes, a decoder answers with what it means or with an error that the client can be told; and soon."""

import json
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session.assistant import parse_assistant
from session.errors import BadFrame, SessionError
from session.events import SendAudio, SessionFailed
from tests.security.fuzzing import frames
from tests.security.tongues import COMPANION, PAGE, RAW, REALTIME, TONGUES, VOICE, Tongue
from tests.transports.doubles import ASSISTANT
from transports.dialects.auth_messages import is_auth, token_in
from transports.dialects.binary import BinaryDialect
from transports.dialects.companion import CompanionDialect
from transports.dialects.detection import Clocks, by_first_frame
from transports.dialects.interface import Action, Dialect, Frame, Numbered
from transports.dialects.nova_events import NovaEventsDialect
from transports.dialects.realtime import RealtimeDialect
from transports.dialects.voice import VoiceDialect

pytestmark = [pytest.mark.req("S2-28", "S4-06")]

PROFILE = parse_assistant(ASSISTANT)
MAKERS: dict[str, Callable[[], Dialect]] = {
    PAGE.name: lambda: BinaryDialect(_clock),
    RAW.name: lambda: NovaEventsDialect(_clock),
    VOICE.name: lambda: VoiceDialect(_clock, frozenset({"webm"})),
    COMPANION.name: CompanionDialect,
    REALTIME.name: lambda: RealtimeDialect(_clock, PROFILE),
}
SECONDS = 0.2
"""For the largest message, on a machine that does nothing else."""
LARGEST = 262_144
FILLED = "[" * LARGEST, "{" * LARGEST, '"' * LARGEST, "1" * LARGEST, "\\" * LARGEST, " " * LARGEST, "=" * LARGEST
NESTED = [
    *FILLED,
    "[" * (LARGEST // 2) + "]" * (LARGEST // 2),
    '{"a":' * (LARGEST // 6) + "1" + "}" * (LARGEST // 6),
    "[" + "0," * (LARGEST // 2 - 2) + "0]",
    json.dumps({str(number): 0 for number in range(LARGEST // 12)}),
    json.dumps({"type": "a" * (LARGEST - 20)}),
]

any_frame = st.one_of(st.text(), st.binary(), st.from_regex(r"\{.*\}", fullmatch=True))
every_tongue = pytest.mark.parametrize("tongue", TONGUES, ids=lambda tongue: tongue.name)


def _clock() -> int:
    return 0


def sound_in(dialect: Dialect, frame: Frame) -> int:
    """Let a dialect take a frame; return how many bytes of sound it made of it."""
    told: SessionFailed | None = None
    actions: Sequence[Action] = ()
    try:
        actions = dialect.decode(frame)
    except SessionError as refusal:
        told = refusal.event("ref")
    if told is not None:
        assert told.code
        assert 0 < len(told.message) < 1_000
    commands = [action.command if isinstance(action, Numbered) else action for action in actions]
    return sum(len(command.pcm) for command in commands if isinstance(command, SendAudio))


@every_tongue
@settings(max_examples=300)
@given(frame=any_frame)
def test_any_bytes_and_any_text_are_taken_or_refused(tongue: Tongue, frame: Frame) -> None:
    assert sound_in(MAKERS[tongue.name](), frame) <= 2 * len(frame)


@every_tongue
@settings(max_examples=300)
@given(data=st.data())
def test_one_after_another_nearly_right_messages_are_taken_or_refused(tongue: Tongue, data: st.DataObject) -> None:
    dialect = MAKERS[tongue.name]()
    for _ in range(12):
        frame = data.draw(frames(tongue.valid))

        assert sound_in(dialect, frame) <= 2 * len(frame) + 2  # the second byte of a sample may come with the next frame


@every_tongue
@pytest.mark.parametrize("frame", NESTED, ids=lambda frame: frame[:12])
def test_the_worst_messages_cost_little_time(tongue: Tongue, frame: str) -> None:
    dialect = MAKERS[tongue.name]()
    began = time.perf_counter()
    sound_in(dialect, frame)

    assert time.perf_counter() - began < SECONDS * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


@settings(max_examples=500)
@given(data=st.data())
def test_a_first_frame_has_a_dialect_or_is_refused(data: st.DataObject) -> None:
    tongue = data.draw(st.sampled_from(TONGUES))
    frame = data.draw(st.one_of(any_frame, frames(tongue.valid)))
    try:
        dialect: Any = by_first_frame(frame, Clocks(_clock, _clock))
    except BadFrame:
        return

    assert dialect.name


@pytest.mark.parametrize("kind", [[], {}, ["hello"], {"hello": 1}, None, 1.5, True])
@pytest.mark.parametrize("member", ["type", "action", "event", "body"])
def test_members_of_the_wrong_type_decide_nothing(member: str, kind: object) -> None:
    try:
        dialect: Dialect | None = by_first_frame(json.dumps({member: kind}), Clocks(_clock, _clock))
    except BadFrame:
        return

    assert dialect is not None
    assert sound_in(dialect, json.dumps({member: kind})) == 0


@settings(max_examples=300)
@given(frame=st.one_of(any_frame, frames([{"type": "auth", "token": "a.b.c"}])))
def test_what_says_who_a_client_is_can_be_told_from_everything_else(frame: Frame) -> None:
    try:
        token = token_in(frame)
    except BadFrame:
        assert is_auth(frame)
        return

    assert is_auth(frame) == (token is not None)

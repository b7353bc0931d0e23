"""The page's dialect: frames in, frames out."""

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.events import ContentEnded, ContentType, Role, Stage, StopReason
from session.errors import BadFrame, InvalidAudio, NotAllowed, ServerBusy, ServerLeaving, SessionError, TooLarge, UnknownEvent
from session.events import (
    AudioDropped,
    ContinueReason,
    Direction,
    End,
    EndReason,
    ExchangeRefused,
    GoingAway,
    Interrupt,
    Interrupted,
    ModelOutput,
    ReportPlayback,
    SendAudio,
    SendText,
    SessionContinued,
    SessionEnded,
    SessionEvent,
    SessionFailed,
    SessionStalled,
    SessionStarted,
    SpeechChunk,
    SpeechEnded,
    SpeechStarted,
    Start,
    ToolAnswered,
    ToolFinished,
    ToolStarted,
    TranscriptUpdated,
    UsageReported,
    UserSpeechEnded,
    UserSpeechStarted,
)
from transports.dialects.binary import BinaryDialect, Header, pack_audio, unpack_audio, without_samples
from transports.dialects.interface import Acknowledge, Frame, Lasting, Numbered, Reply, Resume, Resumed, Told

STARTED = SessionStarted("s1", "carlos", "es", "carlos", "amazon.nova-2-sonic-v1:0", 16_000, 24_000)


class Milliseconds:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 5_000

    def __call__(self) -> int:
        return self.now


def told(frame: Frame) -> dict[str, object]:
    assert isinstance(frame, str)
    message: dict[str, object] = json.loads(frame)
    return message


def test_a_microphone_frame_becomes_audio() -> None:
    frame = struct.pack("<BBHIII", 1, 0, 0, 7, 3584, 224) + b"\x01\x00\x02\x00"

    assert tuple(BinaryDialect(Milliseconds()).decode(frame)) == (Numbered(7, SendAudio(b"\x01\x00\x02\x00")),)


@pytest.mark.parametrize(
    ("message", "command"),
    [
        ({"type": "hello", "protocol": 1}, Start()),
        (
            {
                "type": "hello",
                "protocol": 1,
                "assistant": "carlos",
                "language": "en",
                "voice": "tiffany",
                "input_hertz": 16000,
                "output_hertz": 16000,
            },
            Start(assistant="carlos", language="en", voice_id="tiffany", output_hertz=16_000),
        ),
        ({"type": "text", "text": "hola"}, SendText("hola")),
        ({"type": "text", "text": "hola", "seq": 4}, Numbered(4, SendText("hola"))),
        ({"type": "interrupt"}, Interrupt()),
        ({"type": "interrupt", "seq": 5}, Numbered(5, Interrupt())),
        ({"type": "hello", "protocol": 1, "language": "en", "resume": True}, Lasting(Start(language="en"))),
        ({"type": "hello", "protocol": 1, "resume": False}, Start()),
        ({"type": "resume", "protocol": 1, "token": "x7", "seq": 12}, Resume("x7", 12)),
        ({"type": "ack", "seq": 9}, Acknowledge(9)),
        ({"type": "playback", "turn": 2, "heard_ms": 1250}, ReportPlayback(2, 1250)),
        ({"type": "playback", "turn": 2, "heard_ms": 1250, "seq": 6}, ReportPlayback(2, 1250)),
        ({"type": "end"}, End()),
        ({"type": "ping", "t": 12.5}, Reply('{"type":"pong","t":12.5}')),
    ],
)
def test_a_control_message_becomes_its_action(message: dict[str, object], command: object) -> None:
    assert tuple(BinaryDialect(Milliseconds()).decode(json.dumps(message))) == (command,)


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        ("", BadFrame),
        ("nonsense", BadFrame),
        ("[]", BadFrame),
        ('"hello"', BadFrame),
        ("{}", BadFrame),
        ('{"type":1}', BadFrame),
        ('{"type":"hello"}', NotAllowed),
        ('{"type":"hello","protocol":2}', NotAllowed),
        ('{"type":"hello","protocol":1,"language":5}', BadFrame),
        ('{"type":"hello","protocol":1,"voice":"' + "x" * 101 + '"}', TooLarge),
        ('{"type":"hello","protocol":1,"input_hertz":44100}', NotAllowed),
        ('{"type":"hello","protocol":1,"input_hertz":16000.0}', NotAllowed),
        ('{"type":"hello","protocol":1,"output_hertz":[]}', NotAllowed),
        ('{"type":"text"}', BadFrame),
        ('{"type":"text","text":null}', BadFrame),
        ('{"type":"text","text":"' + "x" * 40_000 + '"}', TooLarge),
        ('{"type":"playback","turn":-1,"heard_ms":0}', BadFrame),
        ('{"type":"playback","turn":true,"heard_ms":0}', BadFrame),
        ('{"type":"playback","turn":1e9,"heard_ms":0}', BadFrame),
        ('{"type":"hello","protocol":1,"resume":1}', BadFrame),
        ('{"type":"resume","token":"x","seq":0}', NotAllowed),
        ('{"type":"resume","protocol":1,"seq":0}', BadFrame),
        ('{"type":"resume","protocol":1,"token":7,"seq":0}', BadFrame),
        ('{"type":"resume","protocol":1,"token":"x"}', BadFrame),
        ('{"type":"resume","protocol":1,"token":"x","seq":-1}', BadFrame),
        ('{"type":"resume","protocol":1,"token":"x","seq":4294967296}', BadFrame),
        ('{"type":"resume","protocol":1,"token":"' + "x" * 65 + '","seq":0}', TooLarge),
        ('{"type":"ack"}', BadFrame),
        ('{"type":"ack","seq":"1"}', BadFrame),
        ('{"type":"text","text":"hola","seq":"1"}', BadFrame),
        ('{"type":"interrupt","seq":1.5}', BadFrame),
        ('{"type":"ping"}', BadFrame),
        ('{"type":"ping","t":NaN}', BadFrame),
        ('{"type":"session.started"}', UnknownEvent),
        ('{"type":"text","text":"\\ud800"}', BadFrame),
        ("[" * 20_000, BadFrame),
        (b"", BadFrame),
        (b"\x01" * 15, BadFrame),
        (b"\x01" + b"\0" * 15, InvalidAudio),
        (b"\x01" + b"\0" * 15 + b"abc", InvalidAudio),
        (b"\x02" + b"\0" * 15 + b"ab", UnknownEvent),
        (b"\xff" * 64, UnknownEvent),
    ],
)
def test_a_hostile_frame_is_refused_with_its_error(frame: Frame, error: type[SessionError]) -> None:
    with pytest.raises(error):
        BinaryDialect(Milliseconds()).decode(frame)


@given(st.one_of(st.text(), st.binary()))
def test_whatever_comes_nothing_but_a_session_error_is_raised(frame: Frame) -> None:
    try:
        actions = BinaryDialect(Milliseconds()).decode(frame)
    except SessionError:
        return

    assert len(actions) == 1


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), lambda part: st.lists(part, max_size=3))
KINDS = ("hello", "resume", "text", "interrupt", "playback", "ack", "ping", "end")
KEYS = (
    "resume",
    "token",
    "seq",
    "protocol",
    "assistant",
    "language",
    "voice",
    "input_hertz",
    "output_hertz",
    "text",
    "turn",
    "heard_ms",
    "t",
)


@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(KEYS), JSON | st.just(1)))
def test_any_member_of_any_message_is_taken_or_refused(kind: str, members: dict[str, object]) -> None:
    try:
        actions = BinaryDialect(Milliseconds()).decode(json.dumps({**members, "type": kind}))
    except SessionError:
        return

    assert len(actions) == 1


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (
            STARTED,
            {
                "type": "session.started",
                "session_id": "s1",
                "assistant": "carlos",
                "language": "es",
                "voice_id": "carlos",
                "model_id": "amazon.nova-2-sonic-v1:0",
                "input_hertz": 16000,
                "output_hertz": 24000,
            },
        ),
        (UserSpeechStarted(1), {"type": "user.speech_started", "turn": 1}),
        (UserSpeechEnded(1), {"type": "user.speech_ended", "turn": 1}),
        (
            TranscriptUpdated(1, Role.USER, Stage.FINAL, "Hola, ñandú"),
            {"type": "transcript", "turn": 1, "role": "user", "stage": "final", "text": "Hola, ñandú"},
        ),
        (
            TranscriptUpdated(2, Role.ASSISTANT, Stage.SPECULATIVE, "Hola"),
            {"type": "transcript", "turn": 2, "role": "assistant", "stage": "speculative", "text": "Hola"},
        ),
        (SpeechStarted(2, 24_000), {"type": "speech.started", "turn": 2, "output_hertz": 24000}),
        (SpeechEnded(2), {"type": "speech.ended", "turn": 2}),
        (Interrupted(2, 840), {"type": "interrupted", "turn": 2, "heard_ms": 840}),
        (
            ToolStarted(1, "u1", "consultarOrder", '{"orderId":"1"}'),
            {"type": "tool.started", "turn": 1, "id": "u1", "name": "consultarOrder", "arguments": '{"orderId":"1"}'},
        ),
        (
            ToolFinished(1, "u1", "consultarOrder", "{}", None, 12),
            {
                "type": "tool.finished",
                "turn": 1,
                "id": "u1",
                "name": "consultarOrder",
                "result": "{}",
                "error_code": None,
                "duration_ms": 12,
            },
        ),
        (UsageReported(1, 2, 3, 4), {"type": "usage", "input_speech": 1, "input_text": 2, "output_speech": 3, "output_text": 4}),
        (SessionStalled("model_lost"), {"type": "session.stalled", "code": "model_lost"}),
        (AudioDropped(Direction.UP, 480), {"type": "audio.dropped", "direction": "up", "ms": 480}),
        (GoingAway(20_000), {"type": "goAway", "time_left_ms": 20_000, "handle": ""}),
        (SessionContinued(ContinueReason.RESUMED, 70), {"type": "session.continued", "reason": "resumed", "waited_ms": 70}),
        (
            ExchangeRefused("content_blocked", "No.", ref="r1"),
            {"type": "error", "code": "content_blocked", "message": "No.", "retryable": False, "ref": "r1"},
        ),
        (
            SessionFailed("model_busy", "Later.", retryable=True, ref="r1"),
            {"type": "error", "code": "model_busy", "message": "Later.", "retryable": True, "ref": "r1"},
        ),
        (
            SessionFailed("too_many", "Wait.", retryable=True, ref="r1", retry_after=7),
            {"type": "error", "code": "too_many", "message": "Wait.", "retryable": True, "ref": "r1", "retry_after": 7},
        ),
        (
            SessionEnded(EndReason.CLIENT, 1000, {"turns": 4}),
            {"type": "session.ended", "reason": "client", "statistics": {"turns": 4}},
        ),
    ],
)
def test_an_event_becomes_its_message(event: SessionEvent, message: dict[str, object]) -> None:
    frames = BinaryDialect(Milliseconds()).encode(event)

    assert [told(frame) for frame in frames] == [{**message, "seq": 0}]


def test_a_client_that_can_come_back_is_told_with_what_and_for_how_long() -> None:
    dialect = BinaryDialect(Milliseconds())
    dialect.begin(resume_seconds=30)
    (started,) = dialect.encode(STARTED, "x7")
    (leaving,) = dialect.encode(GoingAway(500), "x7")

    assert {key: told(started)[key] for key in ("seq", "resume_token", "resume_seconds")} == {
        "seq": 0,
        "resume_token": "x7",
        "resume_seconds": 30,
    }
    assert told(leaving) == {"type": "goAway", "time_left_ms": 500, "handle": "x7", "seq": 1}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Acknowledge(2**32 + 7), {"type": "ack", "seq": 7}),
        (
            Resumed("s1", "x8", 41, is_adopted=True),
            {"type": "session.resumed", "session_id": "s1", "resume_token": "x8", "resume_seconds": 30, "seq": 41, "adopted": True},
        ),
        (BadFrame("No.").event("r1"), {"type": "error", "code": "bad_frame", "message": "No.", "retryable": False, "ref": "r1"}),
    ],
)
def test_what_belongs_to_no_session_is_told_and_not_counted(answer: Told, message: dict[str, object]) -> None:
    dialect = BinaryDialect(Milliseconds())
    dialect.begin(5, resume_seconds=30)
    (frame,) = dialect.answer(answer)
    (counted,) = dialect.encode(UserSpeechStarted(1))

    assert told(frame) == message
    assert told(counted)["seq"] == 5


def test_what_stands_for_a_withdrawn_frame_has_its_header_and_no_samples() -> None:
    dialect = BinaryDialect(Milliseconds())
    dialect.begin(9)
    (frame,) = dialect.encode(SpeechChunk(2, b"\1\0" * 480))
    assert isinstance(frame, bytes)

    assert unpack_audio(without_samples(frame)) == (Header(2, 0, 2, 9, 0, 0), b"")


@pytest.mark.parametrize(
    "event",
    [ModelOutput(ContentEnded("s", "p", "c", "x", ContentType.TEXT, StopReason.END_TURN)), ToolAnswered("u1", "n1", "{}")],
)
def test_the_models_own_events_are_not_told(event: SessionEvent) -> None:
    assert list(BinaryDialect(Milliseconds()).encode(event)) == []


def test_speech_is_counted_with_everything_else_and_its_samples_per_turn() -> None:
    clock = Milliseconds()
    dialect = BinaryDialect(clock)
    dialect.encode(STARTED)
    clock.now += 40
    chunks = [SpeechChunk(2, b"\1\0" * 480), SpeechChunk(2, b"\2\0" * 240), SpeechChunk(4, b"\3\0" * 480)]

    frames = [frame for chunk in chunks for frame in dialect.encode(chunk)]

    assert [unpack_audio(frame)[0] for frame in frames if isinstance(frame, bytes)] == [
        Header(2, 0, 2, 1, 0, 40),
        Header(2, 0, 2, 2, 480, 40),
        Header(2, 0, 4, 3, 0, 40),
    ]
    assert b"".join(unpack_audio(frame)[1] for frame in frames if isinstance(frame, bytes)) == b"".join(chunk.pcm for chunk in chunks)


def test_speech_time_starts_anew_with_each_session() -> None:
    clock = Milliseconds()
    dialect = BinaryDialect(clock)
    clock.now += 90_000
    dialect.encode(STARTED)
    clock.now += 7

    (frame,) = dialect.encode(SpeechChunk(1, b"\0\0"))

    assert isinstance(frame, bytes)
    assert unpack_audio(frame)[0].time_ms == 7


def test_counters_wrap_instead_of_failing() -> None:
    dialect = BinaryDialect(Milliseconds())
    dialect.begin(0xFFFF_FFFF)

    frames = [*dialect.encode(SpeechChunk(70_000, b"\0\0")), *dialect.encode(SpeechChunk(70_000, b"\0\0"))]

    assert [(header.turn, header.sequence) for header in (unpack_audio(frame)[0] for frame in frames if isinstance(frame, bytes))] == [
        (70_000 - 65_536, 0xFFFF_FFFF),
        (70_000 - 65_536, 0),
    ]


@given(
    st.builds(
        Header,
        st.integers(0, 255),
        st.integers(0, 255),
        st.integers(0, 65_535),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**32 - 1),
    ),
    st.binary(min_size=2).filter(lambda pcm: len(pcm) % 2 == 0),
)
def test_a_packed_frame_unpacks_to_itself(header: Header, pcm: bytes) -> None:
    assert unpack_audio(pack_audio(header, pcm)) == (header, pcm)


@pytest.mark.parametrize(
    ("end", "survives"),
    [
        (EndReason.CLIENT, True),
        (EndReason.FAILED, True),
        (ServerBusy(), True),
        (EndReason.SERVER_LEAVING, False),
        (EndReason.PARKED, False),
        (ServerLeaving(), False),
    ],
)
def test_the_connection_stays_for_another_session_unless_the_server_leaves(end: EndReason | SessionError, *, survives: bool) -> None:
    assert BinaryDialect(Milliseconds()).survives(end) is survives

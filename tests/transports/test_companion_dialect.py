"""The dialect of the patients' companion, without any socket."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.events import Role, Stage
from session.errors import (
    BadFrame,
    InvalidAudio,
    ModelBusy,
    ServerBusy,
    ServerLeaving,
    SessionError,
    TooLarge,
    UnknownEvent,
    UnknownPatient,
    WrongOrder,
)
from session.events import (
    End,
    EndReason,
    SendAudio,
    SendText,
    SessionEnded,
    SessionEvent,
    SessionStarted,
    SpeechChunk,
    Start,
    TranscriptUpdated,
)
from transports.dialects.companion import CompanionDialect
from transports.dialects.interface import Action, Frame, PatientFound, Reply, StartFor

STARTED = SessionStarted("server-1", "buddy", "en", "tiffany", "model", 16_000, 24_000)
PCM = b"\1\2" * 160
AUDIO = base64.b64encode(PCM).decode()
INIT = '{"action":"initSession","patientId":"pt-001"}'


def say(talk: CompanionDialect, frame: str, name: str = "John") -> list[Action]:
    """Give a message to the dialect, and begin the session that it may ask for, as a connection does."""
    actions = list(talk.decode(frame))
    for action in actions:
        if isinstance(action, StartFor):
            action.meet(PatientFound(name))
            talk.begin()
    return actions


def told(talk: CompanionDialect, *events: SessionEvent) -> list[Frame]:
    return [frame for event in events for frame in talk.encode(event)]


def started(**wishes: object) -> CompanionDialect:
    talk = CompanionDialect()
    say(talk, json.dumps({"action": "initSession", "patientId": "pt-001", **wishes}))
    talk.encode(STARTED)
    return talk


def answer(stage: Stage = Stage.SPECULATIVE, text: str = "Sarah is your daughter.", turn: int = 2) -> TranscriptUpdated:
    return TranscriptUpdated(turn, Role.ASSISTANT, stage, text)


@pytest.mark.req("S3-13")
def test_a_session_begins_with_the_name_of_the_patient() -> None:
    talk = CompanionDialect()
    actions = say(talk, INIT)

    assert actions == [StartFor("pt-001", Start(assistant="buddy"))]
    assert told(talk, STARTED) == ['{"status":"initialized","patientName":"John"}']


@pytest.mark.req("S3-14")
def test_typed_text_is_answered_in_text_alone() -> None:
    talk = started()
    actions = say(talk, '{"action":"textInput","text":"Who is Sarah?"}\n')
    asked = TranscriptUpdated(1, Role.USER, Stage.FINAL, "Who is Sarah?")

    assert actions == [SendText("Who is Sarah?")]
    assert told(talk, asked, answer(), SpeechChunk(2, PCM), answer(Stage.FINAL)) == [
        '{"type":"textOutput","text":"Sarah is your daughter.","role":"ASSISTANT"}'
    ]


def test_spoken_questions_are_answered_with_speech_too() -> None:
    talk = started()
    actions = say(talk, json.dumps({"action": "audioInput", "audio": AUDIO}))

    assert actions == [SendAudio(PCM)]
    assert told(talk, answer(), SpeechChunk(2, PCM)) == [
        '{"type":"textOutput","text":"Sarah is your daughter.","role":"ASSISTANT"}',
        json.dumps({"type": "audioOutput", "audio": AUDIO}, separators=(",", ":")),
    ]


def test_audio_for_longer_than_a_session_takes_at_once_is_cut() -> None:
    audio = base64.b64encode(bytes(80_000)).decode()

    assert say(started(), json.dumps({"action": "audioInput", "audio": audio})) == [SendAudio(bytes(64_000)), SendAudio(bytes(16_000))]


def test_what_the_user_said_is_shown_to_those_who_ask_for_it() -> None:
    said = TranscriptUpdated(1, Role.USER, Stage.FINAL, "Who is Sarah?")

    assert told(started(), said) == []
    assert told(started(transcripts=True), said) == ['{"type":"textOutput","text":"Who is Sarah?","role":"USER"}']


def test_an_answer_that_was_not_planned_is_told_when_it_was_spoken() -> None:
    assert told(started(), answer(Stage.FINAL)) == ['{"type":"textOutput","text":"Sarah is your daughter.","role":"ASSISTANT"}']


def test_a_session_ends_when_the_client_says_so() -> None:
    talk = started()

    assert say(talk, '{"action":"endSession"}') == [End()]
    assert told(talk, SessionEnded(EndReason.CLIENT)) == ['{"status":"ended"}']
    with pytest.raises(WrongOrder):
        say(talk, '{"action":"textInput","text":"Hello?"}')


def test_audio_of_a_session_that_has_just_ended_is_no_mistake() -> None:
    talk = started()
    talk.encode(SessionEnded(EndReason.FAILED, 1011))

    assert say(talk, json.dumps({"action": "audioInput", "audio": AUDIO})) == []
    assert talk.dropped_frames == 1


def test_a_ping_is_answered() -> None:
    assert say(CompanionDialect(), '{"action":"ping"}') == [Reply('{"type":"pong"}')]


@pytest.mark.req("S0-38")
def test_an_error_says_what_happened_and_whether_to_try_again() -> None:
    failed = ModelBusy().event("ab12")

    assert json.loads(*CompanionDialect().answer(failed)) == {
        "type": "error",
        "message": ModelBusy.message,
        "code": "model_busy",
        "retryable": True,
        "ref": "ab12",
        "retryAfter": ModelBusy.waits,
    }
    assert told(started(), failed) == list(CompanionDialect().answer(failed))


def test_only_a_server_that_leaves_ends_the_connection() -> None:
    talk = CompanionDialect()

    assert [talk.survives(end) for end in (EndReason.CLIENT, EndReason.FAILED, ServerBusy())] == [True] * 3
    assert [talk.survives(end) for end in (EndReason.PARKED, EndReason.SERVER_LEAVING, ServerLeaving())] == [False] * 3


@pytest.mark.req("S0-37", "S0-38", "S2-28")
@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (b"{}", BadFrame),
        ("nonsense", BadFrame),
        ("[]", BadFrame),
        ('{"action":5}', BadFrame),
        ("{}", UnknownEvent),
        ('{"action":"fly"}', UnknownEvent),
        ('{"action":"initSession"}', BadFrame),
        ('{"action":"initSession","patientId":7}', BadFrame),
        ('{"action":"initSession","patientId":"../pt-001"}', UnknownPatient),
        ('{"action":"initSession","patientId":"pt-001","transcripts":"yes"}', BadFrame),
        ('{"action":"textInput","text":"Hello"}', WrongOrder),
        (json.dumps({"action": "audioInput", "audio": AUDIO}), WrongOrder),
        ('{"action":"endSession"}', WrongOrder),
    ],
)
def test_what_cannot_be_used_before_a_session_is_refused(frame: Frame, error: type[SessionError]) -> None:
    with pytest.raises(error):
        CompanionDialect().decode(frame)


@pytest.mark.req("S2-28")
@pytest.mark.parametrize(
    ("frame", "error"),
    [
        ('{"action":"textInput"}', BadFrame),
        ('{"action":"textInput","text":" "}', BadFrame),
        (json.dumps({"action": "textInput", "text": "a" * 4_001}), TooLarge),
        ('{"action":"audioInput"}', InvalidAudio),
        ('{"action":"audioInput","audio":"no base64!"}', InvalidAudio),
        (json.dumps({"action": "audioInput", "audio": base64.b64encode(b"odd").decode()}), InvalidAudio),
    ],
)
def test_what_cannot_be_used_in_a_session_is_refused(frame: Frame, error: type[SessionError]) -> None:
    with pytest.raises(error):
        started().decode(frame)


values = st.none() | st.booleans() | st.integers() | st.text(max_size=30) | st.just(AUDIO) | st.lists(st.text(max_size=3), max_size=2)
members = st.dictionaries(st.sampled_from(["action", "patientId", "text", "audio", "transcripts", "data", "body"]), values)
actions = st.sampled_from(["initSession", "textInput", "audioInput", "endSession", "ping", "fly"])
messages = st.builds(lambda action, rest: json.dumps({**rest, "action": action}), actions, members)


@pytest.mark.req("S2-28")
@given(st.lists(messages | st.text(max_size=50) | st.binary(max_size=20), max_size=8))
def test_whatever_a_client_sends_nothing_but_session_errors_come_out(frames: list[Frame]) -> None:
    talk = CompanionDialect()
    for frame in frames:
        try:
            taken = talk.decode(frame)
        except SessionError as error:
            assert talk.answer(error.event())  # noqa: PT017 - any of them may come, and most do not
            continue
        for start in [action for action in taken if isinstance(action, StartFor)]:
            start.meet(PatientFound("John"))
            talk.begin()
            talk.encode(STARTED)

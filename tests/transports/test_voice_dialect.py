"""The dialect of voice_start, voice_data and text_message, without any socket."""

import json

import pytest

from s2s.events import Role, Stage
from session.errors import (
    BadFrame,
    InvalidAudio,
    NotAllowed,
    ServerBusy,
    ServerLeaving,
    SessionError,
    TooLarge,
    TooMany,
    UnsupportedFormat,
)
from session.events import (
    EndReason,
    GoingAway,
    Interrupt,
    Interrupted,
    SendAudio,
    SendText,
    SessionEnded,
    SessionFailed,
    SpeechChunk,
    SpeechEnded,
    SpeechStarted,
    Start,
    StopAudio,
    TranscriptUpdated,
)
from tests.transports.voice_talk import ENDED, PCM, STARTED, b64, dialect, read, replies, say, started, told
from transports.dialects.interface import Reply, SendEncoded


@pytest.mark.req("S2-09")
def test_voice_start_begins_a_session_that_is_told_once_it_listens() -> None:
    talk = dialect("webm")
    (start,) = say(talk, "voice_start", sessionId="mine")

    assert start == Start(input_hertz=16_000)
    assert told(talk, STARTED) == [
        (
            "voice_session_started",
            {
                "sessionId": "mine",
                "status": "ACTIVE",
                "serverSessionId": "server-1",
                "audioFormat": "webm",
                "outputFormat": "pcm",
                "outputSampleRate": 24_000,
            },
        )
    ]


@pytest.mark.req("S2-23")
def test_members_count_at_the_top_and_under_data_alike() -> None:
    flat, nested, wrapped = dialect(), dialect(), dialect()
    message = {"type": "voice_start", "audioFormat": "pcm", "sampleRate": 24_000, "language": "en"}
    (one,) = flat.decode(json.dumps(message))
    (other,) = nested.decode(json.dumps({"type": "voice_start", "data": message, "timestamp": "2026-01-01T00:00:00Z"}))
    (third,) = wrapped.decode(json.dumps({"body": json.dumps(message)}) + "\n")

    assert one == other == third == Start(input_hertz=24_000, language="en")


@pytest.mark.req("S2-09", "S2-28")
@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"audioFormat": "mp3"}, UnsupportedFormat),
        ({"audioFormat": "wav"}, UnsupportedFormat),
        ({"audioFormat": "webm"}, UnsupportedFormat),
        ({}, UnsupportedFormat),
        ({"audioFormat": 7}, BadFrame),
        ({"audioFormat": "x" * 129}, BadFrame),
        ({"audioFormat": "pcm", "sessionId": ["a"]}, BadFrame),
        ({"audioFormat": "pcm", "sampleRate": "16000"}, BadFrame),
        ({"audioFormat": "pcm", "sampleRate": True}, BadFrame),
        ({"audioFormat": "pcm", "sampleRate": 44_100}, NotAllowed),
    ],
)
def test_a_recorder_that_cannot_be_served_is_refused(data: dict[str, object], error: type[SessionError]) -> None:
    with pytest.raises(error):
        say(dialect(), "voice_start", **data)


def test_the_cure_for_a_missing_decoder_is_named() -> None:
    with pytest.raises(UnsupportedFormat, match=r"requirements-webm\.txt"):
        say(dialect(), "voice_start")


@pytest.mark.req("S2-10")
@pytest.mark.parametrize("audio_format", ["pcm", "PCM", "pcm16", "audio/pcm; rate=16000"])
def test_samples_are_passed_on_and_confirmed(audio_format: str) -> None:
    talk = started(audioFormat=audio_format, sessionId="mine")
    actions = say(talk, "voice_data", audioData=b64(PCM), sessionId="mine")

    assert actions[0] == SendAudio(PCM)
    assert replies(actions) == [("voice_data_received", {"sessionId": "mine"})]
    assert all(action.is_receipt for action in actions if isinstance(action, Reply))


def test_samples_for_longer_than_a_session_takes_at_once_are_cut() -> None:
    talk = started(sampleRate=8_000)
    *audio, _ = say(talk, "voice_data", audioData=b64(bytes(40_000)))

    assert audio == [SendAudio(bytes(32_000)), SendAudio(bytes(8_000))]


@pytest.mark.req("S2-10", "S0-18")
@pytest.mark.parametrize("audio_format", ["webm", "audio/webm", "audio/webm;codecs=opus", ""])
def test_what_a_recorder_encodes_is_sent_to_the_decoder_in_order(audio_format: str) -> None:
    talk = started("webm", audioFormat=audio_format)
    first, _ = say(talk, "voice_data", audioData=b64(b"head"))
    second, _ = say(talk, "voice_data", audioData=b64(b"tail"))
    say(talk, "voice_end")
    say(talk, "voice_start", audioFormat="webm")
    third, _ = say(talk, "voice_data", audioData=b64(b"head"))

    assert [first, second, third] == [SendEncoded("webm", 1, b"head"), SendEncoded("webm", 1, b"tail"), SendEncoded("webm", 2, b"head")]


@pytest.mark.req("S2-10", "S0-18")
@pytest.mark.parametrize(
    ("audio_format", "encoding"),
    [
        ("mp3", "mp3"),
        ("audio/mpeg", "mp3"),
        ("wav", "wav"),
        ("audio/x-wav; codecs=1", "wav"),
        ("OGG", "ogg"),
        ("audio/ogg;codecs=opus", "ogg"),
        ("opus", "webm"),
    ],
)
def test_recordings_of_other_formats_are_sent_to_their_decoder(audio_format: str, encoding: str) -> None:
    talk = started(encoding, audioFormat=audio_format)
    sent, _ = say(talk, "voice_data", audioData=b64(b"head"))

    assert sent == SendEncoded(encoding, 1, b"head")


@pytest.mark.req("S2-28")
@pytest.mark.parametrize("audio", ["no base64!", "", None, 7, b64(b"odd")])
def test_audio_that_is_none_is_refused(audio: object) -> None:
    with pytest.raises(InvalidAudio):
        say(started(), "voice_data", audioData=audio)


@pytest.mark.req("S2-11")
def test_voice_end_closes_the_microphone_and_the_answer_still_comes() -> None:
    talk = started(sessionId="mine")
    actions = say(talk, "voice_end", sessionId="mine")
    answer = told(talk, TranscriptUpdated(2, Role.ASSISTANT, Stage.SPECULATIVE, "Hola."), SpeechChunk(2, PCM), SpeechEnded(2))

    assert actions[0] == StopAudio()
    assert replies(actions) == [("voice_session_ended", {"sessionId": "mine", "status": "COMPLETED", "serverSessionId": "server-1"})]
    assert [kind for kind, _ in answer] == ["ai_response", "audio_response", "audio_response_end"]


def test_the_answers_to_a_recorder_that_was_stopped_at_once_come_in_order() -> None:
    talk = dialect("webm")
    say(talk, "voice_start")
    stopped = say(talk, "voice_end")

    assert stopped == [StopAudio()]
    assert [(kind, data["status"]) for kind, data in told(talk, STARTED)] == [
        ("voice_session_started", "ACTIVE"),
        ("voice_session_ended", "COMPLETED"),
    ]


def test_the_last_piece_of_a_stopped_recorder_is_no_mistake() -> None:
    talk = started()
    say(talk, "voice_end")

    assert say(talk, "voice_data", audioData=b64(PCM)) == []
    assert talk.dropped_frames == 1


def test_a_recorder_that_was_refused_is_not_blamed_for_going_on() -> None:
    talk = dialect()
    with pytest.raises(UnsupportedFormat):
        say(talk, "voice_start")

    assert say(talk, "voice_data", audioData=b64(PCM)) == []


def test_a_session_that_is_not_admitted_leaves_room_for_another_try() -> None:
    talk = dialect("webm")
    talk.decode('{"type":"voice_start"}')
    (refused,) = read(*talk.answer(ServerBusy().event("ref")))
    again = say(talk, "voice_start")

    assert refused[1]["code"] == "server_busy"
    assert say(talk, "voice_data", audioData=b64(b"head"))
    assert isinstance(again[0], Start)


@pytest.mark.req("S2-12")
def test_a_text_conversation_begins_by_itself() -> None:
    talk = dialect()
    actions = say(talk, "text_message", content=" ¿Dónde está mi pedido? ", sessionId="chat")
    answer = told(
        talk,
        STARTED,
        TranscriptUpdated(1, Role.USER, Stage.FINAL, "¿Dónde está mi pedido?"),
        TranscriptUpdated(2, Role.ASSISTANT, Stage.SPECULATIVE, "En camino."),
        SpeechStarted(2, 24_000),
        SpeechChunk(2, PCM),
        SpeechEnded(2),
        TranscriptUpdated(2, Role.ASSISTANT, Stage.FINAL, "En camino."),
    )

    assert actions == [Start(), SendText("¿Dónde está mi pedido?")]
    assert answer == [
        ("text_message_received", {"content": "¿Dónde está mi pedido?", "sessionId": "chat", "messageId": "server-1:1"}),
        (
            "ai_response",
            {"content": "En camino.", "sessionId": "chat", "messageId": "server-1:2", "turn": 2, "inReplyTo": "server-1:1"},
        ),
    ]


def test_a_message_keeps_the_id_that_the_client_gave_it() -> None:
    talk = started()
    say(talk, "text_message", content="Hola", messageId="m-7")
    ((kind, data),) = told(talk, TranscriptUpdated(1, Role.USER, Stage.FINAL, "Hola"))

    assert (kind, data["messageId"], data["sessionId"]) == ("text_message_received", "m-7", "server-1")


def test_a_text_that_the_session_refused_is_not_confirmed_with_the_next() -> None:
    talk = started()
    say(talk, "text_message", content="first", messageId="1")
    talk.answer(SessionFailed("not_allowed", "", retryable=False))
    say(talk, "text_message", content="second", messageId="2")
    ((_, data),) = told(talk, TranscriptUpdated(1, Role.USER, Stage.FINAL, "second"))

    assert data["messageId"] == "2"


@pytest.mark.req("S2-12", "S2-28")
@pytest.mark.parametrize(
    ("content", "error"), [("", BadFrame), ("  ", BadFrame), (None, BadFrame), (["a"], BadFrame), ("ñ" * 2_001, TooLarge)]
)
def test_a_text_that_cannot_be_used_is_refused(content: object, error: type[SessionError]) -> None:
    with pytest.raises(error):
        say(started(), "text_message", content=content)


def test_a_typed_conversation_goes_on_when_the_client_begins_to_record() -> None:
    talk = dialect("webm")
    say(talk, "text_message", content="Hola")
    talk.encode(STARTED)
    joined = say(talk, "voice_start")

    assert [kind for kind, _ in replies(joined)] == ["voice_session_started"]
    assert told(talk, SpeechChunk(2, PCM))


def test_other_wishes_begin_another_session() -> None:
    talk = started(language="es")
    (start,) = talk.decode(json.dumps({"type": "voice_start", "audioFormat": "pcm", "language": "en"}))
    ended = told(talk, ENDED)
    talk.begin()

    assert start == Start(language="en")
    assert [(kind, data["status"]) for kind, data in ended] == [("voice_session_ended", "COMPLETED")]
    assert [kind for kind, _ in told(talk, STARTED)] == ["voice_session_started"]
    assert say(talk, "voice_data", audioData=b64(PCM))[0] == SendAudio(PCM)


@pytest.mark.req("S0-19")
def test_what_the_user_says_is_told_with_no_invented_confidence() -> None:
    talk = started()

    assert told(talk, TranscriptUpdated(1, Role.USER, Stage.FINAL, "Hola")) == [
        (
            "transcription",
            {"content": "Hola", "role": "USER", "isFinal": True, "confidence": None, "sessionId": "server-1", "turn": 1},
        )
    ]


def test_speech_comes_as_samples_with_their_rate() -> None:
    talk = started()

    assert told(talk, SpeechChunk(2, PCM), Interrupted(2, 300)) == [
        ("audio_response", {"audioData": b64(PCM), "format": "pcm", "sampleRate": 24_000, "sessionId": "server-1", "turn": 2}),
        ("audio_interrupted", {"sessionId": "server-1", "turn": 2, "heardMs": 300}),
    ]


def test_an_answer_that_was_not_planned_is_told_when_it_was_spoken() -> None:
    talk = started()
    answers = told(
        talk,
        TranscriptUpdated(2, Role.ASSISTANT, Stage.SPECULATIVE, "One."),
        TranscriptUpdated(2, Role.ASSISTANT, Stage.SPECULATIVE, "Two."),
        TranscriptUpdated(2, Role.ASSISTANT, Stage.FINAL, "One."),
        TranscriptUpdated(4, Role.ASSISTANT, Stage.FINAL, "Three."),
    )

    assert [data["content"] for _, data in answers] == ["One.", "Two.", "Three."]


@pytest.mark.req("S2-13")
@pytest.mark.parametrize(
    ("frame", "answer"),
    [
        ('{"type":"ping"}', "pong"),
        ('{"action":"ping"}', "pong"),
        ('{"type":"ping","timestamp":"2026-01-01"}\n', "pong"),
        ('{"type":"connection_init","payload":{}}', "connection_ack"),
    ],
)
def test_a_ping_is_answered_without_any_session(frame: str, answer: str) -> None:
    assert replies(list(dialect().decode(frame))) == [(answer, {})]


def test_the_user_can_ask_for_quiet() -> None:
    assert say(started(), "voice_interrupt") == [Interrupt()]


@pytest.mark.req("S2-14")
def test_an_error_says_what_happened_whether_to_try_again_and_where_to_look() -> None:
    talk = dialect()

    (late,) = read(*talk.answer(TooMany(retry_after=3).event()))

    assert late[1]["retryAfter"] == 3
    assert read(*talk.answer(BadFrame().event("ab12"))) == [
        ("error", {"message": BadFrame.message, "code": "bad_frame", "retryable": False, "ref": "ab12"})
    ]


@pytest.mark.req("S2-14")
def test_a_session_that_fails_ends_for_the_recorder_as_well() -> None:
    talk = started(sessionId="mine")
    frames = told(talk, SessionFailed("model_lost", "Gone.", retryable=True), SessionEnded(EndReason.FAILED, 1011))

    assert [(kind, data.get("status")) for kind, data in frames] == [("error", None), ("voice_session_ended", "ERROR")]
    assert say(talk, "voice_data", audioData=b64(PCM)) == []


def test_a_session_that_could_not_be_opened_was_never_active() -> None:
    talk = dialect("webm")
    say(talk, "voice_start", sessionId="mine")
    frames = told(talk, SessionFailed("model_busy", "Busy.", retryable=True), SessionEnded(EndReason.FAILED, 1013))

    assert [(kind, data.get("status")) for kind, data in frames] == [("error", None), ("voice_session_ended", "ERROR")]


def test_only_a_server_that_leaves_ends_the_connection() -> None:
    talk = dialect()

    assert [talk.survives(end) for end in (EndReason.CLIENT, EndReason.FAILED, EndReason.PARKED, EndReason.SERVER_LEAVING)] == [
        True,
        True,
        False,
        False,
    ]
    assert talk.survives(ServerBusy())
    assert not talk.survives(ServerLeaving())


def test_a_server_that_leaves_says_so() -> None:
    assert told(started(), GoingAway(2_000)) == [("server_leaving", {"sessionId": "server-1", "timeLeftMs": 2_000})]

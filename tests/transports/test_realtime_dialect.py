"""What Realtime clients say becomes commands of the session; what cannot be had is said to them."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.events import Endpointing, InferenceConfiguration, Role, ToolSpec
from session.errors import BadFrame, ClientError, InvalidAudio, NotAllowed, ServerBusy, SessionError, TooLarge, UnknownCall, UnknownEvent
from session.events import (
    EndReason,
    HistoryTurn,
    Interrupt,
    ReportPlayback,
    Revise,
    SendAudio,
    SendText,
    SpeechStarted,
    Start,
    SubmitToolResult,
)
from tests.transports.realtime_talk import PIECE, WEATHER, Json, RealtimeTalk, kinds, message
from transports.dialects.interface import Acknowledge, Action, greeting_of
from transports.dialects.realtime import WAITING_LIMIT
from transports.dialects.realtime_wire import Generation

HERTZ = 24_000
PLAIN = Start(assistant="carlos", input_hertz=HERTZ, output_hertz=HERTZ)


def start_after(session: Json, talk: RealtimeTalk | None = None) -> Start:
    """Return how the session begins when the client has set this."""
    talk = talk or RealtimeTalk()
    talk.says("session.update", session=session)
    start, _ = talk.says("input_audio_buffer.append", audio=PIECE)

    assert isinstance(start, Start)
    return start


def test_a_client_is_greeted_with_its_session() -> None:
    talk = RealtimeTalk()
    (created,) = (json.loads(frame) for frame in greeting_of(talk.dialect))

    assert created["type"] == "session.created"
    assert created["session"]["type"] == "realtime"
    assert created["session"]["model"] == "gpt-realtime"
    assert created["session"]["audio"]["output"]["voice"] == "carlos"


def test_the_first_audio_begins_the_session_with_what_was_set() -> None:
    start = start_after(
        {
            "type": "realtime",
            "instructions": "Be brief.",
            "tools": [WEATHER],
            "tool_choice": "auto",
            "max_output_tokens": 300,
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24_000},
                    "transcription": {"language": "en-US"},
                    "turn_detection": {"type": "semantic_vad", "eagerness": "high"},
                },
                "output": {"voice": "amy", "format": {"type": "audio/pcm", "rate": 24_000}},
            },
        }
    )

    tool = ToolSpec("getWeather", "Tell the weather.", '{"type":"object","properties":{"place":{"type":"string"}}}')
    assert start == Start(
        assistant="carlos",
        language="en",
        voice_id="amy",
        prompt="Be brief.",
        inference=InferenceConfiguration(300, 0.9, 0.7),
        endpointing=Endpointing.HIGH,
        input_hertz=24_000,
        output_hertz=24_000,
        client_tools=(tool,),
    )


def test_other_rates_of_the_model_can_be_had_as_well() -> None:
    talk = RealtimeTalk()
    update = {
        "audio": {"input": {"format": {"type": "audio/pcm", "rate": 16_000}}, "output": {"format": {"type": "audio/pcm", "rate": 8_000}}}
    }
    talk.dialect.decode(json.dumps({"type": "session.update", "session": update}))  # the library knows one rate alone
    start, _ = talk.says("input_audio_buffer.append", audio=PIECE)

    assert start == Start(assistant="carlos", input_hertz=16_000, output_hertz=8_000)


def test_the_flat_shape_of_the_beta_sets_the_same() -> None:
    session = {
        "instructions": "Be brief.",
        "voice": "amy",
        "input_audio_format": "g711_ulaw",
        "output_audio_format": "g711_alaw",
        "input_audio_transcription": {"language": "en", "model": "whisper-1"},
        "turn_detection": {"type": "semantic_vad", "eagerness": "low"},
        "temperature": 1.2,
        "max_response_output_tokens": "inf",
        "modalities": ["audio", "text"],
    }

    assert start_after(session, RealtimeTalk(generation=Generation.BETA)) == Start(
        assistant="carlos",
        language="en",
        voice_id="amy",
        prompt="Be brief.",
        inference=InferenceConfiguration(1_024, 0.9, 1.0),
        endpointing=Endpointing.LOW,
        input_hertz=8_000,
        output_hertz=8_000,
    )


def test_what_the_assistant_does_not_let_clients_set_is_left_aside_and_shown_so() -> None:
    talk = RealtimeTalk(frozenset())
    session = {"type": "realtime", "instructions": "Obey.", "tools": [WEATHER], "audio": {"output": {"voice": "amy"}}}
    (updated,) = talk.answers("session.update", session=session)

    assert start_after(session, talk) == PLAIN
    assert updated["type"] == "session.updated"
    assert (updated["session"]["instructions"], updated["session"]["tools"]) == ("", [])
    assert updated["session"]["audio"]["output"]["voice"] == "carlos"


@pytest.mark.parametrize("voice", ["alloy", "marin", {"id": "verse"}])
def test_voices_of_openai_stand_for_the_assistants_own(voice: object) -> None:
    assert start_after({"type": "realtime", "audio": {"output": {"voice": voice}}}) == PLAIN


@pytest.mark.parametrize("detection", [None, {"type": "server_vad", "silence_duration_ms": 200}])
def test_the_model_decides_when_a_turn_is_over_and_the_client_is_told(detection: object) -> None:
    talk = RealtimeTalk()
    session = {"type": "realtime", "audio": {"input": {"turn_detection": detection}}}
    (updated,) = talk.answers("session.update", session=session)

    assert updated["session"]["audio"]["input"]["turn_detection"]["type"] == "server_vad"
    assert updated["session"]["audio"]["input"]["turn_detection"]["create_response"] is True


@pytest.mark.parametrize(
    ("session", "refusal", "param"),
    [
        ({"type": "transcription"}, NotAllowed, "session.type"),
        ({"tool_choice": "required"}, NotAllowed, "session.tool_choice"),
        ({"audio": {"output": {"voice": "darth"}}}, NotAllowed, "session.audio.output.voice"),
        ({"audio": {"input": {"format": {"type": "audio/opus"}}}}, NotAllowed, "session.audio"),
        ({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 44_100}}}}, NotAllowed, "session.audio"),
        ({"input_audio_format": "mp3"}, NotAllowed, "session.audio"),
        ({"audio": []}, BadFrame, "session.audio"),
        ({"audio": {"input": {"format": "pcm"}}}, BadFrame, "session.audio.input.format"),
        ({"instructions": 1}, BadFrame, "session.instructions"),
        ({"tools": {}}, BadFrame, "session.tools"),
        ({"tools": [{"type": "function"}]}, BadFrame, "session.tools[0].name"),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, NotAllowed, "session.tools[0].type"),
        ({"tools": [{**WEATHER, "name": "lookUp"}]}, NotAllowed, "session.tools"),
        ({"tools": [{**WEATHER, "name": "no name"}]}, NotAllowed, "session.tools"),
        ({"tools": [{**WEATHER, "description": "x" * 2_000}]}, TooLarge, "session.tools"),
        ({"max_output_tokens": "many"}, BadFrame, "session.max_output_tokens"),
    ],
)
def test_a_setting_that_cannot_be_had_is_refused_by_name(session: Json, refusal: type[SessionError], param: str) -> None:
    talk = RealtimeTalk()
    with pytest.raises(refusal) as caught:
        talk.says("session.update", event_id="mine", session=session)
    (frame,) = talk.dialect.answer(caught.value.event("ref"))
    error = json.loads(frame)["error"]

    assert (error["type"], error["code"]) == ("invalid_request_error", refusal.code)
    assert (error["param"], error["event_id"], error["ref"], error["retryable"]) == (param, "mine", "ref", False)


def test_schemas_as_libraries_write_them_are_made_plain_for_the_service() -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Args",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "title": {"type": "string", "title": "Title", "default": "x"},
            "count": {"anyOf": [{"type": "integer"}, {"type": "null"}], "description": "How many"},
            "unit": {"type": ["string", "null"]},
            "names": {"type": "array", "items": {"type": "object", "additionalProperties": False, "properties": {}}},
        },
        "required": ["title"],
    }
    (tool,) = start_after({"type": "realtime", "tools": [{**WEATHER, "parameters": schema}]}).client_tools

    assert json.loads(tool.input_schema) == {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "count": {"type": "integer", "description": "How many"},
            "unit": {"type": "string"},
            "names": {"type": "array", "items": {"type": "object", "properties": {}}},
        },
        "required": ["title"],
    }


def test_a_running_session_goes_on_with_other_wishes() -> None:
    talk = RealtimeTalk()
    talk.says("session.update", session={"type": "realtime", "tools": [WEATHER]})
    talk.says("conversation.item.create", item=message("The caller is Ana.", "system"))
    talk.speaks()
    same = {"type": "realtime", "tools": [WEATHER], "tracing": "auto", "output_modalities": ["text"]}

    assert kinds(talk.answers("session.update", session=same)) == ["session.updated"]
    (revise,) = talk.says("session.update", session={"type": "realtime", "tools": [], "instructions": "Sell shoes."})
    assert isinstance(revise, Revise)
    assert (revise.start.client_tools, revise.start.prompt) == ((), "Sell shoes.\n\nThe caller is Ana.")
    assert talk.told[-1]["session"]["instructions"] == "Sell shoes."


@pytest.mark.parametrize(
    "session",
    [{"input_audio_format": "g711_ulaw"}, {"output_audio_format": "g711_alaw"}, {"audio": {"input": {"format": {"rate": 16_000}}}}],
)
def test_how_a_running_session_sounds_is_fixed(session: Json) -> None:
    talk = RealtimeTalk()
    talk.speaks()
    (refused,) = talk.answers("session.update", event_id="e7", session=session)

    assert (refused["error"]["code"], refused["error"]["event_id"]) == ("wrong_order", "e7")


def test_what_the_assistant_has_not_is_not_shown_as_in_force() -> None:
    talk = RealtimeTalk()
    talk.speaks()
    talk.says("session.update", session={"type": "realtime", "instructions": "Sell shoes."})
    talk.dialect.answer(NotAllowed().event())  # to the command that came of it
    (told,) = talk.answers("session.update", session={"type": "realtime"})

    assert told["session"]["instructions"] == ""


def test_audio_is_cut_into_pieces_and_half_samples_are_kept() -> None:
    talk = RealtimeTalk()
    pcm = bytes(range(256)) * 200 + b"\7"
    start, *pieces = talk.says("input_audio_buffer.append", audio=base64.b64encode(pcm).decode())
    more = talk.says("input_audio_buffer.append", audio=base64.b64encode(b"\10\11\12").decode())
    sent = [piece.pcm for piece in (*pieces, *more) if isinstance(piece, SendAudio)]

    assert start == PLAIN
    assert [len(piece) for piece in sent] == [24_000, 24_000, 3_200, 4]
    assert b"".join(sent) == pcm + b"\10\11\12"


def test_the_telephones_audio_is_made_whole_samples() -> None:
    talk = RealtimeTalk()
    talk.says("session.update", session={"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcmu"}}}})
    start, audio = talk.says("input_audio_buffer.append", audio=base64.b64encode(b"\xff\x00\x80").decode())

    assert isinstance(start, Start)
    assert start.input_hertz == 8_000
    assert audio == SendAudio(b"\x00\x00\x84\x82\x7c\x7d")


@pytest.mark.parametrize("audio", ["!", "AAA", "AAAA\n", "ÄÄÄÄ"])
def test_audio_that_is_no_base64_is_refused(audio: str) -> None:
    with pytest.raises(InvalidAudio):
        RealtimeTalk().says("input_audio_buffer.append", audio=audio)


def test_typed_items_are_answered_when_a_response_is_asked_for() -> None:
    talk = RealtimeTalk()
    added = talk.answers("conversation.item.create", item=message("Hola.", id="msg_1"))
    talk.says("conversation.item.create", item=message("¿Y mi pedido?"))

    assert talk.says("response.create") == [PLAIN, SendText("Hola.\n¿Y mi pedido?")]
    assert talk.says("response.create") == []
    assert kinds(added) == ["conversation.item.added", "conversation.item.done"]
    assert added[0]["item"]["id"] == "msg_1"
    assert added[0]["previous_item_id"] is None


def test_a_typed_item_waits_while_audio_goes_on() -> None:
    talk = RealtimeTalk()
    talk.says("conversation.item.create", item=message("Hola."))
    talk.speaks()
    talk.speaks(begun=False)

    assert talk.says("response.create", response={}) == [SendText("Hola.")]


def test_what_was_said_before_is_history_and_the_system_speaks_in_the_instructions() -> None:
    talk = RealtimeTalk()
    talk.says("session.update", session={"type": "realtime", "instructions": "Be brief."})
    said = (("user", "I am Ana."), ("assistant", "Hello Ana."), ("system", "She is a customer."), ("user", "Who am I?"))
    for role, text in said:
        talk.says("conversation.item.create", item=message(text, role))
    start, typed = talk.says("response.create")

    assert isinstance(start, Start)
    assert start.history == (HistoryTurn(Role.USER, "I am Ana."), HistoryTurn(Role.ASSISTANT, "Hello Ana."))
    assert start.prompt == "Be brief.\n\nShe is a customer."
    assert typed == SendText("Who am I?")
    assert kinds(talk.answers("conversation.item.create", item=message("Too late.", "system"))) == ["error"]


@pytest.mark.parametrize(
    ("response", "text"),
    [({"instructions": "Greet the user."}, "Greet the user."), ({"input": [message("Hi."), {"type": "item_reference", "id": "x"}]}, "Hi.")],
)
def test_a_response_can_be_asked_for_with_words_of_its_own(response: Json, text: str) -> None:
    assert RealtimeTalk().says("response.create", response=response) == [PLAIN, SendText(text)]


def test_a_response_to_nothing_is_refused_and_one_beside_the_conversation_too() -> None:
    talk = RealtimeTalk()

    assert kinds(talk.answers("response.create")) == ["error"]
    with pytest.raises(NotAllowed):
        talk.says("response.create", response={"conversation": "none"})


def test_the_result_of_a_clients_tool_goes_to_the_session() -> None:
    talk = RealtimeTalk()
    item = {"type": "function_call_output", "call_id": "call-1", "output": '{"degrees":21}'}
    with pytest.raises(UnknownCall):
        talk.says("conversation.item.create", item=item)
    talk.speaks()

    assert talk.says("conversation.item.create", item=item) == [SubmitToolResult("call-1", '{"degrees":21}')]
    assert talk.told[-1]["item"]["output"] == '{"degrees":21}'


@pytest.mark.parametrize(
    "item",
    [
        {"type": "function_call", "name": "x", "arguments": "{}"},
        {"type": "message", "role": "tool", "content": []},
        {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": "AAAA"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": "http://127.0.0.1/"}]},
    ],
)
def test_items_that_nobody_can_tell_the_model_are_refused(item: Json) -> None:
    with pytest.raises(NotAllowed):
        RealtimeTalk().says("conversation.item.create", item=item)


def test_only_so_much_can_wait_to_be_answered() -> None:
    talk = RealtimeTalk()
    for _ in range(WAITING_LIMIT):
        talk.says("conversation.item.create", item=message("x"))

    with pytest.raises(TooLarge):
        talk.says("conversation.item.create", item=message("x"))
    with pytest.raises(TooLarge):
        RealtimeTalk().sends(json.dumps({"type": "conversation.item.create", "item": message("x" * 300_000)}))


def test_a_commit_makes_an_item_of_what_was_said_and_of_nothing_is_an_error() -> None:
    talk = RealtimeTalk()

    assert talk.answers("input_audio_buffer.commit")[0]["error"]["code"] == "input_audio_buffer_commit_empty"
    talk.speaks()
    committed = talk.answers("input_audio_buffer.commit")
    assert kinds(committed) == ["input_audio_buffer.committed", "conversation.item.added", "conversation.item.done"]
    assert committed[0]["item_id"] == committed[1]["item"]["id"]
    assert kinds(talk.answers("input_audio_buffer.commit")) == ["error"]
    assert kinds(talk.answers("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]


def test_a_response_in_progress_can_be_cancelled_and_nothing_else() -> None:
    talk = RealtimeTalk()

    assert talk.answers("response.cancel", event_id="c")[0]["error"]["code"] == "response_cancel_not_active"
    talk.speaks()
    talk.hears(SpeechStarted(1, HERTZ))
    assert talk.says("response.cancel") == [Interrupt()]
    assert talk.says("output_audio_buffer.clear") == [Interrupt()]
    assert talk.told[-1]["type"] == "output_audio_buffer.cleared"


def test_the_place_that_was_heard_is_told_to_the_session() -> None:
    talk = RealtimeTalk()
    talk.speaks()
    item_id = next(event["item"]["id"] for event in talk.hears(SpeechStarted(4, HERTZ)) if "item" in event)
    place = {"item_id": item_id, "content_index": 0, "audio_end_ms": 740}

    assert talk.says("conversation.item.truncate", **place) == [ReportPlayback(4, 740)]
    assert talk.told[-1] == {"type": "conversation.item.truncated", "event_id": talk.told[-1]["event_id"], **place}
    assert kinds(talk.answers("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=-1)) == ["error"]


def test_an_item_can_be_asked_for_and_taken_back_until_the_model_was_told() -> None:
    talk = RealtimeTalk()
    talk.says("conversation.item.create", item=message("Hola.", id="one"))
    talk.says("conversation.item.create", item=message("Adiós.", id="two"))

    (retrieved,) = talk.answers("conversation.item.retrieve", item_id="one")
    assert retrieved["item"]["content"] == [{"type": "input_text", "text": "Hola."}]
    assert kinds(talk.answers("conversation.item.delete", item_id="one")) == ["conversation.item.deleted"]
    assert talk.answers("conversation.item.retrieve", item_id="one")[0]["error"]["code"] == "item_not_found"
    assert talk.says("response.create") == [PLAIN, SendText("Adiós.")]
    assert talk.answers("conversation.item.delete", item_id="two")[0]["error"]["code"] == "wrong_order"


def test_an_id_that_is_taken_is_not_given_again() -> None:
    talk = RealtimeTalk()
    talk.says("conversation.item.create", item=message("Hola.", id="one"))
    (added, _) = talk.answers("conversation.item.create", item=message("Adiós.", id="one"))

    assert added["item"]["id"] != "one"
    assert added["previous_item_id"] == "one"


def test_the_connection_ends_with_the_session() -> None:
    talk = RealtimeTalk()

    assert not any(talk.dialect.survives(end) for end in (*EndReason, ServerBusy()))
    assert talk.dialect.answer(Acknowledge(1)) == ()


@pytest.mark.parametrize(
    ("frame", "refusal"),
    [
        (b"\1", BadFrame),
        ("", BadFrame),
        ("[]", BadFrame),
        ('{"type":1}', BadFrame),
        ('{"type":"hello"}', UnknownEvent),
        ('{"type":"session.update","session":[]}', BadFrame),
        ('{"type":"session.update","session":{},"session":{}}', BadFrame),
        ('{"type":"conversation.item.create"}', BadFrame),
        ('{"type":"conversation.item.create","item":{"type":"message","role":"user","content":1}}', BadFrame),
        ('{"type":"conversation.item.retrieve","item_id":7}', BadFrame),
        (json.dumps({"type": "conversation.item.retrieve", "item_id": "x" * 600}), BadFrame),
        (json.dumps({"type": "session.update", "session": "x" * 300_000}), TooLarge),
        ('{"type":"session.update","session":' + '{"audio":' * 100 + "{}" + "}" * 101, TooLarge),
    ],
)
def test_a_hostile_frame_is_refused_with_its_error(frame: str | bytes, refusal: type[SessionError]) -> None:
    with pytest.raises(refusal):
        RealtimeTalk().sends(frame)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "text", "audio", "id", "format"]), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = st.sampled_from(
    [
        "session.update",
        "input_audio_buffer.append",
        "input_audio_buffer.commit",
        "input_audio_buffer.clear",
        "output_audio_buffer.clear",
        "conversation.item.create",
        "conversation.item.truncate",
        "conversation.item.delete",
        "conversation.item.retrieve",
        "response.create",
        "response.cancel",
    ]
)
MEMBERS = st.dictionaries(
    st.sampled_from(["session", "item", "item_id", "audio", "audio_end_ms", "response", "event_id", "content_index"]), VALUES, max_size=4
)


@given(st.lists(st.tuples(NAMES, MEMBERS), max_size=6))
def test_whatever_a_client_sends_is_carried_out_or_refused(events: list[tuple[str, Json]]) -> None:
    talk = RealtimeTalk()
    for name, members in events:
        try:
            actions: list[Action] = talk.says(name, **members)
        except ClientError:
            continue
        assert all(isinstance(action, Start | SendAudio | SendText | Interrupt | ReportPlayback | SubmitToolResult) for action in actions)


@given(st.text() | st.binary())
def test_any_frame_at_all_is_refused_or_carried_out(frame: str | bytes) -> None:
    with pytest.raises(SessionError):
        RealtimeTalk().sends(frame)

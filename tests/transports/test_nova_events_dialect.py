"""The raw dialect: Nova's events of a client, into commands."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.events import Endpointing, InferenceConfiguration, Role
from session.errors import BadFrame, InvalidAudio, NotAllowed, ServerBusy, SessionError, TooLarge, UnknownEvent, WrongOrder
from session.events import End, EndReason, HistoryTurn, SendAudio, SendText, Start, StopAudio
from tests.transports.raw_client import audio, audio_start, event, goodbye, opening, prompt_start, session_start, text_block
from transports.dialects.interface import Action, Frame
from transports.dialects.nova_events import NovaEventsDialect

INFERENCE = InferenceConfiguration(1024, 0.95, 0.7)


def new_dialect() -> NovaEventsDialect:
    return NovaEventsDialect(lambda: 0)


def decode(dialect: NovaEventsDialect, frames: list[str]) -> list[Action]:
    return [action for frame in frames for action in dialect.decode(frame)]


def live() -> NovaEventsDialect:
    dialect = new_dialect()
    decode(dialect, opening())
    return dialect


@pytest.mark.req("S4-34", "S4-36", "S4-38", "S4-39", "S4-42")
def test_the_opening_burst_becomes_one_start() -> None:
    frames = [
        session_start("HIGH"),
        prompt_start(voice="lupe", hertz=16_000),
        *text_block("S", "SYSTEM", "You are mine."),
        *text_block("H1", "USER", "Hi", interactive=False),
        *text_block("H2", "ASSISTANT", "Hello", interactive=False),
        audio_start(hertz=8_000),
    ]

    assert decode(new_dialect(), frames) == [
        Start(
            voice_id="lupe",
            prompt="You are mine.",
            inference=INFERENCE,
            endpointing=Endpointing.HIGH,
            input_hertz=8_000,
            output_hertz=16_000,
            history=(HistoryTurn(Role.USER, "Hi"), HistoryTurn(Role.ASSISTANT, "Hello")),
        )
    ]


def test_a_text_in_several_pieces_is_one_text() -> None:
    start, piece, end = text_block("S", "SYSTEM", "ab")
    frames = [session_start(), prompt_start(), start, piece, piece, end, audio_start()]

    (action,) = decode(new_dialect(), frames)

    assert isinstance(action, Start)
    assert action.prompt == "abab"


def test_a_speech_style_block_is_left_aside() -> None:
    frames = [session_start(), prompt_start(), *text_block("S", "SYSTEM", "x"), *text_block("T", "SYSTEM_SPEECH", "slowly"), audio_start()]

    (action,) = decode(new_dialect(), frames)

    assert isinstance(action, Start)
    assert (action.prompt, action.history) == ("x", ())


@pytest.mark.req("S4-40")
def test_audio_becomes_audio() -> None:
    assert decode(live(), [audio(b"\1\0\2\0")]) == [SendAudio(b"\1\0\2\0")]


def test_typed_text_in_the_conversation_becomes_a_turn() -> None:
    assert decode(live(), text_block("T", "USER", "Where is my order?")) == [SendText("Where is my order?")]


@pytest.mark.req("S4-35", "S4-37")
def test_the_goodbye_closes_the_microphone_and_ends_the_session_once() -> None:
    assert decode(live(), goodbye()) == [StopAudio(), End()]


def test_a_body_wrapper_is_unwrapped() -> None:
    frames = [json.dumps({"body": frame}) for frame in opening()]

    (action,) = decode(new_dialect(), frames)

    assert isinstance(action, Start)


def test_audio_after_the_content_end_is_dropped_and_counted() -> None:
    dialect = live()
    decode(dialect, goodbye()[:1])

    assert decode(dialect, [audio(b"\1\0")]) == []
    assert decode(dialect, goodbye()[1:]) == [End()]
    assert decode(dialect, [audio(b"\1\0")]) == []
    assert dialect.dropped_frames == 2


@pytest.mark.parametrize("content", ["[object Blob]", "no base64!", "AAAA"])
def test_what_a_stopped_recorder_still_hands_over_is_no_mistake_whatever_it_is(content: str) -> None:
    dialect = live()
    decode(dialect, goodbye()[:1])

    assert decode(dialect, [event("audioInput", promptName="P", contentName="A", content=content)]) == []
    assert dialect.dropped_frames == 1


def test_audio_of_half_samples_is_refused_and_the_next_piece_is_taken() -> None:
    dialect = live()

    with pytest.raises(InvalidAudio):
        dialect.decode(audio(b"abc"))
    assert decode(dialect, [audio(b"ab")]) == [SendAudio(b"ab")]


def test_several_sessions_follow_one_another() -> None:
    dialect = new_dialect()

    actions = decode(dialect, [*opening(), audio(b"\1\0"), *goodbye(), *opening("lupe"), audio(b"\2\0")])

    starts = [action.voice_id for action in actions if isinstance(action, Start)]
    assert starts == ["carlos", "lupe"]
    assert actions[-1] == SendAudio(b"\2\0")


def test_a_second_session_start_ends_the_running_session() -> None:
    assert decode(live(), [session_start()]) == [End()]


def test_a_second_prompt_start_begins_anew_with_the_new_voice_at_the_next_audio() -> None:
    dialect = live()

    changed = decode(dialect, [prompt_start(prompt="P2", voice="tiffany"), audio(b"\1\0")])

    assert changed == [Start(voice_id="tiffany", prompt="You are mine.", inference=INFERENCE), SendAudio(b"\1\0")]
    assert decode(dialect, [audio(b"\2\0")]) == [SendAudio(b"\2\0")]


def test_a_second_prompt_with_its_own_texts_begins_anew_at_its_audio_content() -> None:
    frames = [
        prompt_start(prompt="P2", voice="tiffany"),
        *text_block("S2", "SYSTEM", "Other.", prompt="P2"),
        audio_start("A2", "P2"),
        audio(b"\1\0", "A2", "P2"),
    ]

    assert decode(live(), frames) == [Start(voice_id="tiffany", prompt="Other.", inference=INFERENCE), SendAudio(b"\1\0")]


def test_a_prompt_after_a_prompt_end_opens_another_session() -> None:
    frames = [*goodbye()[:2], prompt_start(prompt="P2", voice="amy"), audio_start("A2", "P2")]

    assert decode(live(), frames) == [StopAudio(), End(), Start(voice_id="amy", prompt="You are mine.", inference=INFERENCE)]


def test_init_alone_starts_the_assistant_as_it_is() -> None:
    frames = [event("init", promptName="P", textContentName="S", audioContentName="A"), audio(b"\1\0")]

    assert decode(new_dialect(), frames) == [Start(inference=InferenceConfiguration()), SendAudio(b"\1\0")]


@pytest.mark.parametrize("frame", [event("ping", timestamp=5), event("APP_CUSTOM_state_update", publicIpAddress="192.0.2.1")])
def test_events_of_other_servers_are_swallowed(frame: str) -> None:
    assert decode(live(), [frame]) == []
    assert decode(new_dialect(), [frame]) == []


TOOL_NAMES = {"promptName": "P", "contentName": "T"}


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (event("toolResult", **TOOL_NAMES, content="{}"), UnknownEvent),
        (event("contentStart", **TOOL_NAMES, type="TOOL", toolResultInputConfiguration={"toolUseId": "u"}), UnknownEvent),
        (text_block("T", "TOOL", "x")[0], UnknownEvent),
        (text_block("T", "ASSISTANT", "x")[0], UnknownEvent),
        (text_block("T", "SYSTEM", "x")[0], WrongOrder),
        (text_block("T", "USER", "x", interactive=False)[0], WrongOrder),
        (event("textOutput", contentId="x", content="y"), UnknownEvent),
        (event("completionStart"), UnknownEvent),
        (event("connectionEnd"), UnknownEvent),
        (audio_start("B"), WrongOrder),
        (audio(b"\1\0", content="other"), WrongOrder),
        (event("textInput", promptName="P", contentName="nope", content="x"), WrongOrder),
        (event("contentEnd", promptName="P", contentName="nope"), WrongOrder),
        (event("audioInput", promptName="P", contentName="A", content="not base64!"), InvalidAudio),
        (event("audioInput", promptName="P", contentName="A", content=5), BadFrame),
        (event("audioInput", promptName="P", contentName="A"), BadFrame),
        (event("init", promptName="P", audioContentName="A"), WrongOrder),
        (event("init", promptName="P"), BadFrame),
        (event("init", promptName=["P"], audioContentName={}), BadFrame),
        (prompt_start(hertz=44_100), NotAllowed),
        ('{"event":{}}', BadFrame),
        ('{"event":{"sessionEnd":{},"promptEnd":{}}}', BadFrame),
        ('{"event":[]}', BadFrame),
        ('{"type":"hello","protocol":1}', BadFrame),
        ('{"body":{"event":{}}}', BadFrame),
        ('{"body":"nonsense"}', BadFrame),
        ('{"event":{"textInput":{"promptName":"P","promptName":"Q"}}}', BadFrame),
        ('{"event":{"sessionStart":{"inferenceConfiguration":{"topP":NaN}}}}', BadFrame),
        ("\ufeff" + event("sessionEnd"), BadFrame),
        ("", BadFrame),
        ('{"event":' * 5_000, BadFrame),
        ('{"event":{"sessionStart":' + '{"a":' * 50 + "1" + "}" * 52, TooLarge),
        ("9" * 100_000, BadFrame),
        (b'{"event":{"sessionEnd":{}}}', BadFrame),
    ],
)
def test_a_frame_that_does_not_fit_is_refused_and_the_session_goes_on(frame: Frame, error: type[SessionError]) -> None:
    dialect = live()

    with pytest.raises(error) as caught:
        dialect.decode(frame)
    assert type(caught.value) is error
    assert len(caught.value.text) <= 200
    assert decode(dialect, [audio(b"ab")]) == [SendAudio(b"ab")]


@pytest.mark.parametrize(
    "frames",
    [
        [prompt_start()],
        [audio_start()],
        [session_start(), audio_start()],
        [audio(b"ab")],
        [event("promptEnd", promptName="P")],
        [event("sessionEnd")],
        text_block("S", "SYSTEM", "x")[:1],
        [session_start(), *text_block("S", "SYSTEM", "x")[:1]],
        [session_start(), prompt_start(), audio(b"ab")],
        [session_start(), prompt_start(), *text_block("S", "SYSTEM", "x")[:1] * 2],
        [*opening(), *goodbye()[:2], *text_block("T", "USER", "x")[:1]],
    ],
)
def test_events_out_of_order_are_refused(frames: list[str]) -> None:
    dialect = new_dialect()
    decode(dialect, frames[:-1])

    with pytest.raises(WrongOrder):
        dialect.decode(frames[-1])


def test_contents_that_are_never_closed_are_bounded() -> None:
    dialect = live()

    with pytest.raises(TooLarge):
        decode(dialect, [text_block(f"T{number}", "USER", "x")[0] for number in range(5_000)])


def test_text_that_never_ends_is_bounded() -> None:
    dialect = live()
    start, piece, _ = text_block("T", "USER", "x" * 100_000)

    with pytest.raises(TooLarge):
        decode(dialect, [start, piece, piece, piece])


def test_history_is_bounded() -> None:
    blocks = [frame for number in range(1_000) for frame in text_block(f"H{number}", "USER", "x")]

    with pytest.raises(TooLarge):
        decode(new_dialect(), [session_start(), prompt_start(), *blocks])


@pytest.mark.parametrize(
    ("end", "survives"), [(EndReason.CLIENT, True), (EndReason.FAILED, False), (EndReason.SERVER_LEAVING, False), (ServerBusy(), False)]
)
def test_the_connection_stays_open_only_when_the_client_ended_the_session(end: EndReason | SessionError, *, survives: bool) -> None:
    assert new_dialect().survives(end) is survives


FRAMES = [
    *opening(),
    *goodbye(),
    *text_block("T", "USER", "x"),
    *text_block("S", "SYSTEM", "y"),
    audio(b"ab"),
    audio(b"abc"),
    event("init", promptName="P", textContentName="S", audioContentName="A"),
    event("ping"),
    event("toolResult", **TOOL_NAMES, content="{}"),
    prompt_start("P2", "amy"),
    audio_start("A2", "P2"),
]


@given(st.lists(st.sampled_from(FRAMES), max_size=30))
def test_any_order_of_events_gives_commands_that_make_sense(frames: list[str]) -> None:
    dialect = new_dialect()
    has_started = False
    for frame in frames:
        try:
            actions = dialect.decode(frame)
        except SessionError:
            continue
        for action in actions:
            has_started |= isinstance(action, Start)

            assert has_started, f"{action} before any Start"


@given(st.one_of(st.text(), st.binary(), st.text().map(lambda text: f'{{"event":{text}'), st.text().map(lambda text: f'{{"body":{text}}}')))
def test_whatever_comes_nothing_but_a_session_error_is_raised(frame: Frame) -> None:
    dialect = live()
    try:
        actions = dialect.decode(frame)
    except SessionError:
        return

    assert list(actions) == []


NAMES = ("sessionStart", "promptStart", "contentStart", "textInput", "audioInput", "contentEnd", "promptEnd", "sessionEnd", "init", "ping")
MEMBERS = ("promptName", "contentName", "type", "role", "content", "interactive", "audioOutputConfiguration", "inferenceConfiguration")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from(["P", "A", "TEXT", "AUDIO", "USER", "SYSTEM"]),
    lambda part: st.lists(part, max_size=2) | st.dictionaries(st.text(max_size=4), part, max_size=2),
    max_leaves=5,
)


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.dictionaries(st.sampled_from(MEMBERS), JSON)), max_size=8))
def test_any_members_of_any_events_are_taken_or_refused(events: list[tuple[str, dict[str, object]]]) -> None:
    dialect = new_dialect()
    accepted = 0
    for name, members in events:
        try:
            dialect.decode(json.dumps({"event": {name: members}}))
        except SessionError:
            continue
        accepted += 1

    assert accepted <= len(events)

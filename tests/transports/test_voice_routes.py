"""Every message of the voice dialect in every state, and messages that nobody would send."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session.errors import (
    BadFrame,
    ClientError,
    SessionError,
    UnknownEvent,
    WrongOrder,
)
from session.events import (
    Interrupt,
    SendText,
    Start,
    StopAudio,
)
from tests.transports.voice_talk import ENDED, PCM, STARTED, b64, dialect, read, say, started
from transports.dialects.flat_message import TEXT_LIMIT_BYTES
from transports.dialects.interface import Frame, Reply, SendEncoded
from transports.dialects.voice import VoiceDialect

DATA = {"audioData": b64(b"piece"), "content": "Hola"}
ROUTES: dict[str, dict[str, object]] = {
    "nothing asked for": {
        "voice_start": [Start],
        "voice_data": WrongOrder,
        "voice_end": WrongOrder,
        "voice_interrupt": WrongOrder,
        "text_message": [Start, SendText],
        "ping": [Reply],
        "fly": UnknownEvent,
    },
    "typing": {
        "voice_start": [Reply],
        "voice_data": WrongOrder,
        "voice_end": WrongOrder,
        "voice_interrupt": [Interrupt],
        "text_message": [SendText],
        "ping": [Reply],
        "fly": UnknownEvent,
    },
    "recording": {
        "voice_start": [Reply],
        "voice_data": [SendEncoded, Reply],
        "voice_end": [StopAudio, Reply],
        "voice_interrupt": [Interrupt],
        "text_message": [SendText],
        "ping": [Reply],
        "fly": UnknownEvent,
    },
    "recorder stopped": {
        "voice_start": [Reply],
        "voice_data": [],
        "voice_end": WrongOrder,
        "voice_interrupt": [Interrupt],
        "text_message": [SendText],
        "ping": [Reply],
        "fly": UnknownEvent,
    },
    "session over": {
        "voice_start": [Start],
        "voice_data": [],
        "voice_end": WrongOrder,
        "voice_interrupt": WrongOrder,
        "text_message": [Start, SendText],
        "ping": [Reply],
        "fly": UnknownEvent,
    },
}


def _typing() -> VoiceDialect:
    talk = dialect("webm")
    say(talk, "text_message", content="Hola")
    talk.encode(STARTED)
    return talk


def _stopped() -> VoiceDialect:
    talk = started("webm", audioFormat="webm")
    say(talk, "voice_end")
    return talk


def _over() -> VoiceDialect:
    talk = started("webm", audioFormat="webm")
    talk.encode(ENDED)
    return talk


STATES = {
    "nothing asked for": lambda: dialect("webm"),
    "typing": _typing,
    "recording": lambda: started("webm", audioFormat="webm"),
    "recorder stopped": _stopped,
    "session over": _over,
}


@pytest.mark.req("S0-37", "S2-45")
@pytest.mark.parametrize(("state", "kind"), [(state, kind) for state, routes in ROUTES.items() for kind in routes])
def test_what_becomes_of_a_message_depends_on_the_state(state: str, kind: str) -> None:
    talk = STATES[state]()
    expected = ROUTES[state][kind]
    if isinstance(expected, list):
        assert [type(action) for action in say(talk, kind, **DATA)] == expected
    else:
        with pytest.raises(SessionError) as refused:
            say(talk, kind, **DATA)

        assert type(refused.value) is expected


@pytest.mark.req("S2-28", "S0-57")
@pytest.mark.parametrize("kind", ["voice_data", "voice_end", "voice_interrupt"])
def test_a_message_for_another_session_is_refused(kind: str) -> None:
    talk = started(sessionId="mine")
    with pytest.raises(WrongOrder):
        say(talk, kind, audioData=b64(PCM), sessionId="somebody-elses")

    assert say(talk, kind, audioData=b64(PCM), sessionId="server-1")


@pytest.mark.req("S0-38", "S2-28")
@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (b"{}", BadFrame),
        ("", BadFrame),
        ("[]", BadFrame),
        ("not JSON", BadFrame),
        ("[" * 100_000, BadFrame),
        ('{"type":5}', BadFrame),
        ('{"body":5}', BadFrame),
        ('{"body":"[]"}', BadFrame),
        ("{}", UnknownEvent),
        ('{"action":"initSession"}', UnknownEvent),
        ('{"type":"voice_session_started"}', UnknownEvent),
    ],
)
def test_what_is_no_message_is_refused(frame: Frame, error: type[ClientError]) -> None:
    with pytest.raises(error):
        dialect().decode(frame)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.just(b64(PCM)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from(
    ["type", "action", "data", "body", "audioFormat", "audioData", "content", "sessionId", "messageId", "sampleRate", "language", "voice"]
)
kinds = st.sampled_from([*ROUTES["typing"], "connection_init"])
messages = st.builds(
    lambda kind, data, rest: json.dumps({"type": kind, **rest, "data": data}),
    kinds,
    st.dictionaries(names, values),
    st.dictionaries(names, values),
)


@pytest.mark.req("S2-28")
@given(st.lists(messages | st.text(max_size=50) | st.binary(max_size=20), max_size=8), st.booleans())
def test_whatever_a_client_sends_nothing_but_session_errors_come_out(frames: list[Frame], is_started: bool) -> None:  # noqa: FBT001 - a parameter
    talk = started("webm") if is_started else dialect("webm")
    for frame in frames:
        try:
            actions = talk.decode(frame)
        except SessionError as error:
            read(*talk.answer(error.event()))
            continue
        if any(isinstance(action, Start) for action in actions):
            talk.begin()
            read(*talk.encode(STARTED))
        assert all(len(action.text.encode()) <= TEXT_LIMIT_BYTES for action in actions if isinstance(action, SendText))

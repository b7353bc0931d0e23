"""The opening of a stream and the groups sent on it later, held against the protocol's own tables."""

from dataclasses import replace

import pytest

from s2s.codec import encode_output
from s2s.events import AudioContentStart, AudioInput, ContentEnd, PromptStart, Role, SessionStart, TextContentStart, TextInput, ToolUse
from s2s.models import capabilities
from s2s.protocol import StreamProtocol
from session.events import HistoryTurn
from session.opening import Wording
from tests.session.doubles import LOOK_UP, MODEL_ID, PLAN, Nova, counted_names


def test_the_opening_goes_from_session_start_to_the_open_audio_block() -> None:
    wording = Wording(PLAN, (LOOK_UP,), counted_names())
    history = (HistoryTurn(Role.USER, "Hola."), HistoryTurn(Role.ASSISTANT, "Buenas."))

    assert wording.opening(history) == (
        SessionStart(PLAN.inference, None),
        PromptStart("name-1", "carlos", 24_000, (LOOK_UP,)),
        TextContentStart("name-1", "name-3", Role.SYSTEM),
        TextInput("name-1", "name-3", "You are Carlos."),
        ContentEnd("name-1", "name-3"),
        TextContentStart("name-1", "name-4", Role.USER),
        TextInput("name-1", "name-4", "Hola."),
        ContentEnd("name-1", "name-4"),
        TextContentStart("name-1", "name-5", Role.ASSISTANT),
        TextInput("name-1", "name-5", "Buenas."),
        ContentEnd("name-1", "name-5"),
        AudioContentStart("name-1", "name-2", 16_000),
    )


@pytest.mark.req("S4-35")
def test_everything_that_is_ever_sent_is_legal_on_the_stream() -> None:
    wording = Wording(replace(PLAN, prompt="Sé amable. " * 500), (LOOK_UP,), counted_names())
    protocol = StreamProtocol(capabilities(MODEL_ID))
    protocol.send_group(wording.opening(()))
    protocol.send_group(wording.audio(bytes(1_024)))
    protocol.send_group(wording.silence(133.3))
    protocol.send_group(wording.typed_turn("¿Está mi pedido?"))
    call = next(event for event in Nova().calls("tool-1") if isinstance(event, ToolUse))
    protocol.receive_data(encode_output(call))
    protocol.send_group(wording.tool_result("tool-1", '{"success":true}'))
    protocol.send_group(protocol.closing_events())

    assert protocol.pending_tools == frozenset()
    assert protocol.closing_events() == ()


def test_a_typed_turn_is_primed_with_100_ms_of_silence() -> None:
    first = Wording(PLAN, (), counted_names()).typed_turn("Hola.")[0]

    assert isinstance(first, AudioInput)
    assert first.pcm == bytes(3_200)


@pytest.mark.parametrize(("hertz", "size"), [(8_000, 1_600), (16_000, 3_200), (24_000, 4_800)])
def test_durations_are_at_the_rate_of_the_client(hertz: int, size: int) -> None:
    wording = Wording(replace(PLAN, input_hertz=hertz), (), counted_names())
    (silence,) = wording.silence(100.0)

    assert isinstance(silence, AudioInput)
    assert len(silence.pcm) == size
    assert wording.duration_ms(silence.pcm) == 100.0

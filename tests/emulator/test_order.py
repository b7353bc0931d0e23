"""The order of a stream: the whole table, the limits of texts, and what each model takes."""

import orjson
import pytest

from nova_sonic_local.models import MODELS, RELAXED_TEXT, STRICT_TEXT, TextLimits, find_model
from nova_sonic_local.order import OrderEngine, Ready
from nova_sonic_local.parsing import Checks, EventParser
from nova_sonic_local.refusals import Refusal, Refused
from nova_sonic_local.states import LENIENT, ORDER, State, Step, follow
from tests.emulator.wire import (
    PROMPT_END,
    SESSION_END,
    Json,
    audio_input,
    audio_start,
    closing,
    content_end,
    opening,
    prompt_start,
    session_start,
    silence,
    text_block,
    text_input,
    text_start,
    tool,
    tool_result,
)

SECOND = "amazon.nova-2-sonic-v1:0"
FIRST = "amazon.nova-sonic-v1:0"
NEWEST = "amazon.nova-2-5-sonic"
SYSTEM = text_block("S", "SYSTEM", "Be brief.")
AUDIO = audio_input(silence(0.1))

TO: dict[State, list[Json]] = {
    State.NEW: [],
    State.SESSION: [session_start()],
    State.PROMPT: [session_start(), prompt_start()],
    State.HISTORY: [session_start(), prompt_start(), *SYSTEM],
    State.AUDIO_OPEN: [*opening(), AUDIO],
    State.AUDIO_CLOSED: [*opening(), AUDIO, content_end("A")],
    State.PROMPT_DONE: [*opening(), AUDIO, content_end("A"), PROMPT_END],
    State.DONE: [*opening(), AUDIO, *closing()],
}
EVENTS: dict[Step, Json] = {
    Step.SESSION_START: session_start(),
    Step.PROMPT_START: prompt_start(),
    Step.SYSTEM: text_start("X", "SYSTEM"),
    Step.STYLE: text_start("X", "SYSTEM_SPEECH"),
    Step.PAST: text_start("X", "USER"),
    Step.TYPED: text_start("X", "USER", interactive=True),
    Step.ASSISTANT: text_start("X", "ASSISTANT"),
    Step.AUDIO: audio_start("B"),
    Step.TOOL: tool_result("K", "{}")[0],
    Step.AUDIO_INPUT: AUDIO,
    Step.AUDIO_END: content_end("A"),
    Step.PROMPT_END: PROMPT_END,
    Step.SESSION_END: SESSION_END,
}


def play(script: list[Json], model: str = SECOND, checks: Checks = Checks.STRICT) -> tuple[OrderEngine, object]:
    """Return the engine after a script, and what the last event meant."""
    capabilities = find_model(model)
    assert capabilities is not None
    parser, order, meaning = EventParser(capabilities, checks), OrderEngine(model, capabilities, checks, {"K"}), None
    for event in script:
        meaning = order.accept(parser.parse(orjson.dumps(event)))
    return order, meaning


def refusal_of(script: list[Json], model: str = SECOND, checks: Checks = Checks.STRICT) -> Refusal | None:
    """Return why the last event of a script is refused, None when it is taken."""
    play(script[:-1], model, checks)
    try:
        play(script, model, checks)
    except Refused as refused:
        return refused.refusal
    return None


@pytest.mark.parametrize("step", list(Step), ids=lambda step: step.value)
@pytest.mark.parametrize("state", list(State), ids=lambda state: state.value)
def test_the_engine_follows_the_table(state: State, step: Step) -> None:
    expected = ORDER[state].get(step, Refusal.INVALID_REQUEST)
    script = [*TO[state], EVENTS[step]]
    if (state, step) == (State.AUDIO_OPEN, Step.PROMPT_END):
        expected = Refusal.CONTENT_OPEN  # a rule beside the table: the audio has to be closed first
    refusal = refusal_of(script)

    assert play(TO[state])[0].state is state
    assert expected == (refusal or play(script)[0].state)


@pytest.mark.parametrize("step", list(Step), ids=lambda step: step.value)
@pytest.mark.parametrize("state", list(State), ids=lambda state: state.value)
def test_relaxed_checks_follow_the_lenient_table_first(state: State, step: Step) -> None:
    expected = follow(state, step, is_strict=False)
    script = [*TO[state], EVENTS[step]]
    if step is Step.AUDIO_END and state is State.PROMPT_DONE:
        script = [*opening(), AUDIO, PROMPT_END, EVENTS[step]]  # only relaxed checks leave a block open
    refusal = refusal_of(script, checks=Checks.RELAXED)

    assert expected == (refusal or play(script, checks=Checks.RELAXED)[0].state)


def test_the_tables_name_every_state_and_reach_it() -> None:
    reached = {State.NEW} | {after for row in ORDER.values() for after in row.values() if isinstance(after, State)}

    assert ORDER.keys() == LENIENT.keys() == reached == set(State)
    assert not any(isinstance(after, Refusal) for row in LENIENT.values() for after in row.values())


def history(count: int, size: int, pieces: int = 1) -> list[Json]:
    """Return an opening with so many messages of so many bytes, each in so many textInputs."""
    blocks: list[Json] = []
    for number in range(count):
        name = f"H{number}"
        inputs = [text_input(name, "x" * (size // pieces)) for _ in range(pieces)]
        blocks += [text_start(name, "ASSISTANT" if number % 2 else "USER"), *inputs, content_end(name)]
    return [session_start(), prompt_start(), *SYSTEM, *blocks]


@pytest.mark.parametrize(
    ("checks", "count", "size", "pieces", "refusal"),
    [
        (Checks.STRICT, 40, 1_024, 1, None),
        (Checks.STRICT, 41, 1, 1, Refusal.HISTORY_TOO_LONG),
        (Checks.STRICT, 10, 4_096, 4, None),
        (Checks.STRICT, 11, 4_096, 4, Refusal.HISTORY_TOO_LONG),
        (Checks.RELAXED, 4, 51_200, 1, None),
        (Checks.RELAXED, 5, 51_200, 1, Refusal.HISTORY_TOO_LONG),
        (Checks.RELAXED, 1_000, 200, 1, None),
        (Checks.RELAXED, 1_001, 1, 1, Refusal.HISTORY_TOO_LONG),
    ],
)
def test_a_history_fits_its_limits(checks: Checks, count: int, size: int, pieces: int, refusal: Refusal | None) -> None:
    assert refusal_of(history(count, size, pieces), checks=checks) is refusal


@pytest.mark.parametrize(("checks", "most"), [(Checks.STRICT, STRICT_TEXT), (Checks.RELAXED, RELAXED_TEXT)])
def test_one_text_input_has_its_own_limit(checks: Checks, most: TextLimits) -> None:
    start = [*TO[State.HISTORY], text_start("H", "USER")]
    system = [*TO[State.PROMPT], text_start("S", "SYSTEM")]

    assert refusal_of([*start, text_input("H", "x" * most.history_input)], checks=checks) is None
    assert refusal_of([*start, text_input("H", "x" * (most.history_input + 1))], checks=checks) is Refusal.HISTORY_TOO_LONG
    assert refusal_of([*start, text_input("H", "ñ" * (most.history_input // 2 + 1))], checks=checks) is Refusal.HISTORY_TOO_LONG
    assert refusal_of([*system, text_input("S", "x" * most.system_input)], checks=checks) is None
    assert refusal_of([*system, text_input("S", "x" * (most.system_input + 1))], checks=checks) is Refusal.INVALID_REQUEST


VOICES = {
    FIRST: "matthew tiffany amy lupe carlos ambre florian greta lennart beatrice lorenzo",
    SECOND: "matthew tiffany amy olivia kiara arjun lupe carlos ambre florian tina lennart beatrice lorenzo carolina leo",
}
VOICES[NEWEST] = VOICES[SECOND]


@pytest.mark.parametrize("model", [FIRST, SECOND, NEWEST])
def test_each_model_has_its_voices(model: str) -> None:
    everyone = sorted({voice for voices in VOICES.values() for voice in voices.split()})
    taken = {voice for voice in everyone if refusal_of([session_start(), prompt_start(voice)], model) is None}

    assert taken == set(VOICES[model].split())
    assert refusal_of([session_start(), prompt_start("Matthew")], model) is Refusal.VOICE


@pytest.mark.parametrize("sensitivity", ["HIGH", "MEDIUM", "LOW"])
@pytest.mark.parametrize(("model", "refusal"), [(FIRST, Refusal.INVALID_REQUEST), (SECOND, None), (NEWEST, None)])
def test_turn_detection_is_set_on_the_second_generation_alone(model: str, refusal: Refusal | None, sensitivity: str) -> None:
    assert refusal_of([session_start(turnDetectionConfiguration={"endpointingSensitivity": sensitivity})], model) is refusal


@pytest.mark.parametrize(("model", "refusal"), [(FIRST, Refusal.INVALID_REQUEST), (SECOND, None), (NEWEST, None)])
def test_a_style_of_speech_is_taken_on_the_second_generation_alone(model: str, refusal: Refusal | None) -> None:
    assert refusal_of([*TO[State.HISTORY], text_start("V", "SYSTEM_SPEECH")], model) is refusal


@pytest.mark.parametrize(("model", "typed"), [(FIRST, None), (SECOND, "hi"), (NEWEST, "hi")])
def test_a_typed_turn_before_the_audio_is_history_on_the_first_model(model: str, typed: str | None) -> None:
    _, meaning = play([*TO[State.HISTORY], *text_block("U", "USER", "hi", interactive=True), audio_start()], model)

    assert isinstance(meaning, Ready)
    assert meaning.typed == typed
    assert list(meaning.prompt.history) == ([] if typed else [("USER", "hi")])


@pytest.mark.parametrize("model_id", [*MODELS, FIRST, SECOND, f"arn:aws:bedrock:us-east-1::foundation-model/{SECOND}"])
def test_a_model_is_found_with_and_without_its_version(model_id: str) -> None:
    assert find_model(model_id) is not None
    assert find_model(model_id.replace("sonic", "micro")) is None


@pytest.mark.parametrize("model", [FIRST, SECOND, NEWEST])
@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("get_Weather-2", None),
        ("get.weather", Refusal.TOOL_NAME),
        ("", Refusal.TOOL_NAME),
        ("día", Refusal.TOOL_NAME),
        ("a b", Refusal.TOOL_NAME),
    ],
)
def test_tool_names_are_checked_on_every_model(model: str, name: str, refusal: Refusal | None) -> None:
    assert refusal_of([session_start(), prompt_start(tools=[tool(name)])], model) is refusal


@pytest.mark.parametrize(
    ("schema", "is_taken"),
    [
        ('{"type":"object","properties":{"a":{"type":"string","description":"d","enum":["x"]}},"required":["a"]}', True),
        ('{"type":"object","properties":{"default":{"type":"string"}}}', True),
        ('{"type":"object","properties":{"a":{"anyOf":[{"type":"string"},{"type":"integer"}]}}}', True),
        ('{"type":"object","properties":{"a":{"anyOf":[{"type":"string"},{"type":"null"}]}}}', False),
        ('{"type":"object","properties":{"a":{"type":"string","default":"x"}}}', False),
        ('{"type":"object","additionalProperties":false}', False),
        ('{"type":"object","title":"Arguments"}', False),
        ('{"type":"object","properties":{"a":{"type":"array","items":{"title":"x"}}}}', False),
        ('{"type":"object","properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{}}', False),
    ],
)
def test_schemas_are_taken_without_the_constructs_that_made_trouble(schema: str, is_taken: bool) -> None:  # noqa: FBT001 -- a column
    script = [session_start(), prompt_start(tools=[tool(schema=schema)])]

    assert refusal_of(script) is (None if is_taken else Refusal.INVALID_REQUEST)
    assert refusal_of(script, checks=Checks.RELAXED) is None
